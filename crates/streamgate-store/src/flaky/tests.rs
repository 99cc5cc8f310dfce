use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use streamgate_core::{Locator, Record, Timestamp};

use super::{Fault, Flaky};
use crate::conformance::{at, number_in, record_of};
use crate::{LeaseStore, MemoryStore, StoreError, Swap, Version, Write};

const PLACE: u64 = 1;

fn flaky() -> (Arc<Flaky>, Arc<MemoryStore>) {
    let below = Arc::new(MemoryStore::new());
    let above = Arc::clone(&below) as Arc<dyn LeaseStore>;
    (Arc::new(Flaky::new(above, 7)), below)
}

async fn put(store: &dyn LeaseStore, seen: Version, next: &Record) -> Result<(), StoreError> {
    let swap = Swap {
        ended: 0,
        at: at(PLACE),
        seen,
        next,
        write: Write::Durable,
        now: Timestamp::default(),
    };
    store.swap(swap).await
}

async fn number(store: &dyn LeaseStore) -> u64 {
    let at: Locator = at(PLACE);
    number_in(&store.load(at).await.unwrap().record)
}

fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable { .. }))
}

#[tokio::test]
async fn the_script_says_what_happens_to_each_swap() {
    let (flaky, below) = flaky();
    flaky.script([Fault::Before, Fault::Overloaded, Fault::None, Fault::After]);

    let first = put(&*flaky, Version::ABSENT, &record_of(1)).await;
    assert!(is_unavailable(&first));
    assert_eq!(number(&*below).await, 0, "it failed before it did anything");

    let second = put(&*flaky, Version::ABSENT, &record_of(1)).await;
    assert!(matches!(second, Err(StoreError::Overloaded { .. })));
    assert_eq!(number(&*below).await, 0, "it did nothing");

    put(&*flaky, Version::ABSENT, &record_of(2)).await.unwrap();
    assert_eq!(number(&*below).await, 2);

    let seen = flaky.load(at(PLACE)).await.unwrap().version;
    let lost = put(&*flaky, seen, &record_of(3)).await;
    assert!(is_unavailable(&lost));
    assert_eq!(number(&*below).await, 3, "it was done, the answer is lost");
    assert_eq!(flaky.calls(), (1, 4));
}

#[tokio::test]
async fn a_conflict_hides_no_lost_answer() {
    let (flaky, _) = flaky();
    put(&*flaky, Version::ABSENT, &record_of(1)).await.unwrap();
    flaky.script([Fault::After]);
    let stale = put(&*flaky, Version::ABSENT, &record_of(2)).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))));
}

#[tokio::test]
async fn an_act_comes_between_the_load_and_the_swap() {
    let (flaky, below) = flaky();
    let seen = flaky.load(at(PLACE)).await.unwrap().version;
    flaky.before_next_swap(move || async move {
        put(&*below, Version::ABSENT, &record_of(9)).await.unwrap();
    });
    match put(&*flaky, seen, &record_of(1)).await {
        Err(StoreError::Conflict(current)) => assert_eq!(number_in(&current.record), 9),
        other => panic!("{other:?}"),
    }
    let seen = flaky.load(at(PLACE)).await.unwrap().version;
    put(&*flaky, seen, &record_of(2)).await.unwrap();
}

#[tokio::test]
async fn while_it_is_down_nothing_is_answered_and_it_is_not_ready() {
    let (flaky, below) = flaky();
    flaky.set_down(true);
    assert!(is_unavailable(&flaky.ready().await));
    assert!(is_unavailable(&flaky.load(at(PLACE)).await.map(drop)));
    assert!(is_unavailable(
        &put(&*flaky, Version::ABSENT, &record_of(1)).await
    ));
    flaky.set_down(false);
    assert_eq!(number(&*below).await, 0);
    flaky.ready().await.unwrap();
    put(&*flaky, Version::ABSENT, &record_of(1)).await.unwrap();
}

#[tokio::test]
async fn a_paused_store_answers_when_it_is_released() {
    let (flaky, _) = flaky();
    flaky.pause();
    let record = record_of(1);
    let mut swap = Box::pin(put(&*flaky, Version::ABSENT, &record));
    let first_look = poll_fn(|context| Poll::Ready(swap.as_mut().poll(context))).await;
    assert!(first_look.is_pending(), "answered while paused");
    flaky.release();
    swap.await.unwrap();
}

#[tokio::test]
async fn the_same_seed_fails_the_same_swaps_before_and_after() {
    let outcomes = async || {
        let (flaky, below) = flaky();
        flaky.fail_at_random(40);
        let mut outcomes = Vec::new();
        for n in 1..=200 {
            let seen = below.load(at(PLACE)).await.unwrap().version;
            let answered = put(&*flaky, seen, &record_of(n)).await.is_ok();
            outcomes.push((answered, number(&*below).await == n));
        }
        outcomes
    };
    let once = outcomes().await;
    assert_eq!(once, outcomes().await);
    for outcome in [(true, true), (false, true), (false, false)] {
        let count = once.iter().filter(|o| **o == outcome).count();
        assert!(20 < count, "{outcome:?} happened {count} times of 200");
    }
    assert!(!once.contains(&(true, false)), "answered but not done");
}
