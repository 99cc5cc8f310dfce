//! Paths, queries and methods that nobody documented.

use expect_test::expect;

use super::{Target, bare, with_headers};

#[test]
fn an_unknown_path_is_not_found() {
    Target::new().check_rows(
        bare,
        &[
            ("GET /", "404 not-found"),
            ("GET /v1", "404 not-found"),
            ("GET /v1/", "404 not-found"),
            ("GET /v1/stream", r#"405 Some("application/json") "{\"statusCode\":405,\"message\":{\"error\":\"the Allow header lists the methods of this path\"}}""#),
            ("POST /v1/stream", r#"400 Some("application/json") "{\"statusCode\":400,\"message\":{\"error\":\"EOF while parsing a value at line 1 column 0\"}}""#),
            ("GET /v2/streams", "404 not-found"),
            ("POST /v1/streams/", "404 not-found"),
            ("POST /v1/streams/a/b/heartbeat", "404 not-found"),
            ("GET /v1/users/1", "404 not-found"),
            ("GET /v1/users/1/streams/", "404 not-found"),
            ("GET /v1/users//streams", "400 invalid-request (userId)"),
            ("POST /v1/streams//heartbeat", "400 invalid-request (streamId)"),
            ("DELETE /v1/streams/", "404 not-found"),
            ("DELETE /v1/users/1/streams/", "404 not-found"),
            ("GET //v1/users/1/streams", "404 not-found"),
            ("GET /v1/../v1/users/1/streams", "404 not-found"),
            ("GET /v1/users/../streams", "200"),
            ("GET /.env", "404 not-found"),
            ("GET /metrics/", "404 not-found"),
            ("POST /a/b/stream", "404 not-found"),
            ("POST //stream", r#"400 Some("application/json") "{\"statusCode\":400,\"message\":{\"error\":\"EOF while parsing a value at line 1 column 0\"}}""#),
        ],
    );
}

#[test]
fn a_wrong_method_is_refused_and_the_right_ones_are_named() {
    let target = Target::new();
    target.check_rows(
        bare,
        &[
            ("GET /v1/streams", "405 method-not-allowed"),
            ("PUT /v1/streams", "405 method-not-allowed"),
            ("DELETE /v1/streams", "405 method-not-allowed"),
            ("PATCH /v1/streams", "405 method-not-allowed"),
            ("TRACE /v1/streams", "405 method-not-allowed"),
            ("BREW /v1/streams", "405 method-not-allowed"),
            ("GET /v1/heartbeats", "405 method-not-allowed"),
            ("GET /v1/streams/a", "405 method-not-allowed"),
            ("POST /v1/streams/a", "405 method-not-allowed"),
            ("GET /v1/streams/a/heartbeat", "405 method-not-allowed"),
            ("GET /v1/streams/a/stop", "405 method-not-allowed"),
            ("POST /v1/users/1/streams", "405 method-not-allowed"),
            ("GET /v1/users/1/streams/a", "405 method-not-allowed"),
            ("POST /v1/users/1/admission", "405 method-not-allowed"),
            (
                "GET /v1/users/1/streams/a/heartbeat",
                "405 method-not-allowed",
            ),
            ("GET /v1/users/1/streams/a/stop", "405 method-not-allowed"),
            ("POST /livez", "405 method-not-allowed"),
            ("POST /readyz", "405 method-not-allowed"),
            ("DELETE /metrics", "405 method-not-allowed"),
        ],
    );
}

#[test]
fn a_user_in_a_path_is_decoded_once_and_checked() {
    Target::new().check_rows(
        bare,
        &[
            ("GET /v1/users/%/streams", "200"),
            ("GET /v1/users/%zz/streams", "200"),
            ("GET /v1/users/%f/streams", "200"),
            ("GET /v1/users/%ff/streams", "400 invalid-request (path)"),
            ("GET /v1/users/%c3%28/streams", "400 invalid-request (path)"),
            (
                "GET /v1/users/%ed%a0%80/streams",
                "400 invalid-request (path)",
            ),
            ("GET /v1/users/%00/streams", "400 invalid-request (userId)"),
            (
                "GET /v1/users/a%0ab/streams",
                "400 invalid-request (userId)",
            ),
            ("GET /v1/users/%7f/streams", "400 invalid-request (userId)"),
            (
                "GET /v1/users/%c2%85/streams",
                "400 invalid-request (userId)",
            ),
            ("GET /v1/users/a%2fb/streams", "200"),
            ("GET /v1/users/%252e/streams", "200"),
            ("GET /v1/users/a+b/streams", "200"),
            ("GET /v1/users/%F0%9F%98%80/streams", "200"),
        ],
    );
}

#[test]
fn a_stream_in_a_path_is_decoded_once_and_checked() {
    Target::new().check_rows(
        bare,
        &[
            (
                "POST /v1/streams/%20/heartbeat",
                "400 invalid-request (streamId)",
            ),
            (
                "POST /v1/streams/%00/heartbeat",
                "400 invalid-request (streamId)",
            ),
            (
                "POST /v1/streams/%ff/heartbeat",
                "400 invalid-request (path)",
            ),
            (
                "POST /v1/streams/a%2fb/heartbeat",
                "400 invalid-request (streamId)",
            ),
            ("POST /v1/streams/a%2eb/heartbeat", "404 stream-unknown"),
            (
                "DELETE /v1/streams/%e2%82%ac",
                "400 invalid-request (streamId)",
            ),
            ("DELETE /v1/streams/a%00", "400 invalid-request (streamId)"),
            (
                "POST /v1/streams/a%20b/stop",
                "400 invalid-request (streamId)",
            ),
            (
                "DELETE /v1/users/%00/streams",
                "400 invalid-request (userId)",
            ),
            (
                "DELETE /v1/users/%ff/streams/a",
                "400 invalid-request (path)",
            ),
            (
                "DELETE /v1/users/1/streams/a%20b",
                "400 invalid-request (streamId)",
            ),
            (
                "POST /v1/users/%0a/streams/a/heartbeat",
                "400 invalid-request (userId)",
            ),
            (
                "POST /v1/users/1/streams/a%20b/stop",
                "400 invalid-request (streamId)",
            ),
        ],
    );
}

#[test]
fn a_user_in_a_query_is_decoded_and_checked() {
    Target::new().check_rows(
        bare,
        &[
            (
                "DELETE /v1/streams/a?userId=",
                "400 invalid-request (userId)",
            ),
            (
                "DELETE /v1/streams/a?userId=%ff",
                "400 invalid-request (query)",
            ),
            (
                "DELETE /v1/streams/a?userId=%00",
                "400 invalid-request (userId)",
            ),
            ("DELETE /v1/streams/a?userId=%", "204"),
            (
                "DELETE /v1/streams/a?userId=1&userId=2",
                "400 invalid-request (query)",
            ),
            ("DELETE /v1/streams/a?userid=1", "204"),
            (
                "POST /v1/streams/a/heartbeat?userId=%0a",
                "400 invalid-request (userId)",
            ),
            (
                "POST /v1/streams/a/stop?userId=%0a",
                "400 invalid-request (userId)",
            ),
        ],
    );
}

#[test]
fn a_question_in_a_query_is_decoded_and_checked() {
    Target::new().check_rows(
        bare,
        &[
            (
                "GET /v1/users/1/admission?deviceId=",
                "400 invalid-request (deviceId)",
            ),
            (
                "GET /v1/users/1/admission?deviceId=%00",
                "400 invalid-request (deviceId)",
            ),
            (
                "GET /v1/users/1/admission?deviceId=%fe",
                "400 invalid-request (query)",
            ),
            (
                "GET /v1/users/1/admission?plan=gold",
                "400 invalid-request (plan)",
            ),
            (
                "GET /v1/users/1/admission?plan=",
                "400 invalid-request (plan)",
            ),
            (
                "GET /v1/users/1/admission?limit=",
                "400 invalid-request (query)",
            ),
            (
                "GET /v1/users/1/admission?limit=0",
                "400 invalid-request (limit)",
            ),
            (
                "GET /v1/users/1/admission?limit=65",
                "400 invalid-request (limit)",
            ),
            (
                "GET /v1/users/1/admission?limit=-1",
                "400 invalid-request (query)",
            ),
            (
                "GET /v1/users/1/admission?limit=3.0",
                "400 invalid-request (query)",
            ),
            (
                "GET /v1/users/1/admission?limit=256",
                "400 invalid-request (query)",
            ),
            (
                "GET /v1/users/1/admission?limit=three",
                "400 invalid-request (query)",
            ),
            (
                "GET /v1/users/1/admission?limit=3&limit=4",
                "400 invalid-request (query)",
            ),
            ("GET /v1/users/1/admission?unknown=1&&&=", "200"),
            ("GET /v1/users/1/admission?limit=3", "200"),
        ],
    );
}

#[test]
fn what_is_no_http_is_refused_without_a_word_or_with_400() {
    let raw = |text: &str| text.as_bytes().to_vec();
    let requests = [
        raw("GET /livez HTTP/9.9\r\nhost: test\r\n\r\n"),
        raw("GET  HTTP/1.1\r\nhost: test\r\n\r\n"),
        raw("G\0T /livez HTTP/1.1\r\nhost: test\r\n\r\n"),
        raw("GET /li\u{e9}vez HTTP/1.1\r\nhost: test\r\n\r\n"),
        raw("GET /livez HTTP/1.1\r\nno colon\r\n\r\n"),
        raw("GET /livez HTTP/1.1\r\nhost: test\r\nx: a\0b\r\n\r\n"),
        raw("GET /livez HTTP/1.1\r\nhost : test\r\n\r\n"),
        raw(
            "POST /v1/streams HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        ),
        raw("POST /v1/streams HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        raw("POST /v1/streams HTTP/1.1\r\nhost: test\r\ntransfer-encoding: gzip\r\n\r\n{}"),
        raw("GET http://elsewhere/livez HTTP/1.1\r\nhost: test\r\n\r\n"),
        raw("OPTIONS * HTTP/1.1\r\nhost: test\r\n\r\n"),
        raw("CONNECT elsewhere:443 HTTP/1.1\r\nhost: test\r\n\r\n"),
        raw("GET /livez HTTP/1.0\r\n\r\n"),
        raw("GET /livez HTTP/1.1\r\n\r\n"),
    ];
    Target::new().check(
        &requests,
        &expect![[r#"
        GET /livez HTTP/9.9
            400 None ""
        GET
            400 None ""
        G\0T /livez
            400 None ""
        GET /liévez
            404 not-found
        GET /livez [no colon]
            400 None ""
        GET /livez [x: a\0b]
            400 None ""
        GET /livez [host : test]
            400 None ""
        POST /v1/streams {}
            400 None ""
        POST /v1/streams [transfer-encoding: chunked] zz\r\n
            400 invalid-request
        POST /v1/streams [transfer-encoding: gzip] {}
            400 None ""
        GET http://elsewhere/livez
            200
        OPTIONS *
            404 not-found
        CONNECT elsewhere:443
            404 not-found
        GET /livez HTTP/1.0
            200
        GET /livez
            200
    "#]],
    );
}

#[test]
fn a_request_keeps_the_id_that_it_came_with() {
    let target = Target::new();
    let named = with_headers("GET /nowhere", &["x-request-id: trace-7"], b"");
    let answer = target.answer(&named);
    assert_eq!(answer.header("x-request-id"), Some("trace-7"));
    let unnamed = target.answer(&bare("GET /nowhere"));
    let own = unnamed.header("x-request-id").expect("an id");
    assert_eq!(own.len(), 16, "{own}");
}
