//! A master with two replicas, and three sentinels that promote one when the master is gone.

use std::fs;
use std::time::Duration;

use super::ports::Port;
use super::redis::{Make, RedisServer, RedisSetup, home};
use super::replicas::RedisReplicas;

/// What the sentinels call their master.
const SERVICE: &str = "streamgate";
const REPLICAS: usize = 2;
const SENTINELS: usize = 3;
const QUORUM: usize = 2;
/// How long the sentinels may take to find each other and the replicas.
const READY_MAX: Duration = Duration::from_secs(30);
/// How long a server may be silent. A sentinel asks each second, and a server that it has just
/// been told of only after the first one: with 1 s it gives up a new master at once.
const DOWN_AFTER_MS: u32 = 2_000;
/// How long they may take to promote a replica: 2 s until they miss the master, and 3 s more for
/// each election that nobody won.
const FAILOVER_MAX: Duration = Duration::from_secs(30);

/// Three servers and three sentinels.
#[derive(Debug)]
pub struct RedisSentinel {
    servers: RedisReplicas,
    sentinels: Vec<RedisServer>,
}

impl RedisSentinel {
    /// Starts them, and waits until every sentinel knows all of the others.
    ///
    /// # Panics
    /// When that does not come to pass.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let servers = RedisReplicas::start(REPLICAS);
        let sentinels = (0..SENTINELS).map(|_| sentinel(servers.master().port()));
        let started = Self {
            sentinels: sentinels.collect(),
            servers,
        };
        for sentinel in &started.sentinels {
            let (replicas, others) = (REPLICAS.to_string(), (SENTINELS - 1).to_string());
            let what = "the sentinel knows the others";
            sentinel.process().wait_until(what, READY_MAX, || {
                let said = sentinel
                    .try_command(&["SENTINEL", "MASTER", SERVICE])
                    .ok()?;
                let is = |name, value: &str| field(&said, name) == Some(value);
                let is_complete = is("num-slaves", &replicas)
                    && is("num-other-sentinels", &others)
                    && is("flags", "master");
                is_complete.then_some(())
            });
        }
        started
    }

    /// What the sentinels call their master.
    #[must_use]
    pub fn service(&self) -> &'static str {
        SERVICE
    }

    /// Where the sentinels are, as URLs of Redis.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    /// The sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// The servers, the one that started as the master first.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        self.servers.servers()
    }

    /// Which of the servers the sentinels say is the master.
    ///
    /// # Panics
    /// When no sentinel that is up says so.
    #[must_use]
    #[track_caller]
    pub fn master(&self) -> usize {
        let named = self.up().find_map(|sentinel| self.master_by(sentinel));
        named.unwrap_or_else(|| {
            self.sentinels[0]
                .process()
                .fail("no sentinel names a master")
        })
    }

    /// Waits until another server than this is the master, by what it says and by what every
    /// sentinel that is up says; which one.
    ///
    /// # Panics
    /// When it is too late.
    #[track_caller]
    pub fn wait_for_failover(&self, from: usize) -> usize {
        let process = self.sentinels[0].process();
        process.wait_until("a replica is promoted", FAILOVER_MAX, || {
            let mut named = self.up().map(|sentinel| self.master_by(sentinel));
            let master = named.next().flatten().filter(|master| *master != from)?;
            if !named.all(|named| named == Some(master)) {
                return None;
            }
            let role = self.servers()[master].try_command(&["ROLE"]).ok()?;
            role.starts_with("master").then_some(master)
        })
    }

    fn up(&self) -> impl Iterator<Item = &RedisServer> {
        self.sentinels.iter().filter(|it| it.process().is_up())
    }

    fn master_by(&self, sentinel: &RedisServer) -> Option<usize> {
        let said = sentinel.try_command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]);
        let said = said.ok()?;
        let port: u16 = said.lines().nth(1)?.parse().ok()?;
        self.servers().iter().position(|it| it.port() == port)
    }
}

/// The value behind a name, in an answer that has each on a line of its own.
fn field<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = said.lines();
    lines.find(|line| *line == name)?;
    lines.next()
}

#[track_caller]
fn sentinel(master: u16) -> RedisServer {
    let home = home();
    let config = format!(
        "bind 127.0.0.1\n\
         sentinel monitor {SERVICE} 127.0.0.1 {master} {QUORUM}\n\
         sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n\
         sentinel failover-timeout {SERVICE} 3000\n\
         sentinel parallel-syncs {SERVICE} 2\n"
    );
    // Sentinels write what they learn into their configuration.
    fs::write(home.path().join("sentinel.conf"), config).expect("a file can be written");
    let first = ["sentinel.conf", "--sentinel"];
    RedisSetup::empty(Make::Redis).start_in(home, Port::free(), &first)
}
