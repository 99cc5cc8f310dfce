//! For gateways: whether a stream is live. 200, 401 or 403, which is all that their modules pass
//! on; in front of a gateway's cache the answer is worth as much as it is fresh.

use axum::extract::State;
use http::StatusCode;

use super::Api;
use super::caller::Proven;
use super::problem::{Problem, ProblemBody};

/// Whether a stream is live
///
/// By the token that its start was answered with, in `Authorization` or as `?t=`. A suspect
/// stream still is; and one that the store lost, or can't be asked about, while its token is
/// fresh.
#[utoipa::path(
    get,
    path = "/v1/check",
    operation_id = "checkStream",
    tag = "gateways",
    responses(
        (status = 200, description = "It is"),
        (status = 401, description = "There is no stream token, or it is not valid", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 403, description = "It is not", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(
    State(api): State<Api>,
    Proven(proof): Proven,
) -> Result<StatusCode, Problem> {
    let claim = || proof.claim(api.limiter().clock().wall());
    let check = api.limiter().check(&proof.user, &proof.stream, claim);
    if check.await? {
        Ok(StatusCode::OK)
    } else {
        Err(Problem::forbidden("the stream is over"))
    }
}

/// Whether a stream is live, by POST
///
/// The same as by GET. A body is not looked at.
#[utoipa::path(
    post,
    path = "/v1/check",
    operation_id = "checkStreamByPost",
    tag = "gateways",
    responses(
        (status = 200, description = "It is"),
        (status = 401, description = "There is no stream token, or it is not valid", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 403, description = "It is not", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn post(api: State<Api>, proven: Proven) -> Result<StatusCode, Problem> {
    get(api, proven).await
}
