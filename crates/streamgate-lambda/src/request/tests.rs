use lambda_http::request::from_str;

use super::as_sent;

const V1: &str = include_str!("../../tests/events/rest.json");
const V2: &str = include_str!("../../tests/events/http.json");
const ALB: &str = include_str!("../../tests/events/alb.json");

#[track_caller]
fn check(event: &str, stage: &str, path: &str, query: &str, expected: &str) {
    let event = event
        .replace("STAGE", stage)
        .replace("PATH", path)
        .replace("QUERY", query)
        .replace("METHOD", "POST")
        .replace("BODY", "");
    let request = from_str(&event).expect("an event");
    assert_eq!(as_sent(request).uri(), expected);
}

#[test]
fn the_path_stands_below_the_stage_whatever_brought_the_request() {
    check(V1, "dev", "/stream", "", "/stream");
    check(V1, "dev", "/v1/streams", "", "/v1/streams");
    check(V2, "$default", "/v1/streams", "", "/v1/streams");
    check(V2, "$default", "/dev/stream", "", "/dev/stream");
    check(V2, "dev", "/dev/v1/streams", "", "/v1/streams");
    check(V2, "dev", "/develop/stream", "", "/develop/stream");
    check(ALB, "", "/v1/streams", "", "/v1/streams");
}

#[test]
fn a_query_stays() {
    check(
        V2,
        "dev",
        "/dev/v1/streams/tv",
        "userId=a%26b",
        "/v1/streams/tv?userId=a%26b",
    );
}
