//! The store over real servers, and with everything that can go wrong on the way to them.

use std::sync::Arc;
use std::time::Duration;

use streamgate_core::Record;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::conformance::{Sweep, at, number_in, record_of, run};
use crate::engines::{
    FaultProxy, Make, RedisCluster, RedisReplicas, RedisSentinel, RedisServer, RedisSetup,
};
use crate::flaky::Flaky;

/// How late an answer may be that has to come within [`CALL_MAX`].
const LATE: Duration = Duration::from_secs(2);

fn open(url: &str, wait_replicas: usize) -> RedisStore {
    RedisStore::new(&url.parse().unwrap(), wait_replicas).unwrap()
}

/// The whole suite, each case on emptied servers; and again through the wrapper that fails.
async fn keeps_every_promise(servers: &[RedisServer], url: &str, wait_replicas: usize) {
    let fresh = || {
        for server in servers {
            // A replica says no, and is emptied by its master.
            drop(server.try_command(&["FLUSHALL"]));
        }
        Arc::new(open(url, wait_replicas)) as Arc<dyn LeaseStore>
    };
    run(&async || fresh(), Sweep::Own).await;
    run(
        &async || Arc::new(Flaky::new(fresh(), 1)) as Arc<dyn LeaseStore>,
        Sweep::Own,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_every_promise() {
    let server = RedisServer::start();
    keeps_every_promise(std::slice::from_ref(&server), &server.url(), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_keeps_every_promise_behind_a_password() {
    let server = RedisSetup::new(Make::Valkey).password("secret").start();
    keeps_every_promise(std::slice::from_ref(&server), &server.url(), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_every_promise() {
    let cluster = RedisCluster::start();
    keeps_every_promise(cluster.nodes(), &cluster_url(&cluster), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sentinels_watch_keeps_every_promise_through_a_failover() {
    let sentinel = RedisSentinel::start();
    let url = sentinel_url(&sentinel);
    keeps_every_promise(sentinel.servers(), &url, 0).await;

    let store = open(&url, 1);
    let first = sentinel.master();
    put(&store, 900, Version::ABSENT, 7, Write::Durable)
        .await
        .unwrap();
    sentinel.servers()[first].kill();
    let began = Instant::now();
    assert!(store.load(at(900)).await.is_err());
    assert!(began.elapsed() < LATE, "it is answered in time");
    sentinel.wait_for_failover(first);
    assert_eq!(until_loaded(&store, 900).await, 7, "a replica had it");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_replicas_that_are_waited_for_every_promise_is_kept() {
    let replicas = RedisReplicas::start(2);
    until_written(&open(&replicas.master().url(), 2), 900, 1).await;
    keeps_every_promise(replicas.servers(), &replicas.master().url(), 2).await;
}

fn cluster_url(cluster: &RedisCluster) -> String {
    let hosts: Vec<_> = cluster.seeds().iter().map(|it| host(it)).collect();
    format!("redis+cluster://{}", hosts.join(","))
}

fn sentinel_url(sentinel: &RedisSentinel) -> String {
    let hosts: Vec<_> = sentinel.urls().iter().map(|it| host(it)).collect();
    format!(
        "redis+sentinel://{}/{}",
        hosts.join(","),
        sentinel.service()
    )
}

fn host(url: &str) -> String {
    let (_, host) = url.split_once("://").unwrap();
    host.trim_end_matches('/').to_owned()
}

async fn put(
    store: &RedisStore,
    place: u64,
    seen: Version,
    number: u64,
    write: Write,
) -> Result<(), StoreError> {
    let swap = Swap {
        ended: 0,
        at: at(place),
        seen,
        next: &record_of(number),
        write,
        now: Timestamp::default(),
    };
    store.swap(swap).await
}

/// The number at a place, asked again while nobody answers.
async fn until_loaded(store: &RedisStore, place: u64) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match store.load(at(place)).await {
            Ok(there) => return number_in(&there.record),
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
    }
}

/// Writes a number durably, again and again while a replica does not have it yet: the first time
/// it takes a while until a master trusts its replicas.
async fn until_written(store: &RedisStore, place: u64, number: u64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let write = async {
            let seen = store.load(at(place)).await?.version;
            put(store, place, seen, number, Write::Durable).await
        };
        match write.await {
            Ok(()) => return,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
    }
}

fn is_unavailable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_a_version_and_a_record_and_lasts_as_long_as_it_says_something() {
    let server = RedisServer::start();
    let store = open(&server.url(), 0);
    put(&store, 0xabc, Version::ABSENT, 7, Write::Soft)
        .await
        .unwrap();
    let key = "streamgate:000000000000abc";
    let millis: u64 = server.command(&["PTTL", key]).parse().unwrap();
    // The lease of 90 s, 10 minutes of memory, a minute for clocks that differ.
    assert!((745_000..=750_000).contains(&millis), "{millis}");

    // What another node wrote, byte by byte, is read.
    let record = record_of(8).encode();
    let decimal: String = record.iter().map(|byte| format!("\\{byte:03}")).collect();
    let value =
        format!("return redis.call('SET', KEYS[1], \"\\0\\0\\0\\0\\0\\0\\0\\005{decimal}\")");
    server.command(&["EVAL", &value, "1", key]);
    let there = store.load(at(0xabc)).await.unwrap();
    assert_eq!((there.version, number_in(&there.record)), (Version(5), 8));

    server.command(&["SET", key, "short"]);
    assert!(is_unavailable(&store.load(at(0xabc)).await));
    let other_format = "return redis.call('SET', KEYS[1], '12345678\\255')";
    server.command(&["EVAL", other_format, "1", key]);
    let unreadable = store.load(at(0xabc)).await;
    assert!(matches!(unreadable, Err(StoreError::Unreadable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_or_seen_last_is_recalled() {
    let server = RedisServer::start();
    let (store, other) = (open(&server.url(), 0), open(&server.url(), 0));
    let recalled = |store: &RedisStore| number_in(&store.recall(at(1)).unwrap().record);
    put(&store, 1, Version::ABSENT, 7, Write::Soft)
        .await
        .unwrap();
    assert_eq!((recalled(&store), recalled(&other)), (7, 0));
    let conflict = put(&other, 1, Version::ABSENT, 8, Write::Soft).await;
    assert!(matches!(conflict, Err(StoreError::Conflict(_))));
    assert_eq!(recalled(&other), 7);
    let there = store.load(at(1)).await.unwrap();
    let gone = Swap {
        ended: 0,
        at: at(1),
        seen: there.version,
        next: &Record::default(),
        write: Write::Soft,
        now: Timestamp::default(),
    };
    store.swap(gone).await.unwrap();
    assert_eq!((recalled(&store), recalled(&other)), (0, 7));
    other.load(at(1)).await.unwrap();
    assert_eq!(recalled(&other), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_a_forgotten_script_are_not_noticed() {
    let server = RedisServer::start();
    let store = open(&server.url(), 0);
    put(&store, 1, Version::ABSENT, 1, Write::Soft)
        .await
        .unwrap();
    server.command(&["SCRIPT", "FLUSH"]);
    put(&store, 2, Version::ABSENT, 2, Write::Durable)
        .await
        .unwrap();
    server.kill();
    server.start_again();
    put(&store, 3, Version::ABSENT, 3, Write::Soft)
        .await
        .unwrap();
    assert_eq!(until_loaded(&store, 3).await, 3);
    assert_eq!(until_loaded(&store, 1).await, 0, "it was in memory only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_made_good_and_nothing_is_done_twice() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into());
    let store = open(&server.url_at(proxy.port()), 0);
    let mut seen = store.load(at(1)).await.unwrap().version;
    for number in 1..=20 {
        proxy.cut_after_request();
        put(&store, 1, seen, number, Write::Durable).await.unwrap();
        let there = store.load(at(1)).await.unwrap();
        assert_eq!(number_in(&there.record), number);
        seen = there.version;
    }
    let counts = proxy.counts();
    println!("20 swaps, {} answers lost", counts.answers_lost);
    assert_eq!(counts.answers_lost, 20);

    // If somebody else came after the write whose answer was lost, that is a conflict.
    let direct = open(&server.url(), 0);
    proxy.delay(Duration::from_millis(100));
    let slow = put(&store, 2, Version::ABSENT, 1, Write::Soft);
    let fast = async {
        loop {
            let there = direct.load(at(2)).await.unwrap();
            if there.version != Version::ABSENT {
                return put(&direct, 2, there.version, 2, Write::Soft).await;
            }
        }
    };
    proxy.cut_after_request();
    let (slow, fast) = tokio::join!(slow, fast);
    fast.unwrap();
    assert!(matches!(slow, Err(StoreError::Conflict(_))), "{slow:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_unavailable_in_time_and_back_without_ado() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into());
    let store = open(&server.url_at(proxy.port()), 0);
    put(&store, 1, Version::ABSENT, 1, Write::Soft)
        .await
        .unwrap();
    let breaks: [(&str, &dyn Fn()); 4] = [
        ("it hangs", &|| server.pause()),
        ("nothing comes through", &|| proxy.stall()),
        ("no answer comes through", &|| proxy.stall_answers()),
        ("every connection is cut", &|| proxy.cut()),
    ];
    for (name, break_it) in breaks {
        break_it();
        let began = Instant::now();
        assert!(is_unavailable(&store.load(at(1)).await), "{name}");
        assert!(
            is_unavailable(&put(&store, 2, Version::ABSENT, 1, Write::Soft).await),
            "{name}"
        );
        assert!(is_unavailable(&store.ready().await), "{name}");
        assert!(began.elapsed() < 3 * LATE, "{name}: {:?}", began.elapsed());
        server.resume();
        proxy.heal();
        assert_eq!(until_loaded(&store, 1).await, 1, "{name}");
        store.ready().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_wait_than_may() {
    let server = RedisServer::start();
    let store = Arc::new(open(&server.url(), 0));
    store.load(at(1)).await.unwrap();
    server.pause();
    let mut calls = JoinSet::new();
    for place in 0..5000 {
        let store = Arc::clone(&store);
        calls.spawn(async move { store.load(at(place)).await });
    }
    let answers = calls.join_all().await;
    let refused = |it: &&Result<_, _>| matches!(it, Err(StoreError::Overloaded { .. }));
    let refused = answers.iter().filter(refused).count();
    println!("of 5000 calls {refused} were refused at once");
    assert!((500..=1000).contains(&refused), "{refused}");
    server.resume();
    until_loaded(&store, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_write_waits_for_the_replicas_and_a_soft_one_does_not() {
    let replicas = RedisReplicas::start(2);
    let store = open(&replicas.master().url(), 2);
    until_written(&store, 1, 1).await;
    replicas.replicas()[0].pause();
    let there = store.load(at(1)).await.unwrap();
    let durable = put(&store, 1, there.version, 2, Write::Durable).await;
    assert!(is_unavailable(&durable), "{durable:?}");
    let there = store.load(at(1)).await.unwrap();
    assert_eq!(number_in(&there.record), 2, "it may have happened");
    put(&store, 1, there.version, 3, Write::Soft).await.unwrap();
    // One of two is enough where one is asked for.
    let one = open(&replicas.master().url(), 1);
    put(&one, 2, Version::ABSENT, 1, Write::Durable)
        .await
        .unwrap();
    replicas.replicas()[0].resume();
    until_written(&store, 1, 4).await;
}

/// Adds one to numbers at random places until told to stop. Returns how often.
async fn count_on(
    store: Arc<RedisStore>,
    places: u64,
    until: Arc<tokio::sync::Notify>,
) -> (u64, u64) {
    let (mut done, mut unavailable) = (0, 0);
    let mut random = crate::conformance::Random(places);
    let until = until.notified();
    tokio::pin!(until);
    loop {
        let place = random.below(places);
        let add = async {
            let seen = store.load(at(place)).await?;
            let next = number_in(&seen.record) + 1;
            put(&store, place, seen.version, next, Write::Soft).await
        };
        tokio::select! {
            biased;
            () = &mut until => return (done, unavailable),
            added = add => match added {
                Ok(()) => done += 1,
                Err(StoreError::Unavailable { .. }) => unavailable += 1,
                Err(error) => panic!("{error:?}"),
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_move_under_load_without_an_error_and_without_a_loss() {
    let cluster = RedisCluster::start();
    let store = Arc::new(open(&cluster_url(&cluster), 0));
    let stop = Arc::new(tokio::sync::Notify::new());
    let mut counting = JoinSet::new();
    counting.spawn(count_on(Arc::clone(&store), 500, Arc::clone(&stop)));
    let masters: Vec<usize> = [0, 6000, 12_000]
        .map(|slot| master_at(&cluster, slot))
        .to_vec();
    let (cluster, moved) = tokio::task::spawn_blocking(move || {
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            cluster.reshard(2000, masters[from], masters[to]);
        }
        (cluster, 6000)
    })
    .await
    .unwrap();
    stop.notify_one();
    let (done, unavailable) = counting.join_next().await.unwrap().unwrap();
    let mut sum = 0;
    for place in 0..500 {
        sum += until_loaded(&store, place).await;
    }
    println!("{moved} slots moved under {done} additions, {unavailable} unavailable");
    assert!(100 < done);
    assert_eq!(unavailable, 0);
    // The one that was under way at the end may have been done.
    assert!(sum == done || sum == done + 1, "{sum} is not {done}");
    drop(cluster);
}

/// The master of a slot, by a key in it.
fn master_at(cluster: &RedisCluster, slot: u16) -> usize {
    let key = (0u64..).map(|n| key(at(n))).find(|key| {
        let there = cluster.slot_of(key);
        slot <= there && there < slot + 1000
    });
    cluster.master_of(&key.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_master_of_a_cluster_takes_nothing_else_with_it() {
    // By default the other masters refuse, too, from when it is missed until a replica is promoted.
    let setup = RedisSetup::new(Make::Redis).option("cluster-require-full-coverage", "no");
    let cluster = RedisCluster::start_as(&setup);
    let store = open(&cluster_url(&cluster), 1);
    for place in 0..60 {
        until_written(&store, place, place + 1).await;
    }
    let dead = cluster.master_of(&key(at(0)));
    cluster.kill(dead);
    let mut others = 0;
    for place in 0..60 {
        if cluster.slot_of(&key(at(place))) / 5461 == cluster.slot_of(&key(at(0))) / 5461 {
            continue;
        }
        let there = store.load(at(place)).await;
        assert!(there.is_ok(), "another master's record: {there:?}");
        others += 1;
    }
    assert!(10 < others, "{others}");
    let began = Instant::now();
    for place in 0..60 {
        assert_eq!(
            until_loaded(&store, place).await,
            place + 1,
            "a replica had it"
        );
    }
    println!(
        "{others} records answered meanwhile; all 60 there {:?} after the kill",
        began.elapsed()
    );
}

/// What is told next.
async fn next(news: &mut mpsc::Receiver<News>) -> News {
    let next = tokio::time::timeout(Duration::from_secs(30), news.recv()).await;
    next.unwrap().unwrap()
}

/// A cluster, the one of its servers that the address has, and what is heard there from now on.
async fn heard_at_a_replica() -> (RedisCluster, usize, mpsc::Receiver<News>) {
    let cluster = RedisCluster::start();
    let replica = cluster.replicas_of(0)[0];
    let address = format!("redis+cluster://{}", host(&cluster.seeds()[replica]));
    let mut news = open(&address, 0).news().unwrap();
    assert_eq!(next(&mut news).await, News::Missed);
    (cluster, replica, news)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_of_a_cluster_may_have_missed_while_it_was_cut_off_is_missed() {
    let (cluster, replica, mut news) = heard_at_a_replica().await;
    for master in 0..3 {
        cluster.pause(master);
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    let has_subscriber = || {
        let clients = cluster.command(replica, &["CLIENT", "LIST"]);
        clients.contains(" sub=1 ")
    };
    while has_subscriber() {
        assert!(Instant::now() < deadline, "nobody notices");
    }
    for master in 0..3 {
        cluster.resume(master);
    }
    assert_eq!(next(&mut news).await, News::Missed);
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_a_cluster_outlives_the_servers_of_the_address() {
    let (cluster, replica, mut news) = heard_at_a_replica().await;
    cluster.kill(replica);
    assert_eq!(next(&mut news).await, News::Missed, "from another server");
    let swap = Swap {
        at: at(3),
        seen: Version::ABSENT,
        next: &record_of(1),
        write: Write::Durable,
        ended: 1,
        now: Timestamp::default(),
    };
    open(&cluster_url(&cluster), 0).swap(swap).await.unwrap();
    assert_eq!(next(&mut news).await, News::Ended(at(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_clock_is_told_and_its_eviction_policy() {
    let server = RedisSetup::new(Make::Redis)
        .option("maxmemory-policy", "allkeys-lru")
        .start();
    let store = open(&server.url(), 0);
    let time = store.ready().await.unwrap().unwrap();
    let told: u64 = server
        .command(&["TIME"])
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let earliest = time.earliest.as_millis() / 1000;
    assert!(earliest <= told && told <= earliest + 5);
    assert!(time.latest.since(time.earliest) < Duration::from_secs(1));
    assert_eq!(
        store.eviction_policy().await.as_deref(),
        Some("allkeys-lru")
    );
    server.command(&[
        "ACL", "SETUSER", "app", "on", ">pw", "+@all", "-config", "~*",
    ]);
    let unasked = server.url().replace("redis://", "redis://app:pw@");
    assert_eq!(open(&unasked, 0).eviction_policy().await, None);
}

#[test]
fn an_address_is_read_and_shown_without_its_password() {
    for (text, shown) in [
        ("redis://localhost", "redis://localhost"),
        ("rediss://user:secret@host:6380/2", "rediss://host:6380/2"),
        ("redis+cluster://:secret@a:1,b:2", "redis+cluster://a:1,b:2"),
        (
            "rediss+sentinel://u:secret@a,b:2/main/3",
            "rediss+sentinel://a,b:2/main/3",
        ),
        ("redis://[::1]:7000", "redis://[::1]:7000"),
    ] {
        let url: RedisUrl = text.parse().unwrap();
        assert_eq!(url.to_string(), shown);
        assert!(!format!("{url:?}").contains("secret"));
    }
    for text in [
        "",
        "host",
        "http://host",
        "redis://",
        "redis://a,b",
        "redis://h/x",
        "redis+x://h",
        "redis+cluster://h/1",
        "redis+sentinel://h",
        "redis+sentinel://h/m/x",
        "redis+cluster://a,,b",
    ] {
        assert!(text.parse::<RedisUrl>().is_err(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_publish_swaps_all_the_same() {
    let server = RedisServer::start();
    server.command(&[
        "ACL",
        "SETUSER",
        "node",
        "on",
        ">secret",
        "~streamgate:*",
        "+@all",
        "-publish",
    ]);
    let store = open(
        &format!("redis://node:secret@127.0.0.1:{}", server.port()),
        0,
    );
    let swap = Swap {
        at: at(1),
        seen: Version::ABSENT,
        next: &record_of(7),
        write: Write::Durable,
        ended: 1,
        now: Timestamp::default(),
    };
    store.swap(swap).await.unwrap();
    let there = store.load(at(1)).await.unwrap();
    assert_eq!(there.record, record_of(7));
}
