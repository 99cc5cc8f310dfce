//! Puts the service together from its configuration, whatever brings its requests.

mod kept;

use std::sync::Arc;
use std::time::Duration;

use streamgate_core::Terms;
use tokio_util::sync::CancellationToken;

pub(crate) use self::kept::Kept;
use crate::auth::Auth;
use crate::config::Config;
use crate::http;
use crate::limiter::{self, Limiter};
use crate::metrics::Metrics;
use crate::watchers::Watchers;

/// What the API over a store works with.
pub(crate) fn parts(
    config: &Config,
    kept: &Kept,
    auth: Arc<Auth>,
    draining: CancellationToken,
) -> http::Parts {
    let metrics = Arc::new(Metrics::new());
    http::Parts {
        limiter: limiter(config, kept, Arc::clone(&metrics)),
        metrics,
        starts: http::StartBound::new(&config.http),
        auth,
        limit: config.limit,
        plans: config.plans.clone(),
        seed_terms: seed_terms(config),
        draining,
        looks: None,
    }
}

/// What decides over a store.
pub(crate) fn limiter(config: &Config, kept: &Kept, metrics: Arc<Metrics>) -> Limiter {
    Limiter::new(limiter::Parts {
        store: Arc::clone(&kept.store),
        clock: kept.clock(),
        key: kept.key.clone(),
        terms: Terms {
            lease: config.heartbeat.lease,
            heartbeat: Some(config.heartbeat.interval),
            renew_after: config.heartbeat.renew_after,
        },
        metrics,
        on_store_failure: config.on_store_failure,
        watchers: Watchers::new(http::watchers_max(&config.http)),
    })
}

/// The terms of streams whose clients send no heartbeats.
pub(crate) fn seed_terms(config: &Config) -> Terms {
    Terms {
        lease: config.seed.lease,
        heartbeat: None,
        renew_after: Duration::ZERO,
    }
}
