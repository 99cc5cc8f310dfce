//! What every request passes through: the bound on requests in flight, the deadline, the
//! measurement.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{CACHE_CONTROL, HeaderName};
use http::{HeaderValue, Method, StatusCode};
use tokio::sync::Semaphore;
use tracing::{Level, enabled};

use super::Api;
use super::extract::IgnoredBody;
use super::problem::{self, Problem};
use crate::clock::instant;
use crate::config::HttpConfig;
use crate::metrics::Metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bounds the requests in flight, names and measures them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Passage {
    shared: Arc<Shared>,
    /// What looks at the engine before a request is let in.
    looking: Option<Api>,
}

struct Shared {
    requests: Semaphore,
    /// Starts may use three quarters of `requests`, so that under a rush of starts a stop or a
    /// heartbeat still gets in.
    starts: Semaphore,
    deadline: Duration,
    /// The name of the next request that comes without one. The names of one process differ;
    /// across processes they differ but for chance.
    next_id: AtomicU64,
    metrics: Arc<Metrics>,
}

/// How a route's requests get in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// However busy the service is: probes and metrics.
    Always,
    /// The same, where the answer is about a stream: what gateways ask.
    Gateway,
    /// While there is room for requests.
    Bounded,
    /// While there is room for starts, too, if it is a POST.
    Start,
}

/// How many starts may be in flight at the most.
pub(super) fn starts_max(config: &HttpConfig) -> usize {
    (config.requests_max * 3 / 4).max(1)
}

impl Passage {
    pub(crate) fn new(config: &HttpConfig, metrics: Arc<Metrics>) -> Self {
        let starts_max = starts_max(config);
        let shared = Arc::new(Shared {
            requests: Semaphore::new(config.requests_max),
            starts: Semaphore::new(starts_max),
            deadline: config.deadline,
            next_id: AtomicU64::new(getrandom::u64().unwrap_or_default()),
            metrics,
        });
        Self {
            shared,
            looking: None,
        }
    }

    /// The same, with a look of this API's at the engine when one is due.
    pub(super) fn looking(self, api: &Api) -> Self {
        let looking = api.0.looks.is_some().then(|| api.clone());
        Self { looking, ..self }
    }

    /// Puts routes behind it.
    pub(crate) fn guard<S: Clone + Send + Sync + 'static>(
        &self,
        entry: Entry,
        routes: Router<S>,
    ) -> Router<S> {
        routes.layer(from_fn_with_state((self.clone(), entry), pass))
    }

    /// The request's own name, or a new one.
    fn name(&self, request: &Request) -> HeaderValue {
        let given = request.headers().get(REQUEST_ID).cloned();
        given.unwrap_or_else(|| {
            let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
            HeaderValue::try_from(format!("{id:016x}")).expect("hex digits are visible")
        })
    }

    /// Answers in time, whatever the request waits for. What it has set going may still happen.
    async fn answer(&self, entry: Entry, request: Request, next: Next) -> Response {
        let mut response = match entry {
            Entry::Always => return caught(request, next).await,
            Entry::Gateway => {
                let answer = caught(request, next);
                let answered = tokio::time::timeout(self.shared.deadline, answer).await;
                answered.unwrap_or_else(|_elapsed| {
                    Problem::forbidden("nobody can tell in time").into_response()
                })
            }
            Entry::Bounded | Entry::Start => {
                let answer = self.admit(entry, request, next);
                let answered = tokio::time::timeout(self.shared.deadline, answer).await;
                answered.unwrap_or_else(|_elapsed| Problem::too_late().into_response())
            }
        };
        // Every answer about a stream is true for a moment only.
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Lets a request in, or answers that there are too many.
    async fn admit(&self, entry: Entry, request: Request, next: Next) -> Response {
        let is_start = entry == Entry::Start && request.method() == Method::POST;
        let place = self.shared.requests.try_acquire();
        let start_place = is_start
            .then(|| self.shared.starts.try_acquire())
            .transpose();
        let (Ok(_place), Ok(_start_place)) = (place, start_place) else {
            self.shared.metrics.shed();
            IgnoredBody::of(request).discard().await;
            return Problem::overloaded().into_response();
        };
        if let Some(looks) = self.looking.as_ref().and_then(|api| api.0.looks.as_ref())
            && let Err(error) = looks.look_if_old().await
        {
            IgnoredBody::of(request).discard().await;
            return Problem::from(error).into_response();
        }
        caught(request, next).await
    }
}

/// Takes a request through: its name, its place, its deadline, its measurement. One function,
/// since a stack of layers costs more than all that they do.
async fn pass(
    State((passage, entry)): State<(Passage, Entry)>,
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
    let id = passage.name(&request);
    let path = enabled!(Level::DEBUG).then(|| request.uri().path().to_owned());

    let mut response = passage.answer(entry, request, next).await;

    let (status, took) = (response.status(), began.elapsed());
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        let message = "a request was answered 500; see the error before";
        tracing::error!(request_id = id.to_str().ok(), "{message}");
    }
    if let Some(path) = path {
        let (request_id, duration_us) = (id.to_str().ok(), took.as_micros());
        let status = status.as_u16();
        tracing::debug!(method, path, status, duration_us, request_id, "answered");
    }
    passage.shared.metrics.http(method, route, status, took);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

async fn caught(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let response = answer.unwrap_or_else(|panic| answer_panic(&*panic));
    problem::render_bare(response)
}

/// A handler panicked: the request is answered, the process lives on.
fn answer_panic(panic: &(dyn Any + Send)) -> Response {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        panic = said.unwrap_or("no message"),
        "a request made the service panic"
    );
    Problem::internal().into_response()
}
