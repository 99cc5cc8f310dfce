//! What a restart brings back.

use std::collections::BTreeMap;

use streamgate_core::{Record, Timestamp};

use super::{LeaseStore, Opened, Write, at, millis, numbers, open, put, record_of};
use crate::StoreError;
use crate::conformance::{a_start, policy, user};

#[tokio::test]
async fn a_store_that_was_closed_says_so_and_one_that_was_not_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    assert!(first.was_closed, "nobody was there before");
    put(&first.store, 1, &record_of(1), Write::Durable, millis(1)).await;
    drop(first);

    let after_drop = open(dir.path()).unwrap();
    assert!(!after_drop.was_closed);
    assert_eq!(numbers(&after_drop.store, 2).await[&1], 1);
    after_drop.store.close(millis(2)).await.unwrap();
    drop(after_drop);

    let after_close = open(dir.path()).unwrap();
    assert!(after_close.was_closed);
    assert_eq!(numbers(&after_close.store, 2).await[&1], 1);
    drop(after_close);

    assert!(
        !open(dir.path()).unwrap().was_closed,
        "it was open in between"
    );
}

#[tokio::test]
async fn everything_that_was_acknowledged_is_there_again_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap().store;
    let mut expected = BTreeMap::new();
    for n in 1..=200 {
        let (place, next) = match n % 7 {
            0 => (n % 60, Record::default()),
            _ => (n % 60, record_of(n)),
        };
        put(&store, place, &next, Write::Durable, millis(n)).await;
        expected.insert(place, if n % 7 == 0 { 0 } else { n });
    }
    drop(store);
    let opened = open(dir.path()).unwrap();
    assert_eq!(numbers(&opened.store, 60).await, expected);
    let there = expected.values().filter(|number| 0 < **number).count();
    assert_eq!((opened.records, opened.streams), (there, there));
    assert_eq!(opened.store.streams_len(), Some(there));
}

#[tokio::test]
async fn a_soft_write_is_kept_with_the_next_durable_one_to_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap().store;
    for place in [1, 2] {
        put(&store, place, &record_of(1), Write::Durable, millis(1)).await;
        put(&store, place, &record_of(2), Write::Soft, millis(2)).await;
    }
    put(&store, 2, &record_of(3), Write::Durable, millis(3)).await;
    drop(store);
    let found = numbers(&open(dir.path()).unwrap().store, 3).await;
    assert!([1, 2].contains(&found[&1]), "the durable write at least");
    assert_eq!(found[&2], 3);
}

/// When the streams at a place were last heard.
async fn heard_at(opened: &Opened, place: u64) -> Vec<Timestamp> {
    let record = opened.store.load(at(place)).await.unwrap().record;
    let (streams, _) = record.streams(&user("user"), opened.watermark);
    streams.iter().map(|s| s.lease.heard_at()).collect()
}

#[tokio::test]
async fn every_lease_runs_a_full_term_from_the_watermark() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap().store;
    let mut record = Record::default();
    record.start(&a_start("user", "one"), &policy(90), millis(1_000));
    record.start(&a_start("user", "other"), &policy(90), millis(80_000));
    put(&store, 1, &record, Write::Durable, millis(80_000)).await;
    // Its clock had gone on, and the first lease was over, when the process died.
    put(&store, 2, &record_of(1), Write::Durable, millis(500_000)).await;
    drop(store);

    let opened = open(dir.path()).unwrap();
    assert_eq!(opened.watermark, millis(500_000));
    assert_eq!(heard_at(&opened, 1).await, [millis(500_000); 2]);
    assert_eq!(heard_at(&opened, 2).await, [millis(500_000)]);
    assert_eq!((opened.records, opened.streams), (2, 3));
    assert_eq!(opened.store.due(millis(589_999)), []);
}

#[tokio::test]
async fn the_watermark_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let reopened = |expected| {
        let opened = open(dir.path()).unwrap();
        assert_eq!(opened.watermark, millis(expected));
        opened.store
    };
    let store = reopened(0);
    put(&store, 1, &record_of(1), Write::Durable, millis(5_000)).await;
    put(&store, 1, &record_of(2), Write::Durable, millis(3_000)).await;
    drop(store);
    let store = reopened(5_000);
    put(&store, 1, &record_of(3), Write::Durable, millis(10)).await;
    drop(store);
    let store = reopened(5_000);
    store.close(millis(4_000)).await.unwrap();
    drop(store);
    let store = reopened(5_000);
    store.close(millis(9_000)).await.unwrap();
    drop(store);
    drop(reopened(9_000));
    drop(reopened(9_000));
}

#[tokio::test]
async fn a_closed_store_takes_no_durable_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap().store;
    put(&store, 1, &record_of(1), Write::Durable, millis(1)).await;
    store.close(millis(2)).await.unwrap();
    let seen = store.load(at(1)).await.unwrap().version;
    let swap = crate::Swap {
        ended: 0,
        at: at(1),
        seen,
        next: &record_of(2),
        write: Write::Durable,
        now: millis(3),
    };
    let refused = store.swap(swap).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { .. })),
        "{refused:?}"
    );
    store.close(millis(4)).await.unwrap();
    drop(store);
    let opened = open(dir.path()).unwrap();
    assert_eq!(numbers(&opened.store, 2).await[&1], 1);
    assert_eq!(opened.watermark, millis(2));
}
