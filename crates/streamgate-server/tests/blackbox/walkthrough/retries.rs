//! Promise 6: retries are harmless.

use std::sync::Barrier;
use std::thread;

use http::Method;
use serde_json::json;

use crate::support::{Answer, Client, Server};

fn start_with_key(client: &Client, user: &str, key: &str) -> Answer {
    let call = client.call(Method::POST, "/v1/streams");
    call.header("idempotency-key", key)
        .json(&json!({"userId": user}))
        .send()
}

#[test]
fn the_same_start_again_is_the_same_stream() {
    let server = Server::start();
    let client = server.client();
    let body = json!({"userId": "1", "streamId": "tv-1"});
    let first = client.start(&body);
    let again = client.start(&body);
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json()["startedAt"], again.json()["startedAt"]);
    assert_eq!(again.json()["active"], 1);
    client.admitted(&json!({"userId": "1"}));
    client.admitted(&json!({"userId": "1"}));
    assert_eq!(client.start(&body).status, 200, "at the limit too");
    let other = client.start(&json!({"userId": "2", "streamId": "tv-1"}));
    assert_eq!(
        other.status, 201,
        "another user's stream of that name is another stream"
    );
}

#[test]
fn an_idempotency_key_names_one_stream_of_its_user() {
    let server = Server::start();
    let client = server.client();
    let first = start_with_key(&client, "1", "try-1");
    let again = start_with_key(&client, "1", "try-1");
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.text("streamId"), again.text("streamId"));
    let other_key = start_with_key(&client, "1", "try-2");
    let other_user = start_with_key(&client, "2", "try-1");
    assert_eq!((other_key.status, other_user.status), (201, 201));
    assert_ne!(first.text("streamId"), other_key.text("streamId"));
    assert_ne!(first.text("streamId"), other_user.text("streamId"));

    let path = format!("/v1/streams/{}", first.text("streamId"));
    assert_eq!(client.delete(&path).status, 204);
    let late = start_with_key(&client, "1", "try-1");
    assert_eq!((late.status, late.code().as_str()), (410, "stream-stopped"));
    let own = client
        .call(Method::POST, "/v1/streams")
        .header("idempotency-key", "try-3");
    let own = own.json(&json!({"userId": "1", "streamId": "own"})).send();
    assert_eq!(
        own.text("streamId"),
        "own",
        "the client's own id goes before the key"
    );
}

#[test]
fn fifty_deliveries_at_once_of_one_start_are_one_stream() {
    let server = Server::start();
    for round in 0..10 {
        let user = format!("user-{round}");
        let barrier = Barrier::new(50);
        let answers: Vec<Answer> = thread::scope(|scope| {
            let threads: Vec<_> = (0..50)
                .map(|_| {
                    let (client, barrier, user) = (server.client(), &barrier, &user);
                    scope.spawn(move || {
                        barrier.wait();
                        start_with_key(&client, user, "same")
                    })
                })
                .collect();
            let answers = threads.into_iter().map(|thread| thread.join());
            answers.map(|it| it.expect("no thread fails")).collect()
        });
        let count = |status| answers.iter().filter(|it| it.status == status).count();
        assert_eq!((count(201), count(200)), (1, 49), "round {round}");
        let listed = server.client().streams_of(&user);
        assert_eq!(listed.len(), 1);
        assert!(
            answers
                .iter()
                .all(|answer| answer.text("streamId") == listed[0])
        );
    }
}

#[test]
fn a_stop_that_overtakes_its_start_wins() {
    let server = Server::start();
    let client = server.client();
    assert_eq!(client.delete("/v1/streams/late?userId=1").status, 204);
    let start = client.start(&json!({"userId": "1", "streamId": "late"}));
    assert_eq!(
        (start.status, start.code().as_str()),
        (410, "stream-stopped")
    );
    assert_eq!(client.streams_of("1"), [""; 0]);
}
