//! The server's side: the real record under the real rules, and what a crash leaves of it.

extern crate std;

use core::time::Duration;
use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;

use super::{CLIENTS, Protocol};
use crate::account::Cause;
use crate::tests::user;
use crate::*;

/// One step of time. Three halves of the heartbeats' interval are a whole number of milliseconds.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// The lease clock always shows this: instead of going on, it moves the past away. So states
/// that differ only in when they happened are the same state, and there are finitely many.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000_000);

static USER: LazyLock<UserId> = LazyLock::new(|| user("u"));

/// Never reached; how endings are forgotten is for the tables.
const FORGET_AT: Timestamp = Timestamp::from_millis(2_000_000);

/// The streams that a client may come to have: one, unless the server names them.
pub(super) const NAMES_MAX: u8 = 2;

/// A record, and what the properties want to know about how it came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Kept {
    pub(super) record: Record,
    /// The first client's stream was replaced by the viewer's choice.
    pub(super) is_first_replaced_by_choice: bool,
    /// Which clients' streams were stopped or replaced, as bits.
    pub(super) ended: u8,
    /// How many names the server has given to each client's streams.
    pub(super) named: [u8; CLIENTS],
}

impl Kept {
    pub(super) fn has_place(&self, client: u8, name: u8) -> bool {
        let id = stream_id(client, name);
        self.streams().any(|stream| stream.id == id)
    }

    /// Whether it stands here as a stream, its lease over or not.
    pub(super) fn is_written(&self, client: u8, name: u8) -> bool {
        let id = stream_id(client, name);
        let mut streams = self.record.accounts.iter().flat_map(|one| &one.streams);
        streams.any(|stream| stream.id == id)
    }

    pub(super) fn places_of(&self, client: u8) -> usize {
        let names = 0..NAMES_MAX;
        names.filter(|name| self.has_place(client, *name)).count()
    }

    pub(super) fn places(&self) -> usize {
        self.streams().count()
    }

    /// Whether a stream had to go because it was silent.
    pub(super) fn has_reclaimed(&self) -> bool {
        let endings = self.record.accounts.iter().flat_map(|one| &one.endings);
        let replaced = endings.filter(|ending| matches!(ending.cause, Cause::Replaced(_)));
        usize::from(self.is_first_replaced_by_choice) < replaced.count()
    }

    /// Time goes on by `ticks`: the past moves away.
    pub(super) fn pass(&mut self, ticks: u32) {
        self.record.expire(NOW.plus(TICK * ticks));
        self.age(ticks);
    }

    /// As [`Kept::pass`], but nobody looks.
    pub(super) fn age(&mut self, ticks: u32) {
        let shift = TICK * ticks;
        for stream in self
            .record
            .accounts
            .iter_mut()
            .flat_map(|one| &mut one.streams)
        {
            let age = NOW.since(stream.lease.heard_at()) + shift;
            let term = stream.lease.expires_at().since(stream.lease.heard_at());
            stream.lease.restart(before_now(age.min(term)));
        }
        self.settle();
    }

    /// Forgets when things ended, and in which order streams came and went. So of two suspects
    /// who were silent for equally long, the one with the lower id is reclaimed.
    pub(super) fn settle(&mut self) {
        for account in &mut self.record.accounts {
            for ending in &mut account.endings {
                ending.forget_at = FORGET_AT;
                if let Cause::Expired(stream) = &mut ending.cause {
                    stream.lease.restart(NOW);
                }
            }
            account.endings.sort_by(|one, other| one.id.cmp(&other.id));
            account.streams.sort_by(|one, other| one.id.cmp(&other.id));
        }
    }

    pub(super) fn renew_all(&mut self) {
        self.record.renew_all(NOW);
    }

    /// As [`Record::streams`], without the copies.
    fn streams(&self) -> impl Iterator<Item = &Stream> {
        let streams = self.record.accounts.iter().flat_map(|one| &one.streams);
        streams.filter(|stream| !stream.lease.is_over(NOW))
    }
}

fn before_now(age: Duration) -> Timestamp {
    let age = u64::try_from(age.as_millis()).expect("a short time");
    Timestamp::from_millis(NOW.as_millis() - age)
}

pub(super) fn stream_id(client: u8, name: u8) -> StreamId {
    StreamId::mint(Locator::from_bits(0), u64::from(client * 8 + name))
}

/// What the server says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Verdict {
    Yes,
    Denied,
    Over,
    Stopped,
}

/// Whether an answer speaks of a change that a crash must not undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    ToWrite,
    None,
}

impl Kept {
    pub(super) fn start(
        &mut self,
        client: u8,
        name: u8,
        replaces_first: bool,
        protocol: &Protocol,
    ) -> (Verdict, Change) {
        let first = stream_id(0, 0);
        let request = Start {
            id: stream_id(client, name),
            user: USER.clone(),
            device: Device::default(),
            content: None,
            replace: replaces_first.then(|| first.clone()).into_iter().collect(),
            on_limit: OnLimit::Deny,
            started_at: WallTime::default(),
        };
        match self.record.start(&request, &protocol.policy(), NOW) {
            Started::Admitted { replaced, .. } => {
                for client in 0..3 {
                    if replaced.contains(&stream_id(client, 0)) {
                        self.ended |= 1 << client;
                    }
                }
                self.is_first_replaced_by_choice |= replaces_first && replaced.contains(&first);
                (Verdict::Yes, Change::ToWrite)
            }
            Started::Same(_) => {
                protocol.met.retry.fetch_add(1, Relaxed);
                (Verdict::Yes, Change::None)
            }
            Started::Over(_) => (Verdict::Over, Change::None),
            Started::Denied(_) => {
                protocol.met.denial.fetch_add(1, Relaxed);
                (Verdict::Denied, Change::None)
            }
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        client: u8,
        name: u8,
        protocol: &Protocol,
    ) -> (Verdict, Change) {
        let id = stream_id(client, name);
        let target = Target {
            user: Some(&USER),
            id: &id,
        };
        match self
            .record
            .heartbeat(target, &Heartbeat::default(), protocol.terms(), NOW)
        {
            Beat::Renewed(_) | Beat::Fresh(_) | Beat::Joined(_) => (Verdict::Yes, Change::None),
            Beat::Resumed(_) => {
                protocol.met.resumption.fetch_add(1, Relaxed);
                (Verdict::Yes, Change::ToWrite)
            }
            Beat::Over(_) | Beat::Unknown => (Verdict::Over, Change::None),
        }
    }

    pub(super) fn stop(&mut self, client: u8, name: u8, protocol: &Protocol) -> (Verdict, Change) {
        let id = stream_id(client, name);
        let target = Target {
            user: Some(&USER),
            id: &id,
        };
        self.ended |= 1 << client;
        let change = match self.record.stop(target, NOW) {
            Stopped::Ended(_) | Stopped::Forgone => Change::ToWrite,
            Stopped::Noted => {
                protocol.met.note.fetch_add(1, Relaxed);
                Change::ToWrite
            }
            Stopped::Already | Stopped::Unknown => Change::None,
        };
        (Verdict::Stopped, change)
    }
}
