//! Promise 8: overload and a failing disk are answered, not suffered.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, Client, SOON, Server, Setup, Wire, request, wait_until};

/// A request that is in flight for as long as its body is not sent: the server has asked for it.
struct Held {
    wire: Wire,
    body: &'static str,
}

impl Held {
    fn new(server: &Server, path: &str, body: &'static str) -> Self {
        let mut wire = Wire::open(server.address());
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
             expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        );
        let asked = wire.exchange(head.as_bytes()).expect("an answer");
        assert_eq!(asked.status, 100, "{asked:?}");
        Self { wire, body }
    }

    fn release(mut self) -> Answer {
        self.wire
            .send(self.body.as_bytes())
            .expect("the connection is open");
        self.wire.answer().expect("an answer")
    }
}

#[track_caller]
fn assert_overloaded(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "overloaded"),
        "{answer:?}"
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.json()["retryAfterSeconds"], 1);
}

#[test]
fn heartbeats_and_stops_still_get_in_when_starts_do_not() {
    let server = Setup::new()
        .set("HTTP_REQUESTS_MAX", 4)
        .set("HTTP_DEADLINE_SECONDS", 60)
        .start();
    let client = server.client();
    let live = client.admitted(&json!({"userId": "live"}));
    let leaving = client.admitted(&json!({"userId": "live"}));
    let start = r#"{"userId":"held","streamId":"a"}"#;
    let mut starts: Vec<Held> = (0..3)
        .map(|_| Held::new(&server, "/v1/streams", start))
        .collect();

    assert_overloaded(&client.start(&json!({"userId": "late"})));
    let seed = client.post("/stream", &json!({"userId": "late"}));
    assert_eq!(seed.status, 503, "{seed:?}");
    assert_eq!(seed.json()["statusCode"], 503, "in the envelope");
    let beat = format!("/v1/streams/{live}/heartbeat");
    assert_eq!(client.poke(&beat).status, 200);
    assert_eq!(client.delete(&format!("/v1/streams/{leaving}")).status, 204);
    assert_eq!(client.streams_of("late"), [""; 0], "nothing was changed");

    let held = Held::new(&server, &beat, "{}");
    assert_overloaded(&client.poke(&beat));
    assert_overloaded(&client.delete(&format!("/v1/streams/{live}")));
    for probe in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(
            client.get(probe).status,
            200,
            "{probe} answers however busy it is"
        );
    }
    assert_eq!(held.release().status, 200);
    assert_eq!(starts.pop().map(|start| start.release().status), Some(201));
    assert_eq!(client.start(&json!({"userId": "late"})).status, 201);
    for start in starts {
        assert_eq!(start.release().status, 200, "the same stream again");
    }
    let metrics = client.get("/metrics").body;
    assert!(
        metrics.contains("streamgate_requests_shed_total 4\n"),
        "{metrics}"
    );
}

#[test]
fn a_rush_of_starts_is_answered_and_over_when_it_is_over() {
    let server = Setup::new().set("HTTP_REQUESTS_MAX", 2).start();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let rush: Vec<_> = (0..32)
            .map(|thread| {
                let client = server.client();
                scope.spawn(move || {
                    let start = |number: usize| {
                        let user = format!("user-{thread}-{number}");
                        let answer = client.start(&json!({"userId": user}));
                        if answer.status == 503 {
                            assert_overloaded(&answer);
                        }
                        answer.status
                    };
                    (0..20).map(start).collect::<Vec<_>>()
                })
            })
            .collect();
        rush.into_iter()
            .flat_map(|thread| thread.join().expect("no thread fails"))
            .collect()
    });
    assert!(
        statuses.iter().all(|status| matches!(status, 201 | 503)),
        "{statuses:?}"
    );
    assert!(
        statuses.contains(&201) && statuses.contains(&503),
        "{statuses:?}"
    );
    let answer = server.client().start(&json!({"userId": "after"}));
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[test]
fn a_connection_too_many_waits_and_is_then_served() {
    let server = Setup::new().set("HTTP_CONNECTIONS_MAX", 2).start();
    let live = request("GET", "/livez", "");
    let mut open = [Wire::open(server.address()), Wire::open(server.address())];
    for wire in &mut open {
        assert_eq!(wire.exchange(&live).expect("an answer").status, 200);
    }
    let mut waiting = Wire::open(server.address());
    waiting.send(&live).expect("the system takes it");
    assert!(
        waiting.is_silent_for(Duration::from_millis(500)),
        "it has to wait"
    );
    assert_eq!(open[0].exchange(&live).expect("an answer").status, 200);
    let [closed, kept] = open;
    drop(closed);
    assert_eq!(waiting.answer().expect("an answer").status, 200);
    drop(kept);
}

/// Makes the writes to disk from the 30th on fail, a few times, and then work again.
const FAILING_DISK: [&str; 8] = [
    "strace",
    "--follow-forks",
    "--quiet=all",
    "--output=/dev/null",
    "--trace=fsync,fdatasync",
    "--inject=fsync,fdatasync:error=EIO:when=30..36",
    "--seccomp-bpf",
    "--",
];

/// Starts streams until the disk fails; those that were acknowledged.
fn start_until_refused(client: &Client) -> Vec<(String, String)> {
    let mut acknowledged = Vec::new();
    for number in 0..200 {
        let user = format!("user-{number}");
        let answer = client.start(&json!({"userId": user, "streamId": "tv"}));
        match answer.status {
            201 => acknowledged.push((user, answer.text("streamId"))),
            503 => {
                assert_eq!(answer.code(), "store-unavailable");
                assert_eq!(answer.header("retry-after"), Some("1"));
                return acknowledged;
            }
            _ => panic!("{answer:?}"),
        }
    }
    panic!("the disk never failed");
}

#[test]
fn a_failing_disk_refuses_starts_keeps_viewers_and_loses_nothing() {
    let found = std::process::Command::new("strace").arg("-V").output();
    assert!(
        found.is_ok(),
        "this test needs strace: apt-get install strace"
    );
    let mut server = Setup::new().wrapped_by(&FAILING_DISK).start();
    let client = server.client();
    let mut acknowledged = start_until_refused(&client);
    assert!(
        !acknowledged.is_empty(),
        "it failed too early to test anything"
    );

    let not_ready = client.get("/readyz");
    assert_eq!(
        (not_ready.status, not_ready.code().as_str()),
        (503, "store-unavailable")
    );
    assert_eq!(client.get("/livez").status, 200);
    for (user, id) in &acknowledged {
        let beat = client.poke(&format!("/v1/users/{user}/streams/{id}/heartbeat"));
        assert_eq!(beat.status, 200, "a viewer was thrown out: {beat:?}");
        assert_eq!(client.streams_of(user), [id.as_str()]);
    }

    wait_until("the store has written a fresh file", SOON, || {
        (client.get("/readyz").status == 200).then_some(())
    });
    let after = client.admitted(&json!({"userId": "after", "streamId": "tv"}));
    acknowledged.push(("after".into(), after));
    server.kill9();
    let server = server.restart_bare();
    let client = server.client();
    for (user, id) in &acknowledged {
        assert_eq!(
            client.streams_of(user),
            [id.as_str()],
            "it was acknowledged"
        );
    }
}
