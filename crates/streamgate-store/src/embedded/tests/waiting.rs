//! Who waits for the disk, and who does not. The test is the commit thread here, so the disk is
//! exactly as slow as the test likes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use streamgate_core::{Denial, Heartbeat, Record, Started, Target, Timestamp};

use super::{EmbeddedStore, LeaseStore, Swap, Write, at, millis, record_of, soon, without_disk};
use crate::conformance::{a_start, id, policy, user};
use crate::embedded::entry;
use crate::embedded::queue::{COMMIT_MAX, Next};
use crate::{StoreError, Version};

const NOW: Timestamp = Timestamp::from_millis(1_000);

type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// What the commit thread is given to write.
struct Given {
    /// Places and bytes.
    writes: Vec<(u64, Vec<u8>)>,
    last: u64,
    watermark: Timestamp,
}

fn next_batch(store: &EmbeddedStore) -> Given {
    let Next::Commit(commit) = store.queue.next() else {
        panic!("nobody asked for the end")
    };
    let mut given = Given {
        writes: Vec::new(),
        last: commit.last,
        watermark: commit.watermark,
    };
    for entry in commit.batch.into_entries(commit.watermark) {
        let read = entry::read(&entry, |op| {
            given.writes.push((op.at.bits(), op.bytes.to_vec()));
            Ok::<(), entry::EntryError>(())
        });
        assert_eq!(read.unwrap(), given.watermark);
    }
    given
}

/// Asks for a swap and lets it go as far as it can.
fn ask<'a>(
    store: &'a EmbeddedStore,
    place: u64,
    seen: Version,
    next: &Record,
    write: Write,
) -> Answer<'a> {
    let next = next.clone();
    let mut answer: Answer<'a> = Box::pin(async move {
        let swap = Swap {
            ended: 0,
            at: at(place),
            seen,
            next: &next,
            write,
            now: NOW,
        };
        store.swap(swap).await
    });
    assert!(
        is_waiting(&mut answer),
        "answered before the disk was asked"
    );
    answer
}

fn is_waiting(answer: &mut Answer<'_>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    answer.as_mut().poll(&mut context).is_pending()
}

/// A soft write to a place with nothing under way is answered at once.
async fn soft(store: &EmbeddedStore, place: u64, number: u64) -> Result<(), StoreError> {
    let seen = store.load(at(place)).await.unwrap().version;
    let swap = Swap {
        ended: 0,
        at: at(place),
        seen,
        next: &record_of(number),
        write: Write::Soft,
        now: NOW,
    };
    store.swap(swap).await
}

fn start(record: &mut Record, stream: &str) -> Started {
    record.start(&a_start("user", stream), &policy(90), NOW)
}

#[tokio::test]
async fn a_yes_waits_for_the_write_that_it_stands_on_and_a_no_does_not() {
    let store = without_disk();
    let mut record = Record::default();
    for stream in ["a", "b", "c"] {
        start(&mut record, stream);
    }
    let mut first = ask(&store, 1, Version::ABSENT, &record, Write::Durable);

    // The same start again finds its stream in memory, and says yes when the first may.
    let seen = store.load(at(1)).await.unwrap();
    let mut again = seen.record.clone();
    assert!(matches!(start(&mut again, "a"), Started::Same(_)));
    let mut second = ask(&store, 1, seen.version, &again, Write::Durable);

    // So does a heartbeat.
    let seen = store.load(at(1)).await.unwrap();
    let mut beaten = seen.record.clone();
    let (user, b) = (user("user"), id("b"));
    let target = Target {
        user: Some(&user),
        id: &b,
    };
    beaten.heartbeat(target, &Heartbeat::default(), policy(90).terms, NOW);
    let mut third = ask(&store, 1, seen.version, &beaten, Write::Soft);

    // A denial needs no write, and no disk.
    let mut seen = store.load(at(1)).await.unwrap();
    let denied = start(&mut seen.record, "d");
    assert!(matches!(denied, Started::Denied(Denial { holders, .. }) if holders.len() == 3));

    let batch = next_batch(&store);
    assert_eq!(batch.writes.len(), 2, "the heartbeat goes to no disk");
    for answer in [&mut first, &mut second, &mut third] {
        assert!(is_waiting(answer), "answered during the sync");
    }
    store.queue.committed(batch.last);
    for answer in [first, second, third] {
        soon(answer).await.unwrap();
    }
}

#[tokio::test]
async fn a_heartbeat_does_not_wait_for_the_writes_of_others() {
    let store = without_disk();
    let record = record_of(1);
    let old = ask(&store, 2, Version::ABSENT, &record, Write::Durable);
    store.queue.committed(next_batch(&store).last);
    soon(old).await.unwrap();

    let mut others = ask(&store, 1, Version::ABSENT, &record, Write::Durable);
    soft(&store, 2, 2).await.unwrap();
    assert!(is_waiting(&mut others));
}

#[tokio::test]
async fn what_follows_a_removal_waits_for_the_removal() {
    let store = without_disk();
    let (first, nothing, next) = (record_of(1), Record::default(), record_of(2));
    let put = ask(&store, 1, Version::ABSENT, &first, Write::Durable);
    store.queue.committed(next_batch(&store).last);
    soon(put).await.unwrap();

    let seen = store.load(at(1)).await.unwrap().version;
    let removal = ask(&store, 1, seen, &nothing, Write::Durable);
    let again = ask(&store, 1, Version::ABSENT, &next, Write::Soft);
    store.queue.committed(next_batch(&store).last);
    soon(removal).await.unwrap();
    soon(again).await.unwrap();
}

#[tokio::test]
async fn writes_go_to_the_disk_in_the_order_of_the_decisions_and_each_waits_for_its_own() {
    let store = without_disk();
    let records: Vec<Record> = (1..=4).map(record_of).collect();
    let mut early = ask(&store, 4, Version::ABSENT, &records[0], Write::Durable);
    let mut middle = ask(&store, 2, Version::ABSENT, &records[1], Write::Durable);
    let batch = next_batch(&store);
    let places: Vec<u64> = batch.writes.iter().map(|write| write.0).collect();
    assert_eq!(places, [4, 2]);
    assert_eq!(batch.watermark, NOW);
    assert_eq!(batch.writes[1].1, records[1].encode());

    let mut late = ask(&store, 1, Version::ABSENT, &records[2], Write::Durable);
    store.queue.committed(batch.last);
    assert!(!is_waiting(&mut early) && !is_waiting(&mut middle));
    assert!(is_waiting(&mut late), "it was not in the batch");
    store.queue.committed(next_batch(&store).last);
    soon(late).await.unwrap();
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_its_write_in_the_queue() {
    let store = without_disk();
    let record = record_of(1);
    drop(ask(&store, 1, Version::ABSENT, &record, Write::Durable));
    assert_eq!(store.load(at(1)).await.unwrap().record, record);
    let batch = next_batch(&store);
    assert_eq!(batch.writes[0].1, record.encode());
}

#[tokio::test]
async fn what_waits_when_the_store_is_closed_is_written_first() {
    let store = without_disk();
    let put = ask(&store, 1, Version::ABSENT, &record_of(1), Write::Durable);
    store.queue.close(millis(9_000));
    let batch = next_batch(&store);
    assert_eq!(batch.writes.len(), 1);
    store.queue.committed(batch.last);
    soon(put).await.unwrap();
    assert!(matches!(store.queue.next(), Next::Close(now) if now == millis(9_000)));
}

#[tokio::test]
async fn a_full_queue_refuses_durable_writes_and_nothing_else() {
    let store = without_disk();
    let record = record_of(1);
    let mut waiting = Vec::new();
    for place in 0..65_536 {
        waiting.push(ask(&store, place, Version::ABSENT, &record, Write::Durable));
    }
    let swap = |place, next| Swap {
        ended: 0,
        at: at(place),
        seen: Version::ABSENT,
        next,
        write: Write::Durable,
        now: millis(1),
    };
    let refused = soon(store.swap(swap(70_000, &record))).await;
    assert!(matches!(
        refused,
        Err(StoreError::Overloaded { store: "embedded" })
    ));
    assert_eq!(
        store.load(at(70_000)).await.unwrap().version,
        Version::ABSENT
    );
    soft(&store, 70_001, 1).await.unwrap();
    store.ready().await.unwrap();

    let batch = next_batch(&store);
    assert_eq!(batch.writes.len(), 65_536);
    let taken = ask(&store, 70_000, Version::ABSENT, &record, Write::Durable);
    store.queue.committed(batch.last);
    for answer in waiting {
        soon(answer).await.unwrap();
    }
    drop(taken);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_makes_the_store_not_ready_until_it_answers() {
    let store = without_disk();
    let mut answer = ask(&store, 1, Version::ABSENT, &record_of(1), Write::Durable);
    let batch = next_batch(&store);
    tokio::time::advance(COMMIT_MAX).await;
    assert!(store.ready().await.is_ok());

    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(matches!(
        store.ready().await,
        Err(StoreError::Unavailable { .. })
    ));
    assert!(is_waiting(&mut answer), "nothing failed yet");

    store.queue.committed(batch.last);
    assert!(store.ready().await.is_ok());
    assert!(answer.await.is_ok());
}
