//! Twenty thousand requests that no client would send: valid ones with random damage. The
//! server answers or closes, never breaks, and serves honest clients as before.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{Dice, Server, Wire, request};

const REQUESTS: usize = 20_000;
const THREADS: usize = 8;
/// How long a connection may stay open after its client has said all it has to say.
const CLOSED_WITHIN: Duration = Duration::from_secs(15);
/// How long to wait for that before concluding that the request is incomplete.
const PATIENCE: Duration = Duration::from_millis(20);

/// Follows each damaged request: where that one is complete, this closes the connection.
const LAST: &[u8] = b"GET /livez HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";

/// Pieces that break parsers.
const PIECES: [&[u8]; 24] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"\xff\xfe",
    b"\xc3\x28",
    b"%00",
    b"%",
    b"%ff",
    b"\"",
    b"{",
    b"[[[[[[[[",
    b"}",
    b"\\ud800",
    b"\\u0000",
    b"1e999",
    b"-9223372036854775809",
    b"null",
    b": ",
    b"/../",
    b"?userId=",
    b"content-length: 0\r\n",
    b"transfer-encoding: chunked\r\n",
    b"expect: 100-continue\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

fn templates(id: &str) -> Vec<Vec<u8>> {
    let start = json!({
        "userId": "mutant", "streamId": "m-1", "contentId": "movie-1", "limit": 2,
        "device": {"id": "tv-9", "name": "Living room TV", "type": "tv"},
        "replace": ["m-0"], "onLimit": "replaceOldest", "plan": null,
    });
    let batch = json!({"heartbeats": [
        {"streamId": id}, {"streamId": "m-1", "userId": "mutant", "state": "paused"},
    ]});
    let seed = json!({"userId": 12345, "streamId": "m-2"}).to_string();
    vec![
        request("POST", "/v1/streams", &start.to_string()),
        request("POST", "/v1/streams", r#"{"userId":"mutant"}"#),
        request(
            "POST",
            &format!("/v1/streams/{id}/heartbeat"),
            r#"{"state":"playing"}"#,
        ),
        request(
            "POST",
            "/v1/users/mutant/streams/m-1/heartbeat",
            r#"{"contentId":"b"}"#,
        ),
        request("POST", &format!("/v1/streams/{id}/stop"), ""),
        request("DELETE", "/v1/streams/m-1?userId=mutant", ""),
        request("POST", "/v1/heartbeats", &batch.to_string()),
        request("GET", "/v1/users/mutant/streams", ""),
        request(
            "GET",
            "/v1/users/mutant/admission?deviceId=tv-9&limit=2",
            "",
        ),
        request("DELETE", "/v1/users/mutant/streams/m-1", ""),
        request("POST", "/stream", &seed),
        request("DELETE", "/dev/stream", &seed),
        request("GET", "/metrics", ""),
        request("OPTIONS", "/v1/streams", ""),
    ]
}

/// Damages a request in one to four places.
fn mutate(mut bytes: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len().max(1));
        match dice.below(7) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = dice.byte(),
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, dice.byte()),
            4 => drop(bytes.splice(at..at, dice.pick(&PIECES).iter().copied())),
            5 => {
                let end = (at + dice.below(24)).min(bytes.len());
                drop(bytes.drain(at..end));
            }
            _ => {
                let end = (at + dice.below(24)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
        }
        if bytes.is_empty() {
            bytes.push(dice.byte());
        }
    }
    bytes
}

/// Sends one damaged request and reads whatever comes until the server closes.
fn send(server: &Server, damaged: &[u8]) -> Vec<u8> {
    let mut wire = Wire::open(server.address());
    // The server may close before it has read everything.
    drop(wire.send(damaged).and_then(|()| wire.send(LAST)));
    let said = wire.rest(PATIENCE).or_else(|| {
        drop(wire.stream.shutdown(std::net::Shutdown::Write));
        wire.rest(CLOSED_WITHIN)
    });
    let Some(said) = said else {
        let shown = damaged.escape_ascii();
        panic!("the connection still hangs after {CLOSED_WITHIN:?}: {shown}");
    };
    said
}

/// The statuses in what came, as far as it is HTTP/1.
fn statuses(said: &[u8]) -> Vec<u16> {
    let starts: [&[u8]; 2] = [b"HTTP/1.1 ", b"HTTP/1.0 "];
    said.windows(12)
        .filter(|part| starts.iter().any(|start| part.starts_with(start)))
        .filter_map(|part| std::str::from_utf8(&part[9..]).ok()?.parse().ok())
        .collect()
}

#[test]
fn twenty_thousand_damaged_requests_break_nothing() {
    let server = Server::start();
    let client = server.client();
    let id = client.admitted(&json!({"userId": "honest"}));
    let templates = templates(&id);
    let answered: usize = thread::scope(|scope| {
        let (server, templates) = (&server, &templates);
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut dice = Dice::new(14 + thread as u64);
                    let mut answered = 0;
                    for _ in 0..REQUESTS / THREADS {
                        let damaged = mutate(dice.pick(templates).clone(), &mut dice);
                        let said = send(server, &damaged);
                        let statuses = statuses(&said);
                        let broken = statuses.iter().find(|status| 500 <= **status);
                        let shown = (damaged.escape_ascii(), said.escape_ascii());
                        assert_eq!(broken, None, "{} was answered {}", shown.0, shown.1);
                        answered += usize::from(!statuses.is_empty());
                    }
                    answered
                })
            })
            .collect();
        let answered = threads.into_iter().map(|thread| thread.join());
        answered.map(|it| it.expect("no thread fails")).sum()
    });
    assert!(
        REQUESTS / 2 < answered,
        "{answered}: the damage is too great to test anything"
    );
    assert_eq!(client.get("/readyz").status, 200);
    let beat = client.start(&json!({"userId": "honest-too"}));
    assert_eq!(beat.status, 201, "{beat:?}");
    let metrics = client.get("/metrics").body;
    assert!(!metrics.contains("status=\"500\""), "{metrics}");
    for name in ["honest", "mutant", &id] {
        assert!(!metrics.contains(name), "{metrics}");
    }
    let log = server.log();
    assert!(!log.contains("panic"), "{log}");
}
