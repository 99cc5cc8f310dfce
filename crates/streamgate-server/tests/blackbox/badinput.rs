//! Every bad input has its documented answer: a problem document with a stable code that names
//! the field, and nothing of anybody else's. Each test is a table.

mod beats;
mod bodies;
mod bounds;
mod paths;

use std::fmt::Write;

use expect_test::Expect;
use serde_json::json;

use crate::support::{Answer, Client, SOON, Server, Wire, wait_until};

/// A user with a stream, of whom no error answer may say anything.
const BYSTANDER: &str = "bystander-7c1e";
/// How much of a request a table shows.
const SHOWN_MAX: usize = 88;

/// A server with somebody on it.
struct Target {
    server: Server,
    client: Client,
    secret: String,
}

impl Target {
    fn new() -> Self {
        let server = Server::start();
        let client = server.client();
        let body = json!({"userId": BYSTANDER, "device": {"name": "bystander's TV"}});
        let secret = client.admitted(&body);
        Self {
            server,
            client,
            secret,
        }
    }

    /// Sends the request that `request` makes of each row's first column, on a connection of its
    /// own, and compares the outcome with the second.
    #[track_caller]
    fn check_rows(&self, request: impl Fn(&str) -> Vec<u8>, rows: &[(&str, &str)]) {
        let (mut expected, mut found) = (String::new(), String::new());
        for (what, outcome) in rows {
            let answer = self.answer(&request(what));
            writeln!(expected, "{what:?}: {outcome}").expect("a string takes every character");
            writeln!(found, "{what:?}: {}", self.outcome(&answer))
                .expect("a string takes every character");
        }
        assert!(expected == found, "expected\n{expected}\nfound\n{found}");
        self.is_well();
    }

    /// The same with requests that are too long to stand in a table.
    #[track_caller]
    fn check(&self, requests: &[Vec<u8>], expected: &Expect) {
        let mut table = String::new();
        for request in requests {
            let answer = self.answer(request);
            let outcome = self.outcome(&answer);
            writeln!(table, "{}\n    {outcome}", shown(request))
                .expect("a string takes every character");
        }
        expected.assert_eq(&table);
        self.is_well();
    }

    /// Sends a request, which the server may stop to read when it has seen enough.
    #[track_caller]
    fn answer(&self, request: &[u8]) -> Answer {
        let mut wire = Wire::open(self.server.address());
        drop(wire.send(request));
        wire.answer()
            .unwrap_or_else(|error| panic!("{} is answered: {error}", shown(request)))
    }

    /// Status, code and field; everything else about an error is checked here.
    fn outcome(&self, answer: &Answer) -> String {
        let status = answer.status;
        if status < 400 {
            return status.to_string();
        }
        assert!(!answer.body.contains(BYSTANDER), "{answer:?}");
        assert!(!answer.body.contains("bystander's TV"), "{answer:?}");
        assert!(!answer.body.contains(&self.secret), "{answer:?}");
        assert!(answer.body.len() < 4_096, "{answer:?}");
        let kind = answer.header("content-type");
        let Some("application/problem+json") = kind else {
            return format!("{status} {kind:?} {:?}", answer.body);
        };
        assert!(answer.header("x-request-id").is_some(), "{answer:?}");
        assert_eq!(
            status == 405,
            answer.header("allow").is_some(),
            "{answer:?}"
        );
        let problem = answer.json();
        let code = answer.code();
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("urn:streamgate:problem:{code}"));
        assert!(!answer.text("title").is_empty() && !answer.text("detail").is_empty());
        match problem["field"].as_str() {
            Some(field) => format!("{status} {code} ({field})"),
            None => format!("{status} {code}"),
        }
    }

    /// The server serves, and says no names to whoever watches it.
    fn is_well(&self) {
        wait_until("the server is ready", SOON, || {
            (self.client.get("/readyz").status == 200).then_some(())
        });
        let beat = self
            .client
            .poke(&format!("/v1/streams/{}/heartbeat", self.secret));
        assert_eq!(beat.status, 200, "{beat:?}");
        let metrics = self.client.get("/metrics").body;
        assert!(!metrics.contains("bystander") && !metrics.contains(&self.secret));
        assert!(!metrics.contains("status=\"500\""), "{metrics}");
    }
}

/// What a request says, on one line.
fn shown(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default().replace(" HTTP/1.1", "");
    let plain = ["host: test", "content-type: application/json"];
    let headers: String = lines
        .filter(|line| !plain.contains(line) && !line.starts_with("content-length: "))
        .map(|line| format!(" [{line}]"))
        .collect();
    let whole = format!("{first}{headers} {body}")
        .escape_debug()
        .to_string();
    let whole = whole.replace("\\\"", "\"").trim_end().to_owned();
    if whole.chars().count() <= SHOWN_MAX {
        return whole;
    }
    let start: String = whole.chars().take(SHOWN_MAX).collect();
    format!("{start}… {} bytes", request.len())
}

/// A request with these headers, which are complete but for the length.
fn with_headers(line: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{line} HTTP/1.1\r\nhost: test\r\n").into_bytes();
    for header in headers {
        request.extend_from_slice(header.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    request.extend_from_slice(body);
    request
}

fn post(path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let json = ["content-type: application/json"];
    with_headers(&format!("POST {path}"), &json, body.as_ref())
}

fn bare(line: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nhost: test\r\n\r\n").into_bytes()
}
