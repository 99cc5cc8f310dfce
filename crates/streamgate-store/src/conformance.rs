//! One suite for every store: what [`LeaseStore`] promises, a case at a time, each on a fresh
//! store. A case that fails says which store and which case it was.

mod due;
mod model;
mod races;
mod sizes;
mod swaps;

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use streamgate_core::{
    Device, Limit, Locator, OnLimit, Policy, Record, Start, Started, StreamId, Terms, Timestamp,
    UserId, WallTime,
};

use crate::{LeaseStore, StoreError, Swap, Version, Versioned, Write};

/// How long one case may take on the slowest store.
const CASE_MAX: Duration = Duration::from_secs(120);

/// Who finds what has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// The store lists it: [`LeaseStore::due`].
    Listed,
    /// The store removes it by itself and lists nothing.
    Own,
}

/// Runs the whole suite; `make` gives each case a store of its own with nothing in it.
///
/// # Panics
/// When the store breaks a promise.
pub async fn run(make: &impl AsyncFn() -> Arc<dyn LeaseStore>, sweep: Sweep) {
    macro_rules! cases {
        ($($topic:ident :: $case:ident),* $(,)?) => {{$(
            let trial = Trial {
                store: make().await,
                case: stringify!($case),
            };
            let store = trial.store.name();
            let done = tokio::time::timeout(CASE_MAX, $topic::$case(trial)).await;
            assert!(done.is_ok(), "{store}: {}: took longer than {CASE_MAX:?}", stringify!($case));
        )*}};
    }
    cases![
        swaps::what_was_never_written_loads_as_empty,
        swaps::a_record_is_put_where_there_was_none,
        swaps::a_stale_version_changes_nothing_and_is_shown_the_current_record,
        swaps::a_version_of_what_is_gone_is_told_that_it_is_gone,
        swaps::an_empty_record_is_removed,
        swaps::a_record_made_again_refuses_the_version_it_had_before,
        swaps::records_do_not_disturb_each_other,
        swaps::soft_and_durable_writes_both_show_at_once,
        swaps::a_store_that_is_open_is_ready,
        swaps::what_ends_is_told_where_a_store_tells,
        swaps::after_close_a_swap_is_answered_and_never_half_done,
        sizes::the_biggest_record_comes_back_as_it_was,
        sizes::each_size_of_record_comes_back_as_it_was,
        races::of_fifty_starts_at_once_exactly_the_limit_is_admitted,
        races::no_increment_is_lost,
        model::any_sequence_of_swaps_does_what_a_map_would,
    ];
    match sweep {
        Sweep::Listed => cases![
            due::one_pass_finds_exactly_what_has_something_to_expire,
            due::a_renewed_record_is_due_at_its_new_end,
            due::a_call_is_bounded,
            due::the_streams_are_counted,
        ],
        Sweep::Own => cases![due::a_store_that_expires_by_itself_lists_nothing],
    }
}

/// One case on its store.
#[derive(Clone)]
struct Trial {
    store: Arc<dyn LeaseStore>,
    case: &'static str,
}

impl Trial {
    fn fail(&self, what: impl Debug) -> ! {
        panic!("{}: {}: {what:?}", self.store.name(), self.case)
    }

    fn same<T: Debug + PartialEq>(&self, got: &T, expected: &T, what: &str) {
        assert!(
            got == expected,
            "{}: {}: {what}: got {got:?}, expected {expected:?}",
            self.store.name(),
            self.case,
        );
    }

    async fn load(&self, at: Locator) -> Versioned {
        match self.store.load(at).await {
            Ok(versioned) => versioned,
            Err(error) => self.fail(error),
        }
    }

    async fn swap(
        &self,
        at: Locator,
        seen: Version,
        next: &Record,
        write: Write,
    ) -> Result<(), StoreError> {
        let swap = Swap {
            ended: 0,
            at,
            seen,
            next,
            write,
            now: Timestamp::default(),
        };
        self.store.swap(swap).await
    }

    /// A swap that must happen; returns the version that it made.
    async fn put(&self, at: Locator, seen: Version, next: &Record, write: Write) -> Version {
        if let Err(error) = self.swap(at, seen, next, write).await {
            self.fail(error);
        }
        let now_there = self.load(at).await;
        self.same(&now_there.record, next, "what was put is there");
        now_there.version
    }

    /// A swap that must be refused; returns what it was told is there.
    async fn refused(&self, at: Locator, seen: Version, next: &Record, write: Write) -> Versioned {
        match self.swap(at, seen, next, write).await {
            Err(StoreError::Conflict(current)) => current,
            Ok(()) => self.fail("a swap on what is not there was done"),
            Err(error) => self.fail(error),
        }
    }
}

/// A small generator of pseudo-random numbers (SplitMix64; Steele, Lea and Flood, 2014), so that
/// a seed is all it takes to see a failure again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

pub(crate) fn at(bits: u64) -> Locator {
    Locator::from_bits(bits)
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).expect("the name of a user")
}

pub(crate) fn id(name: &str) -> StreamId {
    StreamId::parse(name).expect("a stream id")
}

/// A start of an unnamed device that denies at the limit.
pub(crate) fn a_start(user_name: &str, stream: &str) -> Start {
    Start {
        user: user(user_name),
        id: id(stream),
        device: Device::default(),
        content: None,
        replace: Vec::new(),
        on_limit: OnLimit::Deny,
        started_at: WallTime::default(),
    }
}

/// The default limit, and a lease of so many seconds.
pub(crate) fn policy(lease_seconds: u64) -> Policy {
    Policy {
        limit: Limit::DEFAULT,
        terms: Terms {
            lease: Duration::from_secs(lease_seconds),
            heartbeat: Some(Duration::from_secs(20)),
            renew_after: Duration::ZERO,
        },
    }
}

/// A record with one stream, which holds a number.
pub(crate) fn record_of(number: u64) -> Record {
    let mut record = Record::default();
    let mut request = a_start("user", "stream");
    request.started_at = WallTime::from_millis(number);
    match record.start(&request, &policy(90), Timestamp::default()) {
        Started::Admitted { .. } => record,
        other @ (Started::Same(_) | Started::Over(_) | Started::Denied(_)) => {
            unreachable!("an empty record has room: {other:?}")
        }
    }
}

/// The number in a record made by [`record_of`]; 0 in an empty one.
pub(crate) fn number_in(record: &Record) -> u64 {
    let (streams, _) = record.streams(&user("user"), Timestamp::default());
    streams
        .first()
        .map_or(0, |stream| stream.started_at.as_millis())
}
