//! A proxy in front of DynamoDB Local that answers as DynamoDB does when it has too much to do:
//! DynamoDB Local itself never does that.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::http::{Kind, Message, Messages};
use super::sockets::{Acceptor, connect, is_timeout, prepare, reset_at_close};
use super::wait::now;
use crate::conformance::Random;

/// How long DynamoDB Local may take for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing: it is forwarded, and so is its answer.
    None,
    /// It is not forwarded; the answer is 400 `ProvisionedThroughputExceededException`.
    Throttled,
    /// It is not forwarded; the answer is 500 `InternalServerError`.
    Failed,
    /// It is forwarded after this time.
    Delayed(Duration),
    /// It is forwarded, and the connection is reset instead of giving the answer.
    Lost,
}

/// Of 100 requests, how many get which trouble. What is left of 100 gets none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Odds {
    /// See [`Trouble::Throttled`].
    pub throttled: u64,
    /// See [`Trouble::Failed`].
    pub failed: u64,
    /// See [`Trouble::Delayed`].
    pub delayed: u64,
    /// See [`Trouble::Lost`].
    pub lost: u64,
    /// How long those that are delayed wait.
    pub delay: Duration,
}

/// How many requests got which trouble so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TroubleCounts {
    /// All requests.
    pub requests: usize,
    /// See [`Trouble::Throttled`].
    pub throttled: usize,
    /// See [`Trouble::Failed`].
    pub failed: usize,
    /// See [`Trouble::Delayed`].
    pub delayed: usize,
    /// See [`Trouble::Lost`].
    pub lost: usize,
}

/// A proxy for HTTP/1.1 that makes no trouble until it is told to. A table can be made through
/// it first.
#[derive(Debug)]
pub struct ThrottlingProxy {
    acceptor: Acceptor,
    proxy: Arc<Proxy>,
}

#[derive(Debug)]
struct Proxy {
    target: SocketAddr,
    state: Mutex<State>,
}

struct State {
    random: Random,
    odds: Odds,
    script: VecDeque<Trouble>,
    counts: TroubleCounts,
    is_over: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = &self.counts;
        f.debug_struct("State")
            .field("counts", counts)
            .finish_non_exhaustive()
    }
}

impl ThrottlingProxy {
    /// A proxy in front of `target`, whose random troubles `seed` repeats.
    #[must_use]
    pub fn start(target: SocketAddr, seed: u64) -> Self {
        let state = Mutex::new(State {
            random: Random(seed),
            odds: Odds::default(),
            script: VecDeque::new(),
            counts: TroubleCounts::default(),
            is_over: false,
        });
        let proxy = Arc::new(Proxy { target, state });
        let handling = Arc::clone(&proxy);
        let handle = move |client: TcpStream| {
            if handling.serve(&client).is_err() {
                reset_at_close(&client);
            }
        };
        Self {
            acceptor: Acceptor::start(handle),
            proxy,
        }
    }

    /// Where it is, as the URL of an endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.acceptor.address())
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.acceptor.address()
    }

    /// What happens to the next requests, one after the other.
    pub fn script(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.proxy.state.lock().script.extend(troubles);
    }

    /// From now on requests with no trouble from the script get some at random.
    pub fn trouble_at_random(&self, odds: Odds) {
        self.proxy.state.lock().odds = odds;
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> TroubleCounts {
        self.proxy.state.lock().counts
    }
}

impl Drop for ThrottlingProxy {
    fn drop(&mut self) {
        self.proxy.state.lock().is_over = true;
    }
}

impl Proxy {
    /// Answers the requests of one connection until its end; an error resets it.
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        prepare(client)?;
        let mut target = connect(self.target)?;
        let mut requests = Messages::new(client, Kind::Request);
        while let Some(request) = self.next(&mut requests)? {
            let trouble = self.state.lock().next_trouble();
            // DynamoDB Local closes what is idle; that is no trouble that was asked for.
            if is_closed(&target)? {
                target = connect(self.target)?;
            }
            let forward = || forward(&request, &target);
            let answer = match trouble {
                Trouble::None => forward()?,
                Trouble::Throttled => refusal(
                    "400 Bad Request",
                    "ProvisionedThroughputExceededException",
                    "The level of configured provisioned throughput for the table was exceeded.",
                ),
                Trouble::Failed => refusal(
                    "500 Internal Server Error",
                    "InternalServerError",
                    "The request could not be processed because of an internal failure.",
                ),
                Trouble::Delayed(delay) => {
                    std::thread::sleep(delay);
                    forward()?
                }
                Trouble::Lost => {
                    forward()?;
                    return Err(io::Error::other("the answer is lost"));
                }
            };
            write_all(client, &answer)?;
        }
        Ok(())
    }

    /// The next request, however long it takes.
    fn next(&self, requests: &mut Messages<'_>) -> io::Result<Option<Message>> {
        loop {
            match requests.next() {
                Err(error) if is_timeout(&error) && !self.state.lock().is_over => {}
                done @ (Ok(_) | Err(_)) => return done,
            }
        }
    }
}

impl State {
    fn next_trouble(&mut self) -> Trouble {
        let scripted = self.script.pop_front();
        let trouble = scripted.unwrap_or_else(|| self.random_trouble());
        self.counts.requests += 1;
        match trouble {
            Trouble::None => {}
            Trouble::Throttled => self.counts.throttled += 1,
            Trouble::Failed => self.counts.failed += 1,
            Trouble::Delayed(_) => self.counts.delayed += 1,
            Trouble::Lost => self.counts.lost += 1,
        }
        trouble
    }

    fn random_trouble(&mut self) -> Trouble {
        let odds = self.odds;
        let mut at = self.random.below(100);
        for (percent, trouble) in [
            (odds.throttled, Trouble::Throttled),
            (odds.failed, Trouble::Failed),
            (odds.delayed, Trouble::Delayed(odds.delay)),
            (odds.lost, Trouble::Lost),
        ] {
            if at < percent {
                return trouble;
            }
            at -= percent;
        }
        Trouble::None
    }
}

/// Sends a request on, for its answer.
fn forward(request: &Message, target: &TcpStream) -> io::Result<Vec<u8>> {
    write_all(target, &request.bytes)?;
    let mut answers = Messages::new(target, Kind::Answer);
    let start = now();
    loop {
        match answers.next() {
            Ok(answer) => return Ok(answer.ok_or(ErrorKind::UnexpectedEof)?.bytes),
            Err(error) if is_timeout(&error) && start.elapsed() < ANSWER_MAX => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the other end closed a connection on which nothing is awaited.
fn is_closed(stream: &TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    Ok(!peeked.is_err_and(|error| is_timeout(&error)))
}

/// An error of DynamoDB's own.
fn refusal(status: &str, kind: &str, message: &str) -> Vec<u8> {
    let body =
        format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{kind}","message":"{message}"}}"#);
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amzn-requestid: 00000000-0000-4000-8000-000000000000\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Writes all of it, also when the other end is slow to read.
fn write_all(to: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let start = now();
    let mut rest = bytes;
    while !rest.is_empty() {
        match (&mut &*to).write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if is_timeout(&error) && start.elapsed() < ANSWER_MAX => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
