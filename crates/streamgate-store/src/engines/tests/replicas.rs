use std::time::Duration;

use crate::engines::{RedisReplicas, RedisSentinel};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn replicas_follow_their_master() {
    let servers = RedisReplicas::start(1);
    servers.master().write_to_replicas("SET key value", 1);
    let replica = &servers.replicas()[0];
    assert_eq!(replica.command(&["GET", "key"]), "value");
    let refused = replica.try_command(&["SET", "key", "other"]);
    assert!(refused.is_err_and(|said| said.contains("READONLY")));
}

#[test]
fn sentinels_promote_a_replica_that_has_what_was_written() {
    let started = RedisSentinel::start();
    let first = started.master();
    let servers = started.servers();
    servers[first].write_to_replicas("SET key value", 2);
    servers[first].kill();
    let second = started.wait_for_failover(first);
    assert_eq!(servers[second].command(&["GET", "key"]), "value");
    servers[second].command(&["SET", "key", "newer"]);

    servers[first].start_again();
    servers[first].wait_for(&["ROLE"], "slave", SOON);
    servers[first].wait_for(&["GET", "key"], "newer", SOON);
    assert_eq!(started.master(), second);
}
