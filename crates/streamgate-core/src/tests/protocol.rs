//! The whole protocol, checked exhaustively: three clients who share a limit of two, a network
//! that delays and loses, a server that crashes between any two steps and runs the real rules.
//! Then the same with one thing done wrong at a time, which must be found out.
//!
//! **Who counts as watching.** The limit is promised for streams that have a place. A player
//! learns only at its next heartbeat that its place is gone, so what can be promised about
//! players depends on how a place is lost:
//!
//! - By silence until the end of the lease: never while the player counts on it, since it counts
//!   from when it sent and the server from when it heard. Checked with leases that are not
//!   reclaimed ([`Reclaim::Never`]): no more players than the limit have a running lease.
//! - By reclaiming: a player that could not reach the service for 1.5 heartbeats may lose its
//!   place before its lease is over. So with [`Reclaim::AfterSilence`] those count on their place
//!   whose last answered request was sent less than 1.5 heartbeats ago.
//! - By somebody's choice: at any time. Such a stream is not counted from then on.

extern crate std;

mod server;
mod steps;
mod words;

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;
use std::println;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::server::{Kept, TICK};
use self::words::{Action, Client, Phase, State};
use crate::{Limit, Policy, Terms};

const CLIENTS: usize = 3;

/// One thing done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Answers leave before the disk has what they speak of.
    AnswerBeforeWrite,
    /// The server names the streams, so that a retry is another stream.
    NoClientId,
    /// A client counts its lease from when the answer came.
    LeaseFromReceipt,
    /// Leases run on a clock that may jump, here once by two ticks.
    WallClock,
    /// Heartbeats are written too and leases go on after a restart where they were, the time
    /// of the crash counted.
    NoExtension,
    /// Heartbeats are not written, and leases go on after a restart where the disk has them.
    NoExtensionNorHeartbeats,
    /// Heartbeats, as they need no write, don't wait for the one before them either.
    HeartbeatOvertakesWrite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reclaim {
    Never,
    AfterSilence,
}

#[derive(Clone, Debug)]
struct Protocol {
    flaw: Option<Flaw>,
    reclaim: Reclaim,
    clients: u8,
    limit: u8,
    lease_ticks: u8,
    /// How many messages may be on their way at once.
    messages_max: usize,
    crashes_max: u8,
    met: Arc<Met>,
}

/// How often the server came to decide so; a run that never did proves nothing.
#[derive(Debug, Default)]
struct Met {
    denial: AtomicU32,
    retry: AtomicU32,
    resumption: AtomicU32,
    /// A stop came before its start.
    note: AtomicU32,
}

impl Protocol {
    fn terms(&self) -> Terms {
        Terms {
            lease: TICK * u32::from(self.lease_ticks),
            heartbeat: match self.reclaim {
                Reclaim::Never => None,
                Reclaim::AfterSilence => Some(TICK),
            },
            renew_after: core::time::Duration::ZERO,
        }
    }

    fn policy(&self) -> Policy {
        Policy {
            limit: Limit::new(self.limit).unwrap(),
            terms: self.terms(),
        }
    }

    fn is_extended_at_restart(&self) -> bool {
        !matches!(
            self.flaw,
            Some(Flaw::NoExtension | Flaw::NoExtensionNorHeartbeats)
        )
    }

    /// Whether a lease of which so many ticks are left is good for its place: see above.
    fn is_fresh(&self, left: u8) -> bool {
        match self.reclaim {
            Reclaim::Never => 0 < left,
            // One tick of silence is one heartbeat; two are more than 1.5.
            Reclaim::AfterSilence => self.lease_ticks <= left + 1,
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let client = Client {
            phase: Phase::Idle,
            left: 0,
            name: 0,
        };
        let state = State {
            memory: Some(Kept::default()),
            disk: Kept::default(),
            is_unwritten: false,
            requests: Vec::new(),
            answers: Vec::new(),
            clients: [client; CLIENTS],
            owed: 0,
            crashes: 0,
            has_jumped: false,
            is_someone_wronged: false,
            is_someone_thrown_out: false,
        };
        alloc::vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.actions(self, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        state.apply(action, self);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = alloc::vec![
            Property::always(PLACES, |protocol: &Self, state: &State| {
                state
                    .memory
                    .as_ref()
                    .is_none_or(|memory| memory.places() <= usize::from(protocol.limit))
            }),
            Property::always(PLAYERS, players_are_within_the_limit),
            Property::always(YES_IS_KEPT, a_yes_is_kept),
            Property::always(OVER_IS_OVER, what_is_over_stays_over),
            Property::always(IN_TIME, |_, state: &State| !state.is_someone_wronged),
            Property::always(ONE_PLACE, |_, state: &State| {
                (0..3).all(|client| state.current().places_of(client) <= 1)
            }),
            Property::always(RESTART, |_, state: &State| !state.is_someone_thrown_out),
            Property::sometimes(
                "a crash comes between write and answer",
                |_, state: &State| {
                    let waits = |number| matches!(state.client(number).phase, Phase::Starting(_));
                    let is_written = |number| state.disk.has_place(number, 0);
                    state.memory.is_none()
                        && (0..3).any(|number| waits(number) && is_written(number))
                }
            ),
        ];
        if 2 < self.clients {
            properties.push(Property::sometimes(
                "a viewer chooses",
                |_, state: &State| state.current().is_first_replaced_by_choice,
            ));
        }
        if self.reclaim == Reclaim::AfterSilence {
            properties.push(Property::sometimes(
                "a place is reclaimed",
                |_, state: &State| state.current().has_reclaimed(),
            ));
        }
        properties
    }
}

const PLACES: &str = "no more streams than the limit have a place";
const PLAYERS: &str = "no more players than the limit count on a place";
const YES_IS_KEPT: &str = "whoever was told yes has a place";
const OVER_IS_OVER: &str = "what was stopped or replaced stays over";
const IN_TIME: &str = "nobody who beats in time is refused";
const ONE_PLACE: &str = "a start takes one place however often it is sent";
const RESTART: &str = "a restart throws nobody out";

impl State {
    /// What the server knows, or will know when it is up again.
    fn current(&self) -> &Kept {
        self.memory.as_ref().unwrap_or(&self.disk)
    }

    fn is_replaced_by_choice(&self, client: u8) -> bool {
        client == 0 && self.current().is_first_replaced_by_choice
    }

    /// The players that may count on their places.
    fn players<'a>(&'a self, protocol: &'a Protocol) -> impl Iterator<Item = u8> + 'a {
        (0..3).filter(|client| {
            self.is_heard_in_time(*client, protocol) && !self.is_replaced_by_choice(*client)
        })
    }
}

fn players_are_within_the_limit(protocol: &Protocol, state: &State) -> bool {
    state.players(protocol).count() <= usize::from(protocol.limit)
}

fn a_yes_is_kept(protocol: &Protocol, state: &State) -> bool {
    let mut players = state.players(protocol);
    players.all(|client| state.current().has_place(client, state.client(client).name))
}

fn what_is_over_stays_over(_: &Protocol, state: &State) -> bool {
    let current = state.current();
    (0..3).all(|client| {
        let is_over = current.ended & (1 << client) != 0;
        let was_told = state.client(client).phase == Phase::Stopped;
        !(is_over || was_told) || !current.has_place(client, state.client(client).name)
    })
}

fn three_clients(reclaim: Reclaim) -> Protocol {
    Protocol {
        flaw: None,
        reclaim,
        clients: 3,
        limit: 2,
        // With reclaiming a place is reclaimable for one tick before its lease is over.
        lease_ticks: match reclaim {
            Reclaim::Never => 2,
            Reclaim::AfterSilence => 3,
        },
        messages_max: 1,
        crashes_max: 1,
        met: Arc::default(),
    }
}

fn two_clients(reclaim: Reclaim) -> Protocol {
    Protocol {
        clients: 2,
        limit: 1,
        ..three_clients(reclaim)
    }
}

#[track_caller]
fn check_holds(protocol: Protocol, states_min: usize) {
    let met = Arc::clone(&protocol.met);
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{:?}: {states} unique states", checker.model());
    assert!(checker.is_done());
    checker.assert_properties();
    assert!(states_min <= states, "only {states} states");
    for count in [&met.denial, &met.retry, &met.resumption, &met.note] {
        assert_ne!(count.load(Relaxed), 0, "{met:?}");
    }
}

/// The flaw must be found to break `promise`.
#[track_caller]
fn check_breaks(flaw: Flaw, promise: &'static str) {
    let protocol = Protocol {
        flaw: Some(flaw),
        ..match flaw {
            // One client must have two places.
            Flaw::NoClientId => three_clients(Reclaim::Never),
            Flaw::AnswerBeforeWrite
            | Flaw::LeaseFromReceipt
            | Flaw::WallClock
            | Flaw::NoExtension
            | Flaw::NoExtensionNorHeartbeats
            | Flaw::HeartbeatOvertakesWrite => two_clients(Reclaim::Never),
        }
    };
    let finish = HasDiscoveries::AllOf(BTreeSet::from([promise]));
    let checker = protocol.checker().finish_when(finish).spawn_bfs().join();
    let history = checker.assert_any_discovery(promise).into_actions();
    println!("{flaw:?} breaks \"{promise}\": {history:#?}");
}

#[test]
fn all_promises_hold_whatever_is_late_or_lost_or_crashes() {
    check_holds(three_clients(Reclaim::Never), 500_000);
}

#[test]
fn all_promises_hold_with_more_messages_on_their_way() {
    let protocol = Protocol {
        messages_max: 2,
        ..two_clients(Reclaim::Never)
    };
    check_holds(protocol, 50_000);
}

#[test]
fn only_who_was_silent_loses_a_place_to_whoever_needs_it() {
    // Requests and answers arrive at once or are lost.
    let protocol = Protocol {
        messages_max: 0,
        ..three_clients(Reclaim::AfterSilence)
    };
    check_holds(protocol, 100_000);
}

#[test]
fn only_who_was_silent_loses_a_place_with_messages_on_their_way() {
    check_holds(two_clients(Reclaim::AfterSilence), 40_000);
}

#[test]
fn an_answer_before_the_write_breaks_a_yes() {
    check_breaks(Flaw::AnswerBeforeWrite, YES_IS_KEPT);
    check_breaks(Flaw::AnswerBeforeWrite, PLAYERS);
}

#[test]
fn ids_that_the_server_chooses_make_a_retry_take_a_second_place() {
    check_breaks(Flaw::NoClientId, ONE_PLACE);
}

#[test]
fn a_lease_counted_from_the_answer_lets_too_many_play() {
    check_breaks(Flaw::LeaseFromReceipt, PLAYERS);
}

#[test]
fn a_clock_that_jumps_lets_too_many_play_and_refuses_who_beats_in_time() {
    check_breaks(Flaw::WallClock, PLAYERS);
    check_breaks(Flaw::WallClock, IN_TIME);
}

#[test]
fn leases_that_are_not_extended_are_lost_with_a_restart() {
    check_breaks(Flaw::NoExtension, RESTART);
}

#[test]
fn heartbeats_that_are_not_written_need_the_extension() {
    check_breaks(Flaw::NoExtensionNorHeartbeats, PLAYERS);
    check_breaks(Flaw::NoExtensionNorHeartbeats, IN_TIME);
}

#[test]
fn a_heartbeat_must_wait_for_the_write_that_resumed_its_stream() {
    check_breaks(Flaw::HeartbeatOvertakesWrite, YES_IS_KEPT);
}
