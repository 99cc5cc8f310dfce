//! For gateways: whether a stream is live. 200, 401 or 403, which is all that their modules pass
//! on; in front of a gateway's cache the answer is worth as much as it is fresh.

use axum::extract::State;
use axum::routing::any;
use http::StatusCode;
use streamgate_core::Target;
use utoipa_axum::router::OpenApiRouter;

use super::Api;
use super::caller::Questioned;
use super::problem::{Problem, ProblemBody};

/// Envoy appends the path of the request that it asks about, and asks with its method.
const APPENDED_TO: [&str; 2] = ["/v1/check/", "/v1/check/{*original}"];

/// Whether a stream is live
///
/// Which stream, is said by the token that its start was answered with, in `Authorization` or as
/// `?t=`; or by its name: in `Stream-Id`, else as `sid` in `CMCD-Session`, else in the dictionary
/// `CMCD` of the query or of the one in `X-Original-URI`, `X-Original-URL` or `X-Forwarded-Uri`.
/// A name alone is enough where nobody is asked who they are; else whoever asks brings an API key.
/// An id that the client chose needs `userId`.
///
/// A suspect stream is live; and one that the store lost while its token is fresh; and, while the
/// store can't be asked, one that this node saw there last. The same is answered below
/// `/v1/check/`, whatever the method.
#[utoipa::path(
    get,
    path = "/v1/check",
    operation_id = "checkStream",
    tag = "gateways",
    params(
        ("Stream-Id" = Option<String>, Header, nullable = false, description = "The stream"),
        ("CMCD-Session" = Option<String>, Header, nullable = false, description = "A dictionary with the stream as `sid`"),
        ("CMCD" = Option<String>, Query, nullable = false, description = "A dictionary with the stream as `sid`"),
        ("userId" = Option<String>, Query, nullable = false, description = "Whose it is, for an id that the client chose"),
    ),
    responses(
        (status = 200, description = "It is"),
        (status = 401, description = "No stream is named, or nobody who may ask about it", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 403, description = "It is not", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(
    State(api): State<Api>,
    questioned: Questioned,
) -> Result<StatusCode, Problem> {
    let claim = || {
        let proof = questioned.proof.as_ref()?;
        proof.claim(api.limiter().clock().wall())
    };
    let target = Target {
        user: questioned.user.as_ref(),
        id: &questioned.stream,
    };
    if let Some(looks) = &api.0.looks {
        // What can't be asked is answered from what was seen last.
        drop(looks.look_if_old().await);
    }
    if api.limiter().check(target, claim).await {
        Ok(StatusCode::OK)
    } else {
        Err(Problem::forbidden("the stream has no place"))
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
        (status = 401, description = "No stream is named, or nobody who may ask about it", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 403, description = "It is not", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn post(api: State<Api>, questioned: Questioned) -> Result<StatusCode, Problem> {
    get(api, questioned).await
}

/// The routes below it.
pub(super) fn appended_to() -> OpenApiRouter<Api> {
    let below = |router: OpenApiRouter<Api>, path| router.route(path, any(get));
    APPENDED_TO.into_iter().fold(OpenApiRouter::new(), below)
}
