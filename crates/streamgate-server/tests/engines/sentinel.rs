//! Sentinels that promote a replica.

use std::time::Duration;

use serde_json::json;
use streamgate_store::engines::RedisSentinel;

use crate::account::CLOCKS_APART;
use crate::cluster::heals;
use crate::fleet::{Fleet, NODES, over_redis};
use crate::nodes::{ALWAYS, LONG};
use crate::players::Players;
use crate::say;
use crate::support::{SOON, elapsed_since, let_pass, now, wait_until};

#[test]
fn after_the_sentinels_promoted_a_replica_starts_work_again() {
    let sentinel = RedisSentinel::start();
    let hosts: Vec<String> = sentinel
        .urls()
        .iter()
        .map(|url| url.trim_start_matches("redis://").to_owned())
        .collect();
    let url = format!(
        "redis+sentinel://{}/{}",
        hosts.join(","),
        sentinel.service()
    );
    let fleet = Fleet::start(|_| over_redis(&url));
    let players = Players::new(&fleet, LONG, 400);
    let mut killed_us = 0;
    let mut account = players.play(|| {
        let_pass(Duration::from_secs(1));
        let master = sentinel.master();
        killed_us = players.us();
        let began = now();
        sentinel.servers()[master].kill();
        sentinel.wait_for_failover(master);
        for node in 0..NODES {
            wait_until("a start works again", SOON, || {
                let body = json!({"userId": format!("after-{node}")});
                let answer = fleet.client(node).start(&body);
                (answer.status == 201).then_some(())
            });
        }
        say(&format!(
            "sentinels: starts work {:?} after the kill",
            elapsed_since(began)
        ));
        let_pass(Duration::from_secs(1));
    });
    account.nodes_asked_again();
    account.doubt_what_promises_nothing(killed_us);
    let words = [&ALWAYS[..], &["unavailable"]].concat();
    account.check_what_is_not_lost("sentinels", CLOCKS_APART, &words);
    heals(&fleet, "sentinels", || {});
}
