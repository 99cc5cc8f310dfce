//! The store over Amazon's DynamoDB Local, and with everything that can go wrong on the way to it.

use std::sync::Arc;
use std::time::Duration;

use streamgate_core::Record;
use tokio::task::JoinSet;

use super::*;
use crate::conformance::{Random, Sweep, at, number_in, record_of, run};
use crate::engines::{DynamoDbLocal, FaultProxy, Odds, ThrottlingProxy, Trouble};
use crate::flaky::Flaky;
use crate::store::Write;

/// How late an answer may be that has to come within [`CALL_MAX`].
const LATE: Duration = Duration::from_secs(2);
/// How late an answer may be where only what it says matters.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store at an endpoint that takes every credential.
async fn open(endpoint: &str, table: &str) -> DynamoDbStore {
    DynamoDbStore::with_credentials(endpoint, table, "local").await
}

/// A store with a table of its own, which waits as long as a busy machine needs.
async fn fresh() -> DynamoDbStore {
    let engine = DynamoDbLocal::shared();
    let mut store = open(&engine.endpoint(), &engine.table_name()).await;
    let patient = TimeoutConfig::builder()
        .operation_attempt_timeout(PATIENCE)
        .operation_timeout(3 * PATIENCE)
        .build();
    let config = store.client.config().to_builder();
    store.client = Client::from_conf(config.timeout_config(patient).build());
    store.init_table(Capacity::OnDemand).await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_keeps_every_promise() {
    let make = async || Arc::new(fresh().await) as Arc<dyn LeaseStore>;
    run(&make, Sweep::Own).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_behind_a_wrapper_keeps_every_promise() {
    let make = async || Arc::new(Flaky::new(Arc::new(fresh().await), 1)) as Arc<dyn LeaseStore>;
    run(&make, Sweep::Own).await;
}

async fn put(
    store: &DynamoDbStore,
    place: u64,
    seen: Version,
    next: &Record,
) -> Result<(), StoreError> {
    let swap = Swap {
        ended: 0,
        at: at(place),
        seen,
        next,
        write: Write::Durable,
        now: Timestamp::from_millis(1_000_000_000),
    };
    store.swap(swap).await
}

fn is_unavailable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_made_once_and_its_capacity_follows() {
    let engine = DynamoDbLocal::shared();
    let store = open(&engine.endpoint(), &engine.table_name()).await;
    assert!(is_unavailable(&store.load(at(1)).await), "there is none");
    assert!(is_unavailable(&store.ready().await), "there is none");
    let provisioned = |reads, writes| Capacity::Provisioned { reads, writes };
    for (capacity, state, told) in [
        (
            Capacity::OnDemand,
            TableState::Created,
            "\"BillingMode\":\"PAY_PER_REQUEST\"",
        ),
        (
            Capacity::OnDemand,
            TableState::Adjusted,
            "\"BillingMode\":\"PAY_PER_REQUEST\"",
        ),
        (
            provisioned(5, 7),
            TableState::Adjusted,
            "\"WriteCapacityUnits\":7",
        ),
        (
            provisioned(5, 7),
            TableState::Adjusted,
            "\"WriteCapacityUnits\":7",
        ),
        (
            provisioned(5, 8),
            TableState::Adjusted,
            "\"WriteCapacityUnits\":8",
        ),
    ] {
        assert_eq!(
            store.init_table(capacity).await.unwrap(),
            state,
            "{capacity:?}"
        );
        let table = format!("{{\"TableName\":\"{}\"}}", store.table);
        let (_, described) = engine.call("DescribeTable", &table);
        assert!(described.contains(told), "{capacity:?}: {described}");
        let (_, expiry) = engine.call("DescribeTimeToLive", &table);
        assert!(expiry.contains("\"AttributeName\":\"ttl\""), "{expiry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_making_is_asked_for_twice_is_made() {
    let engine = DynamoDbLocal::shared();
    let proxy = ThrottlingProxy::start(engine.address(), 1);
    let store = open(&proxy.endpoint(), &engine.table_name()).await;
    // It is asked whether the table is there, and then for the table.
    proxy.script([Trouble::None, Trouble::Lost]);
    let made = store.init_table(Capacity::OnDemand).await.unwrap();
    assert_eq!(made, TableState::Created);
    assert_eq!(proxy.counts().lost, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_says_when_it_may_go_and_what_is_no_record_is_refused() {
    let store = fresh().await;
    put(&store, 0xabc, Version::ABSENT, &record_of(7))
        .await
        .unwrap();
    let engine = DynamoDbLocal::shared();
    let key = format!(
        "{{\"TableName\":\"{}\",\"Key\":{{\"id\":{{\"S\":\"000000000000abc\"}}}}}}",
        store.table
    );
    let (_, item) = engine.call("GetItem", &key);
    // It was decided at 1,000,000 s; heard at 0, so that 690 s are long over, and a minute more.
    assert!(item.contains("\"ttl\":{\"N\":\"1000060\"}"), "{item}");

    let bad = format!(
        "{{\"TableName\":\"{}\",\"Item\":{{\"id\":{{\"S\":\"000000000000abc\"}},\"v\":{{\"N\":\"5\"}}}}}}",
        store.table
    );
    let (status, answer) = engine.call("PutItem", &bad);
    assert_eq!(status, 200, "{answer}");
    assert!(is_unavailable(&store.load(at(0xabc)).await));
    assert!(is_unavailable(
        &put(&store, 0xabc, Version::ABSENT, &record_of(1)).await
    ));
}

/// A store behind a proxy that makes trouble.
async fn troubled(seed: u64) -> (DynamoDbStore, ThrottlingProxy) {
    let store = fresh().await;
    let proxy = ThrottlingProxy::start(DynamoDbLocal::shared().address(), seed);
    (open(&proxy.endpoint(), &store.table).await, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_made_good_and_nothing_is_done_twice() {
    let (store, proxy) = troubled(1).await;
    let mut seen = Version::ABSENT;
    for number in 1..=20 {
        proxy.script([Trouble::Lost]);
        put(&store, 1, seen, &record_of(number)).await.unwrap();
        let there = store.load(at(1)).await.unwrap();
        assert_eq!(number_in(&there.record), number);
        seen = there.version;
    }
    let counts = proxy.counts();
    println!("20 swaps, {} answers lost", counts.lost);
    assert_eq!(counts.lost, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_throttled_hears_so_in_time() {
    let (store, proxy) = troubled(2).await;
    proxy.trouble_at_random(Odds {
        throttled: 100,
        ..Odds::default()
    });
    let began = Instant::now();
    let loaded = store.load(at(1)).await;
    let written = put(&store, 1, Version::ABSENT, &record_of(1)).await;
    for answer in [loaded.map(drop), written] {
        assert!(
            matches!(answer, Err(StoreError::Overloaded { .. })),
            "{answer:?}"
        );
    }
    assert!(began.elapsed() < 2 * LATE);
    // Once in a while is not noticed.
    proxy.trouble_at_random(Odds::default());
    proxy.script([Trouble::Throttled, Trouble::Failed]);
    store.load(at(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn under_throttling_failures_delays_and_lost_answers_no_addition_is_lost_or_doubled() {
    const TASKS: u64 = 8;
    const EACH: u64 = 25;
    let (store, proxy) = troubled(3).await;
    let store = Arc::new(store);
    proxy.trouble_at_random(Odds {
        throttled: 30,
        failed: 10,
        delayed: 5,
        lost: 10,
        delay: Duration::from_millis(100),
    });
    let mut tasks = JoinSet::new();
    for seed in 0..TASKS {
        let store = Arc::clone(&store);
        tasks.spawn(async move { additions(&store, seed, EACH).await });
    }
    let results = tasks.join_all().await;
    proxy.trouble_at_random(Odds::default());
    let (mut done, mut in_doubt) = (0, 0);
    for (one, other) in results {
        done += one;
        in_doubt += other;
    }
    let mut sum = 0;
    for place in 0..3 {
        sum += number_in(&store.load(at(place)).await.unwrap().record);
    }
    println!(
        "{done} additions done, {in_doubt} in doubt, {:?}",
        proxy.counts()
    );
    assert!(TASKS * EACH / 2 < done);
    assert!(
        (done..=done + in_doubt).contains(&sum),
        "{sum} is not {done} and {in_doubt}"
    );
}

/// So many additions at random places: how many were done, and of how many it is not clear.
async fn additions(store: &DynamoDbStore, seed: u64, count: u64) -> (u64, u64) {
    let mut random = Random(seed);
    let (mut done, mut in_doubt) = (0, 0);
    while done + in_doubt < count {
        let place = random.below(3);
        let Ok(mut seen) = store.load(at(place)).await else {
            continue;
        };
        loop {
            let next = record_of(number_in(&seen.record) + 1);
            match put(store, place, seen.version, &next).await {
                Ok(()) => done += 1,
                Err(StoreError::Conflict(current)) => {
                    seen = current;
                    continue;
                }
                Err(StoreError::Overloaded { .. } | StoreError::Unavailable { .. }) => {
                    in_doubt += 1;
                }
                Err(error @ StoreError::Unreadable(_)) => panic!("{error:?}"),
            }
            break;
        }
    }
    (done, in_doubt)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_answer_is_unavailable_in_time_and_back_without_ado() {
    let direct = fresh().await;
    let proxy = FaultProxy::start(DynamoDbLocal::shared().address());
    let endpoint = format!("http://{}", proxy.address());
    let store = open(&endpoint, &direct.table).await;
    put(&store, 1, Version::ABSENT, &record_of(1))
        .await
        .unwrap();
    let breaks: [(&str, &dyn Fn()); 3] = [
        ("nothing comes through", &|| proxy.stall()),
        ("no answer comes through", &|| proxy.stall_answers()),
        ("every connection is cut", &|| proxy.cut()),
    ];
    for (name, break_it) in breaks {
        break_it();
        let began = Instant::now();
        assert!(is_unavailable(&store.load(at(1)).await), "{name}");
        let written = put(&store, 2, Version::ABSENT, &record_of(1)).await;
        assert!(is_unavailable(&written), "{name}");
        assert!(is_unavailable(&store.ready().await), "{name}");
        assert!(began.elapsed() < 3 * LATE, "{name}: {:?}", began.elapsed());
        proxy.heal();
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(error) = store.load(at(1)).await {
            assert!(Instant::now() < deadline, "{name}: {error:?}");
        }
        store.ready().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_clock_is_told_to_the_second() {
    let time = fresh().await.ready().await.unwrap().unwrap();
    let long = time.latest.since(time.earliest);
    assert!(Duration::from_secs(1) <= long && long < LATE, "{long:?}");
    assert_eq!(time.earliest.as_millis() % 1000, 0);
}
