//! A child process that can be killed, paused and started again, and never outlives the test.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::wait::wait_until;

/// How much of the log a failing test shows.
const LOG_SHOWN: usize = 4_000;
/// Kills the process and removes its directory when the test process is gone and with it the other end of its input: also
/// where that was killed, and for values in statics, which are never dropped. What interrupts
/// the tests must not end it first.
const GUARD: &str = r#"trap "" INT TERM HUP; read -r _; kill -9 "$0"; rm -rf "$1""#;

/// What is run.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    /// Where it runs, and where its log is.
    pub(super) dir: PathBuf,
}

/// A process, or one that ran.
#[derive(Debug)]
pub(super) struct Process {
    launch: Launch,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    guard: Child,
    is_paused: bool,
}

impl Process {
    #[track_caller]
    pub(super) fn start(launch: Launch) -> Self {
        let running = Mutex::new(Some(Running::start(&launch)));
        Self { launch, running }
    }

    /// Starts it as before; one that runs is killed first.
    #[track_caller]
    pub(super) fn start_again(&self) {
        self.kill();
        *self.running.lock() = Some(Running::start(&self.launch));
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(super) fn kill(&self) {
        drop(self.running.lock().take());
    }

    /// Stops it with SIGSTOP: its connections stay and nothing answers.
    #[track_caller]
    pub(super) fn pause(&self) {
        self.signal(Signal::STOP, true);
    }

    /// Lets it go on with SIGCONT.
    #[track_caller]
    pub(super) fn resume(&self) {
        self.signal(Signal::CONT, false);
    }

    /// Whether it was neither killed nor paused.
    pub(super) fn is_up(&self) -> bool {
        let running = self.running.lock();
        running.as_ref().is_some_and(|running| !running.is_paused)
    }

    /// Waits until there is something to see.
    ///
    /// # Panics
    /// When it is too late or the process ended by itself, with the end of its log.
    #[track_caller]
    pub(super) fn wait_until<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> T {
        let seen = wait_until(within, || {
            look().map(Some).or(self.has_ended().then_some(None))
        });
        match seen {
            Some(Some(seen)) => seen,
            Some(None) => self.fail(&format!("ended by itself instead of: {what}")),
            None => self.fail(&format!("waited {within:?} in vain until {what}")),
        }
    }

    /// Panics with the end of the log.
    #[track_caller]
    pub(super) fn fail(&self, what: &str) -> ! {
        let log = fs::read(log(&self.launch.dir)).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN)..]);
        panic!(
            "{}: {what}\n--- the end of its log:\n{tail}",
            self.launch.program
        )
    }

    #[track_caller]
    fn signal(&self, signal: Signal, is_paused: bool) {
        let mut running = self.running.lock();
        let Some(running) = running.as_mut() else {
            panic!("{}: it was killed", self.launch.program)
        };
        running.signal(signal);
        running.is_paused = is_paused;
    }

    fn has_ended(&self) -> bool {
        let mut running = self.running.lock();
        let ended = running.as_mut().map(|running| running.child.try_wait());
        matches!(ended, Some(Ok(Some(_))))
    }
}

impl Running {
    #[track_caller]
    fn start(launch: &Launch) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log(&launch.dir))
            .expect("the log can be written");
        let err = log.try_clone().expect("the log can be written");
        let child = Command::new(&launch.program)
            .args(&launch.args)
            .current_dir(&launch.dir)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(err)
            .spawn();
        let child = started(child, &launch.program);
        let guard = Command::new("sh")
            .args(["-c", GUARD, &child.id().to_string()])
            .arg(&launch.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self {
            child,
            guard: started(guard, "sh"),
            is_paused: false,
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let sent = kill_process(pid.expect("a process id is positive"), signal);
        sent.expect("it is our child and was not waited for");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The guard goes first: after the child its number may be another process's.
        drop(self.guard.kill());
        drop(self.guard.wait());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What `spawn` gave.
///
/// # Panics
/// When the program could not be started; says how to install it if it is not there.
#[track_caller]
pub(super) fn started<T>(spawned: std::io::Result<T>, program: &str) -> T {
    match spawned {
        Ok(started) => started,
        Err(error) if error.kind() == ErrorKind::NotFound => missing(program),
        Err(error) => panic!("cannot start {program}: {error}"),
    }
}

/// Panics because something is not installed.
#[track_caller]
pub(super) fn missing(what: &str) -> ! {
    panic!("{what} is not installed; `cargo xtask check test` installs what the tests need")
}

fn log(dir: &Path) -> PathBuf {
    dir.join("log")
}
