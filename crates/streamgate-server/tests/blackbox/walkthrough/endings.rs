//! How streams end, and what their players are told.

use http::Method;
use serde_json::json;

use crate::support::{Answer, Client, Server};

fn beat(client: &Client, id: &str) -> Answer {
    client.poke(&format!("/v1/streams/{id}/heartbeat"))
}

#[test]
fn a_stop_is_always_204_whatever_it_carries() {
    let server = Server::start();
    let client = server.client();
    let start = || client.admitted(&json!({"userId": "1"}));
    let id = start();
    for _ in 0..3 {
        let stopped = client.delete(&format!("/v1/streams/{id}"));
        assert_eq!((stopped.status, stopped.body.as_str()), (204, ""));
    }
    for (kind, body) in [
        ("text/plain;charset=UTF-8", "left the page"),
        ("application/json", "{not json"),
        ("application/octet-stream", "\0\u{1}\u{2}"),
        ("application/json", ""),
    ] {
        let id = start();
        let path = format!("/v1/streams/{id}/stop");
        for _ in 0..2 {
            let call = client
                .call(Method::POST, &path)
                .header("content-type", kind);
            assert_eq!(call.body(body).send().status, 204, "{kind} {body:?}");
        }
        let over = beat(&client, &id);
        assert_eq!((over.status, over.code().as_str()), (410, "stream-stopped"));
    }
    let unknown = "/v1/streams/6f3b1c2e-8a4d-8f00-9d7e-3b2a1c0d4e5f";
    assert_eq!(client.delete(unknown).status, 204);
    assert_eq!(client.delete("/v1/streams/never-seen").status, 204);
    assert_eq!(client.streams_of("1"), [""; 0]);
}

#[test]
fn a_stopped_stream_frees_its_place_at_once() {
    let server = Server::start();
    let client = server.client();
    let body = json!({"userId": "1"});
    let mut ids: Vec<String> = (0..3).map(|_| client.admitted(&body)).collect();
    for _ in 0..20 {
        assert_eq!(client.start(&body).status, 409);
        let oldest = ids.remove(0);
        assert_eq!(
            client.poke(&format!("/v1/streams/{oldest}/stop")).status,
            204
        );
        ids.push(client.admitted(&body));
    }
    assert_eq!(client.streams_of("1"), ids);
}

#[test]
fn every_ending_has_its_own_code() {
    let server = Server::start();
    let client = server.client();
    let id = |answer: Answer| answer.text("streamId");
    let start = |user: &str| client.admitted(&json!({"userId": user}));

    let stopped = start("1");
    client.delete(&format!("/v1/streams/{stopped}"));
    let replaced = start("1");
    let by = id(client.start(&json!({"userId": "1", "replace": [replaced]})));
    let one = start("1");
    assert_eq!(
        client.delete(&format!("/v1/users/1/streams/{one}")).status,
        204
    );
    for (id, code) in [
        (&stopped, "stream-stopped"),
        (&replaced, "stream-replaced"),
        (&one, "stream-evicted"),
    ] {
        let over = beat(&client, id);
        assert_eq!((over.status, over.code().as_str()), (410, code));
        let again = client.start(&json!({"userId": "1", "streamId": id}));
        assert_eq!(
            (again.status, again.code().as_str()),
            (410, code),
            "no retry brings it back"
        );
    }
    assert_eq!(beat(&client, &replaced).text("by"), by);

    let (a, b, other) = (start("2"), start("2"), start("3"));
    assert_eq!(client.delete("/v1/users/2/streams").status, 204);
    assert_eq!(client.delete("/v1/users/2/streams").status, 204);
    assert_eq!(client.delete("/v1/users/nobody/streams").status, 204);
    assert_eq!(beat(&client, &a).code(), "stream-evicted");
    assert_eq!(beat(&client, &b).code(), "stream-evicted");
    assert_eq!(
        beat(&client, &other).status,
        200,
        "another user's stream is not touched"
    );
}

#[test]
fn nobody_touches_the_stream_of_another() {
    let server = Server::start();
    let client = server.client();
    let mine = client.admitted(&json!({"userId": "me"}));
    client.admitted(&json!({"userId": "me", "streamId": "tv"}));
    client.admitted(&json!({"userId": "you", "streamId": "tv"}));
    for path in [
        format!("/v1/streams/{mine}?userId=you"),
        format!("/v1/users/you/streams/{mine}"),
        "/v1/streams/tv".into(),
    ] {
        assert_eq!(client.delete(&path).status, 204, "{path}");
    }
    let beat = client.poke(&format!("/v1/users/you/streams/{mine}/heartbeat"));
    assert_eq!(
        beat.status, 410,
        "the stop above is remembered as this user's own: {beat:?}"
    );
    assert_eq!(client.poke("/v1/streams/tv/heartbeat").status, 404);
    let replace = client.start(&json!({"userId": "you", "replace": [mine]}));
    assert_eq!(replace.json()["replaced"], json!([]));
    assert_eq!(client.streams_of("me"), [mine, "tv".into()]);
}

#[test]
fn a_clients_own_id_is_found_below_its_user_or_with_the_user() {
    let server = Server::start();
    let client = server.client();
    for (heartbeat, stop) in [
        (
            "/v1/streams/tv-1/heartbeat?userId=a%20b",
            "/v1/streams/tv-1/stop?userId=a%20b",
        ),
        (
            "/v1/streams/tv-2/heartbeat?userId=a+b",
            "/v1/streams/tv-2/stop?userId=a+b",
        ),
        (
            "/v1/users/a%20b/streams/tv-3/heartbeat",
            "/v1/users/a%20b/streams/tv-3/stop",
        ),
    ] {
        let id = &heartbeat[heartbeat.find("tv-").expect("it has one")..][..4];
        client.admitted(&json!({"userId": "a b", "streamId": id}));
        assert_eq!(client.poke(heartbeat).status, 200, "{heartbeat}");
        assert_eq!(client.poke(stop).status, 204, "{stop}");
        let over = client.poke(heartbeat);
        assert_eq!((over.status, over.code().as_str()), (410, "stream-stopped"));
    }
    client.admitted(&json!({"userId": "a b", "streamId": "tv-4"}));
    assert_eq!(client.delete("/v1/streams/tv-4?userId=a%20b").status, 204);
    assert_eq!(client.streams_of("a%20b"), [""; 0]);
}
