//! The accept loop. A server that only hands connections on keeps the silent and the dripping
//! ones for ever; this one bounds how many there are and how long each may take.

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::caller::Certified;
use super::events::Leaving;
use super::watched::{Activity, Watched};
use crate::config::HttpConfig;
use crate::tls::{HTTP2, Tls};

/// How soon the first byte must come.
const FIRST_BYTE: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a waiting connection is kept for one more request when the service shuts down.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// How HTTP/2 with prior knowledge begins (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a request's head.
const HEAD_MAX: usize = 16 << 10;
const HTTP2_STREAMS_MAX: u32 = 128;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(10);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an HTTP/2 connection may last, and how long its last answers may take then: a client
/// that never opens its window would keep them, and the connection, for ever.
const HTTP2_AGE_MAX: Duration = Duration::from_secs(600);
const HTTP2_LAST_ANSWERS: Duration = Duration::from_secs(10);
/// How long accepting rests after an error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `draining`, then lets each finish its requests, for `config.drain`
/// at the most.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
    config: &HttpConfig,
    draining: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(config.connections_max));
    let tracker = TaskTracker::new();
    while let Some((stream, place)) = draining
        .run_until_cancelled(accept(&listener, &places))
        .await
    {
        let (router, draining) = (router.clone(), draining.clone());
        let acceptor = tls.as_ref().map(|tls| tls.acceptor());
        tracker.spawn(async move {
            match acceptor {
                Some(acceptor) => tls_connection(stream, &acceptor, router, draining).await,
                None => connection(stream, router, draining).await,
            }
            drop(place);
        });
    }
    drop(listener);
    tracker.close();
    if tokio::time::timeout(config.drain, tracker.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = tracker.len(),
            "closing connections that did not finish in time"
        );
    }
}

/// The next connection, as soon as there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            unreachable!("nobody closes the semaphore")
        };
        match listener.accept().await {
            Ok((stream, _peer)) => return (stream, place),
            Err(error) => {
                tracing::warn!(error = %error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, draining: CancellationToken) {
    let Some(Some(is_http2)) = draining.run_until_cancelled(speaks_http2(&stream)).await else {
        return;
    };
    answer_at_once(&stream);
    serve_on(stream, is_http2, router, draining).await;
}

async fn tls_connection(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    router: Router,
    draining: CancellationToken,
) {
    answer_at_once(&stream);
    let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream));
    let stream = match draining.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => stream,
        Some(Ok(Err(error))) => return tracing::debug!(error = %error, "no TLS"),
        Some(Err(_)) | None => return,
    };
    let (_, tls) = stream.get_ref();
    let is_http2 = tls.alpn_protocol() == Some(HTTP2);
    // Without one of the configured authority the handshake fails.
    let is_certified = tls.peer_certificates().is_some();
    let router = if is_certified {
        router.layer(Extension(Certified))
    } else {
        router
    };
    if is_http2 {
        let Ok(Ok(stream)) = tokio::time::timeout(FIRST_BYTE, with_preface(stream)).await else {
            return;
        };
        serve_on(stream, is_http2, router, draining).await;
    } else {
        serve_on(stream, is_http2, router, draining).await;
    }
}

/// The connection, once its client has begun to speak HTTP/2: hyper would wait for that for ever.
async fn with_preface<S>(stream: S) -> std::io::Result<impl AsyncRead + AsyncWrite + Send + Unpin>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut reader, writer) = tokio::io::split(stream);
    let mut preface = [0; HTTP2_PREFACE.len()];
    reader.read_exact(&mut preface).await?;
    Ok(tokio::io::join(Cursor::new(preface).chain(reader), writer))
}

fn answer_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "no TCP_NODELAY");
    }
}

async fn serve_on<S>(stream: S, is_http2: bool, router: Router, draining: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let served = if is_http2 {
        http2_connection(stream, router, draining).await
    } else {
        http1_connection(stream, router, draining).await
    };
    if let Err(error) = served {
        tracing::debug!(error = %error, "a connection ended early");
    }
}

/// Looks at how the connection begins, without taking anything. `None` for one that says
/// nothing, or too little, in time.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let look = async {
        let mut start = [0; HTTP2_PREFACE.len()];
        loop {
            let seen = stream.peek(&mut start).await.ok()?;
            if seen == 0 {
                return None;
            }
            if !HTTP2_PREFACE.starts_with(&start[..seen]) {
                return Some(false);
            }
            if seen == HTTP2_PREFACE.len() {
                return Some(true);
            }
            // Part of a preface: peeking would answer the same at once.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(FIRST_BYTE, look).await.ok()?
}

pub(super) async fn http1_connection<S>(
    stream: S,
    router: Router,
    draining: CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let activity = Activity::default();
    let io = TokioIo::new(Watched::new(stream, activity.clone()));
    let service = TowerToHyperService::new(activity.watching(router, draining.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // A page that closes sends its stop and is gone: what it sent is done all the same.
        .half_close(true)
        // A head and a body are a few hundred bytes: one copy costs less than two buffers.
        .writev(false)
        .max_buf_size(HEAD_MAX)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return served,
        () = draining.cancelled() => {}
    }
    // A request may be on its way already: it is answered, and told that it was the last.
    if let Ok(served) = tokio::time::timeout(LAST_REQUEST, connection.as_mut()).await {
        return served;
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

pub(super) async fn http2_connection<S>(
    stream: S,
    router: Router,
    draining: CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let leaving = draining.child_token();
    let last_answers = leaving.clone();
    let service = tower::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Leaving(leaving.clone()));
        router.clone().oneshot(request)
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX))
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return served,
        () = draining.cancelled() => {}
        () = tokio::time::sleep(HTTP2_AGE_MAX) => last_answers.cancel(),
    }
    connection.as_mut().graceful_shutdown();
    let finished = tokio::time::timeout(HTTP2_LAST_ANSWERS, connection).await;
    // Answers that nobody reads are not waited for.
    finished.unwrap_or(Ok(()))
}

/// Opens the address.
pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}
