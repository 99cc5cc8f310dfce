//! Opens the store that a configuration names, and the clock that its leases run on.

#[cfg(any(feature = "dynamodb", feature = "redis"))]
use std::error::Error;
use std::sync::Arc;
#[cfg(any(feature = "dynamodb", feature = "redis"))]
use std::time::Duration;

#[cfg(any(feature = "dynamodb", feature = "redis"))]
use anyhow::anyhow;
use anyhow::{Context, bail};
use streamgate_core::{LocatorKey, Timestamp};
#[cfg(feature = "dynamodb")]
use streamgate_store::DynamoDbStore;
#[cfg(feature = "embedded")]
use streamgate_store::{EmbeddedStore, Opened};
use streamgate_store::{LeaseStore, MemoryStore};
#[cfg(feature = "redis")]
use streamgate_store::{RedisStore, RedisUrl};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, EngineClock, SystemClock};
use crate::config::{Config, StoreKind};

#[cfg(any(feature = "dynamodb", feature = "redis"))]
/// How long a start of the service waits for an engine, and how often it looks.
const ENGINE_WAIT_MAX: Duration = Duration::from_secs(30);
#[cfg(any(feature = "dynamodb", feature = "redis"))]
const ENGINE_LOOK: Duration = Duration::from_secs(1);

/// The store, and what goes with it.
pub(crate) struct Kept {
    pub(crate) store: Arc<dyn LeaseStore>,
    pub(crate) key: LocatorKey,
    clock: LeaseClock,
}

/// By whose clock leases run.
enum LeaseClock {
    Own(Arc<SystemClock>),
    OfEngine(Arc<EngineClock>),
}

impl Kept {
    /// Opens what the configuration names; what `draining` is for ends the wait for an engine.
    pub(crate) async fn open(
        config: &Config,
        draining: &CancellationToken,
    ) -> anyhow::Result<Self> {
        match config.store {
            StoreKind::Memory => Ok(Self {
                store: Arc::new(MemoryStore::new()),
                key: config.locator_key.clone().map_or_else(random_key, Ok)?,
                clock: LeaseClock::Own(Arc::new(SystemClock::starting_at(Timestamp::default()))),
            }),
            #[cfg(feature = "embedded")]
            StoreKind::Embedded => open_embedded(config),
            #[cfg(not(feature = "embedded"))]
            StoreKind::Embedded => bail!("this binary was built without the embedded store"),
            #[cfg(feature = "redis")]
            StoreKind::Redis => {
                let url = config.store_url.as_deref().unwrap_or_default();
                let store = RedisStore::new(&url.parse::<RedisUrl>()?, config.wait_replicas)?;
                let policy = store.eviction_policy().await;
                if let Some(policy) = policy.filter(|it| it != "noeviction") {
                    bail!(
                        "Redis has maxmemory-policy {policy}, which can take the records of live \
                     streams away: set noeviction"
                    );
                }
                of_engine(config, Arc::new(store), draining).await
            }
            #[cfg(not(feature = "redis"))]
            StoreKind::Redis => bail!("this binary was built without Redis"),
            #[cfg(not(feature = "dynamodb"))]
            StoreKind::DynamoDb => bail!("this binary was built without DynamoDB"),
            #[cfg(feature = "dynamodb")]
            StoreKind::DynamoDb => {
                let endpoint = config.store_url.as_deref();
                let store = DynamoDbStore::new(endpoint, &config.store_table).await;
                of_engine(config, Arc::new(store), draining).await
            }
        }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match &self.clock {
            LeaseClock::Own(clock) => Arc::clone(clock) as Arc<dyn Clock>,
            LeaseClock::OfEngine(clock) => Arc::clone(clock) as Arc<dyn Clock>,
        }
    }

    /// The clock that has to follow an engine's.
    pub(crate) fn engine_clock(&self) -> Option<Arc<EngineClock>> {
        match &self.clock {
            LeaseClock::Own(_) => None,
            LeaseClock::OfEngine(clock) => Some(Arc::clone(clock)),
        }
    }
}

#[cfg(any(feature = "dynamodb", feature = "redis"))]
/// Waits for the engine: without its clock no lease could be judged.
async fn of_engine(
    config: &Config,
    store: Arc<dyn LeaseStore>,
    draining: &CancellationToken,
) -> anyhow::Result<Kept> {
    let key = config.locator_key.clone();
    let key = key.context("the configuration has made sure of a locator_key")?;
    let mut last = None;
    let reached = tokio::time::timeout(ENGINE_WAIT_MAX, async {
        loop {
            match store.ready().await {
                Ok(time) => return Ok(time),
                Err(error) if draining.is_cancelled() => return Err(error),
                Err(error) => {
                    let cause = error.source().map(ToString::to_string);
                    if last != cause {
                        tracing::warn!(error = %error, cause, "waiting for the store");
                    }
                    last = cause;
                }
            }
            draining
                .run_until_cancelled(tokio::time::sleep(ENGINE_LOOK))
                .await;
        }
    });
    let reached = reached.await;
    let time = reached.map_err(|late| anyhow!(last.unwrap_or_else(|| late.to_string())));
    let time = time.context("the store did not answer")??;
    let time = time.context("an engine has a clock")?;
    Ok(Kept {
        store,
        key,
        clock: LeaseClock::OfEngine(Arc::new(EngineClock::of(time))),
    })
}

#[cfg(feature = "embedded")]
fn open_embedded(config: &Config) -> anyhow::Result<Kept> {
    let Opened {
        store,
        key,
        watermark,
        records,
        streams,
        was_closed,
    } = EmbeddedStore::open(&config.data_dir, config.locator_key.clone())?;
    if was_closed {
        tracing::info!(records, streams, "the data directory is open");
    } else {
        tracing::warn!(
            records,
            streams,
            "the data directory was not closed in order; what was acknowledged is there, \
             a last write that was not is taken back"
        );
    }
    Ok(Kept {
        store: Arc::new(store),
        key,
        clock: LeaseClock::Own(Arc::new(SystemClock::starting_at(watermark))),
    })
}

fn random_key() -> anyhow::Result<LocatorKey> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("no random bytes for a locator key")?;
    Ok(LocatorKey::from_bytes(bytes))
}
