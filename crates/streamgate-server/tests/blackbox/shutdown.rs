//! Stopping in order, not starting where something is wrong, and what the command line says.

mod commands;
mod refusals;

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{SOON, Server, Setup, Wire, request, wait_until};

const STOPPING: &str = "stopping: no new connections";
const IN_ORDER: &str = "the data directory is open";
const NOT_IN_ORDER: &str = "was not closed in order";

/// The head of a start whose body the server must ask for: once it has, the request is in the
/// hands of its handler.
fn head_of_start(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /v1/streams HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn a_request_that_is_being_answered_when_the_signal_comes_is_answered() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start();
        let body = r#"{"userId":"1","streamId":"in-flight"}"#;
        let mut wire = Wire::open(server.address());
        let asked = wire.exchange(&head_of_start(body)).expect("an answer");
        assert_eq!(asked.status, 100);
        let [mut idle, mut late] = [Wire::open(server.address()), Wire::open(server.address())];
        for wire in [&mut idle, &mut late] {
            let live = wire.exchange(&request("GET", "/livez", ""));
            assert_eq!(live.expect("an answer").status, 200);
        }

        server.signal(signal);
        server.wait_for_log(STOPPING);
        wait_until("no new connection is taken", SOON, || {
            Wire::connect(server.address()).is_err().then_some(())
        });
        let ready = late.exchange(&request("GET", "/readyz", ""));
        let ready = ready.expect("a request that crosses the signal is answered");
        assert_eq!((ready.status, ready.code().as_str()), (503, "overloaded"));
        assert_eq!(ready.header("connection"), Some("close"));
        assert_eq!(late.rest(SOON).as_deref(), Some([].as_slice()));
        let closed = idle.rest(SOON);
        assert_eq!(closed.as_deref(), Some([].as_slice()), "an idle one too");
        wire.send(body.as_bytes()).expect("the connection is open");
        let answer = wire.answer().expect("an answer");
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(wire.rest(SOON).as_deref(), Some([].as_slice()));
        assert_eq!(server.wait().code(), Some(0));

        let server = server.restart();
        assert_eq!(server.client().streams_of("1"), ["in-flight"]);
        assert!(!server.log().contains(NOT_IN_ORDER), "{}", server.log());
        assert_eq!(server.log().matches(IN_ORDER).count(), 2);
    }
}

#[test]
fn a_request_that_never_ends_does_not_keep_the_server() {
    let mut server = Setup::new()
        .set("HTTP_DEADLINE_SECONDS", 60)
        .set("HTTP_DRAIN_SECONDS", 1)
        .start();
    let mut wire = Wire::open(server.address());
    let asked = wire.exchange(&head_of_start(r#"{"userId":"1"}"#));
    assert_eq!(asked.expect("an answer").status, 100);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(
        server.log().contains("did not finish in time"),
        "{}",
        server.log()
    );
    assert_eq!(wire.rest(SOON).as_deref(), Some([].as_slice()));
}

/// Starts streams until an answer says that it is the last.
fn start_until_refused(
    server: &Server,
    client: usize,
    acknowledged: &Mutex<HashSet<String>>,
    answers: &AtomicUsize,
) {
    let mut wire = Wire::open(server.address());
    for number in 0.. {
        let id = format!("s-{client}-{number}");
        let body = json!({"userId": format!("user-{client}"), "streamId": id,
            "onLimit": "replaceOldest"});
        let answer = wire.exchange(&request("POST", "/v1/streams", &body.to_string()));
        let answer = answer.expect("every request is answered");
        assert_eq!(answer.status, 201, "{answer:?}");
        let mut acknowledged = acknowledged.lock().expect("no client failed");
        acknowledged.insert(id);
        for replaced in answer.json()["replaced"].as_array().expect("a list") {
            acknowledged.remove(replaced.as_str().expect("an id"));
        }
        answers.fetch_add(1, Ordering::SeqCst);
        if answer.header("connection") == Some("close") {
            return;
        }
    }
    unreachable!("the loop ends with the server")
}

/// Also a request that crosses the signal on its way is answered, as long as its client takes
/// the answer's `Connection: close` for what it says and sends nothing after it.
#[test]
fn under_load_every_request_is_answered_and_everything_acknowledged_is_there_after() {
    const CLIENTS: usize = 24;
    let mut server = Server::start();
    let (acknowledged, answers) = (Mutex::new(HashSet::new()), AtomicUsize::new(0));
    thread::scope(|scope| {
        let shared = (&server, &acknowledged, &answers);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (server, acknowledged, answers) = shared;
                scope.spawn(move || start_until_refused(server, client, acknowledged, answers))
            })
            .collect();
        wait_until("the load is under way", SOON, || {
            (500 <= answers.load(Ordering::SeqCst)).then_some(())
        });
        server.signal(Signal::TERM);
        for client in clients {
            client
                .join()
                .expect("every request of every client is answered");
        }
    });
    assert_eq!(server.wait().code(), Some(0));

    let server = server.restart();
    assert!(!server.log().contains(NOT_IN_ORDER), "{}", server.log());
    let client = server.client();
    let listed: HashSet<String> = (0..CLIENTS)
        .flat_map(|user| client.streams_of(&format!("user-{user}")))
        .collect();
    let acknowledged = acknowledged.into_inner().expect("no client failed");
    assert_eq!(listed, acknowledged);
}

#[test]
fn http2_requests_in_flight_are_answered_too() {
    let mut server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let status = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address()).await;
        let (sender, connection) = h2::client::handshake(stream.expect("a connection"))
            .await
            .expect("HTTP/2");
        let exchange = async {
            let mut sender = sender.ready().await.expect("a place for a request");
            let head = http::Request::post("http://test/v1/streams")
                .header("content-type", "application/json");
            let head = head.body(()).expect("a request");
            let (answer, mut body) = sender.send_request(head, false).expect("it is sent");
            let first = bytes::Bytes::from_static(br#"{"userId":"#);
            body.send_data(first, false).expect("it is sent");
            // The server answers this only after it has taken in the request before it.
            let probe = http::Request::get("http://test/livez")
                .body(())
                .expect("a request");
            let (probe, _) = sender.send_request(probe, true).expect("it is sent");
            assert_eq!(probe.await.expect("an answer").status(), 200);
            server.signal(Signal::TERM);
            server.wait_for_log(STOPPING);
            let rest = bytes::Bytes::from_static(br#""1"}"#);
            body.send_data(rest, true).expect("it is sent");
            answer.await.expect("an answer").status()
        };
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            status = exchange.as_mut() => status,
            ended = connection.as_mut() => {
                ended.expect("an orderly end");
                exchange.await
            }
        }
    });
    assert_eq!(status, 201);
    assert_eq!(server.wait().code(), Some(0));
    let server = server.restart();
    assert_eq!(server.client().streams_of("1").len(), 1);
}
