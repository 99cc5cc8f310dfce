//! What players are told without asking, and when.

use std::pin::pin;

use axum::body::BodyDataStream;
use expect_test::expect;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::trust::body_of;
use super::*;
use crate::engine::Follower;

/// A player's open events.
struct Events(BodyDataStream);

impl Events {
    /// The next event or comment, as it is on the wire; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        let bytes = self.0.next().await?.expect("no error");
        Some(String::from_utf8(bytes.to_vec()).expect("text"))
    }

    /// Whether there is something new.
    fn is_silent(&mut self) -> bool {
        self.0.next().now_or_never().is_none()
    }

    /// The code of the event that ends it, which is the last.
    async fn ending(mut self) -> String {
        loop {
            let event = self.next().await.expect("not without an ending");
            if let Some(problem) = event.strip_prefix("event: ended\nid: ended\ndata: ") {
                assert_eq!(self.next().await, None);
                let problem: Value = serde_json::from_str(problem.trim()).expect("JSON");
                let by = problem["by"].as_str().map(|by| format!(" by {by}"));
                let code = problem["code"].as_str().expect("a code");
                return format!("{code}{}", by.unwrap_or_default());
            }
        }
    }
}

impl World {
    async fn events(&self, user: &str, stream: &str) -> Events {
        let line = format!("GET /v1/streams/{stream}/events?userId={user}");
        let answer = self.call(&line, "").await;
        assert_eq!(answer.status(), 200);
        Events(answer.into_body().into_data_stream())
    }

    /// The events of a stream that is live.
    async fn live_events(&self, user: &str, stream: &str) -> Events {
        let mut events = self.events(user, stream).await;
        let live = events.next().await.expect("an event");
        assert!(live.starts_with("event: live\n"), "{live}");
        events
    }

    pub(super) async fn watchers(&self) -> String {
        let page = self.call("GET /metrics", "").await.into_body();
        let page = page.collect().await.expect("a page").to_bytes();
        let page = String::from_utf8(page.to_vec()).expect("text");
        let line = page
            .lines()
            .find(|it| it.starts_with("streamgate_watchers "));
        line.expect("it is there").to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_player_hears_how_its_stream_ends_and_nothing_else() {
    let world = World::new();
    for (user, call, expected) in [
        ("a", "replace", "stream-replaced by new"),
        ("b", "DELETE /v1/users/b/streams/s", "stream-evicted"),
        ("c", "DELETE /v1/users/c/streams", "stream-evicted"),
        ("d", "DELETE /v1/streams/s?userId=d", "stream-stopped"),
        ("e", "wait", "stream-expired"),
    ] {
        world.start(user, "s", "tv").await;
        world.start(user, "other", "phone").await;
        let mut events = world.live_events(user, "s").await;
        let mut others = world.live_events(user, "other").await;
        world.beat(user, "s").await;
        assert!(events.is_silent(), "{call}");
        match call {
            "replace" => assert_eq!(world.start(user, "new", "tv").await, "201"),
            "wait" => {
                world.wait(60.0);
                world.beat(user, "other").await;
                world.wait(30.0);
            }
            call => assert_eq!(world.code(call, "").await, "204"),
        }
        assert_eq!(events.ending().await, expected);
        match call {
            "DELETE /v1/users/c/streams" => assert_eq!(others.ending().await, expected),
            "wait" => assert_eq!(others.next().await.as_deref(), Some(": \n\n")),
            call => assert!(others.is_silent(), "{call}"),
        }
    }
    assert_eq!(world.watchers().await, "streamgate_watchers 0");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_the_wire_is_an_event_stream() {
    let world = World::new();
    world.start("ann", "s", "tv").await;
    let answer = world.call("GET /v1/streams/s/events?userId=ann", "").await;
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-accel-buffering"), "no");
    let mut events = Events(answer.into_body().into_data_stream());
    let mut wire = events.next().await.expect("an event");
    wire += &events.next().await.expect("a comment");
    world.start("ann", "new", "tv").await;
    wire += &events.next().await.expect("an event");
    assert_eq!(events.next().await, None);
    expect![[r#"
        event: live
        data: {"state":"live","streamId":"s"}

        : 

        event: ended
        id: ended
        data: {"type":"urn:streamgate:problem:stream-replaced","title":"A newer stream took the place","status":410,"code":"stream-replaced","detail":"start again with a new streamId to go on","by":"new"}

    "#]]
    .assert_eq(&wire);
}

#[tokio::test(start_paused = true)]
async fn who_comes_when_it_is_over_hears_that_once() {
    let world = World::new();
    world.start("ann", "s", "tv").await;
    world.code("DELETE /v1/streams/s?userId=ann", "").await;
    let events = world.events("ann", "s").await;
    assert_eq!(events.ending().await, "stream-stopped");
    let again = |id: &str| {
        let mut again = request("GET /v1/streams/s/events?userId=ann", "");
        let id = id.parse().expect("a value");
        again.headers_mut().insert("last-event-id", id);
        world.send(again)
    };
    assert_eq!(again("ended").await.status(), 204);
    assert_eq!(again("something else").await.status(), 200);
    world.start("ann", "t", "phone").await;
    let mut live = request("GET /v1/streams/t/events?userId=ann", "");
    let id = "ended".parse().expect("a value");
    live.headers_mut().insert("last-event-id", id);
    assert_eq!(world.send(live).await.status(), 200);
    let line = "GET /v1/streams/none/events?userId=ann";
    assert_eq!(world.code(line, "").await, "404 stream-unknown");
    let line = "GET /v1/streams/none/events";
    assert_eq!(world.code(line, "").await, "404 stream-unknown");
    assert_eq!(world.watchers().await, "streamgate_watchers 0");
}

#[tokio::test(start_paused = true)]
async fn a_comment_comes_every_15_seconds_and_after_an_hour_it_is_over() {
    let world = World::new();
    world.start("ann", "s", "tv").await;
    let mut events = world.live_events("ann", "s").await;
    let began = tokio::time::Instant::now();
    for comment in 1..240 {
        assert_eq!(events.next().await.as_deref(), Some(": \n\n"));
        assert_eq!(began.elapsed().as_secs(), comment * 15);
    }
    let last = events.next().await.expect("a word");
    assert!(last.starts_with("retry: "), "{last}");
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_leaves_nothing_behind() {
    let world = World::new();
    world.start("ann", "s", "tv").await;
    let events = world.live_events("ann", "s").await;
    assert_eq!(world.watchers().await, "streamgate_watchers 1");
    drop(events);
    assert_eq!(world.watchers().await, "streamgate_watchers 0");
}

#[tokio::test(start_paused = true)]
async fn more_than_the_bound_are_asked_to_come_later() {
    let text = "store = 'memory'\n[http]\nconnections_max = 4";
    let sources = Sources {
        file: Some(("test.toml".as_ref(), text)),
        ..Sources::default()
    };
    let world = World::with(&Config::load(sources).expect("it is right").0);
    let mut open = Vec::new();
    for user in ["a", "b", "c", "d"] {
        world.start(user, "s", "tv").await;
    }
    for user in ["a", "b", "c"] {
        open.push(world.live_events(user, "s").await);
    }
    let refused = world.call("GET /v1/streams/s/events?userId=d", "").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "30");
    assert_eq!(body_of(refused).await["code"], json!("overloaded"));
    open.pop();
    world.live_events("d", "s").await;
}

#[tokio::test]
async fn where_answers_must_be_whole_there_are_none() {
    let sources = Sources {
        file: Some(("test.toml".as_ref(), "store = 'memory'")),
        ..Sources::default()
    };
    let (config, _) = Config::load(sources).expect("it is right");
    let hosted = |limiter: &Limiter, auth: &Arc<Auth>| {
        let follower = Follower::new(limiter.clone(), None);
        Some(Looks::new(follower, Arc::clone(auth)))
    };
    let world = World::looking(&config, hosted);
    assert_eq!(world.start("ann", "s", "tv").await, "201");
    let line = "GET /v1/streams/s/events?userId=ann";
    assert_eq!(world.code(line, "").await, "404 not-found");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_when_it_matters_is_asked_again() {
    let world = World::new();
    world.start("ann", "s", "tv").await;
    let events = world.live_events("ann", "s").await;
    world.code("DELETE /v1/streams/s?userId=ann", "").await;
    world.store.set_down(true);
    let mut ending = pin!(events.ending());
    let soon = tokio::time::timeout(Duration::from_secs(100), &mut ending).await;
    assert!(soon.is_err(), "nobody knows");
    world.store.set_down(false);
    let soon = tokio::time::timeout(Duration::from_secs(16), ending).await;
    assert_eq!(soon.expect("with the next look"), "stream-stopped");
}

#[tokio::test(start_paused = true)]
async fn while_a_look_takes_its_time_comments_go_on_and_a_drain_ends_it_at_once() {
    let world = World::new();
    world.start("ann", "s", "tv").await;
    let mut events = world.live_events("ann", "s").await;
    world.code("DELETE /v1/streams/s?userId=ann", "").await;
    world.store.pause();
    for _ in 0..3 {
        assert_eq!(events.next().await.as_deref(), Some(": \n\n"));
    }
    world.store.release();
    assert_eq!(events.ending().await, "stream-stopped");

    world.start("ann", "t", "tv").await;
    let mut events = world.live_events("ann", "t").await;
    world.code("DELETE /v1/streams/t?userId=ann", "").await;
    world.store.pause();
    assert!(events.is_silent());
    world.draining.cancel();
    let last = events.next().await.expect("a word");
    assert!(last.starts_with("retry: "), "{last}");
}
