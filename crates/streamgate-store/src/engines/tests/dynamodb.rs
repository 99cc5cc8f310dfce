use std::time::Duration;

use super::first_bytes_after;
use crate::engines::{DynamoDbLocal, Odds, ThrottlingProxy, Trouble, call_dynamodb};

/// Makes a table with the key `k`, and puts an item.
fn table(engine: &DynamoDbLocal) -> String {
    let name = engine.table_name();
    let input = format!(
        r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST",
        "AttributeDefinitions":[{{"AttributeName":"k","AttributeType":"S"}}],
        "KeySchema":[{{"AttributeName":"k","KeyType":"HASH"}}]}}"#
    );
    let (status, said) = engine.call("CreateTable", &input);
    assert_eq!(status, 200, "{said}");
    let (status, said) = engine.call("PutItem", &put(&name, "before"));
    assert_eq!(status, 200, "{said}");
    name
}

fn put(table: &str, key: &str) -> String {
    format!(r#"{{"TableName":"{table}","Item":{{"k":{{"S":"{key}"}}}}}}"#)
}

fn has(engine: &DynamoDbLocal, table: &str, key: &str) -> bool {
    let input = format!(r#"{{"TableName":"{table}","Key":{{"k":{{"S":"{key}"}}}}}}"#);
    let (status, said) = engine.call("GetItem", &input);
    assert_eq!(status, 200, "{said}");
    said.contains("Item")
}

#[test]
fn dynamodb_local_keeps_its_tables_on_disk_through_a_kill() {
    let engine = DynamoDbLocal::start_on_disk();
    let table = table(&engine);
    engine.kill();
    assert!(call_dynamodb(engine.address(), "ListTables", "{}").is_err());
    engine.start_again();
    assert!(has(&engine, &table, "before"));
    engine.pause();
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = first_bytes_after(engine.address(), request, || engine.resume());
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    assert!(has(&engine, &table, "before"));
}

#[test]
fn tests_share_an_engine_and_have_tables_of_their_own() {
    let engine = DynamoDbLocal::shared();
    assert_ne!(table(engine), table(engine));
}

#[test]
fn each_trouble_is_made_and_a_lost_answer_was_a_write() {
    let engine = DynamoDbLocal::shared();
    let table = table(engine);
    let proxy = ThrottlingProxy::start(engine.address(), 1);
    proxy.script([
        Trouble::Throttled,
        Trouble::Failed,
        Trouble::Lost,
        Trouble::Delayed(Duration::from_millis(1)),
    ]);
    let put = |key| call_dynamodb(proxy.address(), "PutItem", &put(&table, key));
    let (status, said) = put("throttled").unwrap();
    let error = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
    assert!(status == 400 && said.contains(error), "{said}");
    let (status, said) = put("failed").unwrap();
    assert!(
        status == 500 && said.contains("InternalServerError"),
        "{said}"
    );
    assert!(put("lost").is_err());
    assert_eq!(put("delayed").unwrap().0, 200);
    assert_eq!(put("through").unwrap().0, 200);

    let there = ["throttled", "failed", "lost", "delayed", "through"];
    let there = there.map(|key| has(engine, &table, key));
    assert_eq!(there, [false, false, true, true, true]);
}

#[test]
fn troubles_come_as_often_as_asked_and_the_same_from_one_seed() {
    let engine = DynamoDbLocal::shared();
    let statuses = |seed| {
        let proxy = ThrottlingProxy::start(engine.address(), seed);
        proxy.trouble_at_random(Odds {
            throttled: 30,
            failed: 20,
            ..Odds::default()
        });
        let status = |_| {
            call_dynamodb(proxy.address(), "ListTables", "{}")
                .unwrap()
                .0
        };
        let statuses: Vec<u16> = (0..100).map(status).collect();
        let counts = proxy.counts();
        assert_eq!(counts.requests, 100);
        assert!((15..45).contains(&counts.throttled), "{counts:?}");
        assert!((8..35).contains(&counts.failed), "{counts:?}");
        statuses
    };
    assert_eq!(statuses(1), statuses(1));
    assert_ne!(statuses(1), statuses(2));
}
