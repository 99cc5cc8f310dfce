mod away;

use std::time::Duration;

use futures_util::FutureExt;
use streamgate_core::{Admitted, DeviceText, LIMIT_MAX};
use streamgate_store::MemoryStore;
use streamgate_store::flaky::{Fault, Flaky};

use super::*;
use crate::clock::manual::ManualClock;

const LEASE: Duration = Duration::from_secs(90);
const INTERVAL: Duration = Duration::from_secs(20);

/// A limiter over a flaky store, and another one over the store below it: what somebody else
/// does on another node.
struct World {
    limiter: Limiter,
    elsewhere: Limiter,
    flaky: Arc<Flaky>,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
}

impl World {
    fn new() -> Self {
        Self::with(OnStoreFailure::Deny)
    }

    fn with(on_store_failure: OnStoreFailure) -> Self {
        let memory: Arc<dyn LeaseStore> = Arc::new(MemoryStore::new());
        let flaky = Arc::new(Flaky::new(Arc::clone(&memory), 7));
        let clock = Arc::new(ManualClock::default());
        let metrics = Arc::new(Metrics::new());
        let over = |store: Arc<dyn LeaseStore>, metrics: &Arc<Metrics>| {
            Limiter::new(Parts {
                store,
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                key: LocatorKey::from_bytes([7; 16]),
                terms: Terms {
                    lease: LEASE,
                    heartbeat: Some(INTERVAL),
                    renew_after: Duration::ZERO,
                },
                metrics: Arc::clone(metrics),
                on_store_failure,
                watchers: Watchers::new(10),
            })
        };
        Self {
            limiter: over(Arc::clone(&flaky) as Arc<dyn LeaseStore>, &metrics),
            elsewhere: over(memory, &Arc::new(Metrics::new())),
            flaky,
            clock,
            metrics,
        }
    }

    /// The ids of the user's streams.
    async fn live(&self) -> Vec<String> {
        let (streams, _) = self.elsewhere.streams(&user()).await.unwrap();
        streams.iter().map(|stream| stream.id.to_string()).collect()
    }
}

fn user() -> UserId {
    UserId::parse("viewer").unwrap()
}

fn id(text: &str) -> StreamId {
    StreamId::parse(text).unwrap()
}

fn call(naming: Naming) -> StartCall {
    StartCall {
        user: user(),
        naming,
        device: Device::default(),
        content: None,
        replace: Vec::new(),
        on_limit: OnLimit::Deny,
        limit: Limit::DEFAULT,
        terms: Terms {
            lease: LEASE,
            heartbeat: Some(INTERVAL),
            renew_after: Duration::ZERO,
        },
    }
}

fn chosen(text: &str) -> StartCall {
    call(Naming::Chosen(id(text)))
}

fn word(started: &Result<Answer<Started>, StoreError>) -> &'static str {
    match started {
        Ok(Answer::Decided(Started::Admitted { .. })) => "admitted",
        Ok(Answer::Decided(Started::Same(_))) => "same",
        Ok(Answer::Decided(Started::Over(_))) => "over",
        Ok(Answer::Decided(Started::Denied(_))) => "denied",
        Ok(Answer::Provisional(_)) => "provisional",
        Err(StoreError::Overloaded { .. }) => "overloaded",
        Err(StoreError::Unavailable { .. }) => "unavailable",
        Err(StoreError::Conflict(_) | StoreError::Unreadable(_)) => "broken",
    }
}

fn known(answer: Answer<Readmitted>) -> Beat {
    match answer {
        Answer::Decided(Readmitted::Known(beat)) => beat,
        Answer::Decided(Readmitted::Entered { .. } | Readmitted::Denied(_))
        | Answer::Provisional(_) => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn a_start_that_loses_the_last_place_to_a_faster_one_is_denied() {
    let world = World::new();
    for name in ["a", "b"] {
        world.limiter.start(chosen(name)).await.unwrap();
    }
    let elsewhere = world.elsewhere.clone();
    world.flaky.before_next_swap(async move || {
        elsewhere.start(chosen("faster")).await.unwrap();
    });

    let started = world.limiter.start(chosen("slower")).await;

    assert_eq!(word(&started), "denied");
    assert_eq!(world.live().await, ["a", "b", "faster"]);
}

#[tokio::test]
async fn a_request_that_loses_every_race_gives_up_and_changes_nothing() {
    let world = World::new();
    for round in 0..ATTEMPTS_MAX {
        let elsewhere = world.elsewhere.clone();
        world.flaky.before_next_swap(async move || {
            let name = id(&format!("other-{round}"));
            let target = Target {
                user: Some(&user()),
                id: &name,
            };
            elsewhere.stop(target).await.unwrap();
        });
    }

    let started = world.limiter.start(chosen("mine")).await;

    assert_eq!(word(&started), "overloaded");
    assert_eq!(world.live().await, [""; 0]);
    assert_eq!(
        world.flaky.calls().1,
        usize::try_from(ATTEMPTS_MAX).unwrap()
    );
}

#[tokio::test]
async fn the_retry_of_a_start_whose_answer_was_lost_is_the_same_stream() {
    for naming in [Naming::Chosen(id("mine")), Naming::After("key-1".into())] {
        let world = World::new();
        world.flaky.script([Fault::After]);

        let first = world.limiter.start(call(naming.clone())).await;
        let retry = world.limiter.start(call(naming)).await;

        assert_eq!((word(&first), word(&retry)), ("unavailable", "same"));
        assert_eq!(world.live().await.len(), 1);
    }
}

#[tokio::test]
async fn an_eviction_whose_answer_was_lost_does_not_end_what_started_after_it() {
    let world = World::new();
    for name in ["a", "b"] {
        world.limiter.start(chosen(name)).await.unwrap();
    }
    // As if its own write had been kept, and somebody else had written before it was sent again.
    let elsewhere = world.elsewhere.clone();
    world.flaky.before_next_swap(async move || {
        elsewhere.evict(&user(), Which::All).await.unwrap();
        elsewhere.start(chosen("later")).await.unwrap();
    });

    let evicted = world.limiter.evict(&user(), Which::All).await.unwrap();

    assert_eq!(evicted.len(), 2);
    assert_eq!(world.live().await, ["later"]);

    // What only came before its write is ended with the others.
    let elsewhere = world.elsewhere.clone();
    world.flaky.before_next_swap(async move || {
        elsewhere.start(chosen("faster")).await.unwrap();
    });
    let evicted = world.limiter.evict(&user(), Which::All).await.unwrap();
    assert_eq!(evicted.len(), 2);
    assert_eq!(world.live().await, [""; 0]);
}

#[tokio::test]
async fn a_start_that_the_store_did_not_do_leaves_nothing_behind() {
    let world = World::new();
    world.flaky.script([Fault::Before, Fault::Overloaded]);

    let answers = [
        word(&world.limiter.start(chosen("mine")).await),
        word(&world.limiter.start(chosen("mine")).await),
        word(&world.limiter.start(chosen("mine")).await),
    ];

    assert_eq!(answers, ["unavailable", "overloaded", "admitted"]);
    assert_eq!(world.live().await, ["mine"]);
}

#[tokio::test]
async fn a_store_that_is_down_is_said_to_be_and_comes_back_without_ado() {
    let world = World::new();
    world.limiter.start(chosen("mine")).await.unwrap();
    let (user, mine) = (user(), id("mine"));
    let target = Target {
        user: Some(&user),
        id: &mine,
    };
    let beat = Heartbeat::default();

    world.flaky.set_down(true);
    assert!(
        world
            .limiter
            .heartbeat(target, &beat, || None)
            .await
            .is_err()
    );
    assert!(world.limiter.stop(target).await.is_err());
    assert!(world.limiter.streams(&user).await.is_err());
    assert!(world.limiter.store().ready().await.is_err());

    world.flaky.set_down(false);
    let renewed = world
        .limiter
        .heartbeat(target, &beat, || None)
        .await
        .unwrap();
    let renewed = known(renewed);
    assert!(matches!(renewed, Beat::Renewed(_)));
}

#[tokio::test]
async fn a_request_that_is_given_up_while_the_store_hangs_leaves_a_valid_record() {
    let world = World::new();
    world.flaky.pause();
    let start = world.limiter.start(chosen("mine"));
    let given_up = tokio::time::timeout(Duration::from_millis(1), start).await;
    assert!(given_up.is_err());

    world.flaky.release();
    let retry = world.limiter.start(chosen("mine")).await;
    assert!(["admitted", "same"].contains(&word(&retry)));
    assert_eq!(world.live().await, ["mine"]);
}

#[tokio::test]
async fn who_watches_is_woken_by_what_ends_a_stream_and_by_nothing_else() {
    let world = World::new();
    world.limiter.start(chosen("mine")).await.unwrap();
    world.limiter.start(chosen("other")).await.unwrap();
    let at = world.limiter.locator_of(&user());
    let watch = world.limiter.watch(at, &id("mine")).unwrap();
    let is_woken = || watch.woken().now_or_never().is_some();
    let (own, mine, other) = (user(), id("mine"), id("other"));
    let target = |id| Target {
        user: Some(&own),
        id,
    };
    assert!(!is_woken());
    world.limiter.start(chosen("more")).await.unwrap();
    world.limiter.start(chosen("denied")).await.unwrap();
    let nothing = Heartbeat::default();
    let beat = world.limiter.heartbeat(target(&mine), &nothing, || None);
    beat.await.unwrap();
    assert!(!is_woken());

    world.limiter.stop(target(&other)).await.unwrap();
    assert!(is_woken());
    world.limiter.stop(target(&other)).await.unwrap();
    assert!(!is_woken());
    let replace = StartCall {
        replace: vec![id("more")],
        ..chosen("newest")
    };
    world.limiter.start(replace).await.unwrap();
    assert!(is_woken());
    let newest = id("newest");
    world.limiter.lapse(target(&newest)).await.unwrap();
    assert!(is_woken());
    world.clock.advance(LEASE);
    sweep_all(&world).await;
    assert!(is_woken());
    world.limiter.start(chosen("last")).await.unwrap();
    assert!(!is_woken());
    world.limiter.evict(&user(), Which::All).await.unwrap();
    assert!(is_woken());

    // What nobody waits for any more may happen all the same.
    world.limiter.start(chosen("given-up")).await.unwrap();
    world.flaky.before_next_swap(std::future::pending);
    let given_up = id("given-up");
    let stop = world.limiter.stop(target(&given_up)).now_or_never();
    assert!(stop.is_none());
    assert!(is_woken());
}

#[tokio::test]
async fn what_nobody_asks_about_expires_and_is_counted_and_forgotten() {
    let world = World::new();
    world.limiter.start(chosen("mine")).await.unwrap();
    world.clock.advance(LEASE);
    sweep_all(&world).await;
    assert_eq!(world.limiter.store().streams_len(), Some(0));
    let page = world.metrics.text(None);
    assert!(
        page.contains(r#"streamgate_streams_ended_total{cause="expired"} 1"#),
        "{page}"
    );

    world.clock.advance(streamgate_core::ENDING_MEMORY);
    sweep_all(&world).await;
    let at = world.limiter.0.key.locator(&user());
    assert_eq!(
        world.limiter.store().load(at).await.unwrap(),
        Versioned::absent()
    );
}

#[tokio::test]
async fn the_metrics_say_how_many_streams_users_have_when_one_is_started() {
    let world = World::new();
    for number in 1..=LIMIT_MAX {
        let start = StartCall {
            limit: Limit::new(LIMIT_MAX).unwrap(),
            ..chosen(&format!("s{number}"))
        };
        assert_eq!(word(&world.limiter.start(start).await), "admitted");
    }
    // The same again counts, a denial does not.
    assert_eq!(word(&world.limiter.start(chosen("s1")).await), "same");
    assert_eq!(word(&world.limiter.start(chosen("more")).await), "denied");
    let page = world.metrics.text(None);
    let lines = page.lines().filter(|it| it.contains("streams_per_user"));
    expect_test::expect![[r##"
        # HELP streamgate_streams_per_user Streams that a user has live, looked at whenever one is started.
        # TYPE streamgate_streams_per_user histogram
        streamgate_streams_per_user_sum 2144.0
        streamgate_streams_per_user_count 65
        streamgate_streams_per_user_bucket{le="1.0"} 1
        streamgate_streams_per_user_bucket{le="2.0"} 2
        streamgate_streams_per_user_bucket{le="3.0"} 3
        streamgate_streams_per_user_bucket{le="4.0"} 4
        streamgate_streams_per_user_bucket{le="5.0"} 5
        streamgate_streams_per_user_bucket{le="8.0"} 8
        streamgate_streams_per_user_bucket{le="16.0"} 16
        streamgate_streams_per_user_bucket{le="32.0"} 32
        streamgate_streams_per_user_bucket{le="64.0"} 65
        streamgate_streams_per_user_bucket{le="+Inf"} 65"##]].assert_eq(&lines.collect::<Vec<_>>().join("\n"));
}

/// One whole pass of the sweeper.
async fn sweep_all(world: &World) {
    for _ in 0..1024 {
        for at in world.limiter.store().due(world.clock.now()) {
            world.limiter.expire(at).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_stop_that_is_sent_twice_waits_for_the_first_to_be_kept() {
    let world = World::new();
    world.limiter.start(chosen("mine")).await.unwrap();
    let (user, mine) = (user(), id("mine"));
    let target = Target {
        user: Some(&user),
        id: &mine,
    };
    world.limiter.stop(target).await.unwrap();

    let swaps = world.flaky.calls().1;
    assert_eq!(world.limiter.stop(target).await.unwrap(), Stopped::Already);
    assert_eq!(
        world.flaky.calls().1,
        swaps + 1,
        "it goes through the store"
    );
}

#[tokio::test]
async fn only_ids_with_the_users_own_locator_stand_alone() {
    let world = World::new();
    let Ok(Answer::Decided(Started::Admitted { place, .. })) =
        world.limiter.start(call(Naming::Minted)).await
    else {
        panic!("there is room");
    };
    let stranger = UserId::parse("stranger").unwrap();
    assert!(world.limiter.finds_alone(&user(), &place.stream.id));
    assert!(!world.limiter.finds_alone(&stranger, &place.stream.id));
    assert!(!world.limiter.finds_alone(&user(), &id("chosen")));
}

#[tokio::test]
async fn with_random_faults_no_acknowledged_start_is_lost_and_nobody_is_over_the_limit() {
    let world = World::new();
    world.flaky.fail_at_random(40);
    let mut acknowledged = Vec::new();
    for round in 0..400 {
        let name = format!("s{}", round % 7);
        let device = DeviceText::parse(&format!("d{}", round % 7)).unwrap();
        let started = world.limiter.start(StartCall {
            device: Device {
                id: Some(device),
                ..Device::default()
            },
            ..chosen(&name)
        });
        match word(&started.await) {
            "admitted" | "same" => acknowledged.push(name),
            _ => acknowledged.retain(|known| *known != name),
        }
        let live = world.live().await;
        assert!(live.len() <= 3, "round {round}: {live:?}");
        for name in &acknowledged {
            assert!(
                live.contains(name),
                "round {round}: {name} is not in {live:?}"
            );
        }
        world.clock.advance(Duration::from_millis(50));
    }
    let page = world.metrics.text(None);
    assert!(
        page.contains(r#"outcome="denied""#) && page.contains(r#"outcome="same""#),
        "{page}"
    );
}

#[tokio::test]
async fn a_right_guess_saves_the_load_and_a_wrong_one_changes_no_answer() {
    let world = World::new();
    let at = world.limiter.locator_of(&user());
    world.flaky.recall_always(Versioned::absent());
    assert_eq!(word(&world.limiter.start(chosen("a")).await), "admitted");
    assert_eq!(world.flaky.calls(), (0, 1), "one round trip");
    assert_eq!(word(&world.limiter.start(chosen("b")).await), "admitted");
    assert_eq!(
        world.flaky.calls(),
        (0, 3),
        "a conflict shows what is there"
    );
    assert_eq!(word(&world.limiter.start(chosen("c")).await), "admitted");
    assert_eq!(word(&world.limiter.start(chosen("d")).await), "denied");
    let (loads, _) = world.flaky.calls();

    let (user, c) = (user(), id("c"));
    let target = Target {
        user: Some(&user),
        id: &c,
    };
    let beat = Heartbeat::default();
    let renewed = world
        .limiter
        .heartbeat(target, &beat, || None)
        .await
        .unwrap();
    assert!(matches!(known(renewed), Beat::Renewed(_)), "not unknown");
    assert_eq!(world.flaky.calls().0, loads + 1);

    // A guess that is full does not deny, either.
    let full = world.flaky.load(at).await.unwrap();
    world.flaky.recall_always(full);
    world.elsewhere.stop(target).await.unwrap();
    assert_eq!(word(&world.limiter.start(chosen("e")).await), "admitted");
    assert_eq!(world.live().await, ["a", "b", "e"]);
}
