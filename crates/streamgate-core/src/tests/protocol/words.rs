//! What a state of the protocol is made of, and the names of its steps.

use alloc::vec::Vec;

use super::CLIENTS;
use super::server::{Kept, Verdict};

/// A message on its way takes any time, or never arrives. `age` is for how many ticks ago its
/// request was sent, at most a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Request {
    pub(super) client: u8,
    pub(super) name: u8,
    pub(super) ask: Ask,
    pub(super) age: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ask {
    Start,
    /// … and the viewer chose that the first client's stream goes.
    StartInsteadOfFirst,
    Heartbeat,
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Answer {
    pub(super) client: u8,
    pub(super) name: u8,
    pub(super) verdict: Verdict,
    pub(super) age: u8,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Heard,
    /// It takes its time. Only a yes can: a no that comes late does no more than one that never
    /// comes to a client that gives up by itself.
    Late,
    /// It never comes. Only then does its write wait too, for a crash to come first.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Idle,
    /// Has asked with this, and asks again until it is answered.
    Starting(Ask),
    Watching,
    Stopping,
    /// Was told that it is stopped.
    Stopped,
    /// Crashed, or was told that its stream is over.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) phase: Phase,
    /// For how many ticks it believes its lease to run.
    pub(super) left: u8,
    /// What its stream is called.
    pub(super) name: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The server's memory, while it is up.
    pub(super) memory: Option<Kept>,
    pub(super) disk: Kept,
    /// The memory has a change that the disk has not.
    pub(super) is_unwritten: bool,
    pub(super) requests: Vec<Request>,
    pub(super) answers: Vec<Answer>,
    pub(super) clients: [Client; CLIENTS],
    /// Which clients' streams had their places at the crash and were written, as bits.
    pub(super) owed: u8,
    pub(super) crashes: u8,
    pub(super) has_jumped: bool,
    /// Somebody who was heard in time was told that its stream is over.
    pub(super) is_someone_wronged: bool,
    /// Somebody who had a place before a crash had none after the restart.
    pub(super) is_someone_thrown_out: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// A request arrives as soon as it is sent …
    Exchange(Request, Fate),
    /// … or only its sender ever knows of it …
    Vanish(Request),
    /// … or so far.
    Delay(Request),
    /// A request that was long on its way arrives.
    Arrive(Request, Fate),
    LoseRequest(Request),
    Write,
    LoseAnswer(Answer),
    Hear(Answer),
    ClientCrash(u8),
    Crash,
    Restart,
    Tick,
    WallClockJump,
}
