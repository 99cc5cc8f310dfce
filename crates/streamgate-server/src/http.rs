//! The HTTP API: routes, and what every request passes through.

mod caller;
mod check;
mod cmcd;
mod events;
mod extract;
mod heartbeat;
mod layers;
#[cfg(feature = "cli")]
pub(crate) mod listener;
mod names;
mod openapi;
mod problem;
mod seed;
mod start;
mod start_bound;
mod stop;
mod system;
mod users;
mod views;
#[cfg(feature = "cli")]
mod watched;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{map_response, map_response_with_state};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Method};
use streamgate_core::{Limit, Started, Terms};
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::problem::Problem;
use crate::auth::Auth;
use crate::config::{HttpConfig, Plans};
use crate::engine::Looks;
use crate::limiter::{Answer, Limiter, StartCall};
use crate::metrics::Metrics;

pub(crate) use self::events::watchers_max;
pub(crate) use self::extract::RawBody;
pub(crate) use self::layers::{Entry, Passage};
pub(crate) use self::openapi::document as openapi_document;
#[cfg(feature = "cli")]
pub(crate) use self::seed::as_javascript_writes;
pub(crate) use self::start_bound::StartBound;

/// How many bytes a request body may have.
const BODY_MAX: usize = 16 << 10;
/// How long a browser may remember a preflight: as long as any of them does.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(7200);
/// How many bytes a batch of heartbeats may have.
const BATCH_BODY_MAX: usize = 256 << 10;

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) starts: StartBound,
    pub(crate) limiter: Limiter,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) auth: Arc<Auth>,
    /// The limit of a user about whom nothing else is said.
    pub(crate) limit: Limit,
    pub(crate) plans: Plans,
    pub(crate) seed_terms: Terms,
    /// Cancelled when the service begins to shut down.
    pub(crate) draining: CancellationToken,
    /// Looks at the engine, where only requests do.
    pub(crate) looks: Option<Looks>,
}

impl Api {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    /// Starts a stream, if there are not too many at it already.
    async fn start(&self, call: StartCall) -> Result<Answer<Started>, Problem> {
        let Some(_entered) = self.0.starts.enter() else {
            self.0.metrics.shed();
            return Err(Problem::overloaded());
        };
        Ok(self.limiter().start(call).await?)
    }
}

/// The routes by which streams start. They are let in more narrowly than the others.
fn starts() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(start::start))
}

fn streams() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(heartbeat::heartbeat))
        .routes(routes!(heartbeat::batch))
        .routes(routes!(heartbeat::of_user))
        .routes(routes!(stop::delete))
        .routes(routes!(stop::stop))
        .routes(routes!(stop::of_user))
        .routes(routes!(users::list, users::evict_all))
        .routes(routes!(users::evict))
        .routes(routes!(users::admission))
}

/// What gateways ask. An answer that says anything but yes or no is an error to their viewers, so
/// they are let in however busy the service is.
fn gateways() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(check::get, check::post))
        .merge(check::appended_to())
}

/// What players are told without asking.
fn news() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(events::events))
}

/// What players report without any code of ours.
fn reports() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(cmcd::collect))
}

fn seed_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(seed::start, seed::stop))
        .routes(routes!(seed::start_at_stage, seed::stop_at_stage))
}

fn system() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(system::livez))
        .routes(routes!(system::readyz))
        .routes(routes!(system::metrics))
        .routes(routes!(system::token_keys))
}

/// The whole service, and pages beside it, if there are any. Probes, metrics and pages answer
/// however busy it is.
pub(crate) fn router(
    api: &Api,
    config: &HttpConfig,
    origins: &[HeaderValue],
    pages: Router<Api>,
) -> Router {
    let passage = Passage::new(config, Arc::clone(&api.0.metrics));
    let passage = passage.looking(api);
    let seed = passage.guard(Entry::Start, seed_routes().into());
    let reports = passage.guard(Entry::Bounded, reports().into());
    // Where something else brings the requests, it takes whole answers.
    let news = if api.0.looks.is_none() {
        passage.guard(Entry::Bounded, news().into())
    } else {
        Router::new()
    };
    let reported = map_response_with_state(api.clone(), cmcd::always_received);
    let others = Router::from(system())
        .merge(openapi::routes())
        .merge(pages)
        .fallback(async || Problem::not_found());
    let router = passage
        .guard(Entry::Start, starts().into())
        .merge(passage.guard(Entry::Bounded, streams().into()))
        .merge(news)
        .merge(reports.layer(reported))
        .merge(seed.layer(map_response(seed::envelope)))
        .merge(passage.guard(Entry::Always, others));
    let router = if origins.is_empty() {
        router
    } else {
        router.layer(cors(origins))
    };
    // No page asks it, and what answers a browser's OPTIONS would let a gateway's through.
    let gateways = passage.guard(Entry::Gateway, gateways().into());
    router.merge(gateways).with_state(api.clone())
}

/// Lets pages of these origins call (Fetch Standard, section 3.3).
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("x-request-id"),
        ])
        .expose_headers([
            LOCATION,
            RETRY_AFTER,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            HeaderName::from_static("x-request-id"),
            cmcd::STREAM_ACTION,
        ])
        .max_age(PREFLIGHT_MAX_AGE)
}
