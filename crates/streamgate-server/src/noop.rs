//! The HTTP stack of the service with nothing behind it, to measure the service against: the
//! same listener, the same passage, requests read alike, answers of the same size that are
//! always the same bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use http::StatusCode;
use http::header::{CONTENT_TYPE, LOCATION};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Sources};
use crate::http::{Entry, Passage, RawBody, listener};
use crate::metrics::Metrics;

/// What `bench` gets for a stream of a user with a name of 16 characters.
const STREAM: &str = r#"{"streamId":"afb629b4-4332-893b-b2c1-1bc127883ad7","userId":"u000000000000001","state":"live","startedAt":"2026-11-23T12:00:00.000Z","expiresAt":"2026-11-23T12:01:30.000Z","limit":3,"active":1,"resumed":false,"heartbeat":{"intervalSeconds":20,"leaseSeconds":90},"replaced":[]}"#;
/// The same with the token that a start is answered with.
const STARTED: &str = r#"{"streamId":"afb629b4-4332-893b-b2c1-1bc127883ad7","userId":"u000000000000001","state":"live","startedAt":"2026-11-23T12:00:00.000Z","expiresAt":"2026-11-23T12:01:30.000Z","limit":3,"active":1,"resumed":false,"heartbeat":{"intervalSeconds":20,"leaseSeconds":90},"replaced":[],"token":"eyJhbGciOiJIUzI1NiIsImtpZCI6ImNiNzQ0MzI1YTYzYzJmNGQiLCJ0eXAiOiJzdHJlYW1nYXRlK2p3dCJ9.eyJzdWIiOiJ1MDAwMDAwMDAwMDAwMDAxIiwic2lkIjoiYWZiNjI5YjQtNDMzMi04OTNiLWIyYzEtMWJjMTI3ODgzYWQ3IiwiZGV2IjoiMDAwMDAwMDAwMDAwMDAwMSIsImlhdCI6MTgwMDAwMDAwMCwiZXhwIjoxODAwMDAwNjkwfQ.3e9tbovF5qHISBOrkQsiNcgZlaWOnt_OC39RrBvyLDM"}"#;
const ADDRESS: &str = "/v1/streams/afb629b4-4332-893b-b2c1-1bc127883ad7";

/// Serves `POST /v1/streams`, `POST /v1/streams/{streamId}/heartbeat` and
/// `DELETE /v1/streams/{streamId}` on `listen` until the process is ended.
///
/// # Errors
/// When the address can't be listened on.
pub fn noop(listen: SocketAddr) -> anyhow::Result<()> {
    let (config, _) = Config::load(Sources::default())?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = listener::bind(listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
        let passage = Passage::new(&config.http, Arc::new(Metrics::new()));
        let starts = Router::new().route("/v1/streams", post(start));
        let streams = Router::new()
            .route("/v1/streams/{streamId}/heartbeat", post(heartbeat))
            .route("/v1/streams/{streamId}", delete(stop));
        let router = passage
            .guard(Entry::Start, starts)
            .merge(passage.guard(Entry::Bounded, streams));
        listener::serve(
            listener,
            router,
            None,
            &config.http,
            CancellationToken::new(),
        )
        .await;
        Ok(())
    })
}

async fn start(_: RawBody) -> Response {
    let place = [(LOCATION, ADDRESS)];
    (StatusCode::CREATED, place, stream(STARTED)).into_response()
}

async fn heartbeat(_: RawBody) -> Response {
    stream(STREAM).into_response()
}

async fn stop(_: RawBody) -> StatusCode {
    StatusCode::NO_CONTENT
}

fn stream(body: &'static str) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE.as_str(), "application/json"),
        ("ratelimit-policy", "\"streams\";q=3"),
        ("ratelimit", "\"streams\";r=2;t=31"),
    ];
    (headers, body)
}
