//! What callers see while the disk fails. The test is the commit thread here, too.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Waker};

use streamgate_core::{LocatorKey, Record};

use super::sim_disk::{SimDisk, Sync};
use super::{
    EmbeddedStore, LeaseStore, Swap, Write, at, millis, number_in, numbers, record_of, soon,
    without_disk,
};
use crate::embedded::committer::Committer;
use crate::embedded::data_dir::DataDir;
use crate::embedded::journal::Journal;
use crate::embedded::queue::Next;
use crate::{StoreError, Version};

fn swap(place: u64, seen: Version, next: &Record, write: Write) -> Swap<'_> {
    Swap {
        ended: 0,
        at: at(place),
        seen,
        next,
        write,
        now: millis(1),
    }
}

fn is_unavailable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(
        answer,
        Err(StoreError::Unavailable {
            store: "embedded",
            ..
        })
    )
}

/// Puts a record at a place and says that it is on disk.
async fn durable(store: &EmbeddedStore, place: u64, record: &Record) -> Version {
    let mut answer = store.swap(swap(place, Version::ABSENT, record, Write::Durable));
    let mut context = Context::from_waker(Waker::noop());
    assert!(answer.as_mut().poll(&mut context).is_pending());
    match store.queue.next() {
        Next::Commit(batch) => store.queue.committed(batch.last),
        Next::Close(_) | Next::Abandon => panic!("nobody asked for the end"),
    }
    answer.await.unwrap();
    store.load(at(place)).await.unwrap().version
}

#[tokio::test]
async fn while_the_disk_fails_heartbeats_are_answered_and_starts_refused() {
    let store = without_disk();
    let (one, two) = (record_of(1), record_of(2));
    let old = durable(&store, 1, &one).await;

    let mut in_flight = store.swap(swap(2, Version::ABSENT, &one, Write::Durable));
    let mut context = Context::from_waker(Waker::noop());
    assert!(in_flight.as_mut().poll(&mut context).is_pending());
    store.queue.fail("no disk".into());
    let error = soon(in_flight).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Unavailable { source, .. } if source.to_string() == "no disk")
    );

    assert!(is_unavailable(&store.ready().await));
    store.swap(swap(1, old, &two, Write::Soft)).await.unwrap();
    let seen = store.load(at(1)).await.unwrap().version;
    assert!(is_unavailable(
        &store.swap(swap(1, seen, &one, Write::Durable)).await
    ));
    assert_eq!(
        number_in(&store.load(at(1)).await.unwrap().record),
        2,
        "it changed nothing"
    );

    // Its stream was never acknowledged, so its heartbeat is not either.
    let seen = store.load(at(2)).await.unwrap().version;
    assert!(is_unavailable(
        &store.swap(swap(2, seen, &two, Write::Soft)).await
    ));
}

#[tokio::test]
async fn when_everything_is_on_a_fresh_file_all_is_as_before() {
    let store = without_disk();
    let record = record_of(1);
    let mut in_flight = store.swap(swap(1, Version::ABSENT, &record, Write::Durable));
    let mut context = Context::from_waker(Waker::noop());
    assert!(in_flight.as_mut().poll(&mut context).is_pending());
    store.queue.fail("no disk".into());
    assert!(is_unavailable(&soon(in_flight).await));

    let (last, watermark) = store.queue.last();
    assert_eq!(watermark, millis(1));
    store.queue.recovered(last);
    store.ready().await.unwrap();
    let seen = store.load(at(1)).await.unwrap().version;
    store
        .swap(swap(1, seen, &record_of(2), Write::Soft))
        .await
        .unwrap();
    durable(&store, 2, &record).await;
}

#[tokio::test]
async fn a_store_that_is_closed_while_the_disk_fails_says_that_it_was_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let key = LocatorKey::from_bytes([1; 16]);
    let (store, disk) = with_committer(dir.path(), &key);
    answer(&store, 1, 1).await.unwrap();
    // A directory in the way of every fresh file.
    std::fs::create_dir_all(dir.path().join("streams.redb.new/x")).unwrap();
    disk.cut();
    assert!(is_unavailable(&answer(&store, 2, 2).await));
    assert!(is_unavailable(&store.close(millis(2)).await));
}

#[tokio::test]
async fn a_failed_disk_is_replaced_by_a_fresh_file_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let key = LocatorKey::from_bytes([1; 16]);
    let (store, disk) = with_committer(dir.path(), &key);
    for place in 0..50 {
        let record = record_of(place + 1);
        store
            .swap(swap(place, Version::ABSENT, &record, Write::Durable))
            .await
            .unwrap();
    }
    disk.cut();
    assert!(is_unavailable(&answer(&store, 50, 51).await));
    until_ready(&store).await;
    answer(&store, 51, 52).await.unwrap();
    drop(store);
    let opened = super::open(dir.path()).unwrap();
    assert!(!opened.was_closed);
    assert!(opened.key == key);
    assert_eq!(opened.watermark, millis(1));
    let expected = (0..52).map(|place| (place, place + 1)).collect();
    assert_eq!(numbers(&opened.store, 52).await, expected);
}

#[tokio::test]
async fn a_commit_thread_that_panics_leaves_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let key = LocatorKey::from_bytes([1; 16]);
    let (store, disk) = with_committer(dir.path(), &key);
    disk.panic_from_now_on();
    assert!(is_unavailable(&answer(&store, 1, 1).await));
    assert!(is_unavailable(&store.ready().await));
    assert!(is_unavailable(&answer(&store, 2, 2).await));
    assert!(is_unavailable(&store.close(millis(2)).await));
}

/// A store on a simulated disk, whose fresh files go to a real directory.
fn with_committer(dir: &Path, key: &LocatorKey) -> (EmbeddedStore, SimDisk) {
    let disk = SimDisk::new(Vec::new(), Sync::Honest, u64::MAX);
    let store = without_disk();
    let journal = Journal::create(disk.clone(), key, millis(0)).unwrap();
    let committer = Committer::new(
        DataDir::lock(dir).unwrap(),
        journal,
        key.clone(),
        Arc::clone(&store.table),
        Arc::clone(&store.queue),
    );
    let thread = std::thread::spawn(move || committer.run(millis(0)));
    *store.committer.lock() = Some(thread);
    (store, disk)
}

/// What a durable write of a number to an empty place is answered, within 5 s.
async fn answer(store: &EmbeddedStore, place: u64, number: u64) -> Result<(), StoreError> {
    let record = record_of(number);
    let answer = store.swap(swap(place, Version::ABSENT, &record, Write::Durable));
    soon(answer).await
}

async fn until_ready(store: &EmbeddedStore) {
    let ready = async {
        while store.ready().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(ready).await;
}
