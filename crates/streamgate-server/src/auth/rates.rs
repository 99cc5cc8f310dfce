//! How often streams may be started. Stops and heartbeats are never counted: a player that is
//! refused a place must still be able to give one back.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use streamgate_core::Locator;

use crate::config::RateConfig;

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// Token buckets (GCRA) by user and by API key. What was not heard of for a while is forgotten,
/// so there are never more than one period's starts of them.
pub(crate) struct Rates {
    /// By locator: a keyed hash, so that nobody chooses where it falls.
    players: Option<Limiter<Locator>>,
    keys: Option<Limiter<String>>,
}

/// Too many starts: when to try again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooMany {
    pub(crate) retry_after: Duration,
}

impl Rates {
    pub(crate) fn new(config: &RateConfig) -> Self {
        let per_minute = NonZeroU32::new(config.player_starts_per_minute).map(Quota::per_minute);
        let per_second = NonZeroU32::new(config.key_starts_per_second).map(Quota::per_second);
        Self {
            players: per_minute.map(limiter),
            keys: per_second.map(limiter),
        }
    }

    /// Counts a start by a player.
    pub(crate) fn player_starts(&self, user: Locator) -> Result<(), TooMany> {
        self.players.as_ref().map_or(Ok(()), |it| count(it, &user))
    }

    /// Counts a start with an API key.
    pub(crate) fn key_starts(&self, id: &str) -> Result<(), TooMany> {
        let keys = self.keys.as_ref();
        keys.map_or(Ok(()), |it| count(it, &id.to_owned()))
    }

    /// Forgets those who did nothing of late.
    pub(crate) fn forget_old(&self) {
        if let Some(players) = &self.players {
            players.retain_recent();
            players.shrink_to_fit();
        }
        if let Some(keys) = &self.keys {
            keys.retain_recent();
        }
    }
}

fn limiter<K: std::hash::Hash + Eq + Clone>(quota: Quota) -> Limiter<K> {
    RateLimiter::new(quota, HashMapStateStore::default(), DefaultClock::default())
}

fn count<K: std::hash::Hash + Eq + Clone>(limiter: &Limiter<K>, key: &K) -> Result<(), TooMany> {
    limiter.check_key(key).map_err(|until| TooMany {
        retry_after: until.wait_time_from(limiter.clock().now()),
    })
}
