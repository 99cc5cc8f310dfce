//! Every error answer, in one table: RFC 9457 problem documents with a stable `code`.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use streamgate_core::{Over, StreamId};
use streamgate_store::StoreError;
use utoipa::ToSchema;

use super::views::HolderBody;
use crate::auth::TooMany;

/// How long a caller waits who met an overload or a store that is down.
const RETRY_AFTER_SECONDS: u64 = 1;
/// How long a player waits that is not told without asking.
const WATCH_AGAIN_SECONDS: u64 = 30;

/// What went wrong, for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Code {
    InvalidRequest,
    NotFound,
    StreamUnknown,
    MethodNotAllowed,
    StreamLimitReached,
    StreamStopped,
    StreamExpired,
    StreamReplaced,
    StreamEvicted,
    Unauthorized,
    Forbidden,
    RateLimited,
    PayloadTooLarge,
    UnsupportedMediaType,
    InternalError,
    StoreUnavailable,
    Overloaded,
}

impl Code {
    /// The status and the title that go with it.
    const fn row(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "The request is not valid"),
            Self::NotFound => (StatusCode::NOT_FOUND, "There is nothing at this path"),
            Self::StreamUnknown => (StatusCode::NOT_FOUND, "There is no such stream"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "This path does not take this method",
            ),
            Self::StreamLimitReached => (
                StatusCode::CONFLICT,
                "The user plays as many streams as allowed",
            ),
            Self::StreamStopped => (StatusCode::GONE, "The stream was stopped by its player"),
            Self::StreamExpired => (
                StatusCode::GONE,
                "The stream was silent for too long and has no place any more",
            ),
            Self::StreamReplaced => (StatusCode::GONE, "A newer stream took the place"),
            Self::StreamEvicted => (StatusCode::GONE, "The stream was ended by an operator"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "It is not clear who calls"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "The caller may not do this"),
            Self::RateLimited => (
                StatusCode::TOO_MANY_REQUESTS,
                "There were too many starts of late",
            ),
            Self::PayloadTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request body is too large",
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The request body is not JSON",
            ),
            Self::InternalError => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The service made a mistake",
            ),
            Self::StoreUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "The store is unavailable"),
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The service has too much to do",
            ),
        }
    }

    /// Why a stream is over.
    pub(crate) fn of_over(over: &Over) -> Self {
        match over {
            Over::Stopped => Self::StreamStopped,
            Over::Expired => Self::StreamExpired,
            Over::Replaced { .. } => Self::StreamReplaced,
            Over::Evicted => Self::StreamEvicted,
        }
    }
}

/// A problem document (RFC 9457, section 3).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// A URN that names the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem, for people.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The kind of problem, for programs; it never changes.
    code: Code,
    /// What is wrong with this request, for people.
    detail: String,
    /// Which field or parameter of the request is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// How many streams the user may have live at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u8>,
    /// The streams in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    holders: Option<Vec<HolderBody>>,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    /// The stream that took the place.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip)]
    headers: HeaderMap,
}

/// An error answer.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<ProblemBody>);

/// The detail of a problem, left in the answer's extensions for the seed's
/// route, which puts them into its own envelope.
#[derive(Clone)]
pub(super) struct Said {
    pub(super) detail: String,
}

impl Problem {
    fn new(code: Code, detail: impl Into<String>) -> Self {
        let (status, title) = code.row();
        let name = serde_json::to_value(code).ok();
        let name = name
            .as_ref()
            .and_then(|name| name.as_str())
            .unwrap_or("unknown");
        Self(Box::new(ProblemBody {
            kind: format!("urn:streamgate:problem:{name}"),
            title,
            status: status.as_u16(),
            code,
            detail: detail.into(),
            field: None,
            limit: None,
            holders: None,
            retry_after_seconds: None,
            by: None,
            headers: HeaderMap::new(),
        }))
    }

    /// The request breaks a rule of the API; `field` names where.
    pub(super) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(Code::InvalidRequest, detail);
        problem.0.field = Some(field.into());
        problem
    }

    /// The request breaks a rule of the API as a whole.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    pub(super) fn not_found() -> Self {
        Self::new(Code::NotFound, "see /docs for what there is")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            Code::MethodNotAllowed,
            "the Allow header lists the methods of this path",
        )
    }

    pub(super) fn stream_unknown() -> Self {
        Self::new(
            Code::StreamUnknown,
            "it never existed, or it ended more than 10 minutes ago; an id that the client chose needs ?userId=",
        )
    }

    pub(super) fn over(over: &Over) -> Self {
        let detail = match over {
            Over::Expired => "start again to go on",
            Over::Stopped | Over::Replaced { .. } | Over::Evicted => {
                "start again with a new streamId to go on"
            }
        };
        let mut problem = Self::new(Code::of_over(over), detail);
        problem.0.by = successor(over).map(ToString::to_string);
        problem
    }

    /// The "no". `headers` carry the rate limit.
    pub(super) fn limit_reached(
        limit: u8,
        holders: Vec<HolderBody>,
        retry_after: Duration,
        headers: HeaderMap,
    ) -> Self {
        let detail = format!("{} of {limit} streams are live", holders.len());
        let mut problem = Self::new(Code::StreamLimitReached, detail);
        problem.0.limit = Some(limit);
        problem.0.holders = Some(holders);
        problem.0.headers = headers;
        problem.retry_after(seconds_up(retry_after).max(1))
    }

    /// No credential, or none that is valid. What is wrong with it helps only whoever tries to
    /// forge one, so `detail` does not say.
    pub(super) fn unauthorized(detail: &str) -> Self {
        let mut problem = Self::new(Code::Unauthorized, detail);
        let challenge = HeaderValue::from_static("Bearer realm=\"streamgate\"");
        problem.0.headers.insert(WWW_AUTHENTICATE, challenge);
        problem
    }

    /// The keys of the platform's tokens are not there yet, so nobody can tell who calls.
    pub(super) fn issuer_unreached() -> Self {
        Self::new(
            Code::Overloaded,
            "the issuer's keys were not fetched yet; try again",
        )
        .retry_after(RETRY_AFTER_SECONDS)
    }

    pub(super) fn forbidden(detail: &str) -> Self {
        Self::new(Code::Forbidden, detail)
    }

    /// The same, if it is what the modules of gateways pass on; else that nobody can tell.
    pub(super) fn told_to_a_gateway(self) -> Self {
        match self.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self,
            _ => Self::forbidden("it can't be told which stream is meant"),
        }
    }

    pub(super) fn payload_too_large(bytes_max: usize) -> Self {
        Self::new(
            Code::PayloadTooLarge,
            format!("it may have {bytes_max} bytes"),
        )
    }

    pub(super) fn unsupported_media_type() -> Self {
        Self::new(
            Code::UnsupportedMediaType,
            "send Content-Type: application/json",
        )
    }

    pub(super) fn internal() -> Self {
        Self::new(
            Code::InternalError,
            "it is in the log under this answer's X-Request-Id",
        )
    }

    pub(super) fn overloaded() -> Self {
        Self::new(Code::Overloaded, "nothing was changed; try again")
            .retry_after(RETRY_AFTER_SECONDS)
    }

    /// More may not be told without asking.
    pub(super) fn too_many_watchers() -> Self {
        let detail = "too many players have their events open; heartbeats tell the same";
        Self::new(Code::Overloaded, detail).retry_after(WATCH_AGAIN_SECONDS)
    }

    pub(super) fn too_late() -> Self {
        let detail = "it took too long; the same request again, with the same streamId or Idempotency-Key, is safe";
        Self::new(Code::Overloaded, detail).retry_after(RETRY_AFTER_SECONDS)
    }

    /// What nodes tell each other by the time is not to be trusted.
    pub(super) fn clocks_apart(apart: Duration) -> Self {
        let detail = format!(
            "this machine's clock and the store's are {:.1} s apart",
            apart.as_secs_f64()
        );
        Self::new(Code::StoreUnavailable, detail).retry_after(RETRY_AFTER_SECONDS)
    }

    pub(super) fn draining() -> Self {
        Self::new(Code::Overloaded, "the service is shutting down").retry_after(RETRY_AFTER_SECONDS)
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self.0.headers.insert(RETRY_AFTER, seconds.into());
        self
    }

    /// Its document.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(&self.0).expect("what we answer can be written as JSON")
    }

    /// Which field is meant, and what is wrong.
    pub(super) fn place_and_detail(&self) -> (Option<String>, String) {
        (self.0.field.clone(), self.0.detail.clone())
    }

    pub(super) fn code(&self) -> Code {
        self.0.code
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).expect("each is of the table")
    }

    /// The stream that took the place of one that is over.
    pub(super) fn successor(&self) -> Option<String> {
        self.0.by.clone()
    }

    /// The "no" to a stream that was playing: its player must stop (410).
    pub(super) fn told_to_a_player(mut self) -> Self {
        self.0.status = StatusCode::GONE.as_u16();
        self
    }
}

/// Whole seconds, rounded up: whoever waits that long does not come too early.
pub(super) fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(0 < duration.subsec_nanos())
}

impl From<TooMany> for Problem {
    fn from(too_many: TooMany) -> Self {
        Self::new(
            Code::RateLimited,
            "nothing was changed; wait, and try again",
        )
        .retry_after(seconds_up(too_many.retry_after).max(1))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Overloaded { .. } | StoreError::Conflict(_) => Self::overloaded(),
            StoreError::Unavailable { source, .. } => {
                tracing::debug!(error = %error, cause = %source, "the store refused");
                let detail =
                    "the change may or may not have happened; the same request again is safe";
                Self::new(Code::StoreUnavailable, detail).retry_after(RETRY_AFTER_SECONDS)
            }
            StoreError::Unreadable(source) => {
                tracing::error!(error = %source, "a record is not readable");
                Self::new(Code::StoreUnavailable, "the user's record is not readable")
                    .retry_after(RETRY_AFTER_SECONDS)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let Self(mut body) = self;
        let mut headers = std::mem::take(&mut body.headers);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        let said = Said {
            detail: body.detail.clone(),
        };
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().extend(headers);
        response.extensions_mut().insert(said);
        response
    }
}

/// The stream that took the place of one that is over.
fn successor(over: &Over) -> Option<&StreamId> {
    match over {
        Over::Replaced { by } => Some(by),
        Over::Stopped | Over::Expired | Over::Evicted => None,
    }
}

/// Gives the framework's own answers (405, 404 without a body) the documented form.
pub(super) fn render_bare(response: Response) -> Response {
    let is_bare = !response.headers().contains_key(CONTENT_TYPE);
    if response.status() == StatusCode::METHOD_NOT_ALLOWED && is_bare {
        let allow = response.headers().get(ALLOW).cloned();
        let mut rendered = Problem::method_not_allowed().into_response();
        if let Some(allow) = allow {
            rendered.headers_mut().insert(ALLOW, allow);
        }
        return rendered;
    }
    response
}
