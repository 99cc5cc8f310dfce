//! `streamgate serve`: from the configuration to a running service, and back in order.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ServeArgs, print};
use crate::auth::{Auth, AuthError};
use crate::config::{AuthMode, Config, StoreKind};
use crate::engine::{self, Follower};
use crate::http::{self, Api, listener};
use crate::log::log_to_stderr;
use crate::service::{self, Kept};
use crate::sweeper;
use crate::tls::Tls;
use crate::watchers;

/// The exit code after a second signal.
const EXIT_AT_ONCE: i32 = 130;

pub(super) fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let (config, warnings) = args.load()?;
    log_to_stderr(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    block_on(&config, None)
}

/// Serves until a signal comes, and beside the API the pages of the demo, if there are any.
pub(super) fn block_on(config: &Config, demo: Option<Router<Api>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(run(config, demo))
}

async fn run(config: &Config, demo: Option<Router<Api>>) -> anyhow::Result<()> {
    let draining = CancellationToken::new();
    // Signals first: a stop during a long start is a stop.
    TaskTracker::new().spawn(follow_signals(draining.clone())?);

    let listener = listener::bind(config.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let tls = Tls::open(&config.tls).map_err(Refused::Tls)?.map(Arc::new);
    let kept = Kept::open(config, &draining).await?;
    let (store, clock) = (Arc::clone(&kept.store), kept.clock());
    let auth = Auth::open(config, clock.wall()).map_err(Refused::Auth)?;
    let auth = Arc::new(auth);
    let parts = service::parts(config, &kept, Arc::clone(&auth), draining.clone());
    let api = Api::new(parts);

    let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
    let limiter = api.limiter();
    let follower = Follower::new(limiter.clone(), kept.engine_clock());
    tasks.spawn(engine::follow(follower, ending.clone()));
    tasks.spawn(sweeper::sweep(limiter.clone(), ending.clone()));
    tasks.spawn(watchers::follow(limiter.clone(), ending.clone()));
    let (following, telling, files) = (ending.clone(), Arc::clone(&clock), Arc::clone(&auth));
    tasks.spawn(async move { files.follow(&*telling, following).await });
    // So that the first players find them, if the issuer answers.
    auth.ask_issuer().await;
    let following = ending.clone();
    tasks.spawn(async move { auth.follow_issuer(following).await });
    if let Some(tls) = tls.clone() {
        let following = ending.clone();
        tasks.spawn(async move { tls.follow(following).await });
    }
    greet(config, address, demo.is_some())?;
    let pages = demo.unwrap_or_default();
    listener::serve(
        listener,
        http::router(&api, &config.http, &config.cors_origins, pages),
        tls,
        &config.http,
        draining,
    )
    .await;

    tracing::info!("drained; closing the store");
    ending.cancel();
    tasks.close();
    tasks.wait().await;
    store
        .close(clock.now())
        .await
        .context("the store was not closed in order")?;
    tracing::info!("stopped");
    Ok(())
}

/// What was configured to tell callers apart can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Auth(AuthError),
    #[error("{0:#}")]
    Tls(anyhow::Error),
}

/// The first signal drains, the second one ends the process.
fn follow_signals(draining: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: no new connections, requests in flight are finished");
        draining.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        end_at_once();
    })
}

/// Ends without draining, as kill -9 would: whatever was acknowledged is on disk.
#[expect(
    clippy::disallowed_methods,
    clippy::exit,
    reason = "the disk may hang; nothing is waited for"
)]
fn end_at_once() -> ! {
    std::process::exit(EXIT_AT_ONCE)
}

fn greet(config: &Config, address: SocketAddr, is_demo: bool) -> anyhow::Result<()> {
    let keeps = match config.store {
        StoreKind::Embedded => format!("data in {}", config.data_dir.display()),
        StoreKind::Memory => "data in memory only".to_owned(),
        StoreKind::Redis => "data in Redis".to_owned(),
        StoreKind::DynamoDb => format!("data in table {} of DynamoDB", config.store_table),
    };
    let scheme = match config.tls.certificate_file {
        Some(_) => "https",
        None => "http",
    };
    let credential = match config.auth {
        AuthMode::None => "",
        AuthMode::Required => "-H 'Authorization: Bearer API_KEY' ",
    };
    let demo = if is_demo {
        format!("Demo: open {scheme}://{address}/demo/ in a browser; Ctrl-C ends it\n")
    } else {
        String::new()
    };
    print(&format!(
        "streamgate {version} listens on {scheme}://{address}, {keeps}\n\
         Try:  curl {credential}-H 'Content-Type: application/json' -d '{{\"userId\":\"123456789\"}}' {scheme}://{address}/v1/streams\n\
         Docs: {scheme}://{address}/docs\n{demo}",
        version = env!("CARGO_PKG_VERSION"),
    ))
}
