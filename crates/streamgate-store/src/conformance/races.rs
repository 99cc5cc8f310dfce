//! Many at once on one record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use streamgate_core::{Limit, Locator, Started, Timestamp};
use tokio::task::JoinSet;

use super::{Random, Trial, a_start, at, number_in, policy, record_of};
use crate::{LeaseStore, StoreError, Swap, Write};

const ROUNDS: u64 = 50;
const STARTS: usize = 50;
const TASKS: u64 = 8;
const INCREMENTS: u64 = 100;
const COUNTERS: u64 = 3;

pub(super) async fn of_fifty_starts_at_once_exactly_the_limit_is_admitted(trial: Trial) {
    for round in 0..ROUNDS {
        let mut starts = JoinSet::new();
        for number in 0..STARTS {
            starts.spawn(start(Arc::clone(&trial.store), at(round), number));
        }
        let answers = starts.join_all().await;
        let (admitted, denied): (Vec<bool>, Vec<bool>) =
            answers.into_iter().partition(|admitted| *admitted);
        let limit = usize::from(Limit::DEFAULT.get());
        trial.same(&admitted.len(), &limit, "admitted");
        trial.same(&(admitted.len() + denied.len()), &STARTS, "answered");
        let there = trial.load(at(round)).await.record;
        trial.same(&there.streams_len(), &limit, "in the record");
    }
}

/// Load, decide, swap, and again on what a conflict shows.
async fn start(store: Arc<dyn LeaseStore>, at: Locator, number: usize) -> bool {
    let request = a_start("user", &format!("stream-{number}"));
    let now = Timestamp::default();
    let mut seen = store.load(at).await.expect("a record");
    loop {
        match seen.record.start(&request, &policy(90), now) {
            Started::Admitted { .. } => {}
            Started::Denied(_) => return false,
            other @ (Started::Same(_) | Started::Over(_)) => panic!("a new stream is {other:?}"),
        }
        let swap = Swap {
            ended: 0,
            at,
            seen: seen.version,
            next: &seen.record,
            write: Write::Durable,
            now,
        };
        match store.swap(swap).await {
            Ok(()) => return true,
            Err(StoreError::Conflict(current)) => seen = current,
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) async fn no_increment_is_lost(trial: Trial) {
    let done: Arc<Vec<AtomicU64>> = Arc::new((0..COUNTERS).map(|_| AtomicU64::new(0)).collect());
    let mut tasks = JoinSet::new();
    for seed in 0..TASKS {
        tasks.spawn(increments(
            Arc::clone(&trial.store),
            Arc::clone(&done),
            seed,
        ));
    }
    tasks.join_all().await;
    for (place, done) in (0..).zip(done.iter()) {
        let there = trial.load(at(place)).await.record;
        let done = done.load(Ordering::Relaxed);
        trial.same(&number_in(&there), &done, "increments that show");
    }
}

/// Adds one to random counters, by soft and by durable writes.
async fn increments(store: Arc<dyn LeaseStore>, done: Arc<Vec<AtomicU64>>, seed: u64) {
    let mut random = Random(seed);
    for _ in 0..INCREMENTS {
        let place = random.below(COUNTERS);
        let write = if random.once_in(4) {
            Write::Durable
        } else {
            Write::Soft
        };
        let mut seen = store.load(at(place)).await.expect("a record");
        loop {
            let swap = Swap {
                ended: 0,
                at: at(place),
                seen: seen.version,
                next: &record_of(number_in(&seen.record) + 1),
                write,
                now: Timestamp::default(),
            };
            match store.swap(swap).await {
                Ok(()) => break,
                Err(StoreError::Conflict(current)) => seen = current,
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        done[usize::try_from(place).expect("a few counters")].fetch_add(1, Ordering::Relaxed);
    }
}
