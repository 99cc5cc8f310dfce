//! The HTTP API: routes, and what every request passes through.

mod extract;
mod heartbeat;
mod layers;
pub(crate) mod listener;
mod names;
mod openapi;
mod problem;
mod seed;
mod start;
mod stop;
mod system;
mod users;
mod views;
mod watched;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::middleware::{from_fn_with_state, map_response};
use axum::{Extension, Router};
use streamgate_core::{Limit, Terms};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::extract::BodyMax;
use self::layers::Gate;
use self::problem::Problem;
use crate::config::{HttpConfig, Plans};
use crate::limiter::Limiter;
use crate::metrics::Metrics;

pub(crate) use self::openapi::document as openapi_document;

/// How many bytes a request body may have.
const BODY_MAX: usize = 16 << 10;
/// How many bytes a batch of heartbeats may have.
const BATCH_BODY_MAX: usize = 256 << 10;

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) limiter: Limiter,
    pub(crate) metrics: Arc<Metrics>,
    /// The limit of a user about whom nothing else is said.
    pub(crate) limit: Limit,
    pub(crate) plans: Plans,
    pub(crate) seed_terms: Terms,
    /// Cancelled when the service begins to shut down.
    pub(crate) draining: CancellationToken,
}

impl Api {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }
}

/// The routes by which streams start. They are let in more narrowly than the others.
fn starts() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(start::start))
}

fn batches() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(heartbeat::batch))
}

fn streams() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(heartbeat::heartbeat))
        .routes(routes!(heartbeat::of_user))
        .routes(routes!(stop::delete))
        .routes(routes!(stop::stop))
        .routes(routes!(stop::of_user))
        .routes(routes!(users::list, users::evict_all))
        .routes(routes!(users::evict))
        .routes(routes!(users::admission))
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
}

/// The whole service. Probes and metrics answer however busy it is.
pub(crate) fn router(api: &Api, config: &HttpConfig) -> Router {
    let gate = Gate::new(config, Arc::clone(&api.0.metrics));
    let narrow = |routes: Router<Api>| {
        routes.route_layer(from_fn_with_state(gate.clone(), layers::admit_start))
    };
    let guarded = |routes: Router<Api>, body_max| {
        routes
            .layer(Extension(BodyMax(body_max)))
            .layer(CatchPanicLayer::custom(layers::answer_panic))
            .layer(from_fn_with_state(gate.clone(), layers::admit))
            .layer(from_fn_with_state(config.deadline, layers::deadline))
            .layer(map_response(problem::render_bare))
            .layer(map_response(layers::keep_out_of_caches))
    };
    let seed = guarded(narrow(seed_routes().into()), BODY_MAX).layer(map_response(seed::envelope));
    guarded(narrow(starts().into()), BODY_MAX)
        .merge(guarded(streams().into(), BODY_MAX))
        .merge(guarded(batches().into(), BATCH_BODY_MAX))
        .merge(seed)
        .merge(Router::from(system()))
        .merge(openapi::routes())
        .fallback(async || Problem::not_found())
        .layer(map_response(problem::render_bare))
        .layer(from_fn_with_state(
            Arc::clone(&api.0.metrics),
            layers::measure,
        ))
        .layer(TraceLayer::new_for_http().on_failure(()))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(layers::RequestIds::new()))
        .with_state(api.clone())
}
