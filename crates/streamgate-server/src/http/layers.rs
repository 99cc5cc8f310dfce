//! What every request passes through: the bound on requests in flight, the deadline, the
//! measurement.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, StatusCode};
use tokio::sync::Semaphore;
use tower_http::request_id::{MakeRequestId, RequestId};

use super::extract::IgnoredBody;
use super::problem::Problem;
use crate::clock::instant;
use crate::config::HttpConfig;
use crate::metrics::Metrics;

/// Bounds the requests in flight. Starts may use three quarters of it, so that under a rush of
/// starts a stop or a heartbeat still gets in.
#[derive(Clone)]
pub(super) struct Gate {
    requests: Arc<Semaphore>,
    starts: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Gate {
    pub(super) fn new(config: &HttpConfig, metrics: Arc<Metrics>) -> Self {
        let starts_max = (config.requests_max * 3 / 4).max(1);
        Self {
            requests: Arc::new(Semaphore::new(config.requests_max)),
            starts: Arc::new(Semaphore::new(starts_max)),
            metrics,
        }
    }

    async fn pass(&self, gate: &Semaphore, request: Request, next: Next) -> Response {
        let Ok(_permit) = gate.try_acquire() else {
            self.metrics.shed();
            IgnoredBody::of(request).discard().await;
            return Problem::overloaded().into_response();
        };
        next.run(request).await
    }
}

/// Lets a request in, or answers that there are too many.
pub(super) async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    gate.pass(&gate.requests, request, next).await
}

/// Lets a start in; what is no start passes.
pub(super) async fn admit_start(
    State(gate): State<Gate>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() == Method::POST {
        gate.pass(&gate.starts, request, next).await
    } else {
        next.run(request).await
    }
}

/// Answers in time, whatever a request waits for. What it has set going may still happen.
pub(super) async fn deadline(
    State(deadline): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let answered = tokio::time::timeout(deadline, next.run(request)).await;
    answered.unwrap_or_else(|_elapsed| Problem::too_late().into_response())
}

/// Every answer about a stream is true for a moment only.
pub(super) async fn keep_out_of_caches(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Counts a request and how long it took, under its route.
pub(super) async fn measure(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let began = instant();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let request_id = request.extensions().get::<RequestId>().cloned();
    let response = next.run(request).await;
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        let id = request_id
            .as_ref()
            .and_then(|id| id.header_value().to_str().ok());
        tracing::error!(
            request_id = id,
            "a request was answered 500; see the error before"
        );
    }
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metrics.http(method, route, response.status().as_u16(), began.elapsed());
    response
}

/// A handler panicked: the request is answered, the process lives on.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the layer hands the panic over"
)]
pub(super) fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        panic = said.unwrap_or("no message"),
        "a request made the service panic"
    );
    Problem::internal().into_response()
}

/// Names requests that come without a name. The names of one process differ; across processes
/// they differ but for chance.
#[derive(Clone)]
pub(super) struct RequestIds(Arc<AtomicU64>);

impl RequestIds {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(
            getrandom::u64().unwrap_or_default(),
        )))
    }
}

impl MakeRequestId for RequestIds {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        let id = self.0.fetch_add(1, Ordering::Relaxed);
        HeaderValue::try_from(format!("{id:016x}"))
            .ok()
            .map(RequestId::new)
    }
}
