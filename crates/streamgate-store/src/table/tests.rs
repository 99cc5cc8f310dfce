use std::collections::BTreeSet;

use streamgate_core::{Locator, Record, Timestamp};

use super::{DUE_MAX, SHARDS, SHARDS_PER_SWEEP, Table, hash};
use crate::conformance::{Random, at, number_in, record_of};
use crate::store::{StoreError, Swap, Version, Write};

/// The end of the lease in [`record_of`].
const END: Timestamp = Timestamp::from_millis(90_000);

fn swap(at: Locator, seen: Version, next: &Record) -> Swap<'_> {
    Swap {
        ended: 0,
        at,
        seen,
        next,
        write: Write::Durable,
        now: Timestamp::default(),
    }
}

fn put(table: &Table, place: u64, next: &Record) {
    let seen = table.load(at(place)).unwrap().version;
    table
        .swap(swap(at(place), seen, next), |_, _| Ok(0))
        .unwrap();
}

#[test]
fn one_pass_of_due_looks_at_every_shard_and_no_call_looks_at_more_than_its_part() {
    let table = Table::new(Timestamp::default());
    let places = (0..SHARDS as u64).map(at);
    places
        .clone()
        .for_each(|at| put(&table, at.bits(), &record_of(1)));
    let calls = SHARDS.div_ceil(SHARDS_PER_SWEEP);
    assert_eq!(calls, 1024);
    let mut found = BTreeSet::new();
    for _ in 0..calls {
        let due = table.due(END);
        assert_eq!(
            due.len(),
            SHARDS_PER_SWEEP,
            "one of each shard that it looks at"
        );
        found.extend(due);
    }
    assert_eq!(found, places.collect());
}

#[test]
fn a_call_of_due_ends_with_the_shard_that_fills_it() {
    let table = Table::new(Timestamp::default());
    let in_shard = |shard: u64, n: u64| at(n << SHARDS.trailing_zeros() | shard);
    let (first, others) = (DUE_MAX as u64 + 10, 5);
    (0..first).for_each(|n| put(&table, in_shard(0, n).bits(), &record_of(1)));
    (0..others).for_each(|n| put(&table, in_shard(1, n).bits(), &record_of(1)));
    assert_eq!(table.due(END).len(), DUE_MAX + 10, "all of the first shard");
    assert_eq!(table.due(END).len(), 5, "the next call goes on after it");
}

#[test]
fn a_write_is_numbered_only_when_it_is_certain_to_happen() {
    let table = Table::new(Timestamp::default());
    put(&table, 1, &record_of(1));
    let stale = table.swap(swap(at(1), Version::ABSENT, &record_of(2)), |_, _| {
        panic!("a conflict was numbered")
    });
    assert!(matches!(stale, Err(StoreError::Conflict(_))));
    let gone = table.swap(swap(at(2), Version(99), &record_of(2)), |_, _| {
        panic!("a conflict was numbered")
    });
    assert!(matches!(gone, Err(StoreError::Conflict(_))));
}

#[test]
fn a_write_that_is_refused_changes_nothing() {
    let table = Table::new(Timestamp::default());
    put(&table, 1, &record_of(1));
    let before = table.load(at(1)).unwrap();
    let full = |_: u64, _: &[u8]| Err(StoreError::Overloaded { store: "full" });
    for next in [record_of(2), Record::default()] {
        let refused = table.swap(swap(at(1), before.version, &next), full);
        assert!(matches!(refused, Err(StoreError::Overloaded { .. })));
        assert_eq!(table.load(at(1)).unwrap(), before);
        let refused = table.swap(swap(at(2), Version::ABSENT, &next), full);
        assert!(matches!(refused, Err(StoreError::Overloaded { .. })));
        assert_eq!(table.load(at(2)).unwrap().version, Version::ABSENT);
    }
}

#[test]
fn each_write_is_shown_the_number_of_the_one_before_and_its_own_bytes() {
    let table = Table::new(Timestamp::default());
    let mut seen = Version::ABSENT;
    for n in 1..5 {
        let record = record_of(n);
        let number = table
            .swap(swap(at(1), seen, &record), |before, bytes| {
                assert_eq!(before, (n - 1) * 10);
                assert_eq!(bytes, record.encode());
                Ok(n * 10)
            })
            .unwrap();
        assert_eq!(number, n * 10);
        seen = table.load(at(1)).unwrap().version;
    }
}

#[test]
fn what_comes_after_a_removal_is_shown_the_number_of_the_removal() {
    let table = Table::new(Timestamp::default());
    put(&table, 1, &record_of(1));
    let seen = table.load(at(1)).unwrap().version;
    table
        .swap(swap(at(1), seen, &Record::default()), |_, bytes| {
            assert!(bytes.is_empty());
            Ok(7)
        })
        .unwrap();
    table
        .swap(swap(at(1), Version::ABSENT, &record_of(2)), |before, _| {
            assert!(7 <= before, "the removal may not be on disk yet");
            Ok(8)
        })
        .unwrap();
}

#[test]
fn each_shows_every_record_once_and_locks_none_meanwhile() {
    let table = Table::new(Timestamp::default());
    let mut random = Random(3);
    let places: BTreeSet<Locator> = (0..5_000).map(|_| at(random.next())).collect();
    for (n, &at) in (1..).zip(&places) {
        put(&table, at.bits(), &record_of(n));
    }
    let mut shown = Vec::new();
    table
        .each(|at, _, bytes| {
            // Whoever asks for a record meanwhile is answered.
            let record = table.load(at)?.record;
            assert_eq!(bytes, record.encode());
            shown.push((at, number_in(&record)));
            Ok::<(), StoreError>(())
        })
        .unwrap();
    shown.sort_unstable();
    let expected: Vec<(Locator, u64)> = places.into_iter().zip(1..).collect();
    assert_eq!(shown, expected);
}

#[test]
fn the_hash_keeps_all_that_the_shard_leaves_of_a_locator() {
    let mut random = Random(1);
    for _ in 0..1_000 {
        let (one, other) = (at(random.next()), at(random.next()));
        let same_rest = one.bits() >> 12 == other.bits() >> 12;
        assert_eq!(hash(one) == hash(other), same_rest);
    }
    let tags: BTreeSet<u64> = (0..128).map(|n| hash(at(n << 53)) >> 57).collect();
    assert_eq!(
        tags.len(),
        128,
        "the highest bits of the locator make the tag"
    );
}
