//! Slow and silent clients: each connection has its end, and honest clients do not notice.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{Server, Wire, elapsed_since, now, request, wait_until};

/// How soon a connection is closed that does nothing useful, and a little for a busy machine.
const CLOSED_WITHIN: Duration = Duration::from_secs(15 + 5);
/// How often a dripping client sends a byte.
const DRIP: Duration = Duration::from_millis(300);
/// How HTTP/2 begins, and an empty SETTINGS frame (RFC 9113, sections 3.4 and 6.5).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

const HEAD: &[u8] = b"POST /v1/streams HTTP/1.1\r\nhost: test\r\n\
    content-type: application/json\r\ncontent-length: 1000\r\n\r\n";

/// Sends this and no more.
#[track_caller]
fn silent(server: &Server, what: &str, start: &[u8]) {
    let mut wire = Wire::open(server.address());
    wire.send(start).expect("the server takes it");
    let closed = wire.rest(CLOSED_WITHIN);
    assert!(
        closed.is_some(),
        "{what}: still open after {CLOSED_WITHIN:?}"
    );
}

/// Sends this, and then a byte every now and then for as long as the server takes them.
#[track_caller]
fn dripping(server: &Server, what: &str, start: &[u8]) {
    let mut wire = Wire::open(server.address());
    wire.send(start).expect("the server takes it");
    let begin = now();
    while wire.rest(DRIP).is_none() {
        assert!(elapsed_since(begin) < CLOSED_WITHIN, "{what}: still open");
        if wire.send(b"x").is_err() {
            return;
        }
    }
}

/// Asks for more and more and reads nothing, until the server gives up.
#[track_caller]
fn never_reading(server: &Server) {
    let mut wire = Wire::open(server.address());
    let timeout = wire.stream.set_write_timeout(Some(DRIP));
    timeout.expect("a timeout can be set");
    let asks = request("GET", "/openapi.json", "").repeat(64);
    let mut stuck_since = now();
    loop {
        match wire.stream.write(&asks) {
            Ok(_) => stuck_since = now(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let stuck = elapsed_since(stuck_since);
                assert!(stuck < CLOSED_WITHIN, "never reading: still open");
            }
            Err(_closed) => return,
        }
    }
}

/// Starts, beats and stops as players do, until the slow ones are gone.
fn honest(server: &Server, is_over: &AtomicBool) -> usize {
    let client = server.client();
    let mut served = 0;
    while !is_over.load(Ordering::Relaxed) {
        let id = client.admitted(&json!({"userId": "honest"}));
        let beat = client.poke(&format!("/v1/streams/{id}/heartbeat"));
        assert_eq!(beat.status, 200, "{beat:?}");
        assert_eq!(client.delete(&format!("/v1/streams/{id}")).status, 204);
        served += 1;
    }
    served
}

#[test]
fn every_slow_or_silent_client_is_hung_up_on_while_honest_ones_are_served() {
    let server = Server::start();
    let is_over = AtomicBool::new(false);
    let http2 = [PREFACE, SETTINGS].concat();
    let silences: [(&str, &[u8]); 9] = [
        ("a connection that says nothing", b""),
        ("one byte", b"G"),
        ("part of a request line", b"POST /v1/str"),
        ("part of a head", b"POST /v1/streams HTTP/1.1\r\nhost: te"),
        ("a head without its body", HEAD),
        ("half a body", &[HEAD, b"{\"userId\":"].concat()),
        ("half an HTTP/2 preface", &PREFACE[..12]),
        ("an HTTP/2 preface and no more", PREFACE),
        ("HTTP/2 without a request", &http2),
    ];
    let drips: [(&str, &[u8]); 4] = [
        ("a dripped request line", b"POST /"),
        ("dripped headers", b"POST /v1/streams HTTP/1.1\r\nx-drip: "),
        ("a dripped body", HEAD),
        (
            "a dripped stop",
            b"POST /v1/streams/a/stop HTTP/1.1\r\nhost: test\r\ncontent-length: 900\r\n\r\n",
        ),
    ];
    thread::scope(|scope| {
        let server = &server;
        let honest = scope.spawn(|| honest(server, &is_over));
        let mut slow: Vec<_> = (0..4)
            .flat_map(|_| &silences)
            .map(|(what, start)| scope.spawn(move || silent(server, what, start)))
            .collect();
        slow.extend(
            (0..4)
                .flat_map(|_| &drips)
                .map(|(what, start)| scope.spawn(move || dripping(server, what, start))),
        );
        slow.push(scope.spawn(move || never_reading(server)));
        let ended: Vec<_> = slow.into_iter().map(|thread| thread.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        let served = honest.join().expect("honest clients are served");
        assert!(10 < served, "only {served} honest clients were served");
        assert!(
            ended.iter().all(Result::is_ok),
            "a slow client was not hung up on"
        );
    });
}

#[test]
fn an_idle_connection_is_kept_for_longer_than_a_head_may_take() {
    let server = Server::start();
    let mut wire = Wire::open(server.address());
    let live = request("GET", "/livez", "");
    assert_eq!(wire.exchange(&live).expect("an answer").status, 200);
    assert!(
        wire.is_silent_for(Duration::from_secs(20)),
        "it is not closed"
    );
    assert_eq!(wire.exchange(&live).expect("an answer").status, 200);
    // And the head's own deadline still holds after that.
    wire.send(b"GET /live").expect("the connection is open");
    let answer = wait_until("the connection is closed", CLOSED_WITHIN, || {
        wire.rest(Duration::from_secs(1))
    });
    assert!(
        !answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        answer.escape_ascii()
    );
}
