//! The service where something else brings its requests to it: a function in AWS Lambda. Such a
//! process is one of many, and is frozen between requests; so nothing here runs beside them.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use streamgate_store::LeaseStore;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::clock::{Clock, instant};
use crate::config::{AuthMode, Config, LogFormat, Sources, StoreKind};
use crate::engine::{Follower, Looks};
use crate::http::{self, Api};
use crate::log::log_to_stderr;
use crate::metrics::Embedded;
use crate::service::{self, Kept};

/// What Lambda calls the function.
const FUNCTION: &str = "AWS_LAMBDA_FUNCTION_NAME";

/// The service, open.
pub struct Hosted {
    router: Router,
    api: Api,
    store: Arc<dyn LeaseStore>,
    measure: Option<Measure>,
    clock: Arc<dyn Clock>,
}

/// What is measured for CloudWatch.
#[derive(Clone)]
struct Measure {
    embedded: Arc<Embedded>,
    clock: Arc<dyn Clock>,
}

impl Hosted {
    /// Opens the service that the environment configures, and logs from now on: JSON on stderr.
    /// In Lambda it also writes metrics on stdout, in CloudWatch's Embedded Metric Format. The store is DynamoDB unless the environment says otherwise.
    ///
    /// # Errors
    /// When the environment configures no such service, or the store does not answer.
    pub async fn open(mut environment: Vec<(String, String)>) -> anyhow::Result<Self> {
        let store = ("STREAMGATE_STORE".to_owned(), "dynamodb".to_owned());
        if !environment.iter().any(|(name, _)| *name == store.0) {
            environment.push(store);
        }
        let function = environment.iter().find(|(name, _)| name == FUNCTION);
        let function = function.map(|(_, name)| name.clone());
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
        let measure = function.map(|function| Measure {
            embedded: Arc::new(Embedded::new(function, Arc::clone(&parts.metrics))),
            clock: Arc::clone(&clock),
        });
        let api = Api::new(parts);
        let mut router = http::router(&api, &config.http, &config.cors_origins, Router::new());
        if let Some(measure) = &measure {
            router = router.layer(from_fn_with_state(measure.clone(), measured));
        }
        Ok(Self {
            router,
            api,
            measure,
            store: Arc::clone(&kept.store),
            clock,
        })
    }

    /// What answers requests.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Ends in order: settles what is in doubt, tells what is not told yet.
    ///
    /// # Errors
    /// When the store could not be closed.
    pub async fn close(&self) -> anyhow::Result<()> {
        self.api.limiter().settle().await;
        if let Some(Measure { embedded, clock }) = &self.measure {
            tell(embedded.rest(clock.wall()));
        }
        let closed = self.store.close(self.clock.now()).await;
        closed.context("the store was not closed in order")
    }
}

async fn measured(State(measure): State<Measure>, request: Request, next: Next) -> Response {
    let began = instant();
    let response = next.run(request).await;
    let now = instant();
    let Measure { embedded, clock } = measure;
    tell(embedded.answered(response.status(), now - began, clock.wall(), now));
    response
}

fn tell(line: Option<String>) {
    if let Some(line) = line {
        // Metrics that nobody takes must not end the service.
        drop(writeln!(std::io::stdout(), "{line}"));
    }
}
