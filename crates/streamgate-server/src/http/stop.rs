//! Stops: always 204, so that a player that leaves need not look at the answer.

use axum::extract::State;
use http::StatusCode;
use streamgate_core::{Target, UserId};

use super::Api;
use super::caller::Caller;
use super::extract::{IgnoredBody, Path, Query, stream_id, user_id};
use super::heartbeat::Whose;
use super::names::{StreamName, UserName};
use super::problem::Problem;

/// Stops a stream
///
/// Its place is free when this is answered. Stopping what is over, or what never was, is
/// answered alike; a start that comes after its own stop is refused. An id that the client chose
/// needs `userId`: without it nothing is found and nothing is stopped.
#[utoipa::path(
    delete,
    path = "/v1/streams/{streamId}",
    operation_id = "stopStream",
    tag = "streams",
    params(("streamId" = StreamName, Path), Whose),
    responses((status = 204, description = "The stream is over")),
)]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(whose): Query<Whose>,
    body: IgnoredBody,
) -> Result<StatusCode, Problem> {
    end(&api, &caller, whose.parse()?, &id, body).await
}

/// Stops a stream, for `navigator.sendBeacon`
///
/// The same as `DELETE /v1/streams/{streamId}`. A body, if any, is not looked at.
#[utoipa::path(
    post,
    path = "/v1/streams/{streamId}/stop",
    operation_id = "stopStreamByPost",
    tag = "streams",
    params(("streamId" = StreamName, Path), Whose),
    responses((status = 204, description = "The stream is over")),
)]
pub(super) async fn stop(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(whose): Query<Whose>,
    body: IgnoredBody,
) -> Result<StatusCode, Problem> {
    end(&api, &caller, whose.parse()?, &id, body).await
}

/// Stops a user's stream
///
/// The same as `DELETE /v1/streams/{streamId}`, for an id that the client chose. A body, if
/// any, is not looked at.
#[utoipa::path(
    post,
    path = "/v1/users/{userId}/streams/{streamId}/stop",
    operation_id = "stopStreamOfUser",
    tag = "streams",
    params(
        ("userId" = UserName, Path),
        ("streamId" = StreamName, Path),
    ),
    responses((status = 204, description = "The stream is over")),
)]
pub(super) async fn of_user(
    State(api): State<Api>,
    caller: Caller,
    Path((user, id)): Path<(String, String)>,
    body: IgnoredBody,
) -> Result<StatusCode, Problem> {
    end(&api, &caller, Some(user_id(&user)?), &id, body).await
}

async fn end(
    api: &Api,
    caller: &Caller,
    user: Option<UserId>,
    id: &str,
    body: IgnoredBody,
) -> Result<StatusCode, Problem> {
    let id = stream_id(id)?;
    let user = caller.may_touch(user, &id)?;
    api.limiter()
        .stop(Target {
            user: user.as_ref(),
            id: &id,
        })
        .await?;
    body.discard().await;
    Ok(StatusCode::NO_CONTENT)
}
