//! Follows the engine that a store has its records in: keeps the lease clock with the engine's,
//! and settles what was in doubt while it was away.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::EngineClock;
use crate::limiter::Limiter;

/// How often to look.
const LOOK: Duration = Duration::from_secs(1);

/// Follows until `stop`. A store without an engine has no clock to follow.
pub(crate) async fn follow(
    limiter: Limiter,
    clock: Option<Arc<EngineClock>>,
    stop: CancellationToken,
) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_there = true;
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        let ready = limiter.store().ready().await;
        let was_there = std::mem::replace(&mut is_there, ready.is_ok());
        match ready {
            Ok(time) => {
                if let (Some(clock), Some(time)) = (&clock, time) {
                    clock.follow(time);
                }
                if !was_there {
                    tracing::info!("the store is there again");
                }
                limiter.settle().await;
            }
            Err(error) if was_there => {
                let cause = error.source().map(tracing::field::display);
                tracing::error!(error = %error, cause, "the store is away");
            }
            Err(_) => {}
        }
    }
}
