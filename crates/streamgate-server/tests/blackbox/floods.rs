//! Floods of HTTP/2 frames that a client must not get away with: rapid resets (CVE-2023-44487),
//! header blocks that never end (CVE-2024-27316). The connection ends, the others live on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::support::{Server, elapsed_since, now};

/// How HTTP/2 begins, and an empty SETTINGS frame (RFC 9113, sections 3.4 and 6.5).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM_AND_HEADERS: u8 = 0x5;
/// Far more than any bound of the server.
const FRAMES_MAX: u32 = 200_000;
/// How long a flood may last before the server ends it.
const ENDED_WITHIN: Duration = Duration::from_secs(20);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len())
        .expect("a short payload")
        .to_be_bytes();
    let head = [len[1], len[2], len[3], kind, flags];
    [&head, &stream.to_be_bytes()[..], payload].concat()
}

/// GET /livez by HPACK's static table (RFC 7541, appendix A): method, scheme, path, authority.
fn get_livez() -> Vec<u8> {
    [b"\x82\x86\x04\x06/livez\x41\x04".as_slice(), b"test"].concat()
}

/// Sends frames until the server has had enough; how many it took.
#[track_caller]
fn flood(server: &Server, next: impl Fn(u32) -> Vec<u8>) -> u32 {
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    let timeout = stream.set_write_timeout(Some(ENDED_WITHIN));
    timeout.expect("a timeout can be set");
    let mut reading = stream.try_clone().expect("a second handle");
    let reader = std::thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
    stream.write_all(PREFACE).expect("the server takes it");
    let begin = now();
    let mut sent = 0;
    while sent < FRAMES_MAX && elapsed_since(begin) < ENDED_WITHIN {
        if stream.write_all(&next(sent)).is_err() {
            break;
        }
        sent += 1;
    }
    drop(stream.shutdown(std::net::Shutdown::Both));
    drop(reader.join());
    sent
}

#[test]
fn a_client_that_resets_streams_as_fast_as_it_opens_them_is_hung_up_on() {
    let server = Server::start();
    let sent = flood(&server, |at| {
        let stream = 2 * at + 1;
        let open = frame(HEADERS, END_STREAM_AND_HEADERS, stream, &get_livez());
        [open, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
    });
    assert!(sent < FRAMES_MAX, "it took them all");
    assert_eq!(
        server.client().start(&json!({"userId": "honest"})).status,
        201
    );
}

#[test]
fn a_header_block_that_never_ends_is_hung_up_on() {
    let server = Server::start();
    // A literal field without indexing, of a kilobyte, again and again.
    let field = [b"\0\x01x\x7f\x81\x07".as_slice(), &[b'a'; 1024]].concat();
    let sent = flood(&server, |at| match at {
        0 => frame(HEADERS, 0, 1, &get_livez()),
        _ => frame(CONTINUATION, 0, 1, &field),
    });
    assert!(sent < 10_000, "it took {sent} frames");
    assert_eq!(
        server.client().start(&json!({"userId": "honest"})).status,
        201
    );
}

#[test]
fn a_connection_that_only_reads_what_it_did_not_ask_for_gets_nothing() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    let timeout = stream.set_read_timeout(Some(ENDED_WITHIN));
    timeout.expect("a timeout can be set");
    // A response frame from a client: a protocol error, answered by GOAWAY and the end.
    stream.write_all(PREFACE).expect("the server takes it");
    let odd = frame(HEADERS, END_STREAM_AND_HEADERS, 2, &get_livez());
    stream.write_all(&odd).expect("the server takes it");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("it is closed in time");
    assert!(rest.len() < 1024, "{} bytes", rest.len());
}
