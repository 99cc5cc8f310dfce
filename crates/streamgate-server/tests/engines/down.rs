//! An engine that is away: what players are told meanwhile, and after it.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use streamgate_store::engines::RedisServer;

use crate::fleet::{Fleet, NODES, over_redis};
use crate::loss::beat;
use crate::say;
use crate::support::{elapsed_since, let_pass, now};

/// No start waits longer than this for an engine that is away.
const ANSWER_MAX: Duration = Duration::from_secs(2);
const STARTS: usize = 5;

fn body(user: &str) -> Value {
    json!({"userId": user})
}

/// What a gateway is told by this node of a stream that it names.
fn check(fleet: &Fleet, node: usize, id: &str) -> u16 {
    let client = fleet.client(node);
    let asked = client.call(Method::GET, "/v1/check");
    asked.header("stream-id", id).send().status
}

#[test]
fn while_the_engine_is_away_gateways_let_through_whom_they_did_before() {
    let redis = RedisServer::start();
    let fleet = Fleet::start(|_| over_redis(&redis.url()));
    let started = fleet.client(0).start(&body("watching"));
    let id = started.text("streamId");
    let stopped = fleet.client(0).admitted(&body("stopped"));
    fleet.client(0).delete(&format!("/v1/streams/{stopped}"));
    let unseen = fleet.client(0).admitted(&body("unseen"));
    for node in 0..NODES {
        assert_eq!(check(&fleet, node, &id), 200);
        assert_eq!(check(&fleet, node, &stopped), 403);
    }
    redis.pause();
    for node in 0..NODES {
        assert_eq!(check(&fleet, node, &id), 200);
        assert_eq!(check(&fleet, node, &stopped), 403);
    }
    assert_eq!(check(&fleet, 1, &unseen), 403);
    let url = started.json()["cmcd"]["url"].as_str().map(str::to_owned);
    let report = fleet.client(1);
    let report = report.call(Method::POST, &url.expect("a path"));
    let answer = report.body("e=t,sta=p,v=2").send();
    assert_eq!((answer.status, answer.header("stream-action")), (204, None));
    redis.resume();
}

#[test]
fn while_the_engine_is_away_starts_are_refused_in_time_and_heartbeats_forgiven() {
    let redis = RedisServer::start();
    let fleet = Fleet::start(|_| over_redis(&redis.url()));
    let playing = fleet.client(0).start(&body("watching"));
    let (id, token) = (playing.text("streamId"), playing.text("token"));
    let (mut refused, mut forgiven, mut took) = (0, 0, Vec::new());

    // It is killed, and then it hangs.
    for is_killed in [true, false] {
        if is_killed {
            redis.kill();
        } else {
            redis.pause();
        }
        for node in 0..NODES {
            for _ in 0..STARTS {
                let began = now();
                let answer = fleet.client(node).start(&body("waiting"));
                took.push(elapsed_since(began));
                assert_eq!(
                    (answer.status, answer.code()),
                    (503, "store-unavailable".into())
                );
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                refused += 1;
            }
            let answer = beat(&fleet, node, &id, &token);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["provisional"], true, "{answer:?}");
            forgiven += 1;
            let without = format!("/v1/streams/{id}/heartbeat");
            assert_eq!(fleet.client(node).poke(&without).status, 503);
            fleet.wait_until_ready_is(node, 503);
        }
        if is_killed {
            redis.start_again();
        } else {
            redis.resume();
        }
        fleet.wait_until_ready();
        for node in 0..NODES {
            let answer = beat(&fleet, node, &id, &token);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["provisional"], Value::Null, "{answer:?}");
            let user = format!("after-{is_killed}-{node}");
            fleet.client(node).admitted(&body(&user));
        }
    }
    // This machine's pauses may make one of them late, not half.
    took.sort_unstable();
    let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    assert!(median < ANSWER_MAX, "{took:?}");
    assert!(slowest < ANSWER_MAX * 5, "{took:?}");
    // The starts that were refused while it hung were sent to it all the same.
    let began = now();
    while !fleet.client(0).streams_of("waiting").is_empty() {
        assert!(
            elapsed_since(began) < ANSWER_MAX * 10,
            "a ghost has a place"
        );
        let_pass(Duration::from_millis(50));
    }
    say(&format!(
        "engine away: {refused} starts refused, the slowest after {slowest:?}, {forgiven} heartbeats forgiven"
    ));
}

#[test]
fn who_was_admitted_provisionally_competes_for_a_place_with_its_first_heartbeat() {
    let redis = RedisServer::start();
    let fleet = Fleet::start(|_| over_redis(&redis.url()).set("ON_STORE_FAILURE", "admit"));
    redis.kill();
    let mut provisional = Vec::new();
    for number in 0..STARTS {
        let answer = fleet.client(number % NODES).start(&body("many"));
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json()["provisional"], true, "{answer:?}");
        provisional.push((answer.text("streamId"), answer.text("token")));
    }
    redis.start_again();
    fleet.wait_until_ready();
    let beats = provisional.iter().enumerate();
    let answers: Vec<_> = beats
        .map(|(number, (id, token))| beat(&fleet, number % NODES, id, token))
        .collect();
    let (entered, refused) = answers.split_at(3);
    for answer in entered {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["provisional"], Value::Null, "{answer:?}");
    }
    for answer in refused {
        assert_eq!(
            (answer.status, answer.code()),
            (410, "stream-limit-reached".into())
        );
        assert_eq!(answer.json()["holders"].as_array().map(Vec::len), Some(3));
    }
    say(&format!(
        "admitted provisionally: {} entered, {} refused",
        entered.len(),
        refused.len()
    ));
}
