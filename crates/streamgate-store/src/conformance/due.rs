//! Finding what has something to expire.

use std::collections::BTreeSet;
use std::time::Duration;

use streamgate_core::{Locator, Record, Timestamp};

use super::{Trial, a_start, at, policy};
use crate::{Version, Write};

/// A whole pass takes at most so many calls.
const CALLS_PER_PASS: usize = 1024;
/// No call answers more than this.
const DUE_MAX: usize = 16_384;

pub(super) async fn one_pass_finds_exactly_what_has_something_to_expire(trial: Trial) {
    for place in 0..900 {
        let record = with_lease(10 + place % 3 * 10);
        trial
            .put(at(place), Version::ABSENT, &record, Write::Soft)
            .await;
    }
    let due_at = |last: u64| (0..900).filter(|place| place % 3 < last).map(at).collect();
    trial.same(
        &pass(&trial, seconds(10) - 1),
        &due_at(0),
        "before the first end",
    );
    trial.same(&pass(&trial, seconds(10)), &due_at(1), "at the first end");
    trial.same(&pass(&trial, seconds(29)), &due_at(2), "after the second");
    trial.same(&pass(&trial, seconds(30)), &due_at(3), "at the last");
    trial.same(
        &pass(&trial, seconds(30)),
        &due_at(3),
        "as long as nobody expires it",
    );
}

pub(super) async fn a_renewed_record_is_due_at_its_new_end(trial: Trial) {
    let mut record = with_lease(10);
    let version = trial
        .put(at(1), Version::ABSENT, &record, Write::Soft)
        .await;
    record.renew_all(Timestamp::from_millis(seconds(5)));
    let version = trial.put(at(1), version, &record, Write::Soft).await;
    trial.same(&pass(&trial, seconds(15) - 1), &BTreeSet::new(), "before");
    trial.same(
        &pass(&trial, seconds(15)),
        &BTreeSet::from([at(1)]),
        "at its end",
    );
    trial
        .put(at(1), version, &Record::default(), Write::Soft)
        .await;
    trial.same(&pass(&trial, u64::MAX), &BTreeSet::new(), "when it is gone");
}

pub(super) async fn a_call_is_bounded(trial: Trial) {
    let record = with_lease(10);
    for place in 0..20_000 {
        let swapped = trial
            .swap(at(place), Version::ABSENT, &record, Write::Soft)
            .await;
        if let Err(error) = swapped {
            trial.fail(error);
        }
    }
    let mut found = BTreeSet::new();
    for _ in 0..CALLS_PER_PASS {
        let due = trial.store.due(Timestamp::from_millis(seconds(10)));
        assert!(
            due.len() < DUE_MAX,
            "{}: {} in one call",
            trial.case,
            due.len()
        );
        found.extend(due);
    }
    trial.same(&found.len(), &20_000, "found in one pass");
}

pub(super) async fn the_streams_are_counted(trial: Trial) {
    let mut record = with_lease(10);
    let version = trial
        .put(at(1), Version::ABSENT, &record, Write::Soft)
        .await;
    trial.same(&trial.store.streams_len(), &Some(1), "after one start");
    record.start(&a_start("user", "other"), &policy(10), Timestamp::default());
    trial.put(at(1), version, &record, Write::Durable).await;
    let version = trial
        .put(at(2), Version::ABSENT, &record, Write::Durable)
        .await;
    trial.same(&trial.store.streams_len(), &Some(4), "in two records");
    trial.refused(at(1), version, &record, Write::Soft).await;
    trial.same(&trial.store.streams_len(), &Some(4), "after a conflict");
    trial
        .put(at(2), version, &Record::default(), Write::Soft)
        .await;
    trial.same(&trial.store.streams_len(), &Some(2), "after a removal");
}

pub(super) async fn a_store_that_expires_by_itself_lists_nothing(trial: Trial) {
    trial
        .put(at(1), Version::ABSENT, &with_lease(10), Write::Soft)
        .await;
    trial.same(&pass(&trial, u64::MAX), &BTreeSet::new(), "a whole pass");
}

fn pass(trial: &Trial, now_ms: u64) -> BTreeSet<Locator> {
    (0..CALLS_PER_PASS)
        .flat_map(|_| trial.store.due(Timestamp::from_millis(now_ms)))
        .collect()
}

fn seconds(n: u64) -> u64 {
    u64::try_from(Duration::from_secs(n).as_millis()).expect("not long")
}

fn with_lease(lease_seconds: u64) -> Record {
    let mut record = Record::default();
    record.start(
        &a_start("user", "stream"),
        &policy(lease_seconds),
        Timestamp::default(),
    );
    record
}
