//! Bodies that are no JSON, or JSON of the wrong shape.

use expect_test::expect;
use serde_json::json;

use super::{Target, post, with_headers};

fn start(body: &str) -> Vec<u8> {
    post("/v1/streams", body)
}

#[test]
fn a_bad_name_in_a_start_is_named() {
    Target::new().check_rows(
        start,
        &[
            ("{}", "400 invalid-request (userId)"),
            (r#"{"userId":null}"#, "400 invalid-request (userId)"),
            (r#"{"userId":12345}"#, "400 invalid-request (userId)"),
            (r#"{"userId":true}"#, "400 invalid-request (userId)"),
            (r#"{"userId":["1"]}"#, "400 invalid-request (userId)"),
            (r#"{"userId":{"id":"1"}}"#, "400 invalid-request (userId)"),
            (r#"{"userId":""}"#, "400 invalid-request (userId)"),
            (r#"{"USERID":"1"}"#, "400 invalid-request (userId)"),
            (
                r#"{"userId":"1","streamId":""}"#,
                "400 invalid-request (streamId)",
            ),
            (
                r#"{"userId":"1","streamId":7}"#,
                "400 invalid-request (streamId)",
            ),
            (
                r#"{"userId":"1","streamId":"a b"}"#,
                "400 invalid-request (streamId)",
            ),
            (
                r#"{"userId":"1","streamId":"a/b"}"#,
                "400 invalid-request (streamId)",
            ),
            (
                r#"{"userId":"1","streamId":"é"}"#,
                "400 invalid-request (streamId)",
            ),
        ],
    );
}

#[test]
fn a_bad_device_in_a_start_is_named() {
    Target::new().check_rows(
        start,
        &[
            (
                r#"{"userId":"1","device":"tv"}"#,
                "400 invalid-request (device)",
            ),
            (
                r#"{"userId":"1","device":[]}"#,
                "400 invalid-request (device)",
            ),
            (
                r#"{"userId":"1","device":{"id":7}}"#,
                "400 invalid-request (device.id)",
            ),
            (
                r#"{"userId":"1","device":{"id":""}}"#,
                "400 invalid-request (device.id)",
            ),
            (
                r#"{"userId":"1","device":{"name":""}}"#,
                "400 invalid-request (device.name)",
            ),
            (
                r#"{"userId":"1","device":{"type":false}}"#,
                "400 invalid-request (device.type)",
            ),
            (
                r#"{"userId":"1","contentId":""}"#,
                "400 invalid-request (contentId)",
            ),
            (
                r#"{"userId":"1","contentId":{}}"#,
                "400 invalid-request (contentId)",
            ),
            (
                r#"{"userId":"1","plan":"gold"}"#,
                "400 invalid-request (plan)",
            ),
            (r#"{"userId":"1","plan":7}"#, "400 invalid-request (plan)"),
        ],
    );
}

#[test]
fn a_bad_limit_or_replacement_in_a_start_is_named() {
    Target::new().check_rows(
        start,
        &[
            (r#"{"userId":"1","limit":0}"#, "400 invalid-request (limit)"),
            (
                r#"{"userId":"1","limit":65}"#,
                "400 invalid-request (limit)",
            ),
            (
                r#"{"userId":"1","limit":-1}"#,
                "400 invalid-request (limit)",
            ),
            (
                r#"{"userId":"1","limit":3.5}"#,
                "400 invalid-request (limit)",
            ),
            (
                r#"{"userId":"1","limit":256}"#,
                "400 invalid-request (limit)",
            ),
            (
                r#"{"userId":"1","limit":99999999999999999999999999}"#,
                "400 invalid-request (limit)",
            ),
            (
                r#"{"userId":"1","limit":1e400}"#,
                "400 invalid-request (limit)",
            ),
            (
                r#"{"userId":"1","limit":"3"}"#,
                "400 invalid-request (limit)",
            ),
            (
                r#"{"userId":"1","replace":"a"}"#,
                "400 invalid-request (replace)",
            ),
            (
                r#"{"userId":"1","replace":[7]}"#,
                "400 invalid-request (replace[0])",
            ),
            (
                r#"{"userId":"1","replace":["a","b c"]}"#,
                "400 invalid-request (replace[1])",
            ),
            (
                r#"{"userId":"1","onLimit":"replaceoldest"}"#,
                "400 invalid-request (onLimit)",
            ),
            (
                r#"{"userId":"1","onLimit":7}"#,
                "400 invalid-request (onLimit)",
            ),
        ],
    );
}

#[test]
fn control_characters_nul_and_lone_surrogates_are_refused() {
    Target::new().check_rows(
        start,
        &[
            (r#"{"userId":"a\u0000b"}"#, "400 invalid-request (userId)"),
            (r#"{"userId":"a\nb"}"#, "400 invalid-request (userId)"),
            (r#"{"userId":"a\u007fb"}"#, "400 invalid-request (userId)"),
            (r#"{"userId":"a\u0085b"}"#, "400 invalid-request (userId)"),
            (r#"{"userId":"\ud800"}"#, "400 invalid-request (userId)"),
            (
                r#"{"userId":"\udc00\ud800"}"#,
                "400 invalid-request (userId)",
            ),
            ("{\"userId\":\"a\nb\"}", "400 invalid-request (userId)"),
            ("{\"userId\":\"a\0b\"}", "400 invalid-request (userId)"),
            (
                r#"{"userId":"1","contentId":"a\tb"}"#,
                "400 invalid-request (contentId)",
            ),
            (
                r#"{"userId":"1","device":{"id":"a\rb"}}"#,
                "400 invalid-request (device.id)",
            ),
            (
                r#"{"userId":"1","device":{"name":"a\u001bb"}}"#,
                "400 invalid-request (device.name)",
            ),
            (
                r#"{"userId":"1","device":{"type":"a\u0001b"}}"#,
                "400 invalid-request (device.type)",
            ),
            (
                r#"{"userId":"1","streamId":"a\u0000"}"#,
                "400 invalid-request (streamId)",
            ),
            // No control characters, however odd; and a pair of surrogates is a character.
            (r#"{"userId":"\u200b\u202e \ud83d\ude00"}"#, "201"),
        ],
    );
}

#[test]
fn a_body_that_is_no_json_is_refused() {
    Target::new().check_rows(
        start,
        &[
            ("", "400 invalid-request"),
            (" ", "400 invalid-request"),
            ("nonsense", "400 invalid-request"),
            ("{", "400 invalid-request"),
            (r#"{"userId":"1""#, "400 invalid-request"),
            (r#"{"userId":"1"}}"#, "400 invalid-request"),
            (r#"{"userId":"1"} {"userId":"2"}"#, "400 invalid-request"),
            (r#"{"userId":"1",}"#, "400 invalid-request"),
            (r#"{userId:"1"}"#, "400 invalid-request"),
            (r#"{"userId":'1'}"#, "400 invalid-request (userId)"),
            (
                r#"{"userId":"1","limit":NaN}"#,
                "400 invalid-request (limit)",
            ),
            (r#"{"userId":"1","userId":"2"}"#, "400 invalid-request"),
            (
                r#"{"userId":"1","device":{"id":"a","id":"b"}}"#,
                "400 invalid-request (device)",
            ),
            ("[]", "400 invalid-request"),
            (r#""1""#, "400 invalid-request"),
            ("7", "400 invalid-request"),
            ("null", "400 invalid-request"),
        ],
    );
}

#[test]
fn a_body_that_is_no_utf8_is_refused() {
    let bodies = [
        b"{\"userId\":\"\xff\"}".as_slice(),
        b"{\"userId\":\"\xc3\x28\"}",
        b"{\"userId\":\"\xed\xa0\x80\"}",
        b"\xef\xbb\xbf{\"userId\":\"1\"}",
        b"\xff\xfe{\0}\0",
        b"\0\0\0\0",
    ];
    let requests = bodies.map(|body| post("/v1/streams", body));
    Target::new().check(
        &requests,
        &expect![[r#"
            POST /v1/streams {"userId":"�"}
                400 invalid-request (userId)
            POST /v1/streams {"userId":"�("}
                400 invalid-request (userId)
            POST /v1/streams {"userId":"���"}
                400 invalid-request (userId)
            POST /v1/streams \u{feff}{"userId":"1"}
                400 invalid-request
            POST /v1/streams ��{\0}\0
                400 invalid-request
            POST /v1/streams \0\0\0\0
                400 invalid-request
        "#]],
    );
}

#[test]
fn nesting_of_any_depth_is_survived() {
    let deep = |levels: usize| "[".repeat(levels);
    let closed = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let unknown = |levels| format!(r#"{{"userId":"1","unknown":{}}}"#, closed(levels));
    let item = format!(r#"{{"streamId":"a","unknown":{}}}"#, closed(100_000));
    let requests = [
        start(&deep(8_000)),
        start(&deep(100_000)),
        start(&"{\"userId\":".repeat(1_500)),
        start(&format!(r#"{{"userId":{}}}"#, closed(1_000))),
        start(&unknown(100)),
        start(&unknown(8_000)),
        start(&format!(r#"{{"userId":"1","replace":{}}}"#, closed(8_000))),
        post("/v1/heartbeats", deep(100_000)),
        post(
            "/v1/heartbeats",
            format!(r#"{{"heartbeats":{}}}"#, closed(100_000)),
        ),
        post("/v1/heartbeats", format!(r#"{{"heartbeats":[{item}]}}"#)),
        post("/stream", deep(8_000)),
        post("/stream", format!(r#"{{"userId":{}}}"#, closed(8_000))),
    ];
    Target::new().check(&requests, &expect![[r#"
        POST /v1/streams [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[… 8095 bytes
            400 invalid-request
        POST /v1/streams [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[… 100097 bytes
            413 payload-too-large
        POST /v1/streams {"userId":{"userId":{"userId":{"userId":{"userId":{"userId":{"userId":{… 15096 bytes
            400 invalid-request (userId)
        POST /v1/streams {"userId":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[… 2106 bytes
            400 invalid-request (userId)
        POST /v1/streams {"userId":"1","unknown":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[… 319 bytes
            201
        POST /v1/streams {"userId":"1","unknown":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[… 16121 bytes
            201
        POST /v1/streams {"userId":"1","replace":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[… 16121 bytes
            400 invalid-request (replace[0])
        POST /v1/heartbeats [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[… 100100 bytes
            400 invalid-request
        POST /v1/heartbeats {"heartbeats":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[… 200115 bytes
            400 invalid-request (heartbeats[0][0])
        POST /v1/heartbeats {"heartbeats":[{"streamId":"a","unknown":[[[[[[[[[[[[[[[[[[[[[[[[[[[… 200144 bytes
            200
        POST /stream [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[… 8091 bytes
            400 Some("application/json") "{\"statusCode\":400,\"message\":{\"error\":\"invalid type: sequence, expected an object at line 1 column 0\"}}"
        POST /stream {"userId":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[… 16103 bytes
            400 Some("application/json") "{\"statusCode\":400,\"message\":{\"error\":\"recursion limit exceeded at line 1 column 137\"}}"
    "#]]);
}

#[test]
fn an_answer_repeats_little_of_what_it_refuses() {
    let target = Target::new();
    let long = "x".repeat(12_000);
    let longer = "x".repeat(200_000);
    let requests = [
        post(
            "/v1/streams",
            format!(r#"{{"userId":"1","onLimit":"{long}"}}"#),
        ),
        post(
            "/v1/streams",
            format!(r#"{{"userId":"1","{long}":nonsense}}"#),
        ),
        post(
            "/v1/streams",
            format!(r#"{{"userId":"1","plan":"{long}"}}"#),
        ),
        post(
            "/v1/heartbeats",
            format!(r#"{{"heartbeats":[{{"streamId":"a","state":["{longer}"]}}]}}"#),
        ),
        post(
            "/v1/heartbeats",
            format!(r#"{{"heartbeats":[{{"streamId":"a","{longer}":nonsense}}]}}"#),
        ),
        post("/stream", format!(r#"{{"userId":"1","{long}":nonsense}}"#)),
        post("/stream", long.as_str()),
    ];
    for request in &requests {
        let answer = target.answer(request);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body.len() < 1_000, "{answer:?}");
    }
    target.is_well();
}

#[test]
fn only_json_is_taken_for_json() {
    let body = br#"{"userId":"types"}"#;
    let kinds = [
        "content-type: application/json",
        "content-type: application/json; charset=utf-8",
        "Content-Type: APPLICATION/JSON",
        "content-type: application/vnd.player+json",
        "x-no-content-type: at all",
        "content-type: text/plain",
        "content-type: application/x-www-form-urlencoded",
        "content-type: multipart/form-data; boundary=x",
        "content-type: application/jsonp",
        "content-type: text/json",
        "content-type: ",
        "content-type: \u{fc}",
    ];
    let start = |kind: &&str| with_headers("POST /v1/streams", &[kind], body);
    let mut requests: Vec<_> = kinds.iter().map(start).collect();
    let heartbeat = "POST /v1/users/types/streams/a/heartbeat";
    requests.push(with_headers(heartbeat, &["content-type: text/plain"], b""));
    requests.push(with_headers(heartbeat, &["content-type: text/plain"], b"x"));
    let target = Target::new();
    let limit = json!({"userId": "types", "streamId": "a", "limit": 9});
    assert_eq!(target.client.start(&limit).status, 201);
    target.check(
        &requests,
        &expect![[r#"
        POST /v1/streams {"userId":"types"}
            201
        POST /v1/streams [content-type: application/json; charset=utf-8] {"userId":"types"}
            201
        POST /v1/streams [Content-Type: APPLICATION/JSON] {"userId":"types"}
            409 stream-limit-reached
        POST /v1/streams [content-type: application/vnd.player+json] {"userId":"types"}
            409 stream-limit-reached
        POST /v1/streams [x-no-content-type: at all] {"userId":"types"}
            409 stream-limit-reached
        POST /v1/streams [content-type: text/plain] {"userId":"types"}
            415 unsupported-media-type
        POST /v1/streams [content-type: application/x-www-form-urlencoded] {"userId":"types"}
            415 unsupported-media-type
        POST /v1/streams [content-type: multipart/form-data; boundary=x] {"userId":"types"}
            415 unsupported-media-type
        POST /v1/streams [content-type: application/jsonp] {"userId":"types"}
            415 unsupported-media-type
        POST /v1/streams [content-type: text/json] {"userId":"types"}
            415 unsupported-media-type
        POST /v1/streams [content-type: ] {"userId":"types"}
            415 unsupported-media-type
        POST /v1/streams [content-type: ü] {"userId":"types"}
            415 unsupported-media-type
        POST /v1/users/types/streams/a/heartbeat [content-type: text/plain]
            200
        POST /v1/users/types/streams/a/heartbeat [content-type: text/plain] x
            415 unsupported-media-type
    "#]],
    );
}
