//! `POST /v1/streams`: a player asks for a place.

use axum::extract::State;
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use streamgate_core::{Admitted, Denial, Device, LIMIT_MAX, Limit, OnLimit, Place, Started};
use utoipa::ToSchema;

use super::Api;
use super::caller::Caller;
use super::extract::{Body, Object, WholeNumber, idempotency_key};
use super::names::{ContentName, DeviceName, Named, StreamName, UserName};
use super::problem::{Problem, ProblemBody};
use super::views::{Granted, StreamBody, Viewer, location};
use crate::limiter::{Answer, Naming, StartCall};

/// How many streams one start may replace by choice.
const REPLACE_MAX: usize = LIMIT_MAX as usize;

/// A start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Start)]
pub(super) struct StartBody {
    /// Whose streams are counted together.
    #[schema(value_type = UserName, required = true, example = "123456789")]
    #[serde(default)]
    user_id: Option<UserName>,
    /// The client's own name for the stream; the same again is the same stream.
    #[serde(default)]
    stream_id: Option<StreamName>,
    /// What plays it.
    #[schema(inline, value_type = Option<DeviceBody>)]
    #[serde(default)]
    device: Option<Object<DeviceBody>>,
    /// What it shows.
    #[schema(example = "movie-1")]
    #[serde(default)]
    content_id: Option<ContentName>,
    /// A plan of the configuration; its limit applies.
    #[schema(example = "premium")]
    #[serde(default)]
    plan: Option<String>,
    /// The limit, from a trusted caller; it goes before the plan's.
    #[schema(minimum = 1, maximum = 64, example = 3, value_type = Option<u8>)]
    #[serde(default)]
    limit: Option<WholeNumber>,
    /// Streams of this user to end for this one, in one step with its start.
    #[schema(max_items = 64)]
    #[serde(default)]
    replace: Option<Vec<StreamName>>,
    /// What happens at the limit when nobody is suspect.
    #[serde(default)]
    on_limit: Option<OnLimitBody>,
}

/// What plays a stream.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Device)]
struct DeviceBody {
    /// Tells the user's devices apart: a device never blocks itself.
    #[schema(example = "tv-9")]
    #[serde(default)]
    id: Option<DeviceName>,
    /// For people.
    #[schema(example = "Living room TV")]
    #[serde(default)]
    name: Option<DeviceName>,
    /// What kind of device it is.
    #[schema(example = "tv")]
    #[serde(default, rename = "type")]
    kind: Option<DeviceName>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OnLimit)]
enum OnLimitBody {
    /// The start is denied.
    #[default]
    Deny,
    /// The user's oldest stream is replaced.
    ReplaceOldest,
}

/// Starts a stream
///
/// Gives the stream a place, or says which streams are in the way. The same start again (the
/// same `streamId`, or the same `Idempotency-Key`) is the same stream.
#[utoipa::path(
    post,
    path = "/v1/streams",
    operation_id = "startStream",
    tag = "streams",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, nullable = false,
        description = "A retry with the same key is the same stream. Without a `streamId`, the key names the stream.")),
    request_body = StartBody,
    responses(
        (status = 201, description = "A new stream has its place", body = StreamBody,
            headers(("Location" = String), ("RateLimit-Policy" = String), ("RateLimit" = String))),
        (status = 200, description = "The stream was there already; its lease is renewed", body = StreamBody,
            headers(("Location" = String), ("RateLimit-Policy" = String), ("RateLimit" = String))),
        (status = 403, description = "The credential is another user's, or has another scope", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "Too many starts of late", body = ProblemBody,
            content_type = "application/problem+json", headers(("Retry-After" = u64))),
        (status = 409, description = "The limit is reached; `holders` are the streams in the way", body = ProblemBody,
            content_type = "application/problem+json",
            headers(("Retry-After" = u64), ("RateLimit-Policy" = String), ("RateLimit" = String))),
        (status = 410, description = "The stream was there and is over; a retry does not bring it back",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn start(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Body(body): Body<StartBody>,
) -> Result<Response, Problem> {
    let call = body.into_call(&api, &caller, idempotency_key(&headers)?)?;
    let started = api.start(call).await?;
    let viewer = Viewer::new(api.limiter());
    let started = match started {
        Answer::Decided(started) => started,
        Answer::Provisional(place) => {
            let granted = Granted {
                is_provisional: true,
                ..Granted::default()
            };
            return Ok(admitted(&api, &viewer, StatusCode::CREATED, place, granted));
        }
    };
    match started {
        Started::Admitted { place, replaced } => {
            let granted = Granted {
                replaced,
                ..Granted::default()
            };
            Ok(admitted(&api, &viewer, StatusCode::CREATED, place, granted))
        }
        Started::Same(place) => {
            let granted = Granted::default();
            Ok(admitted(&api, &viewer, StatusCode::OK, place, granted))
        }
        Started::Over(over) => Err(Problem::over(&over)),
        Started::Denied(denial) => Err(denied(&viewer, &denial)),
    }
}

fn admitted(
    api: &Api,
    viewer: &Viewer,
    status: StatusCode,
    place: Place,
    granted: Granted,
) -> Response {
    let stands_alone = api.limiter().finds_alone(&place.user, &place.stream.id);
    let location = location(&place, stands_alone);
    let how = if granted.is_provisional {
        Admitted::Provisionally
    } else {
        Admitted::ByStore
    };
    let (auth, wall) = (&api.0.auth, viewer.wall());
    let granted = Granted {
        token: Some(auth.token_of(&place, how, wall)),
        report_token: Some(auth.report_token_of(&place, how, wall)),
        ..granted
    };
    let mut response = viewer.placed(status, place, granted);
    response.headers_mut().insert(LOCATION, location);
    response
}

pub(super) fn denied(viewer: &Viewer, denial: &Denial) -> Problem {
    let holders: Vec<_> = denial
        .holders
        .iter()
        .map(|stream| viewer.holder(stream))
        .collect();
    let mut headers = HeaderMap::new();
    viewer.put_rate_limit(&mut headers, denial.limit, holders.len(), denial.retry_at);
    let retry_after = denial.retry_at.since(viewer.now());
    Problem::limit_reached(denial.limit.get(), holders, retry_after, headers)
}

impl StartBody {
    fn into_call(
        self,
        api: &Api,
        caller: &Caller,
        key: Option<String>,
    ) -> Result<StartCall, Problem> {
        let replace = self.replace.unwrap_or_default();
        if REPLACE_MAX < replace.len() {
            let detail = format!("must name at most {REPLACE_MAX} streams");
            return Err(Problem::invalid("replace", detail));
        }
        let user = self
            .user_id
            .ok_or_else(|| Problem::invalid("userId", "is missing"))?;
        let asks_for_limit = self.limit.is_some() || self.plan.is_some();
        let of_caller = caller.may_start(api, &user.0, asks_for_limit)?;
        let Object(device) = self.device.unwrap_or_default();
        Ok(StartCall {
            user: user.0,
            naming: match (self.stream_id, key) {
                (Some(Named(id)), _) => Naming::Chosen(id),
                (None, Some(key)) => Naming::After(key),
                (None, None) => Naming::Minted,
            },
            device: Device {
                id: device.id.map(|Named(id)| id),
                name: device.name.map(|Named(name)| name),
                kind: device.kind.map(|Named(kind)| kind),
            },
            content: self.content_id.map(|Named(content)| content),
            replace: replace.into_iter().map(|Named(id)| id).collect(),
            on_limit: match self.on_limit.unwrap_or_default() {
                OnLimitBody::Deny => OnLimit::Deny,
                OnLimitBody::ReplaceOldest => OnLimit::ReplaceOldest,
            },
            limit: match of_caller {
                Some(limit) => limit,
                None => api.limit(
                    self.limit.map(|WholeNumber(limit)| limit),
                    self.plan.as_deref(),
                )?,
            },
            terms: api.limiter().terms(),
        })
    }
}

impl Api {
    /// The limit of a start: what the caller says, else the plan's, else the default.
    pub(super) fn limit(&self, limit: Option<u8>, plan: Option<&str>) -> Result<Limit, Problem> {
        let plan = plan.map(|name| {
            self.0.plans.get(name).copied().ok_or_else(|| {
                Problem::invalid("plan", "must be the name of a plan in the configuration")
            })
        });
        let plan = plan.transpose()?;
        let limit = limit.map(|limit| {
            let detail = format!("must be between 1 and {LIMIT_MAX}");
            Limit::new(limit).ok_or_else(|| Problem::invalid("limit", detail))
        });
        Ok(limit.transpose()?.or(plan).unwrap_or(self.0.limit))
    }
}
