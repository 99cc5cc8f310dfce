//! `streamgate serve`: from the configuration to a running service, and back in order.

mod kept;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use streamgate_core::Terms;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing_subscriber::filter::LevelFilter;

use self::kept::Kept;
use super::{ServeArgs, print};
use crate::auth::{Auth, AuthError};
use crate::config::{AuthMode, Config, LogConfig, LogFormat, LogLevel, StoreKind};
use crate::engine;
use crate::http::{self, Api, listener};
use crate::limiter::{self, Limiter};
use crate::metrics::Metrics;
use crate::sweeper;
use crate::tls::Tls;

/// The exit code after a second signal.
const EXIT_AT_ONCE: i32 = 130;

pub(super) fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let (config, warnings) = args.load()?;
    log_to_stderr(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(run(&config))
}

async fn run(config: &Config) -> anyhow::Result<()> {
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
    let api = api(config, &kept, Arc::clone(&auth), draining.clone());

    let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
    let limiter = api.limiter();
    tasks.spawn(engine::follow(
        limiter.clone(),
        kept.engine_clock(),
        ending.clone(),
    ));
    tasks.spawn(sweeper::sweep(limiter.clone(), ending.clone()));
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
    greet(config, address)?;
    listener::serve(
        listener,
        http::router(&api, &config.http, &config.cors_origins),
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

/// The API over a store.
fn api(config: &Config, kept: &Kept, auth: Arc<Auth>, draining: CancellationToken) -> Api {
    let metrics = Arc::new(Metrics::new());
    let limiter = Limiter::new(limiter::Parts {
        store: Arc::clone(&kept.store),
        clock: kept.clock(),
        key: kept.key.clone(),
        terms: Terms {
            lease: config.heartbeat.lease,
            heartbeat: Some(config.heartbeat.interval),
            renew_after: config.heartbeat.renew_after,
        },
        metrics: Arc::clone(&metrics),
        on_store_failure: config.on_store_failure,
    });
    Api::new(http::Parts {
        limiter,
        metrics,
        starts: http::StartBound::new(&config.http),
        auth,
        limit: config.limit,
        plans: config.plans.clone(),
        seed_terms: Terms {
            lease: config.seed.lease,
            heartbeat: None,
            renew_after: Duration::ZERO,
        },
        draining,
    })
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

fn greet(config: &Config, address: SocketAddr) -> anyhow::Result<()> {
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
    print(&format!(
        "streamgate {version} listens on {scheme}://{address}, {keeps}\n\
         Try:  curl {credential}-H 'Content-Type: application/json' -d '{{\"userId\":\"123456789\"}}' {scheme}://{address}/v1/streams\n\
         Docs: {scheme}://{address}/docs\n",
        version = env!("CARGO_PKG_VERSION"),
    ))
}

fn log_to_stderr(config: &LogConfig) {
    let level = match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let is_human = match config.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let log = tracing_subscriber::fmt()
        // A log that nobody reads any more must not end the service.
        .log_internal_errors(false)
        .with_max_level(level)
        .with_writer(std::io::stderr);
    if is_human {
        log.with_target(false).init();
    } else {
        log.json().flatten_event(true).init();
    }
}
