//! `streamgate bench`: it measures, and it notices a server that breaks the rules.

use std::net::SocketAddr;
use std::process::Output;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Server, run};

fn bench(address: SocketAddr, args: &[&str]) -> Output {
    let url = format!("http://{address}");
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let common = ["bench", "--url", &url, "--warmup", "20ms", "--json"];
    run(dir.path(), &[&common, args].concat())
}

#[track_caller]
fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The paths of all fields, except that what is counted by status is one field.
fn fields(prefix: &str, value: &Value, into: &mut Vec<String>) {
    match value.as_object() {
        Some(object) if !prefix.ends_with("statuses") => {
            for (name, value) in object {
                fields(&format!("{prefix}.{name}"), value, into);
            }
        }
        Some(_) | None => into.push(prefix[1..].to_owned()),
    }
}

#[test]
fn a_server_is_measured_and_keeps_the_rules() {
    let server = Server::start();
    let own_pid = std::process::id().to_string();
    // Few users and many starts, so that places are raced for.
    let load = [
        "--users",
        "20",
        "--fill",
        "10",
        "--mix",
        "5:5:4",
        "--connections",
        "8",
    ];
    let timed = ["--duration", "1s", "--pid", &own_pid, "--seed", "1"];
    let output = bench(server.address(), &[load.as_slice(), &timed].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = report(&output);
    for counted in [
        &report["requests"],
        &report["operations"]["start"]["admitted"],
        &report["operations"]["start"]["denied"],
        &report["operations"]["heartbeat"]["renewed"],
        &report["operations"]["stop"]["requests"],
        &report["latencyMicros"]["p50"],
        &report["model"]["answersChecked"],
        &report["server"]["processes"][0]["residentBytes"],
    ] {
        assert!(counted.as_u64().is_some_and(|it| 0 < it), "{report:#}");
    }
    assert_eq!(report["model"]["violations"], 0, "{report:#}");
    assert_eq!(report["transportErrors"], 0, "{report:#}");

    let mut names = Vec::new();
    fields("", &report, &mut names);
    names.sort_unstable();
    expect_test::expect_file!["bench_fields.txt"].assert_eq(&(names.join("\n") + "\n"));
}

#[test]
fn batches_and_an_open_loop_are_measured() {
    let server = Server::start();
    let load = ["--batch", "10", "--mix", "0:1:0", "--fill", "20"];
    let timed = ["--rate", "30", "--duration", "1s", "--threads", "2"];
    let output = bench(server.address(), &[load.as_slice(), &timed].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = report(&output);
    let beats = &report["operations"]["heartbeat"];
    assert_eq!(beats["requests"], 30, "{report:#}");
    assert_eq!(beats["renewed"], 300, "{report:#}");
    assert_eq!(report["model"]["violations"], 0, "{report:#}");
}

/// Where a server listens that admits whoever asks.
fn generous_server() -> SocketAddr {
    static IDS: AtomicU64 = AtomicU64::new(0);
    let admit = || async {
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let body = json!({
            "streamId": format!("00000000-0000-8000-8000-{id:012x}"),
            "heartbeat": {"intervalSeconds": 20, "leaseSeconds": 90},
            "replaced": [],
        });
        (StatusCode::CREATED, Json(body))
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("it can be");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime starts");
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it is a socket");
            axum::serve(listener, Router::new().route("/v1/streams", post(admit))).await
        })
    });
    address
}

#[test]
fn a_server_that_admits_everybody_is_found_out() {
    let load = ["--users", "1", "--mix", "1:0:0", "--connections", "2"];
    let output = bench(
        generous_server(),
        &[load.as_slice(), &["--duration", "1s"]].concat(),
    );
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report = report(&output);
    assert_ne!(report["model"]["violations"], 0, "{report:#}");
    let example = report["model"]["examples"][0].as_str();
    assert!(
        example.is_some_and(|it| it.starts_with("over-admission")),
        "{report:#}"
    );
}

#[test]
fn a_server_that_is_not_there_is_a_failure() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let output = bench(address, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot reach http://127.0.0.1"), "{said}");
}
