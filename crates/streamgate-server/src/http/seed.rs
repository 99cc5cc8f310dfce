//! The contract of the service that this one grew from: `POST` and `DELETE /stream`, also below
//! one stage segment. Its clients send no heartbeats. Every answer with a body is an envelope
//! that repeats the status.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use streamgate_core::{Device, Limit, OnLimit, Over, Started, Stopped, StreamId, Target, UserId};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::Api;
use super::caller::Caller;
use super::extract::{RawBody, object, stream_id, user_id};
use super::names::StreamName;
use super::problem::{Problem, Said};
use crate::limiter::{Answer, Naming, StartCall};

const MISSING_USER: &str = "Request missing userId";
const LIMIT_REACHED: &str = "Unable to start a new stream, maximum limit reached";
const UNKNOWN: &str = "Stream not found";

/// A start or a stop of the seed's contract.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SeedRequest)]
pub(super) struct SeedBody {
    /// Whose stream. 12345 and "12345" are one user.
    #[schema(value_type = SeedUser, required = true)]
    #[serde(default)]
    user_id: Option<SeedUser>,
    /// Which: required to stop. In a start, the client's own name for the stream.
    #[schema(value_type = Option<StreamName>)]
    #[serde(default)]
    stream_id: Option<SeedUser>,
}

/// What the seed takes for an id, echoed in its own type.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum SeedUser {
    Text(String),
    Number(Number),
    #[serde(skip_serializing)]
    Other(IgnoredAny),
}

/// 1, 1.0 and 1e0 are one number to the seed.
pub(crate) fn as_javascript_writes(number: &Number) -> String {
    /// Below it every whole number is exact (ECMA-262, Number.MAX_SAFE_INTEGER).
    const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
    match number.as_f64() {
        Some(value) if value.fract() == 0.0 && value.abs() <= EXACT_MAX => format!("{value:.0}"),
        Some(_) | None => number.to_string(),
    }
}

impl PartialSchema for SeedUser {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(UserId::BYTES_MAX))
            .pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]+$"));
        // Any number but 0, which the seed takes for nothing.
        let number = || ObjectBuilder::new().schema_type(Type::Number);
        let positive = number().exclusive_minimum(Some(0.0));
        let negative = number().exclusive_maximum(Some(0.0));
        OneOfBuilder::new()
            .item(text)
            .item(positive)
            .item(negative)
            .into()
    }
}

impl ToSchema for SeedUser {}

impl SeedUser {
    /// The text that is counted; `None` for what the seed takes for nothing.
    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) if text.is_empty() => None,
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) if number.as_f64() == Some(0.0) => None,
            Self::Number(number) => Some(as_javascript_writes(number)),
            Self::Other(_) => None,
        }
    }
}

/// The envelope of every answer of the seed's contract.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeedAnswer<T> {
    /// The HTTP status again.
    status_code: u16,
    message: T,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeedStream {
    stream_id: String,
    /// As it came.
    #[schema(value_type = SeedUser)]
    user_id: SeedUser,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SeedError {
    error: String,
}

fn answer<T: Serialize>(status: StatusCode, message: T) -> Response {
    (
        status,
        Json(SeedAnswer {
            status_code: status.as_u16(),
            message,
        }),
    )
        .into_response()
}

fn refusal(status: StatusCode, error: &str) -> Response {
    answer(
        status,
        SeedError {
            error: error.into(),
        },
    )
}

/// Starts a stream, by the seed's contract
///
/// Its lease is long, since its client sends no heartbeats; the first heartbeat at
/// `/v1/streams/{streamId}/heartbeat` makes it a stream like any other.
#[utoipa::path(
    post,
    path = "/stream",
    operation_id = "seedStart",
    tag = "seed",
    request_body = SeedBody,
    responses(
        (status = 201, description = "The stream has its place", body = SeedAnswer<SeedStream>),
        (status = 400, description = "The request is not valid", body = SeedAnswer<SeedError>),
        (status = 403, description = "The limit is reached", body = SeedAnswer<SeedError>),
        (status = 410, description = "The client's own streamId was used and is over", body = SeedAnswer<SeedError>),
    ),
)]
pub(super) async fn start(
    State(api): State<Api>,
    caller: Caller,
    RawBody(bytes): RawBody,
) -> Result<Response, Problem> {
    let body: SeedBody = object(&bytes)?;
    let Some((echo, user)) = body
        .user_id
        .and_then(|user| Some((user.clone(), user.text()?)))
    else {
        return Err(Problem::malformed(MISSING_USER));
    };
    let naming = match body.stream_id {
        Some(SeedUser::Text(id)) => Naming::Chosen(stream_id(&id)?),
        Some(_) => return Err(Problem::invalid("streamId", "streamId must be a text")),
        None => Naming::Minted,
    };
    let user = user_id(&user)?;
    let limit = caller.may_start(&api, &user, false)?;
    let call = seed_call(&api, user, naming, limit.unwrap_or(api.0.limit));
    let started = api.start(call).await?;
    let started = match started {
        Answer::Decided(started) => started,
        Answer::Provisional(place) => Started::Same(place),
    };
    Ok(match started {
        Started::Admitted { place, .. } | Started::Same(place) => {
            let stream_id = place.stream.id.to_string();
            answer(
                StatusCode::CREATED,
                SeedStream {
                    stream_id,
                    user_id: echo,
                },
            )
        }
        Started::Denied(_) => refusal(StatusCode::FORBIDDEN, LIMIT_REACHED),
        Started::Over(over) => refusal(StatusCode::GONE, why(&over)),
    })
}

fn seed_call(api: &Api, user: UserId, naming: Naming, limit: Limit) -> StartCall {
    StartCall {
        user,
        naming,
        device: Device::default(),
        content: None,
        replace: Vec::new(),
        on_limit: OnLimit::Deny,
        limit,
        terms: api.0.seed_terms,
    }
}

fn why(over: &Over) -> &'static str {
    match over {
        Over::Stopped => "Stream was stopped, use a new streamId",
        Over::Expired => "Stream expired, use a new streamId",
        Over::Replaced { .. } => "Stream was replaced, use a new streamId",
        Over::Evicted => "Stream was evicted, use a new streamId",
    }
}

/// Stops a stream, by the seed's contract
#[utoipa::path(
    delete,
    path = "/stream",
    operation_id = "seedStop",
    tag = "seed",
    request_body = SeedBody,
    responses(
        (status = 204, description = "The stream is over"),
        (status = 400, description = "The request is not valid", body = SeedAnswer<SeedError>),
        (status = 404, description = "The user has no such stream", body = SeedAnswer<SeedError>),
    ),
)]
pub(super) async fn stop(
    State(api): State<Api>,
    caller: Caller,
    RawBody(bytes): RawBody,
) -> Result<Response, Problem> {
    let body: SeedBody = object(&bytes)?;
    let user = body
        .user_id
        .and_then(|user| user.text())
        .and_then(|user| user_id(&user).ok());
    let id = body
        .stream_id
        .and_then(|id| id.text())
        .and_then(|id| StreamId::parse(&id).ok());
    let (Some(user), Some(id)) = (user, id) else {
        return Ok(refusal(StatusCode::NOT_FOUND, UNKNOWN));
    };
    let user = caller.may_touch(Some(user), &id)?;
    Ok(
        match api
            .limiter()
            .stop(Target {
                user: user.as_ref(),
                id: &id,
            })
            .await?
        {
            Stopped::Ended(_) => StatusCode::NO_CONTENT.into_response(),
            Stopped::Forgone | Stopped::Already | Stopped::Noted | Stopped::Unknown => {
                refusal(StatusCode::NOT_FOUND, UNKNOWN)
            }
        },
    )
}

/// Starts a stream, below a stage
#[utoipa::path(
    post,
    path = "/{stage}/stream",
    operation_id = "seedStartAtStage",
    tag = "seed",
    params(("stage" = String, Path, description = "Any one segment")),
    request_body = SeedBody,
    responses(
        (status = 201, description = "The stream has its place", body = SeedAnswer<SeedStream>),
        (status = 400, description = "The request is not valid", body = SeedAnswer<SeedError>),
        (status = 403, description = "The limit is reached", body = SeedAnswer<SeedError>),
        (status = 410, description = "The client's own streamId was used and is over", body = SeedAnswer<SeedError>),
    ),
)]
pub(super) async fn start_at_stage(
    api: State<Api>,
    caller: Caller,
    body: RawBody,
) -> Result<Response, Problem> {
    start(api, caller, body).await
}

/// Stops a stream, below a stage
#[utoipa::path(
    delete,
    path = "/{stage}/stream",
    operation_id = "seedStopAtStage",
    tag = "seed",
    params(("stage" = String, Path, description = "Any one segment")),
    request_body = SeedBody,
    responses(
        (status = 204, description = "The stream is over"),
        (status = 400, description = "The request is not valid", body = SeedAnswer<SeedError>),
        (status = 404, description = "The user has no such stream", body = SeedAnswer<SeedError>),
    ),
)]
pub(super) async fn stop_at_stage(
    api: State<Api>,
    caller: Caller,
    body: RawBody,
) -> Result<Response, Problem> {
    stop(api, caller, body).await
}

/// Puts a problem into the envelope; its headers stay.
pub(super) async fn envelope(response: Response) -> Response {
    let Some(said) = response.extensions().get::<Said>() else {
        return response;
    };
    let mut enveloped = refusal(response.status(), &said.detail);
    for (name, value) in response.headers() {
        if name != CONTENT_TYPE && name != CONTENT_LENGTH {
            enveloped.headers_mut().insert(name, value.clone());
        }
    }
    enveloped
}
