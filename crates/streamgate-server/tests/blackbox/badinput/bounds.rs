//! Every bound, at its last good and its first bad value.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{Target, bare, post, with_headers};

/// How long the longest text is that is taken, in bytes, when it is made of `character`.
fn longest(target: &Target, character: &str, start: impl Fn(&str) -> Vec<u8>) -> String {
    let mut outcomes: Vec<(usize, String)> = Vec::new();
    for bytes in [
        1, 63, 64, 65, 66, 127, 128, 129, 130, 254, 255, 256, 257, 258,
    ] {
        if bytes % character.len() != 0 {
            continue;
        }
        let outcome =
            target.outcome(&target.answer(&start(&character.repeat(bytes / character.len()))));
        outcomes.push((bytes, outcome));
    }
    let mut taken = outcomes
        .iter()
        .filter(|(_, outcome)| outcome.starts_with('2'));
    let (last, _) = taken.next_back().expect("a short text is taken");
    let refused = outcomes
        .iter()
        .find(|(_, outcome)| !outcome.starts_with('2'));
    let (first, why) = refused.expect("a long text is refused");
    format!("{last} bytes are taken, {first} are not: {why}")
}

#[track_caller]
fn check(field: &str, start: impl Fn(&str) -> Value, expected: &Expect) {
    let target = Target::new();
    let send = |text: &str| post("/v1/streams", start(text).to_string());
    let plain = longest(&target, "x", send);
    let wide = longest(&target, "é", send);
    expected.assert_eq(&format!(
        "{field}: {plain}\n{field}, two bytes a character: {wide}"
    ));
    target.is_well();
}

#[test]
fn a_user_id_has_256_bytes() {
    check(
        "userId",
        |text| json!({"userId": text}),
        &expect![[r#"
        userId: 256 bytes are taken, 257 are not: 400 invalid-request (userId)
        userId, two bytes a character: 256 bytes are taken, 258 are not: 400 invalid-request (userId)"#]],
    );
}

#[test]
fn a_content_id_has_256_bytes() {
    let start = |text: &str| json!({"userId": "1", "contentId": text, "onLimit": "replaceOldest"});
    check(
        "contentId",
        start,
        &expect![[r#"
        contentId: 256 bytes are taken, 257 are not: 400 invalid-request (contentId)
        contentId, two bytes a character: 256 bytes are taken, 258 are not: 400 invalid-request (contentId)"#]],
    );
}

#[test]
fn a_devices_fields_have_128_bytes() {
    let start = |field: &'static str| move |text: &str| json!({"userId": "1", "device": {field: text}, "onLimit": "replaceOldest"});
    check(
        "device.id",
        start("id"),
        &expect![[r#"
        device.id: 128 bytes are taken, 129 are not: 400 invalid-request (device.id)
        device.id, two bytes a character: 128 bytes are taken, 130 are not: 400 invalid-request (device.id)"#]],
    );
    check(
        "device.name",
        start("name"),
        &expect![[r#"
        device.name: 128 bytes are taken, 129 are not: 400 invalid-request (device.name)
        device.name, two bytes a character: 128 bytes are taken, 130 are not: 400 invalid-request (device.name)"#]],
    );
    check(
        "device.type",
        start("type"),
        &expect![[r#"
        device.type: 128 bytes are taken, 129 are not: 400 invalid-request (device.type)
        device.type, two bytes a character: 128 bytes are taken, 130 are not: 400 invalid-request (device.type)"#]],
    );
}

#[test]
fn a_stream_id_has_64_characters_and_an_idempotency_key_255() {
    let target = Target::new();
    let id = |text: &str| {
        let body = json!({"userId": "1", "streamId": text, "onLimit": "replaceOldest"});
        post("/v1/streams", body.to_string())
    };
    let key = |text: &str| {
        let body = json!({"userId": "1", "onLimit": "replaceOldest"}).to_string();
        let key = format!("idempotency-key: {text}");
        with_headers("POST /v1/streams", &[&key], body.as_bytes())
    };
    expect!["64 bytes are taken, 65 are not: 400 invalid-request (streamId)"]
        .assert_eq(&longest(&target, "x", id));
    expect!["255 bytes are taken, 256 are not: 400 invalid-request (Idempotency-Key)"]
        .assert_eq(&longest(&target, "x", key));
    let user = |text: &str| bare(&format!("GET /v1/users/{text}/streams"));
    expect!["256 bytes are taken, 257 are not: 400 invalid-request (userId)"]
        .assert_eq(&longest(&target, "x", user));
    let stop = |text: &str| bare(&format!("DELETE /v1/streams/{text}"));
    expect!["64 bytes are taken, 65 are not: 400 invalid-request (streamId)"]
        .assert_eq(&longest(&target, "x", stop));
    let device = |text: &str| bare(&format!("GET /v1/users/1/admission?deviceId={text}"));
    expect!["128 bytes are taken, 129 are not: 400 invalid-request (deviceId)"]
        .assert_eq(&longest(&target, "x", device));
    target.is_well();
}

#[test]
fn an_idempotency_key_is_visible_ascii() {
    let body = br#"{"userId":"1"}"#;
    let requests: Vec<_> = ["", "  ", "a b", "\u{e9}", "a\tb", "\"quoted\""]
        .iter()
        .map(|key| {
            let key = format!("idempotency-key: {key}");
            with_headers("POST /v1/streams", &[&key], body)
        })
        .collect();
    Target::new().check(
        &requests,
        &expect![[r#"
        POST /v1/streams [idempotency-key: ] {"userId":"1"}
            400 invalid-request (Idempotency-Key)
        POST /v1/streams [idempotency-key:   ] {"userId":"1"}
            400 invalid-request (Idempotency-Key)
        POST /v1/streams [idempotency-key: a b] {"userId":"1"}
            201
        POST /v1/streams [idempotency-key: é] {"userId":"1"}
            400 invalid-request (Idempotency-Key)
        POST /v1/streams [idempotency-key: a\tb] {"userId":"1"}
            201
        POST /v1/streams [idempotency-key: "quoted"] {"userId":"1"}
            201
    "#]],
    );
}

#[test]
fn lists_have_their_bounds() {
    let replace = |count: usize| {
        let ids: Vec<String> = (0..count).map(|id| format!("s{id}")).collect();
        let body = json!({"userId": "1", "streamId": "s", "replace": ids});
        post("/v1/streams", body.to_string())
    };
    let batch = |count: usize| {
        let beats: Vec<Value> = (0..count)
            .map(|id| json!({"streamId": format!("s{id}")}))
            .collect();
        post("/v1/heartbeats", json!({"heartbeats": beats}).to_string())
    };
    let requests = [replace(64), replace(65), batch(1_000), batch(1_001)];
    Target::new().check(&requests, &expect![[r#"
        POST /v1/streams {"replace":["s0","s1","s2","s3","s4","s5","s6","s7","s8","s9","s10","s1… 509 bytes
            201
        POST /v1/streams {"replace":["s0","s1","s2","s3","s4","s5","s6","s7","s8","s9","s10","s1… 515 bytes
            400 invalid-request (replace)
        POST /v1/heartbeats {"heartbeats":[{"streamId":"s0"},{"streamId":"s1"},{"streamId":"s2"}… 20005 bytes
            200
        POST /v1/heartbeats {"heartbeats":[{"streamId":"s0"},{"streamId":"s1"},{"streamId":"s2"}… 20026 bytes
            400 invalid-request (heartbeats)
    "#]]);
}

/// A start whose JSON is padded to this many bytes.
fn padded(bytes: usize) -> String {
    let body = r#"{"userId":"1","streamId":"s"}"#;
    format!("{body}{}", " ".repeat(bytes - body.len()))
}

fn chunked(line: &str, body: &str) -> Vec<u8> {
    let mut request = format!(
        "{line} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    for chunk in body.as_bytes().chunks(4_096) {
        let chunk = std::str::from_utf8(chunk).expect("ASCII");
        request.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    }
    request.push_str("0\r\n\r\n");
    request.into_bytes()
}

#[test]
fn a_body_has_16_kib_and_a_batch_256() {
    let declared = |line: &str, length: &str| {
        let head = format!(
            "{line} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{{"
        );
        head.into_bytes()
    };
    let batch = |bytes: usize| {
        let body = r#"{"heartbeats":[]}"#;
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    let requests = [
        post("/v1/streams", padded(16 << 10)),
        post("/v1/streams", padded((16 << 10) + 1)),
        post("/v1/streams", padded(1 << 20)),
        chunked("POST /v1/streams", &padded(16 << 10)),
        chunked("POST /v1/streams", &padded((16 << 10) + 1)),
        chunked("POST /v1/streams", &padded(1 << 20)),
        declared("POST /v1/streams", "1000000000000"),
        declared("POST /v1/streams", "18446744073709551615"),
        declared("POST /v1/streams", "18446744073709551616"),
        declared("POST /v1/streams", "-1"),
        declared("POST /v1/streams", "x"),
        post("/v1/heartbeats", batch(256 << 10)),
        post("/v1/heartbeats", batch((256 << 10) + 1)),
        declared("POST /v1/heartbeats", "1000000000000"),
        chunked("POST /v1/heartbeats", &batch((256 << 10) + 1)),
        declared("POST /v1/users/1/streams/s/heartbeat", "16385"),
        declared("POST /stream", "1000000000000"),
    ];
    Target::new().check(&requests, &expect![[r#"
        POST /v1/streams {"userId":"1","streamId":"s"}
            201
        POST /v1/streams {"userId":"1","streamId":"s"}
            413 payload-too-large
        POST /v1/streams {"userId":"1","streamId":"s"}
            413 payload-too-large
        POST /v1/streams [transfer-encoding: chunked] 1000\r\n{"userId":"1","streamId":"s"}     … 16522 bytes
            200
        POST /v1/streams [transfer-encoding: chunked] 1000\r\n{"userId":"1","streamId":"s"}     … 16528 bytes
            413 payload-too-large
        POST /v1/streams [transfer-encoding: chunked] 1000\r\n{"userId":"1","streamId":"s"}     … 1050730 bytes
            413 payload-too-large
        POST /v1/streams {
            413 payload-too-large
        POST /v1/streams {
            431 None ""
        POST /v1/streams {
            400 None ""
        POST /v1/streams {
            400 None ""
        POST /v1/streams {
            400 None ""
        POST /v1/heartbeats {"heartbeats":[]}
            200
        POST /v1/heartbeats {"heartbeats":[]}
            413 payload-too-large
        POST /v1/heartbeats {
            413 payload-too-large
        POST /v1/heartbeats [transfer-encoding: chunked] 1000\r\n{"heartbeats":[]}              … 262771 bytes
            413 payload-too-large
        POST /v1/users/1/streams/s/heartbeat {
            413 payload-too-large
        POST /stream {
            413 Some("application/json") "{\"statusCode\":413,\"message\":{\"error\":\"it may have 16384 bytes\"}}"
    "#]]);
}

#[test]
fn a_head_has_16_kib() {
    let long = |bytes: usize| "x".repeat(bytes);
    let requests = [
        bare(&format!("GET /v1/users/{}/streams", long(8_000))),
        bare(&format!("GET /v1/users/{}/streams", long(20_000))),
        bare(&format!("GET /v1/users/{}/streams", long(100_000))),
        bare(&format!("GET /livez?{}", long(8_000))),
        with_headers("GET /livez", &[&format!("x-long: {}", long(8_000))], b""),
        with_headers("GET /livez", &[&format!("x-long: {}", long(20_000))], b""),
        with_headers("GET /livez", &["x-many: 1"; 90], b""),
        with_headers("GET /livez", &["x-many: 1"; 2_000], b""),
    ];
    Target::new().check(&requests, &expect![[r#"
        GET /v1/users/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… 8047 bytes
            400 invalid-request (userId)
        GET /v1/users/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… 20047 bytes
            431 None ""
        GET /v1/users/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… 100047 bytes
            431 None ""
        GET /livez?xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… 8036 bytes
            200
        GET /livez [x-long: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… 8064 bytes
            200
        GET /livez [x-long: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… 20064 bytes
            431 None ""
        GET /livez [x-many: 1] [x-many: 1] [x-many: 1] [x-many: 1] [x-many: 1] [x-many: 1] [x-ma… 1044 bytes
            200
        GET /livez [x-many: 1] [x-many: 1] [x-many: 1] [x-many: 1] [x-many: 1] [x-many: 1] [x-ma… 22054 bytes
            431 None ""
    "#]]);
}
