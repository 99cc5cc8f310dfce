//! DynamoDB that has too much to do, and dies.

use std::time::Duration;

use streamgate_store::engines::{DynamoDbLocal, Odds, ThrottlingProxy};

use crate::fleet::{Fleet, NODES, over_redis};
use crate::nodes::{ALWAYS, LONG};
use crate::players::Players;
use crate::say;
use crate::support::{Setup, let_pass, run_with};

/// Its clock has whole seconds.
const CLOCKS_APART: Duration = Duration::from_millis(1100);
pub(crate) const CREDENTIALS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
];

/// Makes a table.
pub(crate) fn make(engine: &DynamoDbLocal, table: &str) {
    let endpoint = engine.endpoint();
    let args = [
        "store",
        "init",
        "--store-table",
        table,
        "--store-url",
        &endpoint,
    ];
    let made = run_with(&std::env::temp_dir(), &args, &CREDENTIALS);
    assert!(made.status.success(), "{made:?}");
}

/// A node over a table.
pub(crate) fn over(endpoint: &str, table: &str) -> Setup {
    let credentials = CREDENTIALS.map(|(name, value)| format!("{name}={value}"));
    over_redis(endpoint)
        .set("STORE", "dynamodb")
        .set("STORE_TABLE", table)
        .wrapped_by(&["env", &credentials[0], &credentials[1]])
}

#[test]
fn dynamodb_throttles_and_fails_and_every_answer_stands() {
    let engine = DynamoDbLocal::shared();
    let table = engine.table_name();
    let proxy = ThrottlingProxy::start(engine.address(), 11);
    make(engine, &table);
    let fleet = Fleet::start(|_| over(&proxy.endpoint(), &table));
    let players = Players::new(&fleet, LONG, 100);
    let mut kills = 0;
    let mut account = players.play(|| {
        let_pass(Duration::from_secs(1));
        proxy.trouble_at_random(Odds {
            throttled: 30,
            failed: 10,
            delayed: 10,
            lost: 5,
            delay: Duration::from_millis(50),
        });
        for node in 0..NODES {
            let_pass(Duration::from_secs(1));
            fleet.kill9(node);
            kills += 1;
            fleet.start_again(node);
        }
        let_pass(Duration::from_secs(1));
        proxy.trouble_at_random(Odds::default());
        let_pass(Duration::from_secs(1));
    });
    let counts = proxy.counts();
    say(&format!("DynamoDB in trouble: {counts:?}"));
    assert!(0 < counts.throttled && 0 < counts.failed && 0 < counts.delayed && 0 < counts.lost);
    account.count_many("kills", kills);
    account.nodes_asked_again();
    let words = [&ALWAYS[..], &["unavailable"]].concat();
    account.check("DynamoDB in trouble", CLOCKS_APART, &words);
}

#[test]
fn dynamodb_is_killed_and_comes_back_with_every_answer() {
    let engine = DynamoDbLocal::start_on_disk();
    let table = engine.table_name();
    make(&engine, &table);
    let fleet = Fleet::start(|_| over(&engine.endpoint(), &table));
    let players = Players::new(&fleet, LONG, 100);
    let mut account = players.play(|| {
        let_pass(Duration::from_secs(3));
        engine.kill();
        let_pass(Duration::from_millis(500));
        engine.start_again();
        fleet.wait_until_ready();
        let_pass(Duration::from_secs(3));
    });
    account.nodes_asked_again();
    let words = [&ALWAYS[..], &["unavailable"]].concat();
    account.check("DynamoDB that was killed", CLOCKS_APART, &words);
}
