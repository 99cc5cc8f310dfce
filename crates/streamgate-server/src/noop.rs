//! The HTTP stack of the service with nothing behind it, to measure the service against: the
//! same listener, the same passage, requests read alike, and always the answers that the service
//! gave once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, Request, StatusCode};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::auth::Auth;
use crate::config::{Config, Sources};
use crate::http::{Api, Entry, Passage, RawBody, listener, router};
use crate::metrics::Metrics;
use crate::service::{self, Kept};

/// What `bench` starts a stream with.
const START: &str = r#"{"userId":"u000000000000001","device":{"id":"0000000000000001","name":"Living room TV 1"},"contentId":"movie00000000001"}"#;
/// The headers that are an answer's own; the passage adds the others.
const OWN: [HeaderName; 4] = [
    CONTENT_TYPE,
    LOCATION,
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("ratelimit"),
];

/// What is answered to every request for the same.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, self.headers, self.body).into_response()
    }
}

/// Serves `POST /v1/streams`, `POST /v1/streams/{streamId}/heartbeat` and
/// `DELETE /v1/streams/{streamId}` on `listen` until the process is ended.
///
/// # Errors
/// When the address can't be listened on.
pub fn noop(listen: SocketAddr) -> anyhow::Result<()> {
    let (config, _) = Config::load(Sources {
        file: Some((Path::new("no-op"), "store = 'memory'")),
        ..Sources::default()
    })?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let [started, heard] = answers(&config).await?;
        let listener = listener::bind(listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
        let passage = Passage::new(&config.http, Arc::new(Metrics::new()));
        let said = |answer: Answer| post(move |_: RawBody| async move { answer });
        let starts = Router::new().route("/v1/streams", said(started));
        let streams = Router::new()
            .route("/v1/streams/{streamId}/heartbeat", said(heard))
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

/// What the service answers a start and a heartbeat.
async fn answers(config: &Config) -> anyhow::Result<[Answer; 2]> {
    let draining = CancellationToken::new();
    let kept = Kept::open(config, &draining).await?;
    let auth = Arc::new(Auth::open(config, kept.clock().wall())?);
    let api = Api::new(service::parts(config, &kept, auth, draining));
    let service = router(&api, &config.http, &[], Router::new());
    let started = ask(&service, "/v1/streams", START).await?;
    let stream = started
        .headers
        .get(LOCATION)
        .context("a stream's address")?;
    let heard = format!("{}/heartbeat", stream.to_str()?);
    let heard = ask(&service, &heard, "").await?;
    Ok([started, heard])
}

async fn ask(service: &Router, path: &str, body: &'static str) -> anyhow::Result<Answer> {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    let answer = service.clone().oneshot(request.body(Body::from(body))?);
    let (mut head, body) = answer.await?.into_parts();
    ensure!(head.status.is_success(), "{path}: {}", head.status);
    let own = OWN.into_iter();
    let own = own.filter_map(|name| head.headers.remove(&name).map(|value| (name, value)));
    Ok(Answer {
        status: head.status,
        headers: own.collect(),
        body: body.collect().await?.to_bytes(),
    })
}

async fn stop(_: RawBody) -> StatusCode {
    StatusCode::NO_CONTENT
}
