//! Lambda's part: processes of the function, each in an emulator and with one request at a time.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::process::{Process, free_port, send};
use crate::{Failure, say};

/// How many requests may wait for a process.
const WAITING_MAX: usize = 1_000;
/// How long one may wait.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long API Gateway waits for Lambda.
const ANSWER_MAX: Duration = Duration::from_secs(29);
/// How long the emulator may take to listen on a busy machine.
const READY_MAX: Duration = Duration::from_secs(30);
const INVOKE: &str = "/2015-03-31/functions/function/invocations";

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Too many requests wait for a process already.
    Throttled,
    /// No process was free in time.
    Busy,
    /// The function did not answer in time.
    Late,
    /// The emulator broke off.
    Failed,
}

/// The processes of the function.
pub(super) struct Functions {
    shared: Arc<Shared>,
    waiting: Semaphore,
    running: TaskTracker,
}

struct Shared {
    /// One for each of `idle`.
    free: Arc<Semaphore>,
    idle: Mutex<Vec<SocketAddr>>,
}

impl Functions {
    /// Starts `count` emulators with the program in each.
    pub(super) async fn start(
        (emulator, bootstrap): (&Path, &Path),
        count: usize,
        environment: &[(String, String)],
        logs: &Path,
        processes: &mut Vec<Process>,
    ) -> Result<Self, Failure> {
        let mut idle = Vec::new();
        for number in 1..=count {
            let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let (requests, runtime) = (at(free_port()?), at(free_port()?));
            let mut command = Command::new(emulator);
            command
                .arg("--runtime-interface-emulator-address")
                .arg(requests.to_string())
                .arg("--runtime-api-address")
                .arg(runtime.to_string())
                .arg(bootstrap)
                .env_clear()
                // A script needs its interpreter.
                .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
                .env("AWS_ACCESS_KEY_ID", "offline")
                .env("AWS_SECRET_ACCESS_KEY", "offline")
                .env("AWS_REGION", "us-east-1")
                .env("AWS_LAMBDA_FUNCTION_NAME", "streamgate")
                .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
                .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "10")
                .envs(environment.iter().map(|(name, value)| (name, value)));
            let log = logs.join(format!("function-{number}.log"));
            let mut process = Process::start("Lambda's emulator", command, &log)?;
            let listens = async || TcpStream::connect(requests).await.is_ok();
            let ready = process.until(READY_MAX, listens).await;
            processes.push(process);
            ready?;
            idle.push(requests);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                free: Arc::new(Semaphore::new(idle.len())),
                idle: Mutex::new(idle),
            }),
            waiting: Semaphore::new(WAITING_MAX),
            running: TaskTracker::new(),
        })
    }

    /// Hands the event to a process that is free: what the function answers.
    pub(super) async fn invoke(
        &self,
        event: String,
        trace: HeaderValue,
    ) -> Result<Bytes, Unanswered> {
        let place = {
            let Ok(_waiting) = self.waiting.try_acquire() else {
                return Err(Unanswered::Throttled);
            };
            let place = Arc::clone(&self.shared.free).acquire_owned();
            match tokio::time::timeout(WAIT_MAX, place).await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) => unreachable!("nobody closes the semaphore"),
                Err(_elapsed) => return Err(Unanswered::Busy),
            }
        };
        let shared = Arc::clone(&self.shared);
        // It goes on when the client is gone: the emulator does not take another before.
        let running = self.running.spawn(async move {
            let function = shared.idle.lock().pop().expect("one for each place");
            let request = Request::post(INVOKE)
                .header("x-amzn-trace-id", trace)
                .body(event)
                .expect("a request");
            let answered = send(function, request).await;
            shared.idle.lock().push(function);
            drop(place);
            answered
        });
        match tokio::time::timeout(ANSWER_MAX, running).await {
            Ok(Ok(Ok((_status, answer)))) => Ok(answer),
            Ok(Ok(Err(failure))) => {
                say(&format!("Lambda's emulator broke off: {failure}\n"));
                Err(Unanswered::Failed)
            }
            Ok(Err(panicked)) => {
                say(&format!("an invocation failed: {panicked}\n"));
                Err(Unanswered::Failed)
            }
            Err(_elapsed) => Err(Unanswered::Late),
        }
    }
}
