//! `POST /v1/streams`: a player asks for a place.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use streamgate_core::{
    ContentId, Denial, Device, DeviceText, LIMIT_MAX, Limit, OnLimit, Place, Started, StreamId,
};
use utoipa::ToSchema;

use super::Api;
use super::extract::{Body, idempotency_key, parse, parse_optional, stream_id, user_id};
use super::problem::{Problem, ProblemBody};
use super::views::{StreamBody, Viewer, put_location};
use crate::limiter::{Naming, StartCall};

/// How many streams one start may replace by choice.
const REPLACE_MAX: usize = LIMIT_MAX as usize;

/// A start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Start)]
pub(super) struct StartBody {
    /// Whose streams are counted together: 1 to 256 bytes, no control characters.
    #[schema(
        min_length = 1,
        max_length = 256,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]+$",
        example = "123456789"
    )]
    user_id: String,
    /// The client's own name for the stream; the same again is the same stream.
    #[schema(pattern = r"^[A-Za-z0-9._~-]{1,64}$", nullable = false)]
    #[serde(default)]
    stream_id: Option<String>,
    /// What plays it.
    #[schema(nullable = false, inline)]
    #[serde(default)]
    device: Option<StartDevice>,
    /// What it shows.
    #[schema(
        min_length = 1,
        max_length = 256,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]+$",
        nullable = false,
        example = "movie-1"
    )]
    #[serde(default)]
    content_id: Option<String>,
    /// A plan of the configuration; its limit applies.
    #[schema(nullable = false)]
    #[serde(default)]
    plan: Option<String>,
    /// The limit, from a trusted caller; it goes before the plan's.
    #[schema(minimum = 1, maximum = 64, nullable = false, example = 3)]
    #[serde(default)]
    limit: Option<u8>,
    /// Streams of this user to end for this one, in one step with its start.
    #[schema(max_items = 64, nullable = false, value_type = Option<Vec<StreamIdText>>)]
    #[serde(default)]
    replace: Vec<String>,
    /// What happens at the limit when nobody is suspect.
    #[schema(nullable = false)]
    #[serde(default)]
    on_limit: OnLimitBody,
}

/// A stream's name.
#[derive(ToSchema)]
#[schema(as = StreamId, value_type = String, pattern = r"^[A-Za-z0-9._~-]{1,64}$")]
#[expect(dead_code, reason = "it only stands in the OpenAPI document")]
struct StreamIdText(String);

/// What plays a stream: each field 1 to 128 bytes, no control characters.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Device)]
struct StartDevice {
    /// Tells the user's devices apart: a device never blocks itself.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]+$",
        nullable = false,
        example = "tv-9"
    )]
    #[serde(default)]
    id: Option<String>,
    /// For people.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]+$",
        nullable = false,
        example = "Living room TV"
    )]
    #[serde(default)]
    name: Option<String>,
    /// What kind of device it is.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]+$",
        nullable = false,
        example = "tv"
    )]
    #[serde(default, rename = "type")]
    kind: Option<String>,
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
        (status = 409, description = "The limit is reached; `holders` are the streams in the way", body = ProblemBody,
            content_type = "application/problem+json",
            headers(("Retry-After" = u64), ("RateLimit-Policy" = String), ("RateLimit" = String))),
        (status = 410, description = "The stream was there and is over; a retry does not bring it back",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn start(
    State(api): State<Api>,
    headers: HeaderMap,
    Body(body): Body<StartBody>,
) -> Result<Response, Problem> {
    let call = body.into_call(&api, idempotency_key(&headers)?)?;
    let started = api.limiter().start(call).await?;
    let viewer = Viewer::new(api.limiter());
    match started {
        Started::Admitted { place, replaced } => Ok(admitted(
            &api,
            &viewer,
            StatusCode::CREATED,
            &place,
            &replaced,
        )),
        Started::Same(place) => Ok(admitted(&api, &viewer, StatusCode::OK, &place, &[])),
        Started::Over(over) => Err(Problem::over(&over)),
        Started::Denied(denial) => Err(denied(&viewer, &denial)),
    }
}

fn admitted(
    api: &Api,
    viewer: &Viewer<'_>,
    status: StatusCode,
    place: &Place,
    replaced: &[StreamId],
) -> Response {
    let mut headers = viewer.place_headers(place);
    let stands_alone = api.limiter().finds_alone(&place.user, &place.stream.id);
    put_location(&mut headers, place, stands_alone);
    (status, headers, Json(viewer.stream(place, false, replaced))).into_response()
}

fn denied(viewer: &Viewer<'_>, denial: &Denial) -> Problem {
    let holders: Vec<_> = denial
        .holders
        .iter()
        .map(|stream| viewer.holder(stream))
        .collect();
    let headers = viewer.rate_limit(denial.limit, holders.len(), denial.retry_at);
    let retry_after = denial.retry_at.since(viewer.now());
    Problem::limit_reached(denial.limit.get(), holders, retry_after, headers)
}

impl StartBody {
    fn into_call(self, api: &Api, key: Option<String>) -> Result<StartCall, Problem> {
        if REPLACE_MAX < self.replace.len() {
            let detail = format!("must name at most {REPLACE_MAX} streams");
            return Err(Problem::invalid("replace", detail));
        }
        let replace = self
            .replace
            .iter()
            .enumerate()
            .map(|(i, id)| parse(&format!("replace[{i}]"), id, StreamId::parse));
        Ok(StartCall {
            user: user_id(&self.user_id)?,
            naming: match (&self.stream_id, key) {
                (Some(id), _) => Naming::Chosen(stream_id(id)?),
                (None, Some(key)) => Naming::After(key),
                (None, None) => Naming::Minted,
            },
            device: self.device.unwrap_or_default().parse()?,
            content: parse_optional("contentId", self.content_id.as_deref(), ContentId::parse)?,
            replace: replace.collect::<Result<_, _>>()?,
            on_limit: match self.on_limit {
                OnLimitBody::Deny => OnLimit::Deny,
                OnLimitBody::ReplaceOldest => OnLimit::ReplaceOldest,
            },
            limit: api.limit(self.limit, self.plan.as_deref())?,
            terms: api.limiter().terms(),
        })
    }
}

impl StartDevice {
    fn parse(&self) -> Result<Device, Problem> {
        let Self { id, name, kind } = self;
        Ok(Device {
            id: parse_optional("device.id", id.as_deref(), DeviceText::parse)?,
            name: parse_optional("device.name", name.as_deref(), DeviceText::parse)?,
            kind: parse_optional("device.type", kind.as_deref(), DeviceText::parse)?,
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
