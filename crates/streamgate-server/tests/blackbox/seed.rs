//! The contract of the service that this one grew from, row by row: what its clients see has
//! not changed.

use expect_test::{Expect, expect};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Server, Wire, request};

/// Sends a body as it stands, without saying what it is, and compares the answer to the byte.
#[track_caller]
fn check(client: &Client, method: Method, path: &str, body: &str, expected: &Expect) -> Answer {
    let answer = client.call(method, path).body(body).send();
    let kind = answer.header("content-type").unwrap_or("-").to_owned();
    let mut body = answer.body.clone();
    if let Some(id) = minted(&answer) {
        body = body.replace(&id, "<id>");
    }
    expected.assert_eq(&format!("{} {kind} {body}", answer.status));
    answer
}

/// The id in a 201, if it is a UUID in lower case.
fn minted(answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    let id = body["message"]["streamId"].as_str()?;
    let is_uuid = id.len() == 36 && id.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    is_uuid.then(|| id.to_owned())
}

#[track_caller]
fn start(client: &Client, body: &Value) -> String {
    let answer = client.post("/stream", body);
    assert_eq!(answer.status, 201, "{answer:?}");
    minted(&answer).expect("a minted id")
}

fn stop_body(user: &str, id: &str) -> String {
    json!({"userId": user, "streamId": id}).to_string()
}

#[test]
fn three_posts_start_streams_and_the_fourth_is_refused() {
    let server = Server::start();
    let client = server.client();
    let body = r#"{"userId":"123456789"}"#;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = check(
            &client,
            Method::POST,
            "/stream",
            body,
            &expect![[
                r#"201 application/json {"statusCode":201,"message":{"streamId":"<id>","userId":"123456789"}}"#
            ]],
        );
        ids.extend(minted(&answer));
    }
    check(
        &client,
        Method::POST,
        "/stream",
        body,
        &expect![[
            r#"403 application/json {"statusCode":403,"message":{"error":"Unable to start a new stream, maximum limit reached"}}"#
        ]],
    );
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "every stream has an id of its own");
    check(
        &client,
        Method::DELETE,
        "/stream",
        &stop_body("123456789", &ids[0]),
        &expect!["204 - "],
    );
    assert_eq!(client.streams_of("123456789").len(), 2);
    start(&client, &json!({"userId": "123456789"}));
}

#[test]
fn a_post_without_a_user_is_refused() {
    let server = Server::start();
    let client = server.client();
    for body in [
        "{}",
        r#"{"userId":""}"#,
        r#"{"userId":0}"#,
        r#"{"userId":null}"#,
        r#"{"userId":false}"#,
        r#"{"userid":"123456789"}"#,
    ] {
        check(
            &client,
            Method::POST,
            "/stream",
            body,
            &expect![[
                r#"400 application/json {"statusCode":400,"message":{"error":"Request missing userId"}}"#
            ]],
        );
    }
}

#[test]
fn a_number_is_echoed_as_a_number_and_is_the_same_user_as_its_text() {
    let server = Server::start();
    let client = server.client();
    check(
        &client,
        Method::POST,
        "/stream",
        r#"{"userId":12345}"#,
        &expect![[
            r#"201 application/json {"statusCode":201,"message":{"streamId":"<id>","userId":12345}}"#
        ]],
    );
    check(
        &client,
        Method::POST,
        "/stream",
        r#"{"userId":"12345"}"#,
        &expect![[
            r#"201 application/json {"statusCode":201,"message":{"streamId":"<id>","userId":"12345"}}"#
        ]],
    );
    assert_eq!(client.streams_of("12345").len(), 2);
    let id = start(&client, &json!({"userId": 12345}));
    check(
        &client,
        Method::POST,
        "/stream",
        r#"{"userId":"12345"}"#,
        &expect![[
            r#"403 application/json {"statusCode":403,"message":{"error":"Unable to start a new stream, maximum limit reached"}}"#
        ]],
    );
    check(
        &client,
        Method::DELETE,
        "/stream",
        &json!({"userId": 12345, "streamId": id}).to_string(),
        &expect!["204 - "],
    );
}

#[test]
fn a_stage_may_stand_before_the_path() {
    let server = Server::start();
    let client = server.client();
    let answer = check(
        &client,
        Method::POST,
        "/dev/stream",
        r#"{"userId":"1"}"#,
        &expect![[
            r#"201 application/json {"statusCode":201,"message":{"streamId":"<id>","userId":"1"}}"#
        ]],
    );
    let id = minted(&answer).expect("a minted id");
    check(
        &client,
        Method::DELETE,
        "/prod/stream",
        &stop_body("1", &id),
        &expect!["204 - "],
    );
    let answer = client
        .call(Method::POST, "/a/b/stream")
        .body(r#"{"userId":"1"}"#)
        .send();
    assert_eq!(answer.status, 404, "two segments are no stage: {answer:?}");
}

#[test]
fn a_delete_of_anything_but_an_own_live_stream_is_not_found() {
    let server = Server::start();
    let client = server.client();
    let id = start(&client, &json!({"userId": "mine"}));
    let other = start(&client, &json!({"userId": "other"}));
    let unknown = "6f3b1c2e-8a4d-8f00-9d7e-3b2a1c0d4e5f";
    let stopped = start(&client, &json!({"userId": "mine"}));
    let answer = client.call(Method::DELETE, "/stream");
    assert_eq!(answer.body(stop_body("mine", &stopped)).send().status, 204);
    for body in [
        stop_body("mine", &stopped),
        stop_body("mine", unknown),
        stop_body("mine", "never-seen"),
        stop_body("mine", &other),
        stop_body("nobody", &id),
        stop_body("", &id),
        stop_body("mine", ""),
        stop_body("mine", "no stream id!"),
        json!({"userId": "mine"}).to_string(),
        json!({"streamId": id}).to_string(),
        json!({"userId": 0, "streamId": id}).to_string(),
        json!({"userId": null, "streamId": null}).to_string(),
        json!({}).to_string(),
    ] {
        check(
            &client,
            Method::DELETE,
            "/stream",
            &body,
            &expect![[
                r#"404 application/json {"statusCode":404,"message":{"error":"Stream not found"}}"#
            ]],
        );
    }
    assert_eq!(client.streams_of("mine"), [id]);
    assert_eq!(client.streams_of("other"), [other]);
}

#[test]
fn a_body_that_is_no_json_is_a_clear_400_in_the_envelope() {
    let server = Server::start();
    let client = server.client();
    for method in [Method::POST, Method::DELETE] {
        check(
            &client,
            method.clone(),
            "/stream",
            "not json",
            &expect![[
                r#"400 application/json {"statusCode":400,"message":{"error":"expected ident at line 1 column 2"}}"#
            ]],
        );
        check(
            &client,
            method.clone(),
            "/dev/stream",
            r#"{"userId":"1""#,
            &expect![[
                r#"400 application/json {"statusCode":400,"message":{"error":"EOF while parsing an object at line 1 column 13"}}"#
            ]],
        );
        check(
            &client,
            method,
            "/stream",
            "",
            &expect![[
                r#"400 application/json {"statusCode":400,"message":{"error":"EOF while parsing a value at line 1 column 0"}}"#
            ]],
        );
    }
}

#[test]
fn another_method_and_a_huge_body_are_refused_in_the_envelope() {
    let server = Server::start();
    let client = server.client();
    for path in ["/stream", "/dev/stream"] {
        for method in [Method::GET, Method::PUT, Method::PATCH] {
            let answer = check(
                &client,
                method,
                path,
                "",
                &expect![[
                    r#"405 application/json {"statusCode":405,"message":{"error":"the Allow header lists the methods of this path"}}"#
                ]],
            );
            let allow = answer.header("allow").expect("an Allow header");
            assert!(
                allow.contains("POST") && allow.contains("DELETE"),
                "{allow}"
            );
        }
        let huge = json!({"userId": "1", "padding": "x".repeat(20_000)}).to_string();
        check(
            &client,
            Method::POST,
            path,
            &huge,
            &expect![[
                r#"413 application/json {"statusCode":413,"message":{"error":"it may have 16384 bytes"}}"#
            ]],
        );
    }
}

#[test]
fn a_body_that_is_too_large_does_not_break_the_connection() {
    let server = Server::start();
    let mut wire = Wire::open(server.address());
    let huge = request("POST", "/stream", &"x".repeat(20_000));
    let chunked = {
        let head = "POST /stream HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).repeat(10);
        format!("{head}{chunk}0\r\n\r\n").into_bytes()
    };
    for too_large in [&huge, &chunked, &huge] {
        let answer = wire.exchange(too_large).expect("it is answered");
        assert_eq!(answer.status, 413);
    }
    let start = request("POST", "/stream", r#"{"userId":"1"}"#);
    assert_eq!(wire.exchange(&start).expect("it is answered").status, 201);
}

#[test]
fn a_streams_own_id_makes_its_post_repeatable() {
    let server = Server::start();
    let client = server.client();
    let body = r#"{"userId":"1","streamId":"tv-1"}"#;
    for _ in 0..4 {
        check(
            &client,
            Method::POST,
            "/stream",
            body,
            &expect![[
                r#"201 application/json {"statusCode":201,"message":{"streamId":"tv-1","userId":"1"}}"#
            ]],
        );
    }
    assert_eq!(client.streams_of("1"), ["tv-1"]);
    check(&client, Method::DELETE, "/stream", body, &expect!["204 - "]);
    check(
        &client,
        Method::POST,
        "/stream",
        body,
        &expect![[
            r#"410 application/json {"statusCode":410,"message":{"error":"Stream was stopped, use a new streamId"}}"#
        ]],
    );
    check(
        &client,
        Method::POST,
        "/stream",
        r#"{"userId":"1","streamId":"no stream id!"}"#,
        &expect![[
            r#"400 application/json {"statusCode":400,"message":{"error":"must consist of letters, digits and . _ ~ - only"}}"#
        ]],
    );
}

#[test]
fn a_stream_of_this_route_is_a_stream_like_any_other_to_operators() {
    let server = Server::start();
    let client = server.client();
    let id = start(&client, &json!({"userId": "1"}));
    let listed = client.get("/v1/users/1/streams").json();
    let stream = &listed["streams"][0];
    assert_eq!(stream["streamId"], id.as_str());
    assert_eq!(stream["state"], "live");
    assert_eq!(lease_seconds(stream), 14_400, "the lease of its own");

    let beat = client.poke(&format!("/v1/streams/{id}/heartbeat"));
    assert_eq!(beat.status, 200, "{beat:?}");
    assert_eq!(beat.json()["heartbeat"]["intervalSeconds"], 20);
    let listed = client.get("/v1/users/1/streams").json();
    assert_eq!(
        lease_seconds(&listed["streams"][0]),
        90,
        "from now on it is one of v1"
    );

    for _ in 0..2 {
        start(&client, &json!({"userId": "1"}));
    }
    let newest = client.start(&json!({"userId": "1", "onLimit": "replaceOldest"}));
    assert_eq!(newest.json()["replaced"], json!([id]));
    assert_eq!(client.delete("/v1/users/1/streams").status, 204);
    start(&client, &json!({"userId": "1"}));
}

fn lease_seconds(stream: &Value) -> i64 {
    let time = |field: &str| -> jiff::Timestamp {
        let text = stream[field].as_str().expect("a time");
        text.parse().expect("RFC 3339")
    };
    let lease = time("expiresAt").duration_since(time("lastHeardAt"));
    lease.as_secs()
}

#[test]
fn an_answer_is_one_line_of_json_also_to_a_client_that_says_nothing_of_itself() {
    let server = Server::start();
    let mut wire = Wire::open(server.address());
    let body = r#"{"userId":"1"}"#;
    let length = body.len();
    let request =
        format!("POST /dev/stream HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    let answer = wire.exchange(request.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(!answer.body.contains('\n'), "{answer:?}");
}

#[test]
fn one_number_is_one_user_however_it_is_written() {
    let server = Server::start();
    let client = server.client();
    for number in ["1", "1.0", "1e0", "\"1\"", "10e-1"] {
        let body = format!(r#"{{"userId":{number}}}"#);
        let answer = client.call(Method::POST, "/stream").body(body).send();
        let expected = if ["\"1\"", "10e-1"].contains(&number) {
            403
        } else {
            201
        };
        assert_eq!(answer.status, expected, "{number}");
    }
}
