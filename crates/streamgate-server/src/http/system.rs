//! What machines ask about the service itself.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use jsonwebtoken::jwk::JwkSet;

use super::Api;
use super::caller::Reader;
use super::problem::{Problem, ProblemBody};

/// How far this machine's clock may lie from the engine's.
const APART_MAX: Duration = Duration::from_secs(1);

/// Whether the process lives
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "livez",
    tag = "system",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")),
)]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Whether the service should get requests
///
/// It should not while the store can't write, while this machine's clock differs from that of the
/// store's engine by more than a second, nor while it shuts down.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "system",
    responses(
        (status = 200, description = "It should", body = String, content_type = "text/plain"),
        (status = 503, description = "It should not; `code` says why", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    if api.0.draining.is_cancelled() {
        return Err(Problem::draining());
    }
    if let Some(engine) = api.limiter().store().ready().await? {
        let apart = engine.apart_from(api.limiter().clock().wall());
        if APART_MAX < apart {
            return Err(Problem::clocks_apart(apart));
        }
    }
    Ok("ok\n")
}

/// The public keys of the stream tokens
///
/// For others who check them (JWKS, RFC 7517). None while they are signed with HS256, whose keys
/// are secret.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "tokenKeys",
    tag = "system",
    responses((status = 200, description = "The keys", body = Object)),
)]
pub(super) async fn token_keys(State(api): State<Api>) -> Json<JwkSet> {
    Json(api.0.auth.stream_tokens.public_keys())
}

/// What the service counts
///
/// For Prometheus, in the OpenMetrics text format.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "system",
    responses((status = 200, description = "Counters, gauges and histograms", body = String,
        content_type = "application/openmetrics-text")),
)]
pub(super) async fn metrics(
    State(api): State<Api>,
    _: Reader,
) -> (StatusCode, [(http::HeaderName, &'static str); 1], String) {
    if let Some(asked) = &api.0.auth.asked {
        let usage = asked.keys.usage(api.limiter().clock().wall());
        api.0.metrics.keys(&usage);
    }
    api.0.metrics.watchers(api.limiter().watchers().len());
    let page = api.0.metrics.text(api.limiter().store().streams_len());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (StatusCode::OK, [(CONTENT_TYPE, kind)], page)
}
