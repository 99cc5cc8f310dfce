//! The function in AWS's own emulator of Lambda, over Amazon's DynamoDB Local: as far as AWS can be
//! had on one machine.

mod emulator;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use emulator::{Answer, Emulator, Front, TRACE, Table};

const FRONTS: [Front; 5] = [
    Front::Rest { stage: "dev" },
    Front::Http { stage: "$default" },
    Front::Http { stage: "dev" },
    Front::Url,
    Front::Balancer,
];

#[track_caller]
fn check(answer: &Answer, status: u64, body: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (status, body));
}

/// Starts a stream by the seed's contract, with a name so that it may be repeated; its id.
#[track_caller]
fn seed_start(function: &Emulator, front: Front, path: &str, user: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let stream = format!("stream-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let body = json!({"userId": user, "streamId": stream}).to_string();
    let answer = function.call(front, "POST", path, &body);
    assert_eq!(answer.status, 201, "{front:?} {answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    let started = answer.json();
    assert_eq!(started["statusCode"], 201);
    assert_eq!(started["message"]["userId"], user);
    let id = started["message"]["streamId"].as_str();
    id.expect("an id").to_owned()
}

#[test]
fn the_seeds_contract_holds_behind_every_front() {
    const LIMIT_REACHED: &str = r#"{"statusCode":403,"message":{"error":"Unable to start a new stream, maximum limit reached"}}"#;
    const NO_USER: &str = r#"{"statusCode":400,"message":{"error":"Request missing userId"}}"#;
    const UNKNOWN: &str = r#"{"statusCode":404,"message":{"error":"Stream not found"}}"#;
    let function = Emulator::start(&Table::new());
    for (number, front) in FRONTS.into_iter().enumerate() {
        for path in ["/stream", "/prod/stream"] {
            let user = format!("user-{number}{path}");
            // As the seed's clients start: a repeated one is another stream.
            let unnamed = json!({"userId": format!("another-{user}")}).to_string();
            let minted = function.call(front, "POST", path, &unnamed);
            assert_eq!(minted.status, 201, "{front:?} {minted:?}");
            assert!(minted.json()["message"]["streamId"].is_string());

            let ids = [(); 3].map(|()| seed_start(&function, front, path, &user));
            let body = json!({"userId": user}).to_string();
            let fourth = function.call(front, "POST", path, &body);
            check(&fourth, 403, LIMIT_REACHED);
            check(&function.call(front, "POST", path, "{}"), 400, NO_USER);

            let stop = json!({"userId": user, "streamId": ids[0]}).to_string();
            check(&function.call(front, "DELETE", path, &stop), 204, "");
            check(&function.call(front, "DELETE", path, &stop), 404, UNKNOWN);
            seed_start(&function, front, path, &user);
        }
    }
}

#[test]
fn a_stream_is_started_heard_and_stopped_behind_every_front() {
    let function = Emulator::start(&Table::new());
    for front in FRONTS {
        let body = r#"{"userId":"a user","device":{"id":"tv","name":"TV"}}"#;
        let started = function.call(front, "POST", "/v1/streams", body);
        // 200 if it was repeated.
        assert!(matches!(started.status, 200 | 201), "{front:?} {started:?}");
        let id = started.json()["streamId"].as_str().unwrap().to_owned();
        let stream = format!("/v1/streams/{id}");

        let heard = function.call(front, "POST", &format!("{stream}/heartbeat"), "");
        assert_eq!(
            (heard.status, &heard.json()["state"]),
            (200, &json!("live"))
        );
        let listed = function.call(front, "GET", "/v1/users/a%20user/streams", "");
        assert_eq!(listed.json()["streams"][0]["streamId"], id.as_str());
        check(&function.call(front, "DELETE", &stream, ""), 204, "");
        let gone = function.call(front, "POST", &format!("{stream}/heartbeat"), "");
        let code = gone.json()["code"].clone();
        assert_eq!((gone.status, code), (410, json!("stream-stopped")));
    }
}

#[test]
fn of_fifty_starts_at_once_on_ten_functions_exactly_three_are_admitted() {
    const FUNCTIONS: usize = 10;
    const STARTS: usize = 5;
    let table = Table::new();
    let (together, number) = (Barrier::new(FUNCTIONS), AtomicUsize::new(0));
    let statuses: Vec<u64> = thread::scope(|scope| {
        let race = || {
            let function = Emulator::start(&table);
            let front = Front::Rest { stage: "dev" };
            // It is up, and knows nothing of the user.
            seed_start(
                &function,
                front,
                "/stream",
                &format!("{:?}", thread::current().id()),
            );
            together.wait();
            [(); STARTS].map(|()| {
                let stream = format!("one-{}", number.fetch_add(1, Ordering::Relaxed));
                let start = json!({"userId": "one", "streamId": stream}).to_string();
                function.call(front, "POST", "/stream", &start).status
            })
        };
        let running: Vec<_> = (0..FUNCTIONS).map(|_| scope.spawn(race)).collect();
        let ended = running.into_iter().map(|thread| thread.join());
        ended
            .flat_map(|ended| ended.expect("no thread fails"))
            .collect()
    });
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((count(201), count(403)), (3, 47), "{statuses:?}");
}

#[test]
fn every_line_of_the_log_names_the_request_and_its_trace() {
    let settings = [
        ("STREAMGATE_ALLOW_UNAUTHENTICATED", "true"),
        ("STREAMGATE_LOG_LEVEL", "debug"),
    ];
    let function = Emulator::start_with(&Table::new(), &settings);
    let answer = function.call(FRONTS[0], "POST", "/stream", r#"{"userId":"1"}"#);
    let id = answer.header("x-request-id");
    let is_answer = |line: &&str| line.contains(r#""answered""#) && line.contains(id);
    function.wait_until("it has logged the answer", || {
        function.log().lines().any(|line| is_answer(&line))
    });
    let log = function.log();
    let line = log.lines().find(is_answer);
    let line: Value = serde_json::from_str(line.unwrap()).expect("a line of JSON");
    assert_eq!(line["request_id"], id);
    assert_eq!(line["spans"][0]["requestId"], id);
    assert_eq!(line["span"]["trace"], TRACE);
}

/// Adds up what CloudWatch would make of the log's lines in its Embedded Metric Format.
#[track_caller]
fn metric(log: &str, name: &str) -> f64 {
    let mut sum = 0.0;
    // A line of stdout may follow one of the emulator's that has no end yet.
    let lines = log
        .lines()
        .filter_map(|line| Some(&line[line.find(r#"{"Denials""#)?..]));
    for line in lines {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        assert!(line["_aws"]["Timestamp"].is_u64(), "{line}");
        assert_eq!(metrics["Namespace"], "streamgate");
        let dimensions = &metrics["Dimensions"];
        assert_eq!(*dimensions, json!([["FunctionName"]]));
        assert_eq!(line["FunctionName"], "test_function");
        let names = metrics["Metrics"].as_array().expect("metrics");
        assert!(
            names.iter().any(|it| it["Name"] == name),
            "{name} in {line}"
        );
        let (values, value) = (line[name].as_array(), line[name].as_f64());
        sum += match values {
            Some(values) => values.len() as f64,
            None => value.expect("a number"),
        };
    }
    sum
}

#[test]
fn the_log_tells_cloudwatch_what_to_count_and_names_no_user() {
    let function = Emulator::start(&Table::new());
    let ids = [(); 3].map(|()| seed_start(&function, FRONTS[0], "/stream", "somebody"));
    let start = json!({"userId": "somebody"}).to_string();
    let denied = function.call(FRONTS[0], "POST", "/stream", &start);
    assert_eq!(denied.status, 403, "{denied:?}");
    let beat = format!("/v1/users/somebody/streams/{}/heartbeat", ids[0]);
    let heard = function.call(FRONTS[0], "POST", &beat, "");
    assert_eq!(heard.status, 200, "{heard:?}");
    function.terminate();
    function.wait_until("it has told the rest", || {
        metric(&function.log(), "Heartbeats") == 1.0
    });

    let log = function.log();
    assert_eq!(metric(&log, "Starts"), 3.0, "{log}");
    assert_eq!(metric(&log, "Denials"), 1.0);
    assert!(5.0 <= metric(&log, "Requests"));
    assert_eq!(metric(&log, "Latency"), metric(&log, "Requests"));
    assert!(!log.contains("somebody"), "{log}");
}

#[test]
fn it_ends_in_order_when_lambda_has_no_more_use_for_it() {
    let function = Emulator::start(&Table::new());
    seed_start(&function, FRONTS[0], "/stream", "1");
    function.terminate();
    function.wait_until("it has ended in order", || {
        function.log().contains("shutdown completed")
    });
}

#[test]
fn without_a_word_about_callers_it_does_not_start() {
    let function = Emulator::start_with(&Table::new(), &[]);
    let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        function.call(FRONTS[0], "POST", "/stream", r#"{"userId":"1"}"#)
    }));
    assert!(answered.is_err(), "nobody is answered");
    function.wait_until("it says what to set", || {
        function.log().contains("STREAMGATE_AUTH=required")
    });
}
