//! The binary `bootstrap`: the service as a function of AWS Lambda, behind API Gateway (REST and
//! HTTP), an application load balancer or a function URL. The environment configures it.

mod request;

use anyhow::anyhow;
use lambda_http::lambda_runtime::spawn_graceful_shutdown_handler;
use streamgate_server::Hosted;
use tower::{ServiceExt, service_fn};
use tracing::Instrument;

// One request at a time is given to a process.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let service = Hosted::open(environment.collect()).await?;
    let router = service.router();
    spawn_graceful_shutdown_handler(|| async move {
        if let Err(error) = service.close().await {
            tracing::error!("{error:#}");
        }
    })
    .await;
    let service = service_fn(move |request| {
        let request = request::as_sent(request);
        let span = request::span(&request);
        router.clone().oneshot(request).instrument(span)
    });
    lambda_http::run(service)
        .await
        .map_err(|error| anyhow!(error))
}
