//! The service where something else brings its requests to it: a function in AWS Lambda. Such a
//! process is one of many, and is frozen between requests; so nothing here runs beside them.

use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use streamgate_store::LeaseStore;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::clock::Clock;
use crate::config::{AuthMode, Config, LogFormat, Sources, StoreKind};
use crate::engine::{Follower, Looks};
use crate::http::{self, Api};
use crate::log::log_to_stderr;
use crate::service::{self, Kept};

/// The service, open.
pub struct Hosted {
    router: Router,
    api: Api,
    store: Arc<dyn LeaseStore>,
    clock: Arc<dyn Clock>,
}

impl Hosted {
    /// Opens the service that the environment configures, and logs from now on: JSON on stderr.
    /// The store is DynamoDB unless the environment says otherwise.
    ///
    /// # Errors
    /// When the environment configures no such service, or the store does not answer.
    pub async fn open(mut environment: Vec<(String, String)>) -> anyhow::Result<Self> {
        let store = ("STREAMGATE_STORE".to_owned(), "dynamodb".to_owned());
        if !environment.iter().any(|(name, _)| *name == store.0) {
            environment.push(store);
        }
        let (mut config, warnings) = Config::load(Sources {
            environment,
            ..Sources::default()
        })?;
        config.log.format = LogFormat::Json;
        log_to_stderr(&config.log);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        if matches!(config.store, StoreKind::Embedded | StoreKind::Memory) {
            bail!("STREAMGATE_STORE must be one that many processes share: dynamodb or redis");
        }
        if config.auth == AuthMode::None && !config.allow_unauthenticated {
            bail!(
                "everybody could call: set STREAMGATE_AUTH=required, or \
                 STREAMGATE_ALLOW_UNAUTHENTICATED=true where something in front asks who they are"
            );
        }
        let draining = CancellationToken::new();
        let kept = Kept::open(&config, &draining).await?;
        let clock = kept.clock();
        let auth = Arc::new(Auth::open(&config, clock.wall())?);
        auth.ask_issuer().await;
        let mut parts = service::parts(&config, &kept, Arc::clone(&auth), draining);
        let follower = Follower::new(parts.limiter.clone(), kept.engine_clock());
        parts.looks = Some(Looks::new(follower, auth));
        let api = Api::new(parts);
        Ok(Self {
            router: http::router(&api, &config.http, &config.cors_origins),
            api,
            store: Arc::clone(&kept.store),
            clock,
        })
    }

    /// What answers requests.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Ends in order: settles what is in doubt.
    ///
    /// # Errors
    /// When the store could not be closed.
    pub async fn close(&self) -> anyhow::Result<()> {
        self.api.limiter().settle().await;
        let closed = self.store.close(self.clock.now()).await;
        closed.context("the store was not closed in order")
    }
}
