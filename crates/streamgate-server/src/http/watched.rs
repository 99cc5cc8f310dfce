//! Closes HTTP/1.1 connections that drip their requests or say nothing for long. hyper's own
//! header timeout also runs between requests, so it can't be short and let a load balancer keep
//! its connections; here the two are told apart.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONNECTION;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use super::events::Lasting;

/// How long the head of a request may take from its first byte.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may wait for its next request: longer than load balancers keep theirs.
const IDLE: Duration = Duration::from_secs(75);
/// How long a client may not read its answer.
const WRITE: Duration = Duration::from_secs(10);

/// What the connection does besides reading.
#[derive(Clone, Default)]
pub(super) struct Activity(Arc<State>);

#[derive(Default)]
struct State {
    /// A request is being answered; the handler's own deadline holds.
    is_busy: AtomicBool,
    /// The answer lasts for as long as the client is there.
    is_lasting: AtomicBool,
    answered: AtomicU32,
}

impl Activity {
    /// The service with its requests watched. Once it is `draining`, each answer says that it is
    /// the last on its connection.
    pub(super) fn watching(
        &self,
        router: Router,
        draining: CancellationToken,
    ) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone
    {
        let Self(state) = self.clone();
        tower::service_fn(move |request: Request<Incoming>| {
            let (state, router) = (Arc::clone(&state), router.clone());
            let draining = draining.clone();
            state.is_busy.store(true, Ordering::Relaxed);
            state.is_lasting.store(false, Ordering::Relaxed);
            async move {
                let mut answer = router.oneshot(request).await;
                if let (Ok(answer), true) = (&mut answer, draining.is_cancelled()) {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(CONNECTION, close);
                }
                if let Ok(answer) = &answer {
                    let is_lasting = answer.extensions().get::<Lasting>().is_some();
                    state.is_lasting.store(is_lasting, Ordering::Relaxed);
                }
                state.answered.fetch_add(1, Ordering::Relaxed);
                state.is_busy.store(false, Ordering::Relaxed);
                answer
            }
        })
    }
}

/// What the connection waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The first byte of a request.
    Request,
    /// The rest of its head.
    Head,
}

/// A connection with deadlines.
pub(super) struct Watched<T> {
    inner: T,
    activity: Activity,
    /// How many of the answers the deadline has taken note of.
    answered: u32,
    waiting: Waiting,
    /// A byte that was read while an answer lasted.
    ahead: Option<u8>,
    read_by: Instant,
    /// Fires at `read_by` or before; moved only when it must be.
    alarm: Pin<Box<Sleep>>,
    write_by: Option<Pin<Box<Sleep>>>,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, activity: Activity) -> Self {
        let alarm = Box::pin(tokio::time::sleep(HEAD));
        Self {
            inner,
            activity,
            answered: 0,
            waiting: Waiting::Head,
            ahead: None,
            read_by: alarm.deadline(),
            alarm,
            write_by: None,
        }
    }

    fn wait_for(&mut self, waiting: Waiting, duration: Duration) {
        self.waiting = waiting;
        self.read_by = Instant::now() + duration;
    }

    /// Ready when it is too late to read. To move an alarm costs more than to read a request, so
    /// one that is early is left, and moved when it fires.
    fn poll_too_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.read_by < self.alarm.deadline() {
            self.alarm.as_mut().reset(self.read_by);
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            if self.read_by <= self.alarm.deadline() {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(self.read_by);
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let read = match this.ahead.take() {
            Some(byte) => {
                buf.put_slice(&[byte]);
                Poll::Ready(Ok(()))
            }
            None => Pin::new(&mut this.inner).poll_read(cx, buf),
        };
        let State {
            is_busy, answered, ..
        } = &*this.activity.0;
        let (is_busy, answered) = (
            is_busy.load(Ordering::Relaxed),
            answered.load(Ordering::Relaxed),
        );
        if is_busy {
            return read;
        }
        if this.answered != answered {
            this.answered = answered;
            this.wait_for(Waiting::Request, IDLE);
        }
        if read.is_ready() {
            if this.waiting == Waiting::Request {
                this.wait_for(Waiting::Head, HEAD);
            }
            return read;
        }
        ready!(this.poll_too_late(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    // TLS takes what is written into memory: it is here that a client who does not read is noticed.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.activity.0.is_lasting.load(Ordering::Relaxed) {
            this.find_gone(cx)?;
        }
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        this.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let shut = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.in_time(cx, shut)
    }
}

impl<T: AsyncRead + Unpin> Watched<T> {
    /// Fails when the client is gone. hyper does not read while it answers, since a client that
    /// is gone may have sent something first; to whom an answer lasts has sent it.
    fn find_gone(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.ahead.is_some() {
            return Ok(());
        }
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
            Poll::Pending => Ok(()),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => match buf.filled() {
                [] => Err(io::ErrorKind::UnexpectedEof.into()),
                [byte, ..] => {
                    self.ahead = Some(*byte);
                    Ok(())
                }
            },
        }
    }
}

impl<T> Watched<T> {
    /// Fails a write that the client does not take in time.
    fn in_time<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.write_by = None;
            return written;
        }
        let write_by = self
            .write_by
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE)));
        ready!(write_by.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}
