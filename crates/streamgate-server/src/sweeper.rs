//! Frees what silence left behind. Every rule expires what is over by itself; this only keeps
//! memory and the counts true for users nobody asks about.

use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::limiter::Limiter;

/// How often a slice of the store is looked at. 1,024 slices are the whole store. It is
/// also how often the lease clock is looked at when nobody calls (see `clock.rs`).
const TICK: Duration = Duration::from_millis(10);
/// How many records are expired at once: a fifth of a millisecond, for which requests wait.
const AT_ONCE_MAX: usize = 64;

/// Sweeps until `stop`.
pub(crate) async fn sweep(limiter: Limiter, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let due = limiter.store().due(limiter.clock().now());
        for slice in due.chunks(AT_ONCE_MAX) {
            for expired in join_all(slice.iter().map(|at| limiter.expire(*at))).await {
                if let Err(error) = expired {
                    // The next pass comes by again.
                    tracing::debug!(error = %error, "a record was not expired");
                }
            }
        }
    }
}
