//! What happens while the store is away, and when it lost what it had.

use super::*;

fn claim(name: &str, admitted: Admitted) -> Claim {
    Claim {
        user: user(),
        id: id(name),
        device: Device::default(),
        started_at: streamgate_core::WallTime::default(),
        limit: Limit::DEFAULT,
        admitted,
    }
}

impl World {
    /// A heartbeat with what its player can prove.
    async fn beat(&self, claim: &Claim) -> Result<Answer<Readmitted>, StoreError> {
        let target = Target {
            user: Some(&claim.user),
            id: &claim.id,
        };
        let beat = Heartbeat::default();
        self.limiter
            .heartbeat(target, &beat, || Some(claim.clone()))
            .await
    }
}

#[tokio::test]
async fn while_the_store_is_away_starts_are_admitted_if_so_configured_and_compete_later() {
    let world = World::with(OnStoreFailure::Admit);
    for name in ["a", "b"] {
        world.limiter.start(chosen(name)).await.unwrap();
    }
    world.flaky.set_down(true);
    for name in ["c", "d"] {
        assert_eq!(
            word(&world.limiter.start(chosen(name)).await),
            "provisional"
        );
    }
    let (c, d) = (
        claim("c", Admitted::Provisionally),
        claim("d", Admitted::Provisionally),
    );
    assert!(matches!(world.beat(&c).await, Ok(Answer::Provisional(_))));
    world.flaky.set_down(false);
    let entered = world.beat(&c).await.unwrap();
    assert!(matches!(
        entered,
        Answer::Decided(Readmitted::Entered { .. })
    ));
    let denied = world.beat(&d).await.unwrap();
    assert!(matches!(denied, Answer::Decided(Readmitted::Denied(_))));
    assert_eq!(world.live().await, ["c", "a", "b"]);
    let page = world.metrics.text(None);
    for line in [
        "streamgate_starts_total{outcome=\"provisional\"} 2",
        "streamgate_heartbeats_total{outcome=\"forgiven\"} 1",
        "streamgate_heartbeats_total{outcome=\"readmitted\"} 1",
        "streamgate_heartbeats_total{outcome=\"denied\"} 1",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
}

#[tokio::test]
async fn a_store_with_too_much_to_do_is_not_away() {
    let world = World::with(OnStoreFailure::Admit);
    world.flaky.script([Fault::Overloaded, Fault::Overloaded]);
    assert_eq!(word(&world.limiter.start(chosen("a")).await), "overloaded");
    let beat = world.beat(&claim("a", Admitted::ByStore)).await;
    assert!(matches!(beat, Err(StoreError::Overloaded { .. })));
}

#[tokio::test]
async fn a_heartbeat_is_forgiven_while_the_store_is_away_and_puts_back_what_it_lost() {
    let world = World::new();
    let proven = claim("mine", Admitted::ByStore);
    world.flaky.set_down(true);
    assert_eq!(
        word(&world.limiter.start(chosen("new")).await),
        "unavailable"
    );
    assert!(matches!(
        world.beat(&proven).await,
        Ok(Answer::Provisional(_))
    ));
    let target = Target {
        user: Some(&proven.user),
        id: &proven.id,
    };
    let check = world.limiter.check(target, || Some(proven.clone()));
    assert!(check.await);
    assert!(!world.limiter.check(target, || None).await);

    world.flaky.set_down(false);
    let check = async |claim: Option<&Claim>| world.limiter.check(target, || claim.cloned()).await;
    assert!(check(Some(&proven)).await, "nobody knows better");
    assert!(!check(None).await);
    let entered = world.beat(&proven).await.unwrap();
    assert!(matches!(
        entered,
        Answer::Decided(Readmitted::Entered { .. })
    ));
    assert!(check(None).await);
    world.limiter.stop(target).await.unwrap();
    assert!(!check(Some(&proven)).await, "it is known to be over");
}

#[tokio::test]
async fn a_place_that_nobody_knows_of_is_given_back() {
    for fault in [Fault::Before, Fault::After] {
        let world = World::new();
        world.flaky.script([fault]);
        let started = world.limiter.start(call(Naming::Minted)).await;
        assert_eq!(word(&started), "unavailable");
        world.flaky.script([Fault::Before]);
        world.limiter.settle().await;
        world.limiter.settle().await;
        assert_eq!(world.live().await, [""; 0], "{fault:?}");
    }
    // One whose client went while it was on its way.
    let world = World::new();
    world.flaky.pause();
    let start = world.limiter.start(call(Naming::Minted));
    let given_up = tokio::time::timeout(Duration::from_millis(1), start).await;
    assert!(given_up.is_err());
    world.flaky.release();
    assert_eq!(world.limiter.1.in_doubt.lock().len(), 1);
    world.limiter.settle().await;
    assert_eq!(world.live().await, [""; 0]);
    // One whose name its client knows may be asked for again.
    let world = World::new();
    world.flaky.script([Fault::After]);
    assert_eq!(
        word(&world.limiter.start(chosen("mine")).await),
        "unavailable"
    );
    world.limiter.settle().await;
    assert_eq!(world.live().await, ["mine"]);
}

#[tokio::test]
async fn gateways_questions_leave_room_for_heartbeats_and_no_stranger_gets_in_by_them() {
    for on_store_failure in [OnStoreFailure::Deny, OnStoreFailure::Admit] {
        let world = World::with(on_store_failure);
        world.limiter.start(chosen("a")).await.unwrap();
        let is_live = async |name: &str| {
            let (user, id) = (user(), id(name));
            let target = Target {
                user: Some(&user),
                id: &id,
            };
            world.limiter.check(target, || None).await
        };
        let at = world.limiter.locator_of(&user());
        let seen = world.flaky.load(at).await.unwrap();
        let all = u32::try_from(CHECKS_MAX).unwrap();
        let taken = world.limiter.1.checks.acquire_many(all).await.unwrap();
        assert!(!is_live("a").await, "this node saw nothing of it");
        world.flaky.recall_always(seen);
        world.clock.advance(Duration::from_secs(300));
        assert!(is_live("a").await, "as it was seen last");
        assert!(!is_live("stranger").await);
        drop(taken);
        assert!(!is_live("a").await, "its lease is over");
    }
}
