use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::engines::wait::{now, wait_until};
use crate::engines::{FaultProxy, RedisServer};

const SOON: Duration = Duration::from_secs(10);
const A_WHILE: Duration = Duration::from_millis(100);

fn started() -> (RedisServer, FaultProxy) {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into());
    (server, proxy)
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let client = TcpStream::connect(proxy.address()).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client
}

/// Sends a command and reads an answer of one line.
fn ask(mut client: &TcpStream, command: &str) -> std::io::Result<String> {
    client.write_all(format!("{command}\r\n").as_bytes())?;
    line(client)
}

fn line(mut client: &TcpStream) -> std::io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn is_silent_for(client: &TcpStream, time: Duration) -> bool {
    client.set_read_timeout(Some(time)).unwrap();
    let peeked = client.peek(&mut [0]);
    client.set_read_timeout(Some(SOON)).unwrap();
    peeked.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock))
}

#[test]
fn a_lost_answer_was_a_write() {
    let (server, proxy) = started();
    let client = connect(&proxy);
    assert_eq!(ask(&client, "INCR number").unwrap(), ":1");
    // A client that goes away is not a request.
    let another = connect(&proxy);
    assert_eq!(ask(&another, "PING").unwrap(), "+PONG");
    proxy.cut_after_request();
    another.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(line(&another).is_err());
    let lost = ask(&client, "INCR number").unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.command(&["GET", "number"]), "2");
    assert_eq!(ask(&connect(&proxy), "INCR number").unwrap(), ":3");
    let counts = proxy.counts();
    assert_eq!((counts.answers_lost, counts.connections), (1, 3));
}

#[test]
fn a_cut_resets_what_there_is_and_what_comes() {
    let (server, proxy) = started();
    let client = connect(&proxy);
    assert_eq!(ask(&client, "PING").unwrap(), "+PONG");
    proxy.cut();
    assert_eq!(
        line(&client).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert!(ask(&connect(&proxy), "INCR number").is_err());
    proxy.heal();
    assert_eq!(ask(&connect(&proxy), "PING").unwrap(), "+PONG");
    assert_eq!(server.command(&["EXISTS", "number"]), "0");
    assert_eq!(proxy.counts().refused, 1);
}

#[test]
fn what_is_sent_in_a_stall_arrives_after_it() {
    let (server, proxy) = started();
    let client = connect(&proxy);
    assert_eq!(ask(&client, "PING").unwrap(), "+PONG");
    proxy.stall();
    (&client).write_all(b"INCR number\r\n").unwrap();
    let another = connect(&proxy);
    (&another).write_all(b"PING\r\n").unwrap();
    assert!(is_silent_for(&client, A_WHILE) && is_silent_for(&another, A_WHILE));
    assert_eq!(server.command(&["EXISTS", "number"]), "0");
    proxy.heal();
    assert_eq!(line(&client).unwrap(), ":1");
    assert_eq!(line(&another).unwrap(), "+PONG");
}

#[test]
fn a_stall_of_answers_lets_requests_through() {
    let (server, proxy) = started();
    let client = connect(&proxy);
    proxy.stall_answers();
    (&client).write_all(b"INCR number\r\n").unwrap();
    let done = wait_until(SOON, || {
        (server.command(&["GET", "number"]) == "1").then_some(())
    });
    assert!(done.is_some() && is_silent_for(&client, A_WHILE));
    proxy.cut();
    assert!(line(&client).is_err());
}

#[test]
fn a_delay_is_for_each_direction() {
    let (_server, proxy) = started();
    let client = connect(&proxy);
    proxy.delay(A_WHILE);
    let start = now();
    assert_eq!(ask(&client, "PING").unwrap(), "+PONG");
    assert!(2 * A_WHILE <= start.elapsed());
}

#[test]
fn a_reset_spares_what_comes_after_it() {
    let (_server, proxy) = started();
    let client = connect(&proxy);
    assert_eq!(ask(&client, "PING").unwrap(), "+PONG");
    proxy.reset();
    assert_eq!(
        line(&client).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(ask(&connect(&proxy), "PING").unwrap(), "+PONG");
}

#[test]
fn a_target_that_is_down_refuses_and_a_proxy_that_is_gone_resets() {
    let (server, proxy) = started();
    server.kill();
    assert!(ask(&connect(&proxy), "PING").is_err());
    server.start_again();
    let client = connect(&proxy);
    assert_eq!(ask(&client, "PING").unwrap(), "+PONG");
    drop(proxy);
    assert_eq!(
        line(&client).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}
