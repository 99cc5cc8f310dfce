//! A user's streams: who is watching, would a start be admitted, and eviction by an operator.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use streamgate_core::{Admission, Device, DeviceText, OnLimit, StreamId, Which};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::caller::{Caller, Operator};
use super::extract::{IgnoredBody, Path, Query, parse_optional, stream_id, user_id};
use super::names::{StreamName, UserName};
use super::problem::{Problem, seconds_up};
use super::views::{HolderBody, Viewer};
use crate::limiter::{Naming, StartCall};

/// A user's streams.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserStreams)]
pub(super) struct StreamsBody {
    user_id: String,
    /// The limit of the user's last admitted start; the default, if none is remembered.
    limit: u8,
    /// How many streams have a place.
    active: usize,
    /// In the order in which they took their places.
    streams: Vec<HolderBody>,
}

/// Lists a user's streams
///
/// Who is watching: the live and the suspect streams, with their devices.
#[utoipa::path(
    get,
    path = "/v1/users/{userId}/streams",
    operation_id = "listStreams",
    tag = "users",
    params(("userId" = UserName, Path)),
    responses((status = 200, description = "The user's streams", body = StreamsBody)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(user): Path<String>,
) -> Result<Json<StreamsBody>, Problem> {
    let user = user_id(&user)?;
    caller.may_see(&user)?;
    let (streams, limit) = api.limiter().streams(&user).await?;
    let viewer = Viewer::new(api.limiter());
    Ok(Json(StreamsBody {
        user_id: user.to_string(),
        limit: limit.unwrap_or(api.0.limit).get(),
        active: streams.len(),
        streams: streams.iter().map(|stream| viewer.holder(stream)).collect(),
    }))
}

/// Evicts all streams of a user
///
/// For operators. The players are told at once, or at their next heartbeat.
#[utoipa::path(
    delete,
    path = "/v1/users/{userId}/streams",
    operation_id = "evictStreams",
    tag = "users",
    params(("userId" = UserName, Path)),
    responses((status = 204, description = "The user has no streams")),
)]
pub(super) async fn evict_all(
    State(api): State<Api>,
    _: Operator,
    Path(user): Path<String>,
    body: IgnoredBody,
) -> Result<StatusCode, Problem> {
    body.discard().await;
    api.limiter().evict(&user_id(&user)?, Which::All).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Evicts a stream of a user
///
/// For operators. The player is told at once, or at its next heartbeat.
#[utoipa::path(
    delete,
    path = "/v1/users/{userId}/streams/{streamId}",
    operation_id = "evictStream",
    tag = "users",
    params(
        ("userId" = UserName, Path),
        ("streamId" = StreamName, Path),
    ),
    responses((status = 204, description = "The stream is over")),
)]
pub(super) async fn evict(
    State(api): State<Api>,
    _: Operator,
    Path((user, id)): Path<(String, String)>,
    body: IgnoredBody,
) -> Result<StatusCode, Problem> {
    body.discard().await;
    let id = stream_id(&id)?;
    api.limiter()
        .evict(&user_id(&user)?, Which::One(&id))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The start that is asked about.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct AdmissionQuery {
    /// The device that would start: its own earlier stream is not in its way.
    #[param(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]+$",
        nullable = false
    )]
    #[serde(default)]
    device_id: Option<String>,
    /// A plan of the configuration.
    #[param(nullable = false)]
    #[serde(default)]
    plan: Option<String>,
    /// The limit, from a trusted caller.
    #[param(minimum = 1, maximum = 64, nullable = false)]
    #[serde(default)]
    limit: Option<u8>,
}

/// Whether a start would be admitted now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Admission)]
pub(super) struct AdmissionBody {
    /// Whether it would.
    admitted: bool,
    /// How many streams the user may have live at once.
    limit: u8,
    /// How many the user has.
    active: usize,
    /// The streams that the start would replace.
    replaced: Vec<String>,
    /// The streams in the way, if it would be denied.
    holders: Vec<HolderBody>,
    /// When to try again, if it would be denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
}

/// Asks whether a start would be admitted
///
/// Changes nothing and keeps no place.
#[utoipa::path(
    get,
    path = "/v1/users/{userId}/admission",
    operation_id = "checkAdmission",
    tag = "users",
    params(
        ("userId" = UserName, Path),
        AdmissionQuery,
    ),
    responses((status = 200, description = "Whether it would", body = AdmissionBody)),
)]
pub(super) async fn admission(
    State(api): State<Api>,
    caller: Caller,
    Path(user): Path<String>,
    Query(query): Query<AdmissionQuery>,
) -> Result<Json<AdmissionBody>, Problem> {
    let user = user_id(&user)?;
    let asks_for_limit = query.limit.is_some() || query.plan.is_some();
    let of_caller = caller.may_ask(&user, asks_for_limit)?;
    let id = parse_optional("deviceId", query.device_id.as_deref(), DeviceText::parse)?;
    let call = StartCall {
        user,
        naming: Naming::Minted,
        device: Device {
            id,
            ..Device::default()
        },
        content: None,
        replace: Vec::new(),
        on_limit: OnLimit::Deny,
        limit: match of_caller {
            Some(limit) => limit,
            None => api.limit(query.limit, query.plan.as_deref())?,
        },
        terms: api.limiter().terms(),
    };
    let admission = api.limiter().admission(call).await?;
    Ok(Json(admission_body(
        &Viewer::new(api.limiter()),
        &admission,
    )))
}

fn admission_body(viewer: &Viewer, admission: &Admission) -> AdmissionBody {
    match admission {
        Admission::Open {
            active,
            limit,
            replaced,
        } => AdmissionBody {
            admitted: true,
            limit: limit.get(),
            active: *active,
            replaced: replaced.iter().map(StreamId::to_string).collect(),
            holders: Vec::new(),
            retry_after_seconds: None,
        },
        Admission::Closed(denial) => AdmissionBody {
            admitted: false,
            limit: denial.limit.get(),
            active: denial.holders.len(),
            replaced: Vec::new(),
            holders: denial
                .holders
                .iter()
                .map(|stream| viewer.holder(stream))
                .collect(),
            retry_after_seconds: Some(seconds_up(denial.retry_at.since(viewer.now())).max(1)),
        },
    }
}
