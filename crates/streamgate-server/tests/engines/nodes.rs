//! Nodes that die, sleep and lose their way to the engine: one Redis for all of them.

use std::net::Ipv4Addr;
use std::time::Duration;

use streamgate_core::Terms;
use streamgate_store::engines::{FaultProxy, RedisServer};

use crate::account::CLOCKS_APART;
use crate::fleet::{Fleet, NODES, over_redis, with_short_leases};
use crate::players::Players;
use crate::support::let_pass;

/// The terms of leases that nobody waits for.
pub(crate) const LONG: Terms = Terms {
    lease: Duration::from_secs(600),
    heartbeat: Some(Duration::from_secs(60)),
    renew_after: Duration::ZERO,
};
/// The shortest terms there are.
pub(crate) const SHORT: Terms = Terms {
    lease: Duration::from_secs(10),
    heartbeat: Some(Duration::from_secs(5)),
    renew_after: Duration::ZERO,
};
/// What each history meets.
pub(crate) const ALWAYS: [&str; 8] = [
    "admitted",
    "replaced",
    "same",
    "denied",
    "over",
    "renewed",
    "done",
    "started again",
];

#[test]
fn nodes_are_killed_and_scripts_forgotten_and_every_answer_stands() {
    let redis = RedisServer::start();
    let fleet = Fleet::start(|_| over_redis(&redis.url()));
    let players = Players::new(&fleet, LONG, 400);
    let mut kills = 0;
    let mut account = players.play(|| {
        for round in 0..6 {
            let node = round % NODES;
            let_pass(Duration::from_millis(500));
            redis.command(&["SCRIPT", "FLUSH"]);
            fleet.kill9(node);
            kills += 1;
            let_pass(Duration::from_millis(200));
            fleet.start_again(node);
        }
        let_pass(Duration::from_millis(500));
    });
    account.count_many("kills", kills);
    let words = [&ALWAYS[..], &["connection lost", "nobody there"]].concat();
    account.check("killed nodes", CLOCKS_APART, &words);
}

#[test]
fn ways_to_the_engine_fail_and_every_answer_stands() {
    let redis = RedisServer::start();
    let target = (Ipv4Addr::LOCALHOST, redis.port()).into();
    let proxies: Vec<FaultProxy> = (0..NODES).map(|_| FaultProxy::start(target)).collect();
    let fleet = Fleet::start(|node| over_redis(&redis.url_at(proxies[node].port())));
    let players = Players::new(&fleet, LONG, 120);
    let mut account = players.play(|| {
        for proxy in proxies.iter().chain(&proxies) {
            proxy.delay(Duration::from_millis(40));
            let_pass(Duration::from_millis(300));
            proxy.delay(Duration::ZERO);
            for _ in 0..10 {
                proxy.cut_after_request();
                let_pass(Duration::from_millis(20));
            }
            proxy.cut();
            let_pass(Duration::from_millis(300));
            proxy.heal();
            proxy.stall_answers();
            let_pass(Duration::from_millis(700));
            proxy.reset();
            proxy.heal();
            let_pass(Duration::from_millis(100));
        }
    });
    let lost: usize = proxies.iter().map(|it| it.counts().answers_lost).sum();
    let refused: usize = proxies.iter().map(|it| it.counts().refused).sum();
    account.count_many("answers lost", lost);
    account.count_many("connections refused", refused);
    assert!(0 < lost && 0 < refused, "{lost} {refused}");
    account.nodes_asked_again();
    let words = [&ALWAYS[..], &["provisional", "unavailable"]].concat();
    account.check("ways that fail", CLOCKS_APART, &words);
}

#[test]
fn a_node_that_slept_past_its_leases_breaks_nothing() {
    let redis = RedisServer::start();
    let fleet = Fleet::start(|_| with_short_leases(over_redis(&redis.url())));
    let players = Players::new(&fleet, SHORT, 540);
    let account = players.play(|| {
        let_pass(Duration::from_secs(1));
        players.stop_for(1, SHORT.lease + Duration::from_millis(500));
        let_pass(Duration::from_secs(1));
    });
    let words = [&ALWAYS[..], &["late", "reclaimed"]].concat();
    account.check("a node that slept", CLOCKS_APART, &words);
}
