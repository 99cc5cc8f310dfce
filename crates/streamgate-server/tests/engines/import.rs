//! The seed's table, and how its viewers come here.

use http::Method;
use serde_json::{Value, json};
use streamgate_store::engines::DynamoDbLocal;

use crate::dynamodb::{CREDENTIALS, make, over};
use crate::support::{Answer, Client, run_with};

/// How many users watch on three devices each.
const USERS: usize = 100;
/// How much an item weighs, so that there are several pages of 1 MB.
const WEIGHT: usize = 12_000;

/// A table as the seed has it.
struct Seed<'a> {
    engine: &'a DynamoDbLocal,
    table: String,
}

impl<'a> Seed<'a> {
    fn new(engine: &'a DynamoDbLocal) -> Self {
        let table = engine.table_name();
        let (status, said) = engine.call(
            "CreateTable",
            &json!({
                "TableName": table,
                "AttributeDefinitions": [{"AttributeName": "streamId", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "streamId", "KeyType": "HASH"}],
                "BillingMode": "PAY_PER_REQUEST",
            })
            .to_string(),
        );
        assert_eq!(status, 200, "{said}");
        Self { engine, table }
    }

    fn put(&self, mut item: Value) {
        item["weight"] = json!({"S": "x".repeat(WEIGHT)});
        let input = json!({"TableName": self.table, "Item": item});
        let (status, said) = self.engine.call("PutItem", &input.to_string());
        assert_eq!(status, 200, "{said}");
    }

    fn stream(&self, user: &Value, stream: &str) {
        self.put(json!({"userId": user, "streamId": {"S": stream}}));
    }

    /// Runs `streamgate import-seed` into a table of ours: its exit code, its JSON, its errors.
    fn import(&self, to: &str, more: &[&str]) -> (Option<i32>, Value, String) {
        let endpoint = self.engine.endpoint();
        let args = [
            "import-seed",
            "--json",
            "--from-table",
            &self.table,
            "--from-url",
            &endpoint,
            "--store",
            "dynamodb",
            "--store-table",
            to,
            "--store-url",
            &endpoint,
        ];
        let key = format!("{:032x}", crate::fleet::KEY);
        let variables = [&CREDENTIALS[..], &[("STREAMGATE_LOCATOR_KEY", &key)]].concat();
        let ran = run_with(
            &std::env::temp_dir(),
            &[&args[..], more].concat(),
            &variables,
        );
        let summary = serde_json::from_slice(&ran.stdout).unwrap_or_default();
        (
            ran.status.code(),
            summary,
            String::from_utf8_lossy(&ran.stderr).into_owned(),
        )
    }
}

fn id(number: usize) -> String {
    format!("6f9619ff-8b86-4d01-b42d-{number:012x}")
}

fn stop(client: &Client, user: &Value, stream: &str) -> Answer {
    let body = json!({"userId": user, "streamId": stream});
    client.call(Method::DELETE, "/stream").json(&body).send()
}

#[test]
fn the_seeds_viewers_come_here_and_nobody_is_dropped_or_brought_back() {
    let engine = DynamoDbLocal::shared();
    let seed = Seed::new(engine);
    for user in 0..USERS {
        for device in 0..3 {
            seed.stream(
                &json!({"S": format!("user-{user}")}),
                &id(3 * user + device),
            );
        }
    }
    seed.stream(&json!({"N": "12345"}), &id(1000));
    // The seed let in whoever came at once.
    for crowd in 0..7 {
        seed.stream(&json!({"S": "crowd"}), &id(2000 + crowd));
    }
    seed.put(json!({"streamId": {"S": id(3000)}}));
    seed.stream(&json!({"S": "with\u{7}bell"}), &id(3001));

    let ours = engine.table_name();
    make(engine, &ours);
    let server = over(&engine.endpoint(), &ours).start();
    let client = server.client();
    let (code, trial, _) = seed.import(&ours, &["--dry-run"]);
    assert_eq!(
        (code, &trial["entered"]),
        (Some(1), &json!(308)),
        "{trial:#}"
    );
    assert!(client.streams_of("user-7").is_empty(), "it was a trial");

    // While ours serves: a stream that came by itself is known.
    let own = client.call(Method::POST, "/stream");
    let own = own
        .json(&json!({"userId": "user-7", "streamId": id(21)}))
        .send();
    assert_eq!(own.status, 201, "{own:?}");
    let (code, summary, told) = seed.import(&ours, &[]);
    let counts = ["read", "entered", "known", "over", "refused"].map(|name| summary[name].clone());
    assert_eq!(
        counts.map(|it| it.as_u64()),
        [310, 307, 1, 0, 2].map(Some),
        "{summary:#}"
    );
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("2 items were not taken in"), "{told}");
    let refusals = summary["refusals"].to_string();
    assert!(refusals.contains("it has no userId"), "{refusals}");
    assert!(refusals.contains("control characters"), "{refusals}");

    // They count, and their own ids stop them.
    assert_eq!(
        client.streams_of("crowd").len(),
        7,
        "none of them was dropped"
    );
    let fourth = client
        .call(Method::POST, "/stream")
        .json(&json!({"userId": "user-7"}))
        .send();
    assert_eq!(fourth.status, 403);
    assert_eq!(stop(&client, &json!("user-7"), &id(22)).status, 204);
    assert_eq!(stop(&client, &json!(12345), &id(1000)).status, 204);
    let fourth = client
        .call(Method::POST, "/stream")
        .json(&json!({"userId": "user-7"}))
        .send();
    assert_eq!(fourth.status, 201);

    // Again, after the clients were moved: nothing that ended meanwhile comes back.
    seed.stream(&json!({"S": "late"}), &id(4000));
    let (_, again, _) = seed.import(&ours, &[]);
    let counts = ["read", "entered", "known", "over", "refused"].map(|name| again[name].clone());
    assert_eq!(
        counts.map(|it| it.as_u64()),
        [311, 1, 306, 2, 2].map(Some),
        "{again:#}"
    );
    assert_eq!(client.streams_of("late").len(), 1);
}

#[test]
fn an_import_that_cannot_begin_says_why() {
    let engine = DynamoDbLocal::shared();
    let ours = engine.table_name();
    make(engine, &ours);
    let missing = Seed {
        engine,
        table: "no-such-table".into(),
    };
    let (code, _, told) = missing.import(&ours, &[]);
    assert_eq!(code, Some(1));
    assert!(told.contains("there is no table no-such-table"), "{told}");
    let (code, _, told) = Seed::new(engine).import(&ours, &["--store", "paper"]);
    assert_eq!(code, Some(2), "{told}");
}
