//! HTTP itself: HEAD, OPTIONS, keep-alive, pipelining, HTTP/2.

use bytes::Bytes;
use expect_test::expect;
use http::{Method, Request};
use serde_json::json;

use crate::support::{Names, Server, Wire, request};

#[test]
fn head_is_answered_like_get_without_a_body_and_options_like_any_other_method() {
    let server = Server::start();
    let client = server.client();
    client.admitted(&json!({"userId": "1"}));
    let head = client.call(Method::HEAD, "/v1/users/1/streams").send();
    let get = client.get("/v1/users/1/streams");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let length = get.body.len().to_string();
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    assert_eq!(client.call(Method::HEAD, "/livez").send().status, 200);
    let mut names = Names::default();
    let options = client.call(Method::OPTIONS, "/v1/streams").send();
    expect![[r#"
        405
        content-type: application/problem+json
        allow: POST
        cache-control: no-store
        {
          code: "method-not-allowed"
          detail: "the Allow header lists the methods of this path"
          status: 405
          title: "This path does not take this method"
          type: "urn:streamgate:problem:method-not-allowed"
        }
    "#]]
    .assert_eq(&names.show_all(&options));
    let head = client.call(Method::HEAD, "/v1/streams").send();
    assert_eq!(head.status, 405);
}

#[test]
fn requests_that_are_sent_ahead_are_answered_in_their_order() {
    let server = Server::start();
    let mut wire = Wire::open(server.address());
    let mut ahead = Vec::new();
    for number in 0..50 {
        let body = json!({"userId": "1", "streamId": format!("s-{number}"),
            "onLimit": "replaceOldest"});
        ahead.extend(request("POST", "/v1/streams", &body.to_string()));
    }
    wire.send(&ahead).expect("they are sent");
    for number in 0..50 {
        let answer = wire.answer().expect("an answer");
        assert_eq!(answer.status, 201);
        assert_eq!(answer.text("streamId"), format!("s-{number}"));
    }
    assert_eq!(server.client().streams_of("1"), ["s-47", "s-48", "s-49"]);
}

#[test]
fn the_pages_for_people_and_machines_are_there() {
    let server = Server::start();
    let client = server.client();
    for (path, kind, part) in [
        ("/livez", "text/plain", "ok\n"),
        ("/readyz", "text/plain", "ok\n"),
        ("/metrics", "application/openmetrics-text", "# EOF"),
        ("/openapi.json", "application/json", "\"startStream\""),
        ("/docs/", "text/html", "<html"),
    ] {
        let answer = client.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let found = answer.header("content-type").unwrap_or_default();
        assert!(found.starts_with(kind), "{path}: {found}");
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    }
}

/// Sends requests at once over one HTTP/2 connection with prior knowledge; their statuses.
async fn over_http2(server: &Server, requests: Vec<(Request<()>, Option<String>)>) -> Vec<u16> {
    let stream = tokio::net::TcpStream::connect(server.address()).await;
    let (sender, connection) = h2::client::handshake(stream.expect("a connection"))
        .await
        .expect("HTTP/2");
    let exchange = async {
        let mut answers = Vec::new();
        let mut sender = sender;
        for (head, body) in requests {
            sender = sender.ready().await.expect("a place for a request");
            let sent = sender.send_request(head, body.is_none());
            let (answer, mut stream) = sent.expect("it is sent");
            if let Some(body) = body {
                stream
                    .send_data(Bytes::from(body), true)
                    .expect("it is sent");
            }
            answers.push(answer);
        }
        let mut statuses = Vec::new();
        for answer in answers {
            statuses.push(answer.await.expect("an answer").status().as_u16());
        }
        statuses
    };
    tokio::select! {
        statuses = exchange => statuses,
        ended = connection => panic!("the connection ended early: {ended:?}"),
    }
}

#[test]
fn http2_with_prior_knowledge_is_spoken_and_races_alike() {
    let server = Server::start();
    let post = |body: String| {
        let head =
            Request::post("http://test/v1/streams").header("content-type", "application/json");
        (head.body(()).expect("a request"), Some(body))
    };
    let mut requests: Vec<_> = (0..40)
        .map(|_| post(json!({"userId": "1"}).to_string()))
        .collect();
    requests.push(post("{".into()));
    let get = Request::get("http://test/v1/users/1/streams");
    requests.push((get.body(()).expect("a request"), None));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let statuses = runtime.block_on(over_http2(&server, requests));
    let count = |status: u16| statuses.iter().filter(|it| **it == status).count();
    assert_eq!(
        (count(201), count(409), count(400), count(200)),
        (3, 37, 1, 1)
    );
    assert_eq!(server.client().streams_of("1").len(), 3);
}
