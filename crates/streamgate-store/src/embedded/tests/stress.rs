//! Many tasks on a few users, whose callers go away at any moment: whatever they leave is valid,
//! and the disk says what memory said.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use streamgate_core::{Heartbeat, Limit, Record, Started, Stopped, StreamId, Target};
use tokio::task::JoinSet;

use super::{EmbeddedStore, LeaseStore, Swap, Write, at, millis, open};
use crate::conformance::{Random, a_start, id, policy, user};
use crate::{StoreError, Version};

const USERS: u64 = 5;
const TASKS: u64 = 64;
const REQUESTS: u64 = 60;

/// Who was told what, by those who waited for the answer.
#[derive(Default)]
struct Told {
    started: BTreeSet<(u64, StreamId)>,
    /// Also by those who did not wait.
    asked_to_stop: BTreeSet<(u64, StreamId)>,
    stopped: BTreeSet<(u64, StreamId)>,
    gone_away: usize,
}

#[test]
fn requests_that_are_dropped_anywhere_leave_the_disk_as_memory_was() {
    for seed in 0..4 {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(round(seed));
    }
}

async fn round(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()).unwrap().store);
    let told = Arc::new(Mutex::new(Told::default()));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(caller(
            Arc::clone(&store),
            Arc::clone(&told),
            seed * TASKS + task,
        ));
    }
    tasks.join_all().await;

    let mut memory = Vec::new();
    for place in 0..USERS {
        memory.push(store.load(at(place)).await.unwrap().record);
    }
    check(&memory, &told.lock(), seed);
    store.close(millis(1)).await.unwrap();
    drop(store);

    let opened = open(dir.path()).unwrap();
    assert_eq!(
        opened.streams,
        memory.iter().map(Record::streams_len).sum::<usize>(),
        "seed {seed}"
    );
    for (place, expected) in (0..).zip(&mut memory) {
        // A heartbeat moves nothing but the lease.
        expected.renew_all(opened.watermark);
        let disk = opened.store.load(at(place)).await.unwrap().record;
        assert_eq!(disk, *expected, "seed {seed}, place {place}");
    }
}

/// What memory says, against what callers were told.
fn check(memory: &[Record], told: &Told, seed: u64) {
    let mut live = BTreeSet::new();
    for (place, record) in (0..).zip(memory) {
        let (streams, _) = record.streams(&user("user"), millis(0));
        assert!(
            streams.len() <= usize::from(Limit::DEFAULT.get()),
            "seed {seed}: over the limit"
        );
        live.extend(streams.into_iter().map(|stream| (place, stream.id)));
    }
    for stream in &told.started {
        let may_be_gone = told.asked_to_stop.contains(stream);
        assert!(
            may_be_gone || live.contains(stream),
            "seed {seed}: {stream:?} is lost"
        );
    }
    assert!(
        live.is_disjoint(&told.stopped),
        "seed {seed}: stopped and live"
    );
    assert!(
        100 < told.gone_away,
        "seed {seed}: {} were dropped",
        told.gone_away
    );
    assert!(
        100 < told.started.len(),
        "seed {seed}: {} started",
        told.started.len()
    );
}

async fn caller(store: Arc<EmbeddedStore>, told: Arc<Mutex<Told>>, seed: u64) {
    let mut random = Random(seed);
    for number in 0..REQUESTS {
        let place = random.below(USERS);
        let stream = id(&format!("{seed}-{number}"));
        let polls = match random.below(3) {
            0 => 1 + random.below(3),
            _ => u64::MAX,
        };
        let request = start_or_make_room(&store, &told, place, stream);
        if at_most(polls, request).await.is_none() {
            told.lock().gone_away += 1;
        }
        if random.once_in(8) {
            tokio::task::yield_now().await;
        }
    }
}

/// Lets a request wait so many times, and drops it where it then is.
async fn at_most<T>(mut polls: u64, request: impl Future<Output = T>) -> Option<T> {
    let mut request = std::pin::pin!(request);
    let answered = poll_fn(|context| {
        polls -= 1;
        match request.as_mut().poll(context) {
            Poll::Pending if polls == 0 => Poll::Ready(None),
            answer @ (Poll::Pending | Poll::Ready(_)) => answer.map(Some),
        }
    });
    answered.await
}

/// Starts a stream; when there is no room, stops the first in the way, or lets it live on.
async fn start_or_make_room(
    store: &EmbeddedStore,
    told: &Mutex<Told>,
    place: u64,
    stream: StreamId,
) {
    let request = a_start("user", &stream.to_string());
    let started = decide(store, place, Write::Durable, |record| {
        match record.start(&request, &policy(90), millis(0)) {
            Started::Denied(denial) => Err(denial),
            Started::Admitted { .. } | Started::Same(_) | Started::Over(_) => Ok(()),
        }
    });
    let Err(denial) = started.await else {
        told.lock().started.insert((place, stream));
        return;
    };
    let first = denial.holders[0].id.clone();
    let user = user("user");
    let target = Target {
        user: Some(&user),
        id: &first,
    };
    if stream.to_string().ends_with('7') {
        let beat = decide(store, place, Write::Soft, |record| {
            record.heartbeat(target, &Heartbeat::default(), policy(90).terms, millis(1));
            Ok::<(), ()>(())
        });
        beat.await.unwrap();
        return;
    }
    told.lock().asked_to_stop.insert((place, first.clone()));
    let stop = decide(store, place, Write::Durable, |record| {
        match record.stop(target, millis(0)) {
            Stopped::Unknown => Err(()),
            Stopped::Ended(_) | Stopped::Forgone | Stopped::Already | Stopped::Noted => Ok(()),
        }
    });
    stop.await.unwrap();
    told.lock().stopped.insert((place, first));
}

/// Load, decide, swap, and again on what a conflict shows.
async fn decide<E>(
    store: &EmbeddedStore,
    place: u64,
    write: Write,
    rule: impl Fn(&mut Record) -> Result<(), E>,
) -> Result<(), E> {
    let mut seen = store.load(at(place)).await.unwrap();
    loop {
        let version: Version = seen.version;
        rule(&mut seen.record)?;
        let swap = Swap {
            ended: 0,
            at: at(place),
            seen: version,
            next: &seen.record,
            write,
            now: millis(0),
        };
        match store.swap(swap).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Conflict(current)) => seen = current,
            Err(error) => panic!("{error}"),
        }
    }
}
