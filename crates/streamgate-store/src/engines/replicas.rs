//! A Redis or Valkey master with replicas and nobody to promote them.

use std::time::Duration;

use super::redis::{Make, RedisServer, RedisSetup};

/// How long replicas may take until they have their first copy.
const SYNC_MAX: Duration = Duration::from_secs(30);

/// A master and its replicas.
#[derive(Debug)]
pub struct RedisReplicas {
    servers: Vec<RedisServer>,
}

impl RedisReplicas {
    /// Starts a Redis and so many replicas, and waits until each of them follows.
    ///
    /// # Panics
    /// When they do not.
    #[must_use]
    #[track_caller]
    pub fn start(replicas: usize) -> Self {
        Self::start_as(&RedisSetup::new(Make::Redis), replicas)
    }

    /// The same with servers that are set up like this, without TLS.
    ///
    /// # Panics
    /// When the replicas do not follow.
    #[must_use]
    #[track_caller]
    pub fn start_as(setup: &RedisSetup, replicas: usize) -> Self {
        let master = setup.start();
        let follow = format!("127.0.0.1 {}", master.port());
        let replica = setup.clone().option("replicaof", &follow);
        let servers = (0..replicas).map(|_| replica.start());
        let servers: Vec<RedisServer> = std::iter::once(master).chain(servers).collect();
        for replica in &servers[1..] {
            replica.wait_until_it_follows(SYNC_MAX);
        }
        Self { servers }
    }

    /// The server that started as the master.
    #[must_use]
    pub fn master(&self) -> &RedisServer {
        &self.servers[0]
    }

    /// The servers that started as replicas.
    #[must_use]
    pub fn replicas(&self) -> &[RedisServer] {
        &self.servers[1..]
    }

    /// All of them, the one that started as the master first.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }
}
