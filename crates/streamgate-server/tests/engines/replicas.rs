//! A server whose replica sleeps: what it alone has is not kept.

use http::Method;
use serde_json::json;
use streamgate_store::engines::RedisReplicas;

use crate::fleet::{Fleet, over_redis};
use crate::say;
use crate::support::{Answer, SOON, wait_until};

/// For which user, what, and what a yes is the second time.
type Asked<'a> = (&'a str, &'a dyn Fn(&str) -> Answer, u16);

#[test]
fn nothing_is_acknowledged_that_no_replica_has_also_when_it_is_asked_again() {
    let engine = RedisReplicas::start(1);
    let fleet = Fleet::start(|_| over_redis(&engine.master().url()).set("WAIT_REPLICAS", 1));
    let stream = |user: &str| json!({"userId": user, "streamId": "mine"});
    let start = |user: &str| fleet.client(0).start(&stream(user));
    let stop = |user: &str| {
        let path = format!("/v1/users/{user}/streams/mine/stop");
        fleet.client(1).poke(&path)
    };
    let evict = |user: &str| {
        let path = format!("/v1/users/{user}/streams");
        fleet.client(2).call(Method::DELETE, &path).send()
    };
    let asked: [Asked<'_>; 3] = [
        ("started", &start, 200),
        ("stopped", &stop, 204),
        ("evicted", &evict, 204),
    ];
    for user in ["stopped", "evicted"] {
        // Its master may count a new replica a little later than that says that it follows.
        wait_until("a replica has the start", SOON, || {
            matches!(start(user).status, 200 | 201).then_some(())
        });
    }

    engine.replicas()[0].pause();
    let mut refused = 0;
    for (user, ask, _) in &asked {
        for _ in 0..3 {
            let answer = ask(user);
            assert_eq!(answer.status, 503, "{user}: {answer:?}");
            refused += 1;
        }
    }
    engine.replicas()[0].resume();
    for (user, ask, status) in &asked {
        wait_until("a replica has it", SOON, || {
            (ask(user).status == *status).then_some(())
        });
    }
    say(&format!(
        "a replica that sleeps: {refused} answers were refused"
    ));
}
