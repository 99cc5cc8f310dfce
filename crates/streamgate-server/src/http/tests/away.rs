//! What players and gateways are told while the store is away, and when it lost what it had.

use serde_json::{Value, json};
use streamgate_core::Timestamp;
use streamgate_store::EngineTime;

use super::trust::body_of;
use super::*;

/// Nodes with this have keys in common.
const SHARED: &str = "store = 'redis'\nstore_url = 'redis://localhost'\n\
                      locator_key = '00112233445566778899aabbccddeeff'\n";

fn node(more: &str) -> World {
    let text = format!("{SHARED}{more}");
    let sources = Sources {
        file: Some(("test.toml".as_ref(), &text)),
        ..Sources::default()
    };
    World::with(&Config::load(sources).expect("it is right").0)
}

/// Starts a stream: its heartbeat, its token, and all of the answer.
async fn started(world: &World, device: &str) -> (String, String, Value) {
    let body = json!({"userId": "ann", "device": {"id": device, "name": device}}).to_string();
    let answer = world.call("POST /v1/streams", &body).await;
    assert_eq!(answer.status(), 201);
    let answer = body_of(answer).await;
    let text = |name: &str| answer[name].as_str().expect("it is there").to_owned();
    let beat = format!("POST /v1/streams/{}/heartbeat", text("streamId"));
    (beat, text("token"), answer)
}

async fn holders(world: &World) -> Vec<String> {
    let page = body_of(world.call("GET /v1/users/ann/streams", "").await).await;
    let streams = page["streams"].as_array().expect("a list").iter();
    let names = streams.map(|it| it["device"]["name"].as_str().expect("a name").to_owned());
    names.collect()
}

#[tokio::test]
async fn while_the_store_is_away_who_has_a_token_plays_on_and_nobody_starts() {
    let world = node("");
    let (beat, token, _) = started(&world, "tv").await;
    world.store.set_down(true);
    world.wait(20.0);
    let forgiven = world.call(&format!("{beat}?t={token}"), "").await;
    assert_eq!(forgiven.status(), 200);
    let forgiven = body_of(forgiven).await;
    assert_eq!(forgiven["provisional"], true);
    assert_eq!(
        forgiven.get("token"),
        None,
        "the old one is the proof still"
    );
    assert_eq!(world.code(&beat, "").await, "503 store-unavailable");
    assert_eq!(
        world.code("POST /v1/streams", r#"{"userId":"ann"}"#).await,
        "503 store-unavailable"
    );
    assert_eq!(world.code("GET /readyz", "").await, "503 store-unavailable");
    assert_eq!(
        world.code(&format!("GET /v1/check?t={token}"), "").await,
        "200"
    );

    world.store.set_down(false);
    let renewed = body_of(world.call(&format!("{beat}?t={token}"), "").await).await;
    assert_eq!(renewed.get("provisional"), None);
    // A token is a proof for nine minutes.
    world.wait(540.0);
    world.store.set_down(true);
    assert_eq!(
        world.code(&format!("{beat}?t={token}"), "").await,
        "503 store-unavailable"
    );
}

#[tokio::test]
async fn where_starts_are_admitted_meanwhile_they_compete_for_a_place_later() {
    let world = node("on_store_failure = 'admit'\nlimit = 1");
    world.store.set_down(true);
    let (tv, tv_token, tv_answer) = started(&world, "tv").await;
    let (web, web_token, _) = started(&world, "web").await;
    assert_eq!(tv_answer["provisional"], true);
    assert_eq!(tv_answer["active"], 1);
    world.store.set_down(false);
    world.wait(20.0);

    let entered = body_of(world.call(&format!("{tv}?t={tv_token}"), "").await).await;
    assert_eq!(
        (&entered["resumed"], entered.get("provisional")),
        (&json!(true), None)
    );
    let denied = world.call(&format!("{web}?t={web_token}"), "").await;
    assert_eq!(denied.status(), 410);
    let denied = body_of(denied).await;
    assert_eq!(denied["code"], "stream-limit-reached");
    assert_eq!(denied["status"], 410);
    assert_eq!(denied["holders"][0]["device"]["name"], "tv");
    // What it has now is a place like any other's.
    let token = entered["token"].as_str().expect("a new one");
    assert_eq!(world.code(&format!("{tv}?t={token}"), "").await, "200");
}

#[tokio::test]
async fn what_the_store_lost_comes_back_oldest_first_with_its_devices_name() {
    let before = node("limit = 2");
    let (tv, tv_token, _) = started(&before, "tv").await;
    before.wait(1.0);
    let (web, web_token, _) = started(&before, "web").await;

    // Another node, over a store in which nothing is; somebody starts there first.
    let after = node("limit = 2");
    after.wait(2.0);
    started(&after, "phone").await;
    for (beat, token) in [(&web, &web_token), (&tv, &tv_token)] {
        let back = after.call(&format!("{beat}?t={token}"), "").await;
        assert_eq!(back.status(), 200);
        assert_eq!(body_of(back).await["resumed"], true);
    }
    assert_eq!(holders(&after).await, ["tv", "web"], "the phone came last");
    assert_eq!(after.code(&tv, "").await, "200");
}

#[tokio::test]
async fn a_back_end_may_bring_its_players_tokens_and_none_is_good_for_another_stream() {
    let before = node("");
    let (tv, tv_token, tv_answer) = started(&before, "tv").await;
    let (_, web_token, web_answer) = started(&before, "web").await;
    let after = node("");
    let body = |token: &str| json!({"token": token}).to_string();
    assert_eq!(
        after.code(&tv, &body(&web_token)).await,
        "404 stream-unknown"
    );
    assert_eq!(
        after.code(&tv, &body("no.token.atall")).await,
        "404 stream-unknown"
    );
    assert_eq!(after.code(&tv, &body(&tv_token)).await, "200");

    let batch = json!({"heartbeats": [
        {"streamId": tv_answer["streamId"]},
        {"streamId": web_answer["streamId"]},
        {"streamId": web_answer["streamId"], "token": tv_token},
        {"streamId": web_answer["streamId"], "token": web_token},
    ]});
    let answer = after.call("POST /v1/heartbeats", &batch.to_string()).await;
    let results = body_of(answer).await["results"].clone();
    let statuses: Vec<_> = results
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["status"])
        .collect();
    assert_eq!(statuses, [200, 404, 404, 200]);
    assert_eq!(holders(&after).await, ["tv", "web"]);
}

#[tokio::test]
async fn a_machine_whose_clock_is_not_the_engines_gets_no_requests() {
    let world = node("");
    let wall = world.clock.wall().as_millis();
    let show = |ahead: i64| {
        let ms = wall.saturating_add_signed(ahead);
        world.store.show_time(EngineTime {
            earliest: Timestamp::from_millis(ms),
            latest: Timestamp::from_millis(ms + 5),
        });
    };
    for (ahead, expected) in [
        (0, "200"),
        (1000, "200"),
        (1001, "503 store-unavailable"),
        (-1005, "200"),
        (-1006, "503 store-unavailable"),
    ] {
        show(ahead);
        assert_eq!(world.code("GET /readyz", "").await, expected, "{ahead} ms");
    }
}

#[tokio::test]
async fn who_can_prove_a_stream_that_the_store_lost_is_asked_to_listen_again() {
    let (beat, token, _) = started(&node(""), "tv").await;
    let after = node("");
    let line = beat.replace("POST", "GET").replace("/heartbeat", "/events");
    assert_eq!(after.code(&line, "").await, "404 stream-unknown");
    let answer = after.call(&format!("{line}?t={token}"), "").await;
    assert_eq!(answer.status(), 200);
    let events = answer.into_body().collect().await.expect("an end");
    let events = String::from_utf8(events.to_bytes().to_vec()).expect("text");
    assert!(
        events.starts_with("retry: ") && events.lines().count() == 2,
        "{events:?}"
    );
}
