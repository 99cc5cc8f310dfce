//! Players that are told without asking how their streams end.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Events, SOON, Server, Setup, wait_until};

/// Sooner than the next comment, by whose failure anybody would notice that a client is gone.
const BEFORE_A_COMMENT: Duration = Duration::from_secs(10);

/// How many watch, as the metrics say.
fn watchers(server: &Server) -> u64 {
    let page = server.client().get("/metrics").body;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("streamgate_watchers "));
    line.expect("it is there").parse().expect("a number")
}

#[track_caller]
fn wait_for_watchers(server: &Server, count: u64, within: Duration) {
    wait_until(&format!("{count} watch"), within, || {
        (watchers(server) == count).then_some(())
    });
}

#[test]
fn a_player_is_told_how_its_stream_ended() {
    let server = Server::start();
    let client = server.client();
    let tv = json!({"userId": "ann", "device": {"id": "tv"}});
    for how in ["replace", "evict", "stop"] {
        let id = client.admitted(&tv);
        let events = Events::live(server.address(), &id);
        let (code, by) = match how {
            "replace" => ("stream-replaced", Some(client.admitted(&tv))),
            "evict" => {
                let evicted = client.delete("/v1/users/ann/streams");
                assert_eq!(evicted.status, 204);
                ("stream-evicted", None)
            }
            _ => {
                let stopped = client.delete(&format!("/v1/streams/{id}"));
                assert_eq!(stopped.status, 204);
                ("stream-stopped", None)
            }
        };
        let told = events.ending();
        assert_eq!(told["code"], code);
        assert_eq!(told["by"], json!(by));
        // A heartbeat is answered the same.
        let beat = client.poke(&format!("/v1/streams/{id}/heartbeat"));
        assert_eq!((beat.status, beat.json()), (410, told));
    }
    wait_for_watchers(&server, 0, BEFORE_A_COMMENT);
}

#[test]
fn a_player_that_fell_silent_is_told_when_its_lease_is_over() {
    let server = Setup::new()
        .set("HEARTBEAT_INTERVAL_SECONDS", 5)
        .set("HEARTBEAT_LEASE_SECONDS", 10)
        .start();
    let id = server.client().admitted(&json!({"userId": "ann"}));
    let events = Events::live(server.address(), &id);
    assert_eq!(events.ending()["code"], "stream-expired");
    let beat = server.client().poke(&format!("/v1/streams/{id}/heartbeat"));
    assert_eq!(beat.json()["resumed"], true, "{beat:?}");
}

#[test]
fn a_client_that_is_gone_watches_no_more() {
    let server = Server::start();
    let id = server.client().admitted(&json!({"userId": "ann"}));
    let events = Events::live(server.address(), &id);
    let others = Events::live(server.address(), &id);
    assert_eq!(watchers(&server), 2);
    drop(events);
    wait_for_watchers(&server, 1, BEFORE_A_COMMENT);
    drop(others);
    wait_for_watchers(&server, 0, BEFORE_A_COMMENT);
}

#[test]
fn a_service_that_stops_lets_those_go_who_watch() {
    let mut server = Setup::new().set("HTTP_DRAIN_SECONDS", 600).start();
    let id = server.client().admitted(&json!({"userId": "ann"}));
    let mut all: Vec<Events> = (0..3)
        .map(|_| Events::live(server.address(), &id))
        .collect();
    server.signal(Signal::TERM);
    for events in &mut all {
        let (name, millis) = events.next().expect("a last word");
        assert_eq!(name, "retry");
        assert!((1000..5000).contains(&millis.parse::<u64>().expect("a number")));
        assert_eq!(events.next(), None);
    }
    assert!(server.wait().success());
}

#[test]
fn more_than_may_watch_are_refused_and_heartbeats_still_get_in() {
    let server = Setup::new().set("HTTP_CONNECTIONS_MAX", 8).start();
    let client = server.client();
    let ids: Vec<String> = (0..7)
        .map(|user| client.admitted(&json!({"userId": format!("u{user}")})))
        .collect();
    let mut open: Vec<Events> = ids[..6]
        .iter()
        .map(|id| Events::live(server.address(), id))
        .collect();
    let refused = Events::try_open(server.address(), &ids[6]).err();
    assert_eq!(refused.as_deref(), Some("HTTP/1.1 503 Service Unavailable"));
    for id in &ids {
        let beat = client.poke(&format!("/v1/streams/{id}/heartbeat"));
        assert_eq!(beat.status, 200, "{beat:?}");
    }
    open.pop();
    wait_until("there is room", SOON, || {
        Events::try_open(server.address(), &ids[6]).ok()
    });
}
