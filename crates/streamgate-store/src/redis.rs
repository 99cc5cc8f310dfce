//! The store over Redis (6 or later) or Valkey: one server, one that sentinels watch, or a
//! cluster.
//!
//! A record is the value of the key `streamgate:` and the 15 hex digits of its locator: 8 bytes of
//! version, random for each writing, and then the record's own bytes (`streamgate_core`'s codec).
//! The key expires when the record would say nothing any more. One script compares, sets and
//! expires. Since a version is never written twice, a script that is sent again because its answer
//! was lost does the same again, and one that arrives late does nothing.

mod link;
mod news;
#[cfg(test)]
mod tests;
mod url;

use std::time::Duration;

use async_trait::async_trait;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use streamgate_core::{Locator, Timestamp};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use self::url::RedisUrl;

use self::link::{Answer, Link};
use crate::shared::{CALL_MAX, Gate, Recalled, VERSION_BYTES, Writing, versioned};
use crate::store::{
    BoxError, EngineTime, LeaseStore, News, StoreError, Swap, Version, Versioned, Write,
};

const NAME: &str = "redis";
const SWAP: &str = include_str!("redis/swap.lua");

/// Records in Redis or Valkey.
pub struct RedisStore {
    link: Link,
    /// For writes that wait for replicas, so that nothing else waits behind them.
    waiting: Option<(Link, usize)>,
    /// The SHA-1 of the script, by which servers know it.
    script: String,
    url: RedisUrl,
    gate: Gate,
    recalled: Recalled,
}

impl RedisStore {
    /// Connects when it is first used; must be called in a runtime. With `wait_replicas`, a durable write is answered when so
    /// many replicas have it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the URL can't be used.
    pub fn new(url: &RedisUrl, wait_replicas: usize) -> Result<Self, StoreError> {
        let waiting = match wait_replicas {
            0 => None,
            wanted => {
                let link = Link::new(url, Some(wanted)).map_err(unavailable)?;
                Some((link, wanted))
            }
        };
        Ok(Self {
            link: Link::new(url, None).map_err(unavailable)?,
            waiting,
            script: redis::Script::new(SWAP).get_hash().to_owned(),
            url: url.clone(),
            gate: Gate::new(NAME),
            recalled: Recalled::new(),
        })
    }

    /// What the server does when its memory is full, if it may be asked: anything but
    /// `noeviction` can take a live stream's record away.
    pub async fn eviction_policy(&self) -> Option<String> {
        let mut ask = redis::cmd("CONFIG");
        ask.arg("GET").arg("maxmemory-policy");
        let asked = tokio::time::timeout(CALL_MAX, self.link.ask(None, ask)).await;
        let answer: Vec<String> = redis::from_redis_value(asked.ok()?.ok()?.value).ok()?;
        answer.into_iter().nth(1)
    }

    async fn put(&self, swap: &Swap<'_>, writing: &Writing) -> Result<Value, BoxError> {
        let mut value = Vec::with_capacity(VERSION_BYTES + writing.record.len());
        if !writing.record.is_empty() {
            value.extend_from_slice(&writing.version.0.to_be_bytes());
            value.extend_from_slice(&writing.record);
        }
        let seen = match swap.seen {
            Version::ABSENT => Vec::new(),
            Version(seen) => seen.to_be_bytes().to_vec(),
        };
        let news = match swap.ended {
            0 => String::new(),
            _ => news::text(swap.at),
        };
        let call = |by: &str, script: &str| {
            let mut call = redis::cmd(by);
            call.arg(script)
                .arg(1)
                .arg(key(swap.at))
                .arg(&seen[..])
                .arg(&value[..])
                .arg(u64::try_from(writing.lasts.as_millis()).unwrap_or(u64::MAX))
                .arg(&writing.version.0.to_be_bytes()[..])
                .arg(&news);
            call
        };
        let waits = swap.write == Write::Durable;
        let link = self.waiting.as_ref().filter(|_| waits);
        let link = link.map_or(&self.link, |(link, _)| link);
        let mut answer = link.ask(Some(swap.at), call("EVALSHA", &self.script)).await;
        if answer.as_ref().is_err_and(is_unknown_script) {
            answer = link.ask(Some(swap.at), call("EVAL", SWAP)).await;
        }
        let Answer { value, replicas } = answer?;
        match (&self.waiting, replicas) {
            (Some((_, wanted)), Some(reached)) if value == Value::Nil && reached < *wanted => {
                Err(format!("{reached} of {wanted} replicas have it").into())
            }
            (Some(_) | None, _) => Ok(value),
        }
    }
}

/// Whether a server does not know the script (any more): it is told again.
fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

pub(crate) fn key(at: Locator) -> String {
    format!("streamgate:{:015x}", at.bits())
}

fn unavailable(source: impl Into<BoxError>) -> StoreError {
    StoreError::Unavailable {
        store: NAME,
        source: source.into(),
    }
}

/// A call that has to be over in time.
async fn in_time<T, E: Into<BoxError>>(
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(CALL_MAX, call).await {
        Ok(done) => done.map_err(unavailable),
        Err(late) => Err(unavailable(late)),
    }
}

/// What stands under a key.
fn parsed(there: &[u8]) -> Result<(u64, &[u8]), StoreError> {
    match there.split_first_chunk() {
        Some((version, record)) => Ok((u64::from_be_bytes(*version), record)),
        None if there.is_empty() => Ok((0, there)),
        None => Err(unavailable("a value is too short to be a record")),
    }
}

#[async_trait]
impl LeaseStore for RedisStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn recall(&self, at: Locator) -> Option<Versioned> {
        Some(self.recalled.get(at))
    }

    async fn load(&self, at: Locator) -> Result<Versioned, StoreError> {
        let _turn = self.gate.enter()?;
        let mut get = redis::cmd("GET");
        get.arg(key(at));
        let there = in_time(self.link.ask(Some(at), get)).await?.value;
        let there: Option<Vec<u8>> = redis::from_redis_value(there).map_err(unavailable)?;
        let there = there.unwrap_or_default();
        let (version, record) = parsed(&there)?;
        let seen = versioned(version, record)?;
        self.recalled.put(at, seen.version, record);
        Ok(seen)
    }

    async fn swap(&self, swap: Swap<'_>) -> Result<(), StoreError> {
        let _turn = self.gate.enter()?;
        let writing = Writing::of(&swap);
        let there = in_time(self.put(&swap, &writing)).await?;
        let there: Option<Vec<u8>> = redis::from_redis_value(there).map_err(unavailable)?;
        let Some(there) = there else {
            self.recalled.put(swap.at, writing.version, &writing.record);
            return Ok(());
        };
        let (version, record) = parsed(&there)?;
        let current = versioned(version, record)?;
        self.recalled.put(swap.at, current.version, record);
        Err(StoreError::Conflict(current))
    }

    fn due(&self, _: Timestamp) -> Vec<Locator> {
        Vec::new()
    }

    fn streams_len(&self) -> Option<usize> {
        None
    }

    fn news(&self) -> Option<mpsc::Receiver<News>> {
        Some(news::subscribe(self.url.clone()))
    }

    async fn ready(&self) -> Result<Option<EngineTime>, StoreError> {
        let asked_at = Instant::now();
        let told = in_time(self.link.ask(None, redis::cmd("TIME")))
            .await?
            .value;
        let (seconds, micros): (u64, u64) = redis::from_redis_value(told).map_err(unavailable)?;
        let earliest = Timestamp::from_millis(seconds.saturating_mul(1000) + micros / 1000);
        Ok(Some(EngineTime {
            earliest,
            // One more for the microseconds that were cut off.
            latest: earliest.plus(asked_at.elapsed() + Duration::from_millis(1)),
        }))
    }

    async fn close(&self, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
}
