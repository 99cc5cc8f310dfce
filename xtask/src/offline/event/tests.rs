use std::net::{Ipv4Addr, SocketAddr};

use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{Api, Call};

fn call(api: Api, request: http::request::Builder) -> Option<Call> {
    let (head, ()) = request.body(()).unwrap().into_parts();
    let client = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 1));
    Call::new(api, "dev", head, client)
}

fn event(api: Api, request: http::request::Builder, body: &[u8]) -> Value {
    let call = call(api, request).expect("it is below the stage");
    serde_json::from_str(&call.event(body)).unwrap()
}

fn request() -> http::request::Builder {
    Request::get("/dev/v1/a%20b?x=1&x=2+3&y=%C3%A9")
        .header("X-Many", "1")
        .header("X-Many", "2")
        .header("Cookie", "a=1; b=2")
}

#[test]
fn a_rest_apis_event_has_no_stage_in_its_path_and_every_value() {
    let event = event(Api::Rest, request(), b"");
    assert_eq!(event["path"], "/v1/a%20b");
    assert_eq!(event["requestContext"]["path"], "/dev/v1/a%20b");
    assert_eq!(event["requestContext"]["stage"], "dev");
    assert_eq!(event["requestContext"]["identity"]["sourceIp"], "192.0.2.1");
    assert_eq!(event["headers"]["x-many"], "2");
    assert_eq!(event["multiValueHeaders"]["x-many"], json!(["1", "2"]));
    let (one, many) = ("queryStringParameters", "multiValueQueryStringParameters");
    assert_eq!(event[one], json!({"x": "2 3", "y": "é"}));
    assert_eq!(event[many], json!({"x": ["1", "2 3"], "y": ["é"]}));
    assert_eq!(event["body"], Value::Null);
}

#[test]
fn an_http_apis_event_has_the_stage_in_its_path_and_values_with_commas() {
    let event = event(Api::Http, request(), b"");
    assert_eq!(event["rawPath"], "/dev/v1/a%20b");
    assert_eq!(event["rawQueryString"], "x=1&x=2+3&y=%C3%A9");
    assert_eq!(event["headers"]["x-many"], "1,2");
    assert_eq!(event["headers"]["cookie"], Value::Null);
    assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
    assert_eq!(event["queryStringParameters"]["x"], "1,2 3");
}

#[test]
fn a_request_keeps_its_trace_or_gets_one_and_says_who_it_is_from() {
    let made = event(Api::Rest, request(), b"");
    let trace = made["headers"]["x-amzn-trace-id"].as_str().unwrap();
    let parts: Vec<usize> = trace.split('-').map(str::len).collect();
    assert_eq!(parts, ["Root=1".len(), 8, 24], "{trace}");
    let given = request()
        .header("X-Amzn-Trace-Id", "Root=1-2-3")
        .header("X-Forwarded-For", "198.51.100.7");
    let kept = event(Api::Rest, given, b"");
    assert_eq!(kept["headers"]["x-amzn-trace-id"], "Root=1-2-3");
    assert_eq!(
        kept["headers"]["x-forwarded-for"],
        "198.51.100.7, 192.0.2.1"
    );
    let names = [&made, &kept].map(|event| event["requestContext"]["requestId"].to_string());
    assert_ne!(names[0], names[1]);
}

#[test]
fn text_goes_as_it_is_and_bytes_as_base64() {
    for api in [Api::Rest, Api::Http] {
        let text = event(api, request(), "é".as_bytes());
        assert_eq!(
            (&text["body"], &text["isBase64Encoded"]),
            (&json!("é"), &json!(false))
        );
        let bytes = event(api, request(), &[0xff, 0]);
        assert_eq!(
            (&bytes["body"], &bytes["isBase64Encoded"]),
            (&json!("/wA="), &json!(true))
        );
    }
}

#[test]
fn what_is_not_below_the_stage_is_not_the_apis() {
    for path in ["/", "/stream", "/development/stream", "/prod/stream"] {
        assert!(call(Api::Rest, Request::get(path)).is_none(), "{path}");
    }
    let root = event(Api::Rest, Request::get("/dev"), b"");
    assert_eq!(root["path"], "/");
    assert_eq!(Api::Rest.no_stage().status(), StatusCode::FORBIDDEN);
    assert_eq!(Api::Http.no_stage().status(), StatusCode::NOT_FOUND);
}

#[test]
fn an_answer_of_the_function_becomes_a_response() {
    let call = call(Api::Rest, request()).unwrap();
    let answer = json!({
        "statusCode": 418,
        "headers": {"x-one": "1", "x-two": "lost", "content-length": "9"},
        "multiValueHeaders": {"x-two": ["1", "2"]},
        "body": "/wA=",
        "isBase64Encoded": true,
    });
    let response = call.response(answer.to_string().as_bytes());
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    let headers = response.headers();
    assert_eq!(headers["x-one"], "1");
    let two: Vec<_> = headers.get_all("x-two").iter().collect();
    assert_eq!(two, ["1", "2"]);
    assert_eq!(headers["content-type"], "application/json");
    assert!(!headers.contains_key("content-length"));
    assert_eq!(headers["x-amzn-trace-id"], call.trace());
}

#[test]
fn what_is_no_answer_is_a_bad_gateway() {
    let errors = [
        "",
        "null",
        "{}",
        r#"{"errorType":"Runtime.ExitError","errorMessage":"exit status 1"}"#,
        r#"{"statusCode":99999}"#,
        r#"{"statusCode":200,"headers":{"no name":"1"}}"#,
        r#"{"statusCode":200,"body":"?","isBase64Encoded":true}"#,
    ];
    let call = call(Api::Rest, request()).unwrap();
    for answer in errors {
        let response = call.response(answer.as_bytes());
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{answer}");
    }
}

#[test]
fn an_http_api_takes_an_answer_without_a_status_for_a_body() {
    let call = call(Api::Http, request()).unwrap();
    assert_eq!(call.response(br#"{"a":1}"#).status(), StatusCode::OK);
    let error = call.response(br#"{"errorMessage":"exit status 1"}"#);
    assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
}
