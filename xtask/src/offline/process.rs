//! Processes that the command starts and ends, and how it asks them.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::Failure;

/// How often a process that starts is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A process in a group of its own: a Ctrl-C is for the command, which ends it in order.
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(super) fn start(
        name: &'static str,
        mut command: Command,
        log: &Path,
    ) -> Result<Self, Failure> {
        let no_log = |error| format!("{}: {error}", log.display());
        let file = File::create(log).map_err(no_log)?;
        let also = file.try_clone().map_err(no_log)?;
        let child = command
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(also)
            .spawn()
            .map_err(|error| format!("{name} does not start: {error}"))?;
        let log = log.to_owned();
        Ok(Self { name, child, log })
    }

    /// Waits until it is ready.
    pub(super) async fn until(
        &mut self,
        most: Duration,
        is_ready: impl AsyncFn() -> bool,
    ) -> Result<(), Failure> {
        let (name, log) = (self.name, self.log.display().to_string());
        let asked = async {
            while !is_ready().await {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        tokio::select! {
            asked = tokio::time::timeout(most, asked) => {
                asked.map_err(|late| format!("{name} is not ready ({late}); see {log}"))
            }
            failure = self.ends() => Err(failure),
        }
    }

    /// Waits until it ends, which it should not.
    pub(super) async fn ends(&mut self) -> Failure {
        let ended = self.child.wait().await;
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        format!("{} ended ({how}); see {}", self.name, self.log.display())
    }

    /// Asks it to end, then makes it and what it started.
    pub(super) async fn end(mut self, most: Duration) {
        // None for one that has ended.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let Some(id) = id.and_then(Pid::from_raw) else {
            return;
        };
        // Either fails only for what is gone already.
        let _gone = kill_process(id, Signal::TERM);
        drop(tokio::time::timeout(most, self.child.wait()).await);
        let _gone = kill_process_group(id, Signal::KILL);
        drop(self.child.wait().await);
    }
}

/// Sends a request on a connection of its own: the answer's status and body.
pub(super) async fn send(
    address: SocketAddr,
    request: Request<impl Into<Bytes>>,
) -> Result<(StatusCode, Bytes), Failure> {
    let sent = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = request.map(|body| Full::new(body.into()));
        let host = address
            .to_string()
            .parse()
            .expect("an address is a header's value");
        request.headers_mut().insert(http::header::HOST, host);
        let answer = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok((head.status, body))
        };
        // The connection does the work, and ends when the answer has come or before.
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answered = answer.as_mut() => return answered,
            _closed = connection => {}
        }
        answer.await
    };
    let sent: Result<_, Box<dyn std::error::Error + Send + Sync>> = sent.await;
    sent.map_err(|error| format!("{address}: {error}"))
}

pub(super) fn free_port() -> Result<u16, Failure> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    let address = address.map_err(|error| format!("no port is free: {error}"))?;
    Ok(address.port())
}
