//! Clients that send a request and are gone, as a page is that closes, and a log that nobody
//! reads any more.

use std::net::Shutdown;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{SOON, Server, Setup, Wire, request, wait_until};

/// How many players leave.
const PLAYERS: usize = 100;

#[test]
fn a_stop_is_done_although_its_player_is_gone() {
    let server = Server::start();
    let client = server.client();
    for player in 0..PLAYERS {
        let id = client.admitted(&json!({ "userId": format!("u{player}") }));
        let stop = request(
            "POST",
            &format!("/v1/streams/{id}/stop"),
            r#"{"reason":"pagehide"}"#,
        );
        let mut wire = Wire::open(server.address());
        wire.send(&stop).expect("the connection is open");
        drop(wire);
    }
    wait_until("every stop is done", SOON, || {
        let live = |player: &usize| !client.streams_of(&format!("u{player}")).is_empty();
        (0..PLAYERS).all(|player| !live(&player)).then_some(())
    });
}

#[test]
fn a_client_that_ends_its_side_after_the_request_is_answered() {
    let server = Server::start();
    for player in 0..PLAYERS {
        let mut wire = Wire::open(server.address());
        let body = format!(r#"{{"userId":"u{player}"}}"#);
        wire.send(&request("POST", "/v1/streams", &body))
            .expect("the connection is open");
        wire.stream
            .shutdown(Shutdown::Write)
            .expect("one side can be ended");
        assert_eq!(wire.answer().expect("an answer").status, 201);
    }
}

#[test]
fn a_log_that_nobody_reads_neither_loses_requests_nor_keeps_it_from_stopping() {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let mut child = Command::new(env!("CARGO_BIN_EXE_streamgate"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log-level",
            "debug",
            "--data-dir",
        ])
        .arg(home.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    drop(child.stderr.take());
    let stdout = child.stdout.take().expect("stdout is a pipe");
    let address = crate::support::address_on(stdout);
    let answer = Wire::open(address).exchange(&request("POST", "/v1/streams", r#"{"userId":"u"}"#));
    assert_eq!(answer.expect("an answer").status, 201);

    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).expect("it runs");
    let status = wait_until("it has stopped", SOON, || {
        child.try_wait().expect("it is ours")
    });
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_without_draining() {
    let mut server = Setup::new().set("HTTP_DRAIN_SECONDS", 600).start();
    // A request whose body does not come keeps it draining.
    let mut wire = Wire::open(server.address());
    let head = "POST /v1/streams HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    assert_eq!(
        wire.exchange(head.as_bytes()).expect("an answer").status,
        100
    );
    server.signal(Signal::TERM);
    server.wait_for_log("stopping: no new connections");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(130));
}
