//! Players that report by CMCD and have no code of ours, over real connections.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, SOON, Server, Setup, Wire, wait_until};

fn started(client: &Client, user: &str, device: &str) -> Value {
    let body = json!({"userId": user, "device": {"id": device}});
    client.start(&body).json()["cmcd"].clone()
}

/// Sends what this player says as hls.js, shaka and dash.js do, with a line feed at the end.
#[track_caller]
fn says(client: &Client, cmcd: &Value, said: &str) -> Answer {
    let (url, sid) = (cmcd["url"].as_str(), cmcd["sid"].as_str());
    let record = format!("cid=\"m\",{said},sid=\"{}\",v=2\n", sid.expect("a name"));
    let report = client.call(Method::POST, url.expect("a path"));
    let answer = report
        .header("content-type", "application/cmcd")
        .body(record)
        .send();
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    answer
}

#[test]
fn reports_keep_a_stream_and_its_end_gives_the_place_up() {
    let settings = |setup: Setup| {
        let setup = setup.set("HEARTBEAT_INTERVAL_SECONDS", 5);
        setup.set("HEARTBEAT_LEASE_SECONDS", 10).set("LIMIT", 1)
    };
    let server = settings(Setup::new()).start();
    let client = server.client();
    let tv = started(&client, "ann", "tv");
    assert_eq!(tv["intervalSeconds"], 5);
    // Longer than a lease: another stream would be over.
    let other = started(&client, "bob", "tv");
    wait_until("the silent stream is over", SOON, || {
        let answer = says(&client, &tv, "e=t,sn=1,sta=p");
        assert_eq!(answer.header("stream-action"), None);
        client.streams_of("bob").is_empty().then_some(())
    });
    assert_eq!(client.streams_of("ann").len(), 1);
    let answer = says(&client, &other, "e=t,sta=p");
    assert_eq!(
        answer.header("stream-action"),
        None,
        "there was room to come back"
    );

    says(&client, &tv, "e=ps,sn=2,sta=e");
    let web = started(&client, "ann", "web");
    let answer = says(&client, &tv, "e=ps,sn=3,sta=p");
    assert_eq!(answer.header("stream-action"), Some("stop"));
    client.delete(&format!(
        "/v1/users/ann/streams/{}",
        web["sid"].as_str().expect("a name")
    ));
    let answer = says(&client, &web, "e=t,sta=p");
    assert_eq!(answer.header("stream-action"), Some("stop"));
}

#[test]
fn a_report_that_is_too_large_is_read_and_answered_204_on_a_connection_that_lives_on() {
    let server = Server::start();
    let mut wire = Wire::open(server.address());
    for size in [100, 20_000, 500_000] {
        let body = "e=t,v=2\n".repeat(size / 8);
        let head = format!(
            "POST /v1/cmcd?t=x HTTP/1.1\r\nHost: x\r\nContent-Type: application/cmcd\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        wire.send(head.as_bytes()).expect("the connection is open");
        wire.send(body.as_bytes()).expect("the connection is open");
        assert_eq!(wire.answer().expect("an answer").status, 204, "{size}");
    }
}
