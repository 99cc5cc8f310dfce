//! Players that are told by one node what happened on another.

use std::time::Duration;

use serde_json::json;
use streamgate_store::engines::{FaultProxy, Make, RedisCluster, RedisServer, RedisSetup};

use crate::fleet::{Fleet, NODES, over_redis};
use crate::say;
use crate::support::{Events, elapsed_since, let_pass, now};

/// Each node's players are told what each other node does.
fn is_told_everywhere(fleet: &Fleet, engine: &str) {
    let mut slowest = Duration::ZERO;
    let mut told = 0;
    for watching in 0..NODES {
        for acting in 0..NODES {
            for how in ["replace", "evict", "stop"] {
                let user = format!("{watching}-{acting}-{how}");
                let tv = json!({"userId": user, "device": {"id": "tv"}});
                let id = fleet.client(watching).admitted(&tv);
                let events = Events::live(fleet.address(watching), &id);
                let began = now();
                let code = match how {
                    "replace" => {
                        fleet.client(acting).admitted(&tv);
                        "stream-replaced"
                    }
                    "evict" => {
                        let all = format!("/v1/users/{user}/streams");
                        assert_eq!(fleet.client(acting).delete(&all).status, 204);
                        "stream-evicted"
                    }
                    _ => {
                        let own = format!("/v1/streams/{id}");
                        assert_eq!(fleet.client(acting).delete(&own).status, 204);
                        "stream-stopped"
                    }
                };
                assert_eq!(events.ending()["code"], code);
                slowest = slowest.max(elapsed_since(began));
                told += 1;
            }
        }
    }
    say(&format!(
        "{engine}: {told} players told, the slowest {slowest:?} after the request"
    ));
}

#[test]
fn what_happens_on_one_node_is_told_on_another() {
    let redis = RedisServer::start();
    let fleet = Fleet::start(|_| over_redis(&redis.url()));
    is_told_everywhere(&fleet, "redis");
    let valkey = RedisSetup::new(Make::Valkey).password("secret").start();
    let fleet = Fleet::start(|_| over_redis(&valkey.url()));
    is_told_everywhere(&fleet, "valkey with a password");
}

#[test]
fn what_happens_on_one_node_is_told_on_another_through_a_cluster() {
    let cluster = RedisCluster::start();
    let hosts = cluster.seeds();
    let hosts: Vec<&str> = hosts
        .iter()
        .map(|seed| seed.trim_start_matches("redis://"))
        .collect();
    let url = format!("redis+cluster://{}", hosts.join(","));
    let fleet = Fleet::start(|_| over_redis(&url));
    is_told_everywhere(&fleet, "cluster");
}

#[test]
fn what_happened_while_the_subscription_was_cut_is_told_when_it_is_back() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(([127, 0, 0, 1], redis.port()).into());
    let fleet = Fleet::start(|node| {
        over_redis(&if node == 1 {
            redis.url_at(proxy.port())
        } else {
            redis.url()
        })
    });
    for is_cut in [true, false] {
        let tv = json!({"userId": format!("ann-{is_cut}"), "device": {"id": "tv"}});
        let id = fleet.client(1).admitted(&tv);
        let events = Events::live(fleet.address(1), &id);
        if is_cut {
            proxy.cut();
        } else {
            proxy.stall();
            // Longer than it takes to notice.
            let_pass(Duration::from_secs(2));
        }
        fleet.client(0).admitted(&tv);
        let began = now();
        proxy.heal();
        assert_eq!(events.ending()["code"], "stream-replaced");
        say(&format!(
            "redis cut ({is_cut}) and back: told {:?} later",
            elapsed_since(began)
        ));
    }
}
