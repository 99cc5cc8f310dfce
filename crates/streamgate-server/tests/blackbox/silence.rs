//! Promise 4, a dead client costs nothing, and the other half of it: our own silence is nobody's
//! fault. With the shortest leases that can be set.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Client, SOON, Server, Setup, let_pass, wait_until};

const INTERVAL_SECONDS: u64 = 5;
const LEASE_SECONDS: u64 = 10;

fn impatient() -> Server {
    Setup::new()
        .set("HEARTBEAT_INTERVAL_SECONDS", INTERVAL_SECONDS)
        .set("HEARTBEAT_LEASE_SECONDS", LEASE_SECONDS)
        .start()
}

#[track_caller]
fn listing(client: &Client, user: &str) -> Value {
    let answer = client.get(&format!("/v1/users/{user}/streams"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn states(client: &Client, user: &str) -> Vec<String> {
    let listing = listing(client, user);
    let streams = listing["streams"].as_array().expect("a list");
    let states = streams.iter().map(|stream| stream["state"].as_str());
    states.map(|it| it.expect("a state").to_owned()).collect()
}

#[test]
fn a_silent_stream_is_reclaimed_when_suspect_and_expires_with_its_lease() {
    let server = impatient();
    let client = server.client();
    let start = |user: &str| client.admitted(&json!({"userId": user}));
    let beat = |id: &str| client.poke(&format!("/v1/streams/{id}/heartbeat"));

    let back = start("comes-back");
    let late = start("comes-late");
    let holders = [start("full"), start("full"), start("full")];
    let denied = client.start(&json!({"userId": "full"}));
    assert_eq!(denied.status, 409);
    let retry_after = denied.json()["retryAfterSeconds"].as_u64();
    let retry_after = retry_after.expect("a number");
    assert!((1..=8).contains(&retry_after), "1.5 heartbeats: {denied:?}");

    wait_until("two of three are suspect", SOON, || {
        assert_eq!(beat(&holders[0]).status, 200);
        (states(&client, "full") == ["live", "suspect", "suspect"]).then_some(())
    });
    let open = client.get("/v1/users/full/admission").json();
    assert_eq!(
        open["admitted"], true,
        "a suspect is not in the way: {open}"
    );
    let reclaimed = client.start(&json!({"userId": "full"}));
    assert_eq!(reclaimed.status, 201, "{reclaimed:?}");
    let replaced = reclaimed.json()["replaced"].clone();
    assert_eq!(replaced, json!([holders[1]]), "the longest silent goes");
    let over = beat(&holders[1]);
    assert_eq!(
        (over.status, over.code().as_str()),
        (410, "stream-replaced")
    );
    assert_eq!(over.text("by"), reclaimed.text("streamId"));
    let forgiven = beat(&holders[2]);
    assert_eq!(
        forgiven.status, 200,
        "a suspect that speaks is live: {forgiven:?}"
    );

    wait_until("both leases are over", SOON, || {
        let gone = |user| listing(&client, user)["active"] == 0;
        (gone("comes-back") && gone("comes-late")).then_some(())
    });
    let resumed = beat(&back);
    assert_eq!(resumed.status, 200, "{resumed:?}");
    assert_eq!(resumed.json()["resumed"], true);
    for _ in 0..3 {
        start("comes-late");
    }
    let expired = beat(&late);
    assert_eq!(
        (expired.status, expired.code().as_str()),
        (410, "stream-expired")
    );
    let metrics = client.get("/metrics").body;
    assert!(metrics.contains("streamgate_streams_ended_total{cause=\"expired\"}"));
}

#[test]
fn a_stream_of_the_seeds_route_is_never_suspect() {
    let server = impatient();
    let client = server.client();
    for _ in 0..3 {
        assert_eq!(client.post("/stream", &json!({"userId": "1"})).status, 201);
    }
    let marker = client.admitted(&json!({"userId": "2"}));
    wait_until("a stream of v1 has expired meanwhile", SOON, || {
        (listing(&client, "2")["active"] == 0).then_some(())
    });
    assert_eq!(states(&client, "1"), ["live", "live", "live"]);
    assert_eq!(client.post("/stream", &json!({"userId": "1"})).status, 403);
    assert_eq!(client.start(&json!({"userId": "1"})).status, 409);
    assert_eq!(
        client
            .poke(&format!("/v1/streams/{marker}/heartbeat"))
            .status,
        200
    );
}

#[test]
fn a_viewer_who_beats_for_longer_than_a_lease_outlives_a_crash() {
    let mut server = impatient();
    let client = server.client();
    let viewer = client.admitted(&json!({"userId": "viewer"}));
    let path = format!("/v1/streams/{viewer}/heartbeat");
    client.admitted(&json!({"userId": "silent"}));
    wait_until("a lease without heartbeats is over", SOON, || {
        assert_eq!(client.poke(&path).status, 200);
        (listing(&client, "silent")["active"] == 0).then_some(())
    });
    // Heartbeats are not on disk; how late it is, is: with this start.
    client.admitted(&json!({"userId": "other"}));
    server.kill9();
    let server = server.restart();
    let client = server.client();
    assert_eq!(client.streams_of("viewer"), [viewer]);
    let beat = client.poke(&path);
    assert_eq!(beat.status, 200, "{beat:?}");
    assert_eq!(
        beat.json()["resumed"],
        false,
        "the place was never given up"
    );
}

#[test]
fn a_server_that_stood_still_for_longer_than_a_lease_expires_nobody() {
    let server = impatient();
    let client = server.client();
    let ids: Vec<String> = (0..3)
        .map(|_| client.admitted(&json!({"userId": "1"})))
        .collect();
    server.signal(Signal::STOP);
    let_pass(Duration::from_secs(LEASE_SECONDS + 2));
    server.signal(Signal::CONT);

    let client = server.client();
    assert_eq!(client.streams_of("1"), ids, "nobody was thrown out");
    assert_eq!(states(&client, "1"), ["live"; 3]);
    assert_eq!(client.start(&json!({"userId": "1"})).status, 409);
    for id in ids {
        let answer = client.poke(&format!("/v1/streams/{id}/heartbeat"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["resumed"], false);
    }
}
