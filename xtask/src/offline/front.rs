//! API Gateway's part: takes requests below the stage, hands them to the function as events, and
//! makes responses of its answers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::event::{Api, Call};
use super::functions::{Functions, Unanswered};
use crate::Failure;

/// What Lambda takes as an event; API Gateway alone takes 10 MB.
const BODY_MAX: usize = 6 << 20;

/// One API with one stage.
pub(super) struct Front {
    api: Api,
    stage: String,
    functions: Functions,
}

impl Front {
    pub(super) fn new(api: Api, stage: String, functions: Functions) -> Self {
        Self {
            api,
            stage,
            functions,
        }
    }

    async fn response(&self, client: SocketAddr, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let Some(call) = Call::new(self.api, &self.stage, head, client) else {
            return self.api.no_stage();
        };
        let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else {
            return call.refused(StatusCode::PAYLOAD_TOO_LARGE);
        };
        let answer = self.functions.invoke(call.event(&body), call.trace()).await;
        match answer {
            Ok(answer) => call.response(&answer),
            Err(Unanswered::Throttled) => call.refused(StatusCode::TOO_MANY_REQUESTS),
            Err(Unanswered::Busy) => call.refused(StatusCode::SERVICE_UNAVAILABLE),
            Err(Unanswered::Late) => call.refused(StatusCode::GATEWAY_TIMEOUT),
            Err(Unanswered::Failed) => call.refused(StatusCode::BAD_GATEWAY),
        }
    }
}

/// Serves until `draining`, then answers what has come.
pub(super) async fn serve(
    listener: TcpListener,
    front: Arc<Front>,
    draining: CancellationToken,
) -> Result<(), Failure> {
    let router = Router::new().fallback(answer).with_state(front);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(draining.cancelled_owned())
        .await
        .map_err(|error| error.to_string())
}

async fn answer(
    State(front): State<Arc<Front>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    front.response(client, request).await
}
