//! Follows the engine that a store has its records in: keeps the lease clock with the engine's,
//! and settles what was in doubt while it was away.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use streamgate_core::WallTime;
use streamgate_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::clock::{EngineClock, instant};
use crate::limiter::Limiter;

/// How often to look.
const LOOK: Duration = Duration::from_secs(1);
/// How old the last look may be when a request is let in, where only requests look.
const LOOK_AGE_MAX: Duration = Duration::from_secs(5);

/// What looks at an engine, and remembers whether it was there.
pub(crate) struct Follower {
    limiter: Limiter,
    clock: Option<Arc<EngineClock>>,
    is_there: bool,
}

impl Follower {
    /// Of a store that was there just now. One without an engine has no clock to follow.
    pub(crate) fn new(limiter: Limiter, clock: Option<Arc<EngineClock>>) -> Self {
        Self {
            limiter,
            clock,
            is_there: true,
        }
    }

    /// Looks once.
    pub(crate) async fn look(&mut self) -> Result<(), StoreError> {
        let ready = self.limiter.store().ready().await;
        let was_there = std::mem::replace(&mut self.is_there, ready.is_ok());
        match ready {
            Ok(time) => {
                if let (Some(clock), Some(time)) = (&self.clock, time) {
                    clock.follow(time);
                }
                if !was_there {
                    tracing::info!("the store is there again");
                }
                self.limiter.settle().await;
                Ok(())
            }
            Err(error) => {
                if was_there {
                    let cause = error.source().map(tracing::field::display);
                    tracing::error!(error = %error, cause, "the store is away");
                }
                Err(error)
            }
        }
    }
}

/// Looks until `stop`.
pub(crate) async fn follow(mut follower: Follower, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        // It is logged, and asked again soon.
        drop(follower.look().await);
    }
}

/// Looks in the course of requests, where the process is frozen between them and nothing else
/// would: the few that come long after the last look wait for one.
pub(crate) struct Looks {
    auth: Arc<Auth>,
    follower: tokio::sync::Mutex<(Follower, Looked)>,
}

/// When a look was taken, by both clocks: which of them runs on in a frozen process, and which is
/// put right when it thaws, is up to the machine.
#[derive(Clone, Copy)]
struct Looked {
    at: Instant,
    wall: WallTime,
}

impl Looked {
    fn is_old(self, now: Self) -> bool {
        let wall = now.wall.as_millis().abs_diff(self.wall.as_millis());
        LOOK_AGE_MAX <= now.at.saturating_duration_since(self.at)
            || LOOK_AGE_MAX <= Duration::from_millis(wall)
    }
}

impl Looks {
    /// After a look that was taken just now.
    pub(crate) fn new(follower: Follower, auth: Arc<Auth>) -> Self {
        let looked = looked(&follower);
        Self {
            auth,
            follower: tokio::sync::Mutex::new((follower, looked)),
        }
    }

    /// Looks if the last look is too old to decide by.
    pub(crate) async fn look_if_old(&self) -> Result<(), StoreError> {
        let mut held = self.follower.lock().await;
        let (follower, last) = &mut *held;
        let now = looked(follower);
        if last.is_old(now) {
            follower.look().await?;
            self.auth.look(now.wall);
            self.auth.ask_issuer().await;
            *last = now;
        }
        Ok(())
    }
}

fn looked(follower: &Follower) -> Looked {
    Looked {
        at: instant(),
        wall: follower.limiter.clock().wall(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, LOOK_AGE_MAX, Looked, WallTime, instant};

    #[track_caller]
    fn check(expected: bool, monotonic: Duration, wall_ms: u64) {
        let began = instant();
        let (last, now) = (1_800_000_000_000, began + monotonic);
        let at = |at, ms| Looked {
            at,
            wall: WallTime::from_millis(ms),
        };
        assert_eq!(at(began, last).is_old(at(now, wall_ms)), expected);
    }

    #[test]
    fn a_look_is_old_when_either_clock_says_so() {
        let last = 1_800_000_000_000;
        check(false, Duration::ZERO, last);
        check(false, LOOK_AGE_MAX - Duration::from_millis(1), last + 4_999);
        check(true, LOOK_AGE_MAX, last);
        check(true, Duration::ZERO, last + 5_000);
        check(true, Duration::ZERO, last - 5_000);
    }
}
