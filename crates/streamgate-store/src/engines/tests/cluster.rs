use crate::engines::{Make, RedisCluster, RedisSetup};

#[test]
fn a_cluster_promotes_a_replica_and_takes_the_old_master_back() {
    let cluster = RedisCluster::start();
    let first = cluster.master_of("key");
    cluster.nodes()[first].write_to_replicas("SET key value", 1);
    cluster.kill(first);
    let second = cluster.wait_for_failover("key", first);
    assert_eq!(cluster.command(second, &["GET", "key"]), "value");

    cluster.start_again(first);
    cluster.wait_until_ready();
    assert_eq!(cluster.master_of("key"), second);
    assert_eq!(cluster.replicas_of(second), [first]);
}

#[test]
fn a_cluster_replaces_a_master_that_hangs() {
    let cluster = RedisCluster::start_as(&RedisSetup::new(Make::Valkey));
    let first = cluster.master_of("key");
    cluster.pause(first);
    let second = cluster.wait_for_failover("key", first);
    cluster.resume(first);
    cluster.wait_until_ready();
    assert_eq!(cluster.master_of("key"), second);
}

#[test]
fn slots_move_with_their_keys() {
    let cluster = RedisCluster::start();
    // The slots that move are the first ones of the first node: this key is in slot 0.
    let key = "06S";
    assert_eq!(cluster.slot_of(key), 0);
    let from = cluster.master_of(key);
    cluster.command(from, &["SET", key, "value"]);
    let to = cluster.master_of("other");
    assert_ne!(from, to);
    cluster.reshard(10, from, to);
    assert_eq!(cluster.master_of(key), to);
    assert_eq!(cluster.command(to, &["GET", key]), "value");
}

#[test]
fn a_cluster_behind_proxies_names_them_to_clients() {
    let cluster = RedisCluster::start_behind_proxies(&RedisSetup::new(Make::Redis));
    let master = cluster.master_of("key");
    let proxy = &cluster.proxies()[master];
    let other = (0..3).find(|index| *index != master).unwrap();
    let moved = cluster.nodes()[other].try_command(&["GET", "key"]);
    let moved = moved.unwrap_err();
    let there = format!("127.0.0.1:{}", proxy.port());
    assert!(moved.contains("MOVED") && moved.contains(&there), "{moved}");
    assert!(cluster.seeds()[master].ends_with(&there));

    // It still does so when it was killed.
    cluster.kill(master);
    let second = cluster.wait_for_failover("key", master);
    cluster.start_again(master);
    cluster.wait_until_ready();
    let moved = cluster.nodes()[master].try_command(&["SET", "key", "value"]);
    let there = format!("127.0.0.1:{}", cluster.proxies()[second].port());
    assert!(moved.is_err_and(|moved| moved.contains(&there)));
}
