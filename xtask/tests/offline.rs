//! `cargo xtask offline` as somebody uses it: started, asked over HTTP, ended by a signal.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
/// How long anything may take on a busy machine.
const MOST: Duration = Duration::from_secs(120);
const LIMIT_REACHED: &str = r#"{"statusCode":403,"message":{"error":"Unable to start a new stream, maximum limit reached"}}"#;
const NO_USER: &str = r#"{"statusCode":400,"message":{"error":"Request missing userId"}}"#;
const UNKNOWN: &str = r#"{"statusCode":404,"message":{"error":"Stream not found"}}"#;

/// The command, running.
struct Offline {
    child: Child,
    agent: ureq::Agent,
    /// Up to the stage.
    base: String,
    logs: TempDir,
}

impl Offline {
    #[track_caller]
    fn start(options: &[&str]) -> Self {
        // The workspace's tests have built it.
        let function = Path::new(XTASK).with_file_name("bootstrap");
        assert!(
            function.exists(),
            "run cargo build --package streamgate-lambda"
        );
        let logs = tempfile::tempdir().expect("a temporary directory can be made");
        let mut child = Command::new(XTASK)
            .args(["offline", "--port", "0", "--logs"])
            .arg(logs.path())
            .arg("--bootstrap")
            .arg(function)
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut lines = said.lines().map(|line| line.expect("it speaks UTF-8"));
        let endpoint = lines.find_map(|line| Some(line.strip_prefix("  POST - ")?.to_owned()));
        let endpoint = endpoint.expect("it says where it is");
        let base = endpoint
            .strip_suffix("/stream")
            .expect("the seed's")
            .to_owned();
        // It goes on speaking.
        thread::spawn(move || lines.for_each(drop));
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(MOST))
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .build()
            .into();
        Self {
            child,
            agent,
            base,
            logs,
        }
    }

    /// The status and the body of an answer; again when the store was too slow for the function.
    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let began = now();
        loop {
            let request = ureq::http::Request::builder()
                .method(method)
                .uri(format!("{}{path}", self.base))
                .header("content-type", "application/json")
                .body(body.to_owned())
                .expect("a request");
            let mut answer = self.agent.run(request).expect("it answers");
            let said = answer.body_mut().read_to_string().expect("text");
            let status = answer.status().as_u16();
            if status != 503 || MOST < began.elapsed() {
                return (status, said);
            }
        }
    }

    /// What it started, and what that started.
    fn family(&self) -> Vec<u32> {
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(parent) = family.get(next) {
            let path = format!("/proc/{parent}/task");
            for task in fs::read_dir(path).into_iter().flatten().flatten() {
                let children = fs::read_to_string(task.path().join("children"));
                let children = children.unwrap_or_default();
                family.extend(
                    children
                        .split_whitespace()
                        .map(|it| it.parse::<u32>().expect("an id")),
                );
            }
            next += 1;
        }
        family
    }

    /// Sends it a signal: whether it ended well, and what of its family is left.
    #[track_caller]
    fn end(mut self, signal: &str) {
        let family = self.family();
        // Itself, the database, an emulator and the function in it.
        assert!(4 <= family.len(), "{family:?}");
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .expect("kill runs")
                .success()
        );
        let status = self.child.wait().expect("it can be waited for");
        assert!(status.success(), "{status}");
        let lives = |id: &&u32| {
            // A process that nobody has waited for yet is none any more.
            let state = fs::read_to_string(format!("/proc/{id}/stat"));
            state.is_ok_and(|state| !state.contains(") Z "))
        };
        let began = now();
        while let Some(left) = family.iter().find(lives) {
            assert!(began.elapsed() < MOST, "{left} of {family:?} is left");
            thread::yield_now();
        }
        let log = fs::read_to_string(self.logs.path().join("function-1.log"));
        let log = log.expect("it has a log");
        assert!(log.contains("shutdown completed"), "{log}");
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        // Where a test failed before it ended it.
        if let Ok(None) = self.child.try_wait() {
            let id = self.child.id().to_string();
            drop(Command::new("kill").arg(id).status());
            drop(self.child.wait());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "deadlines of tests")]
fn now() -> Instant {
    Instant::now()
}

#[track_caller]
fn seed_start(offline: &Offline, user: &str, stream: &str) -> String {
    // Its own id makes it repeatable.
    let start = json!({"userId": user, "streamId": stream}).to_string();
    let (status, said) = offline.call("POST", "/stream", &start);
    assert_eq!(status, 201, "{said}");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (&said["statusCode"], &said["message"]["userId"]),
        (&json!(201), &json!(user))
    );
    said["message"]["streamId"]
        .as_str()
        .expect("an id")
        .to_owned()
}

#[track_caller]
fn check_contract(offline: &Offline, user: &str) {
    let minted = offline.call("POST", "/stream", r#"{"userId":"another"}"#);
    assert_eq!(minted.0, 201, "{}", minted.1);
    let ids = ["1", "2", "3"].map(|stream| seed_start(offline, user, stream));
    let start = json!({"userId": user}).to_string();
    let stop = json!({"userId": user, "streamId": ids[0]}).to_string();
    let said = |status: u16, body: &str| (status, body.to_owned());
    let fourth = offline.call("POST", "/stream", &start);
    assert_eq!(fourth, said(403, LIMIT_REACHED));
    assert_eq!(offline.call("POST", "/stream", "{}"), said(400, NO_USER));
    assert_eq!(offline.call("DELETE", "/stream", &stop), said(204, ""));
    assert_eq!(offline.call("DELETE", "/stream", &stop), said(404, UNKNOWN));

    let (status, heard) = offline.call(
        "POST",
        &format!("/v1/users/{user}/streams/{}/heartbeat", ids[1]),
        "",
    );
    assert_eq!(status, 200, "{heard}");
    let (status, users) = offline.call("GET", &format!("/v1/users/{user}/streams"), "");
    let users: Value = serde_json::from_str(&users).expect("JSON");
    assert_eq!((status, &users["active"]), (200, &json!(2)));
}

#[test]
fn the_seeds_contract_holds_and_of_fifty_starts_at_once_three_are_admitted() {
    const STARTS: usize = 50;
    let offline = Offline::start(&["--processes", "4"]);
    check_contract(&offline, "user");

    let together = Barrier::new(STARTS);
    let start = |number: usize| {
        let start = json!({"userId": "one", "streamId": number.to_string()});
        together.wait();
        offline.call("POST", "/stream", &start.to_string()).0
    };
    let start = &start;
    let statuses: Vec<u16> = thread::scope(|scope| {
        let running: Vec<_> = (0..STARTS)
            .map(|number| scope.spawn(move || start(number)))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((count(201), count(403)), (3, 47), "{statuses:?}");
    let logs = fs::read_dir(offline.logs.path()).unwrap().flatten();
    let used = logs.filter(|log| {
        fs::read_to_string(log.path())
            .is_ok_and(|log| log.contains("INIT REPORT") || log.contains("exec '"))
    });
    assert!(1 < used.count(), "more than one process had requests");
    offline.end("-INT");
}

#[test]
fn an_http_api_keeps_the_contract_too_and_a_setting_reaches_the_function() {
    let offline = Offline::start(&["--api", "http", "--processes", "1"]);
    check_contract(&offline, "user");
    offline.end("-TERM");

    let limited = Offline::start(&["--processes", "1", "--env", "STREAMGATE_LIMIT=1"]);
    seed_start(&limited, "user", "1");
    assert_eq!(
        limited.call("POST", "/stream", r#"{"userId":"user"}"#).0,
        403
    );
    limited.end("-TERM");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = Command::new(XTASK)
        .args(["offline", "--port", &port])
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{said}"
    );
    assert!(said.contains("--port"), "{said}");
}

#[test]
fn a_function_that_ends_is_a_bad_gateway() {
    let offline = Offline::start(&[
        "--processes",
        "1",
        "--env",
        "STREAMGATE_ALLOW_UNAUTHENTICATED=false",
    ]);
    let (status, said) = offline.call("POST", "/stream", r#"{"userId":"user"}"#);
    assert_eq!(
        (status, said.as_str()),
        (502, r#"{"message":"Internal server error"}"#)
    );
}
