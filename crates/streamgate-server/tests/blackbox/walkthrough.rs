//! The API as its documentation tells it, from a first start to the last stop.

mod batch;
mod endings;
mod limits;
mod protocol;
mod retries;

use expect_test::expect;
use http::Method;
use serde_json::json;

use crate::support::{Answer, Client, Names, Server, Setup};

/// A start as a player sends it.
fn play(client: &Client, device: &str) -> Answer {
    client.start(&json!({
        "userId": "123456789",
        "device": {"id": format!("{device}-9"), "name": format!("My {device}"), "type": device},
        "contentId": format!("movie-{device}"),
    }))
}

#[test]
fn a_start_is_answered_with_its_terms() {
    let server = Server::start();
    let client = server.client();
    let mut names = Names::default();
    expect![[r#"
        201
        content-type: application/json
        cache-control: no-store
        location: /v1/streams/<id 1>
        ratelimit-policy: "streams";q=3
        ratelimit: "streams";r=2;t=<seconds>
        {
          active: 1
          cmcd: {"intervalSeconds":20,"sid":"<id 1>","url":"/v1/cmcd?t=<token>"}
          expiresAt: "<time>"
          heartbeat: {"intervalSeconds":20,"leaseSeconds":90}
          limit: 3
          replaced: []
          resumed: false
          startedAt: "<time>"
          state: "live"
          streamId: "<id 1>"
          token: "<token>"
          userId: "123456789"
        }
    "#]]
    .assert_eq(&names.show_all(&play(&client, "tv")));
    play(&client, "tablet");
    expect![[r#"
        201
        content-type: application/json
        cache-control: no-store
        location: /v1/streams/<id 2>
        ratelimit-policy: "streams";q=3
        ratelimit: "streams";r=0;t=<seconds>
        {
          active: 3
          cmcd: {"intervalSeconds":20,"sid":"<id 2>","url":"/v1/cmcd?t=<token>"}
          expiresAt: "<time>"
          heartbeat: {"intervalSeconds":20,"leaseSeconds":90}
          limit: 3
          replaced: []
          resumed: false
          startedAt: "<time>"
          state: "live"
          streamId: "<id 2>"
          token: "<token>"
          userId: "123456789"
        }
    "#]]
    .assert_eq(&names.show_all(&play(&client, "phone")));
    let listed = client.get("/v1/users/123456789/streams");
    expect![[r#"
        200
        content-type: application/json
        cache-control: no-store
        {
          active: 3
          limit: 3
          streams: [
            {"contentId":"movie-tv","device":{"id":"tv-9","name":"My tv","type":"tv"},"expiresAt":"<time>","lastHeardAt":"<time>","playback":"playing","startedAt":"<time>","state":"live","streamId":"<id 1>"}
            {"contentId":"movie-tablet","device":{"id":"tablet-9","name":"My tablet","type":"tablet"},"expiresAt":"<time>","lastHeardAt":"<time>","playback":"playing","startedAt":"<time>","state":"live","streamId":"<id 3>"}
            {"contentId":"movie-phone","device":{"id":"phone-9","name":"My phone","type":"phone"},"expiresAt":"<time>","lastHeardAt":"<time>","playback":"playing","startedAt":"<time>","state":"live","streamId":"<id 2>"}
          ]
          userId: "123456789"
        }
    "#]].assert_eq(&names.show_all(&listed));
}

#[test]
fn a_fourth_start_is_told_who_is_in_the_way_and_when_to_try_again() {
    let server = Server::start();
    let client = server.client();
    let mut names = Names::default();
    for device in ["tv", "tablet", "phone"] {
        play(&client, device);
    }
    let denied = play(&client, "projector");
    expect![[r#"
        409
        content-type: application/problem+json
        cache-control: no-store
        ratelimit-policy: "streams";q=3
        ratelimit: "streams";r=0;t=<seconds>
        retry-after: <seconds>
        {
          code: "stream-limit-reached"
          detail: "3 of 3 streams are live"
          holders: [
            {"contentId":"movie-tv","device":{"id":"tv-9","name":"My tv","type":"tv"},"expiresAt":"<time>","lastHeardAt":"<time>","playback":"playing","startedAt":"<time>","state":"live","streamId":"<id 1>"}
            {"contentId":"movie-tablet","device":{"id":"tablet-9","name":"My tablet","type":"tablet"},"expiresAt":"<time>","lastHeardAt":"<time>","playback":"playing","startedAt":"<time>","state":"live","streamId":"<id 2>"}
            {"contentId":"movie-phone","device":{"id":"phone-9","name":"My phone","type":"phone"},"expiresAt":"<time>","lastHeardAt":"<time>","playback":"playing","startedAt":"<time>","state":"live","streamId":"<id 3>"}
          ]
          limit: 3
          retryAfterSeconds: "<seconds>"
          status: 409
          title: "The user plays as many streams as allowed"
          type: "urn:streamgate:problem:stream-limit-reached"
        }
    "#]].assert_eq(&names.show_all(&denied));
    let retry_after = denied.json()["retryAfterSeconds"].as_u64();
    let retry_after = retry_after.expect("a number");
    assert!(
        (1..=31).contains(&retry_after),
        "1.5 heartbeats: {denied:?}"
    );
    let header = retry_after.to_string();
    assert_eq!(denied.header("retry-after"), Some(header.as_str()));
}

#[test]
fn a_viewer_chooses_what_ends_for_the_new_stream() {
    let server = Server::start();
    let client = server.client();
    let mut names = Names::default();
    let first = play(&client, "tv").text("streamId");
    play(&client, "tablet");
    play(&client, "phone");
    let chosen = client.start(&json!({"userId": "123456789", "replace": [first]}));
    expect![[r#"
        201
        {
          active: 3
          cmcd: {"intervalSeconds":20,"sid":"<id 1>","url":"/v1/cmcd?t=<token>"}
          expiresAt: "<time>"
          heartbeat: {"intervalSeconds":20,"leaseSeconds":90}
          limit: 3
          replaced: [
            "<id 2>"
          ]
          resumed: false
          startedAt: "<time>"
          state: "live"
          streamId: "<id 1>"
          token: "<token>"
          userId: "123456789"
        }
    "#]]
    .assert_eq(&names.show(&chosen));
    let over = client.poke(&format!("/v1/streams/{first}/heartbeat"));
    expect![[r#"
        410
        content-type: application/problem+json
        cache-control: no-store
        {
          by: "<id 1>"
          code: "stream-replaced"
          detail: "start again with a new streamId to go on"
          status: 410
          title: "A newer stream took the place"
          type: "urn:streamgate:problem:stream-replaced"
        }
    "#]]
    .assert_eq(&names.show_all(&over));
    let listed = client.streams_of("123456789");
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[2], chosen.text("streamId"));
}

#[test]
fn the_same_device_and_replace_oldest_never_wait() {
    let server = Server::start();
    let client = server.client();
    let device = |id: &str| client.start(&json!({"userId": "1", "device": {"id": id}}));
    let tv = device("tv").text("streamId");
    let phone = device("phone").text("streamId");
    let tablet = device("tablet").text("streamId");
    let again = device("phone");
    assert_eq!(again.status, 201);
    assert_eq!(again.json()["replaced"], json!([phone]));
    assert_eq!(again.json()["active"], 3);
    // Without an id nobody can tell that it is the same device.
    let unnamed = client.start(&json!({"userId": "1", "device": {"name": "phone"}}));
    assert_eq!(unnamed.status, 409);

    let newest = client.start(&json!({"userId": "1", "onLimit": "replaceOldest"}));
    assert_eq!(newest.status, 201);
    assert_eq!(newest.json()["replaced"], json!([tv]));
    let listed = client.streams_of("1");
    assert_eq!(
        listed,
        [tablet, again.text("streamId"), newest.text("streamId")]
    );
}

#[test]
fn an_admission_check_says_what_a_start_would_meet_and_changes_nothing() {
    let server = Server::start();
    let client = server.client();
    let mut names = Names::default();
    let ask = |query: &str| client.get(&format!("/v1/users/1/admission{query}"));
    expect![[r#"
        200
        {
          active: 0
          admitted: true
          holders: []
          limit: 3
          replaced: []
        }
    "#]]
    .assert_eq(&names.show(&ask("")));
    let body = json!({"userId": "1", "limit": 1, "device": {"id": "tv-9", "name": "TV"}});
    client.admitted(&body);
    let before = names.show(&client.get("/v1/users/1/streams"));
    expect![[r#"
        200
        {
          active: 1
          admitted: false
          holders: [
            {"device":{"id":"tv-9","name":"TV"},"expiresAt":"<time>","lastHeardAt":"<time>","playback":"playing","startedAt":"<time>","state":"live","streamId":"<id 1>"}
          ]
          limit: 1
          replaced: []
          retryAfterSeconds: "<seconds>"
        }
    "#]]
    .assert_eq(&names.show(&ask("?limit=1")));
    expect![[r#"
        200
        {
          active: 1
          admitted: true
          holders: []
          limit: 1
          replaced: [
            "<id 1>"
          ]
        }
    "#]]
    .assert_eq(&names.show(&ask("?limit=1&deviceId=tv-9")));
    assert_eq!(ask("?limit=2").json()["admitted"], true);
    let after = names.show(&client.get("/v1/users/1/streams"));
    assert_eq!(after, before);
}

#[test]
fn a_heartbeat_may_say_what_is_played_and_keeps_the_place() {
    let server = Server::start();
    let client = server.client();
    let mut names = Names::default();
    let id = client.admitted(&json!({"userId": "1", "contentId": "movie-1"}));
    let path = format!("/v1/streams/{id}/heartbeat");
    expect![[r#"
        200
        content-type: application/json
        cache-control: no-store
        ratelimit-policy: "streams";q=3
        ratelimit: "streams";r=2;t=<seconds>
        {
          active: 1
          expiresAt: "<time>"
          heartbeat: {"intervalSeconds":20,"leaseSeconds":90}
          limit: 3
          replaced: []
          resumed: false
          startedAt: "<time>"
          state: "live"
          streamId: "<id 1>"
          userId: "1"
        }
    "#]]
    .assert_eq(&names.show_all(&client.poke(&path)));
    let playing = || {
        let stream = client.get("/v1/users/1/streams").json()["streams"][0].clone();
        format!("{} {}", stream["playback"], stream["contentId"])
    };
    expect![[r#""playing" "movie-1""#]].assert_eq(&playing());
    let beat = client.post(&path, &json!({"state": "paused"}));
    assert_eq!(beat.status, 200);
    expect![[r#""paused" "movie-1""#]].assert_eq(&playing());
    let zap = client.post(
        &path,
        &json!({"state": "playing", "contentId": "channel-2"}),
    );
    assert_eq!(zap.json()["active"], 1);
    expect![[r#""playing" "channel-2""#]].assert_eq(&playing());

    let unknown = client.poke("/v1/streams/6f3b1c2e-8a4d-8f00-9d7e-3b2a1c0d4e5f/heartbeat");
    expect![[r#"
        404
        content-type: application/problem+json
        cache-control: no-store
        {
          code: "stream-unknown"
          detail: "it never existed, or it ended more than 10 minutes ago; an id that the client chose needs ?userId="
          status: 404
          title: "There is no such stream"
          type: "urn:streamgate:problem:stream-unknown"
        }
    "#]].assert_eq(&names.show_all(&unknown));
}

#[test]
fn a_location_leads_to_its_stream() {
    let server = Server::start();
    let client = server.client();
    let users = ["1", "a/b?c#d%", "élan vital", "user@example.com", "..", "+"];
    for user in users {
        for body in [
            json!({"userId": user}),
            json!({"userId": user, "streamId": "own.id~1"}),
        ] {
            let started = client.start(&body);
            assert_eq!(started.status, 201, "{started:?}");
            let location = started.header("location").expect("a location").to_owned();
            let beat = client.poke(&format!("{location}/heartbeat"));
            assert_eq!(beat.status, 200, "{location}: {beat:?}");
            assert_eq!(beat.text("streamId"), started.text("streamId"));
            assert_eq!(beat.text("userId"), user);
            assert_eq!(client.poke(&format!("{location}/stop")).status, 204);
            let over = client.poke(&format!("{location}/heartbeat"));
            assert_eq!(over.code(), "stream-stopped", "{location}");
        }
    }
}

#[test]
fn the_terms_come_from_the_configuration() {
    let server = Setup::new()
        .set("HEARTBEAT_INTERVAL_SECONDS", 7)
        .set("HEARTBEAT_LEASE_SECONDS", 33)
        .set("LIMIT", 2)
        .arg("--log-level")
        .arg("debug")
        .start();
    let client = server.client();
    let started = client.start(&json!({"userId": "1"})).json();
    let terms = json!({"intervalSeconds": 7, "leaseSeconds": 33});
    assert_eq!(started["heartbeat"], terms);
    assert_eq!(started["limit"], 2);
    let silent = client.call(Method::GET, "/livez").send();
    assert_eq!(silent.body, "ok\n");
    assert!(server.log().contains("DEBUG"), "{}", server.log());
}
