//! Clients at once on each store: load, decide, swap. What they saw must have an order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use streamgate_core::{OnLimit, Record, Timestamp, UserId};
use tokio::task::JoinSet;

use super::super::{Answer, Asked, Checked, Operation, Refuted, check};
use super::blind::Blind;
use super::{CLOCKS_APART, heartbeat, start, stop};
use crate::conformance::{Random, at, id, user};
use crate::engines::{DynamoDbLocal, RedisServer};
use crate::flaky::Flaky;
use crate::{
    Capacity, DynamoDbStore, LeaseStore, MemoryStore, RedisStore, StoreError, Swap, Write,
};

const CLIENTS: u64 = 6;
const OPERATIONS_OF_EACH: u64 = 8;
/// How many streams a user's clients know of: few, so that they meet.
const STREAMS: u64 = 6;

/// The clock of all clients of a test.
#[derive(Clone, Copy)]
struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "histories are measured in real time"
    )]
    fn start() -> Self {
        Self(Instant::now())
    }

    fn us(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).expect("a test is short")
    }
}

/// Runs clients at once on some users, one user after the other; what they saw.
async fn histories(store: &Arc<dyn LeaseStore>, users: u64) -> Vec<Operation> {
    let clock = Stopwatch::start();
    let mut all = Vec::new();
    for place in 0..users {
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client {
                store: Arc::clone(store),
                user: user(&format!("user-{place}")),
                place,
                clock,
                random: Random(place * CLIENTS + number),
            };
            clients.spawn(client.work());
        }
        all.extend(clients.join_all().await.into_iter().flatten());
    }
    all
}

struct Client {
    store: Arc<dyn LeaseStore>,
    user: UserId,
    place: u64,
    clock: Stopwatch,
    random: Random,
}

impl Client {
    async fn work(mut self) -> Vec<Operation> {
        let mut seen = Vec::new();
        for _ in 0..OPERATIONS_OF_EACH {
            let asked = self.next();
            let invoked_us = self.clock.us();
            let answer = self.decide(&asked).await;
            let answered_us = self.clock.us();
            seen.push(Operation {
                user: self.user.clone(),
                asked,
                invoked_us,
                answered: answer.map(|answer| (answered_us, answer)),
            });
        }
        seen
    }

    fn next(&mut self) -> Asked {
        let stream = format!("s{}", self.random.below(STREAMS));
        match self.random.below(10) {
            0..5 => {
                let mut asked = start(&stream);
                if let Asked::Start(request, _) = &mut asked {
                    request.user = self.user.clone();
                    if self.random.once_in(8) {
                        request.on_limit = OnLimit::ReplaceOldest;
                    }
                }
                asked
            }
            5..7 => heartbeat(&stream),
            7..9 => stop(&stream),
            _ if self.random.once_in(4) => Asked::Evict(None),
            _ => Asked::Evict(Some(id(&stream))),
        }
    }

    async fn decide(&self, asked: &Asked) -> Option<Answer> {
        let at = at(self.place);
        let mut seen = self.store.load(at).await.ok()?;
        let now = Timestamp::from_millis(1);
        loop {
            let (answer, next) = asked.act(&self.user, &seen.record, now);
            if next == seen.record {
                return Some(answer);
            }
            match self.swap(seen.version, &next, now).await {
                Ok(()) => return Some(answer),
                Err(StoreError::Conflict(current)) => seen = current,
                Err(
                    StoreError::Overloaded { .. }
                    | StoreError::Unavailable { .. }
                    | StoreError::Unreadable(_),
                ) => return None,
            }
        }
    }

    async fn swap(
        &self,
        seen: crate::Version,
        next: &Record,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // So that clients meet also where nothing waits.
        tokio::task::yield_now().await;
        let swap = Swap {
            ended: 0,
            at: at(self.place),
            seen,
            next,
            write: Write::Durable,
            now,
        };
        self.store.swap(swap).await
    }
}

/// Counts the answers of a kind.
fn count(history: &[Operation], is_meant: impl Fn(&Answer) -> bool) -> usize {
    let answers = history.iter().filter_map(|it| it.answered.as_ref());
    answers.filter(|(_, answer)| is_meant(answer)).count()
}

/// Runs clients on a store and checks what they saw.
async fn checked(store: Arc<dyn LeaseStore>, users: u64) -> Checked {
    let name = store.name();
    let history = histories(&store, users).await;
    let checked = match check(&history, CLOCKS_APART) {
        Ok(checked) => checked,
        Err(refuted) => panic!("{name}: {refuted}"),
    };
    let admitted = count(&history, |it| matches!(it, Answer::Admitted { .. }));
    let denied = count(&history, |it| matches!(it, Answer::Denied { .. }));
    let over = count(&history, |it| matches!(it, Answer::Over(_)));
    println!("{name}: {checked:?}: {admitted} admitted, {denied} denied, {over} over");
    assert!(0 < checked.concurrent, "nobody met");
    assert!(0 < admitted && 0 < denied && 0 < over);
    checked
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_of_the_memory_store_saw_has_an_order() {
    checked(Arc::new(MemoryStore::new()), 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_saw_has_an_order_also_if_swaps_fail() {
    let flaky = Flaky::new(Arc::new(MemoryStore::new()), 7);
    flaky.fail_at_random(10);
    let checked = checked(Arc::new(flaky), 300).await;
    assert!(0 < checked.unanswered && 0 < checked.happened_unanswered);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_of_redis_saw_has_an_order() {
    let redis = RedisServer::start();
    let store = RedisStore::new(&redis.url().parse().unwrap(), 0).unwrap();
    checked(Arc::new(store), 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_of_dynamodb_saw_has_an_order() {
    let engine = DynamoDbLocal::shared();
    let table = engine.table_name();
    let store = DynamoDbStore::with_credentials(&engine.endpoint(), &table, "local").await;
    store.init_table(Capacity::OnDemand).await.unwrap();
    checked(Arc::new(store), 20).await;
}

async fn blinded(store: Arc<dyn LeaseStore>, users: u64) -> Box<Refuted> {
    let blind: Arc<dyn LeaseStore> = Arc::new(Blind(store));
    let history = histories(&blind, users).await;
    check(&history, Duration::ZERO).expect_err("nothing compares")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_compare_is_switched_off_is_refuted() {
    let refuted = blinded(Arc::new(MemoryStore::new()), 300).await.to_string();
    assert!(refuted.contains("no order of these"), "{refuted}");
    println!("memory, blind: {refuted}");

    let redis = RedisServer::start();
    let store = RedisStore::new(&redis.url().parse().unwrap(), 0).unwrap();
    let refuted = blinded(Arc::new(store), 30).await.to_string();
    assert!(refuted.contains("no order of these"), "{refuted}");
    println!("redis, blind: {refuted}");
}
