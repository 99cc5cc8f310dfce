//! A cluster whose masters die and sleep, and whose slots move.

use std::time::Duration;

use serde_json::json;
use streamgate_store::engines::{Make, RedisCluster, RedisSetup};

use crate::account::CLOCKS_APART;
use crate::fleet::{Fleet, NODES, locator_key, over_redis};
use crate::loss::beat;
use crate::nodes::{ALWAYS, LONG};
use crate::player::user_id;
use crate::players::Players;
use crate::say;
use crate::support::{SOON, let_pass, wait_until};

/// How many slots are moved.
const SLOTS: u16 = 1500;
/// How many users have streams when a master dies.
const USERS: usize = 60;

fn url(cluster: &RedisCluster) -> String {
    let hosts = cluster.seeds().into_iter();
    let hosts: Vec<String> = hosts
        .map(|seed| seed.trim_start_matches("redis://").to_owned())
        .collect();
    format!("redis+cluster://{}", hosts.join(","))
}

/// The key of a user's record.
fn key() -> String {
    format!(
        "streamgate:{:015x}",
        locator_key().locator(&user_id(0)).bits()
    )
}

/// Whoever has a token when this fails has its place after it, with its first heartbeat.
pub(crate) fn heals(fleet: &Fleet, test: &str, fail: impl FnOnce()) {
    let playing: Vec<(usize, String, String)> = (0..USERS)
        .map(|number| {
            let body = json!({"userId": format!("healed-{number}")});
            let answer = fleet.client(number % NODES).start(&body);
            assert_eq!(answer.status, 201, "{answer:?}");
            (
                number % NODES,
                answer.text("streamId"),
                answer.text("token"),
            )
        })
        .collect();
    fail();
    let mut put_back = 0;
    for (node, id, token) in &playing {
        let answer = wait_until("the heartbeat is not provisional", SOON, || {
            let answer = beat(fleet, *node, id, token);
            assert_eq!(answer.status, 200, "{answer:?}");
            (answer.json()["provisional"] != true).then_some(answer)
        });
        put_back += usize::from(answer.json()["resumed"] == true);
    }
    say(&format!(
        "{test}: {put_back} of {USERS} acknowledged starts were lost and put back"
    ));
}

#[test]
fn without_waiting_for_replicas_a_failover_loses_little_and_tokens_heal_it() {
    let cluster = RedisCluster::start();
    let fleet = Fleet::start(|_| over_redis(&url(&cluster)));
    let players = Players::new(&fleet, LONG, 400);
    let mut killed_us = 0;
    let mut account = players.play(|| {
        let_pass(Duration::from_secs(1));
        let master = cluster.master_of(&key());
        heals(&fleet, "a cluster", || {
            killed_us = players.us();
            cluster.kill(master);
            cluster.wait_for_failover(&key(), master);
        });
        cluster.start_again(master);
        let_pass(Duration::from_secs(1));
    });
    account.nodes_asked_again();
    account.doubt_what_promises_nothing(killed_us);
    let words = [&ALWAYS[..], &["unavailable"]].concat();
    account.check_what_is_not_lost("a cluster", CLOCKS_APART, &words);
}

#[test]
fn slots_move_under_load_and_every_answer_stands() {
    let cluster = RedisCluster::start();
    let fleet = Fleet::start(|_| over_redis(&url(&cluster)));
    let players = Players::new(&fleet, LONG, 600);
    let mut account = players.play(|| {
        let_pass(Duration::from_millis(500));
        let from = cluster.master_of(&key());
        let to = (0..3)
            .find(|it| *it != from)
            .expect("there are three masters");
        cluster.reshard(SLOTS, from, to);
        cluster.reshard(SLOTS, to, from);
    });
    account.count_many("slots moved", usize::from(SLOTS) * 2);
    account.nodes_asked_again();
    account.check("slots that move", CLOCKS_APART, &ALWAYS);
}

#[test]
fn ways_to_the_masters_fail_and_every_answer_stands() {
    let cluster = RedisCluster::start_behind_proxies(&RedisSetup::new(Make::Redis));
    let fleet = Fleet::start(|_| over_redis(&url(&cluster)));
    let players = Players::new(&fleet, LONG, 160);
    let mut account = players.play(|| {
        for proxy in &cluster.proxies()[..3] {
            let_pass(Duration::from_millis(500));
            for _ in 0..10 {
                proxy.cut_after_request();
                let_pass(Duration::from_millis(30));
            }
            proxy.cut();
            let_pass(Duration::from_millis(500));
            proxy.heal();
            let_pass(Duration::from_millis(300));
            proxy.stall();
            let_pass(Duration::from_millis(1500));
            proxy.heal();
        }
        let_pass(Duration::from_millis(500));
    });
    let proxies = cluster.proxies().iter();
    account.count_many(
        "answers lost",
        proxies.map(|it| it.counts().answers_lost).sum(),
    );
    account.nodes_asked_again();
    let words = [&ALWAYS[..], &["unavailable"]].concat();
    let test = "ways to masters that fail";
    account.check(test, CLOCKS_APART, &words);
    assert!(0 < account.of("answers lost"), "no answer was lost");
}

#[test]
fn with_a_replica_that_has_it_no_acknowledged_start_is_lost() {
    let cluster = RedisCluster::start();
    let fleet = Fleet::start(|_| over_redis(&url(&cluster)).set("WAIT_REPLICAS", 1));
    let players = Players::new(&fleet, LONG, 400);
    let mut turns = Vec::new();
    let mut account = players.play(|| {
        let_pass(Duration::from_millis(500));
        let master = cluster.master_of(&key());
        turns.push(players.us());
        cluster.pause(master);
        let_pass(Duration::from_secs(6));
        turns.push(players.us());
        cluster.resume(master);
        cluster.wait_until_ready();
        let_pass(Duration::from_secs(1));

        let master = cluster.master_of(&key());
        turns.push(players.us());
        cluster.kill(master);
        cluster.wait_for_failover(&key(), master);
        cluster.start_again(master);
        cluster.wait_until_ready();
        let_pass(Duration::from_secs(1));
    });
    account.nodes_asked_again();
    for turn_us in &turns {
        account.doubt_what_promises_nothing(*turn_us);
    }
    account.count_many("masters that died, slept or woke", turns.len());
    let words = [&ALWAYS[..], &["unavailable"]].concat();
    account.check("a cluster that waits for replicas", CLOCKS_APART, &words);
}
