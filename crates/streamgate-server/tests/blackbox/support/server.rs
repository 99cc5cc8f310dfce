//! The binary under test, as a child process with a directory of its own.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Client, SOON, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_streamgate");
/// How much of the log a failing test shows.
const LOG_SHOWN: usize = 6_000;

/// How a server is started, and started again.
#[derive(Clone)]
pub(crate) struct Setup {
    home: Arc<TempDir>,
    wrapper: Vec<String>,
    args: Vec<String>,
    settings: Vec<(String, String)>,
    listen: String,
    is_demo: bool,
}

impl Setup {
    /// A server on a new directory and a free port of loopback.
    pub(crate) fn new() -> Self {
        Self {
            home: Arc::new(tempfile::tempdir().expect("a temporary directory can be made")),
            wrapper: Vec::new(),
            args: Vec::new(),
            settings: Vec::new(),
            listen: "127.0.0.1:0".into(),
            is_demo: false,
        }
    }

    /// `streamgate demo`, which takes no settings.
    pub(crate) fn demo() -> Self {
        Self {
            is_demo: true,
            ..Self::new()
        }
    }

    /// With this setting, named as in the environment, without `STREAMGATE_`.
    pub(crate) fn set(mut self, name: &str, value: impl Display) -> Self {
        self.settings
            .push((format!("STREAMGATE_{name}"), format!("{value}")));
        self
    }

    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Run by this program, such as strace.
    pub(crate) fn wrapped_by(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
        self
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn command(&self) -> Command {
        let program = self.wrapper.iter().map(String::as_str).chain([BINARY]);
        let program: Vec<&str> = program.collect();
        let mut command = bare(program[0]);
        command.args(&program[1..]);
        if self.is_demo {
            command.args(["demo", "--listen", &self.listen]);
        } else {
            command.args(["serve", "--listen", &self.listen, "--data-dir"]);
            command.arg(self.data_dir());
        }
        command
            .args(&self.args)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path());
        command
    }

    /// Starts the server and waits until it listens.
    #[track_caller]
    pub(crate) fn start(self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(said) => panic!("the server did not start: {said}"),
        }
    }

    fn try_start(self) -> Result<Server, String> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the log can be written");
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} starts: {error}", self.command()));
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let (line, stdout) = first_line(stdout);
        let mut server = Server {
            setup: self,
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            _stdout: stdout,
        };
        let Some(address) = address_in(&line) else {
            return Err(format!("{line:?}\n{}", server.log()));
        };
        server.address = address;
        Ok(server)
    }

    /// Runs a server that must end by itself, for what it says.
    #[track_caller]
    pub(crate) fn run_to_end(&self) -> Output {
        run_to_end(&mut self.command())
    }
}

/// A running server, or one that ran. It dies with its value.
pub(crate) struct Server {
    setup: Setup,
    child: Child,
    address: SocketAddr,
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Server {
    #[track_caller]
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.setup.data_dir()
    }

    /// What it logged, all its lives.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.setup.log()).unwrap_or_default()
    }

    /// Sends a signal to the server, also where another program wraps it.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the server runs");
    }

    fn pid(&self) -> Pid {
        let id = i32::try_from(self.child.id()).expect("a process id is positive");
        let own = Pid::from_raw(id).expect("a process id is positive");
        if self.setup.wrapper.is_empty() {
            own
        } else {
            wrapped(id).unwrap_or(own)
        }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Asks it to stop, and waits until it has.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_until("the server ends", SOON, || {
            self.child.try_wait().expect("it is our child")
        })
    }

    /// Starts it again on the same directory and port.
    #[track_caller]
    pub(crate) fn restart(self) -> Self {
        let mut setup = self.setup.clone();
        setup.listen = self.address.to_string();
        drop(self);
        // Another test's connection may have got hold of the port for a moment.
        wait_until("the server has its port again", SOON, || {
            match setup.clone().try_start() {
                Ok(server) => Some(server),
                Err(said) if said.contains("Address already in use") => None,
                Err(said) => panic!("the server did not start again: {said}"),
            }
        })
    }

    /// Starts it again on the same directory, at any port and without the program around it.
    #[track_caller]
    pub(crate) fn restart_bare(self) -> Self {
        let mut setup = self.setup.clone();
        setup.wrapper.clear();
        setup.listen = "127.0.0.1:0".into();
        drop(self);
        setup.start()
    }

    /// Waits until the log has this.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, part: &str) {
        wait_until(&format!("the log says {part:?}"), SOON, || {
            self.log().contains(part).then_some(())
        });
    }
}

impl Drop for Server {
    #[expect(
        clippy::print_stderr,
        reason = "a failing test shows what the server logged"
    )]
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _gone = kill_process(self.pid(), Signal::KILL);
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if std::thread::panicking() {
            let log = self.log();
            let start = log.floor_char_boundary(log.len().saturating_sub(LOG_SHOWN));
            eprintln!("--- the end of the server's log:\n{}", &log[start..]);
        }
    }
}

/// A program without the settings that this test run may have in its environment.
fn bare(program: &str) -> Command {
    let mut command = Command::new(program);
    let is_setting = |name: &OsString| name.to_string_lossy().starts_with("STREAMGATE_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
        command.env_remove(name);
    }
    // It would wrap the help texts.
    command.env_remove("COLUMNS");
    command
}

/// Runs `streamgate` with these arguments in `dir`, for what it says.
#[track_caller]
pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    run_with(dir, args, &[])
}

/// As [`run`] does, with these variables.
#[track_caller]
pub(crate) fn run_with(dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = bare(BINARY);
    command.args(args).current_dir(dir);
    run_to_end(command.envs(variables.iter().copied()))
}

#[track_caller]
fn run_to_end(command: &mut Command) -> Output {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} starts: {error}"));
    let stdout = gather(child.stdout.take());
    let stderr = gather(child.stderr.take());
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until("the command ends", SOON, || {
            child.try_wait().expect("it is our child")
        })
    }));
    if ended.is_err() {
        drop(child.kill());
        drop(child.wait());
    }
    let stdout = stdout.join().expect("stdout is read");
    let stderr = stderr.join().expect("stderr is read");
    let Ok(status) = ended else {
        let said = String::from_utf8_lossy(&stderr);
        panic!("{command:?} did not end by itself; it said: {said}");
    };
    Output {
        status,
        stdout,
        stderr,
    }
}

fn gather(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut from) = from {
            from.read_to_end(&mut all).expect("a pipe can be read");
        }
        all
    })
}

/// The first line that a server prints; empty if it ends, or hangs, before.
fn first_line(stdout: ChildStdout) -> (String, Option<BufReader<ChildStdout>>) {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        drop(stdout.read_line(&mut line));
        drop(sender.send((line, stdout)));
    });
    match receiver.recv_timeout(SOON.max(Duration::from_secs(10))) {
        Ok((line, stdout)) => (line, Some(stdout)),
        Err(_) => (String::new(), None),
    }
}

/// Where a server listens, by what it says first.
#[track_caller]
pub(crate) fn address_on(stdout: ChildStdout) -> SocketAddr {
    let (line, _) = first_line(stdout);
    address_in(&line).unwrap_or_else(|| panic!("no address in {line:?}"))
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listens on http")?;
    let (_, rest) = rest.split_once("://")?;
    rest.split([',', '\n']).next()?.parse().ok()
}

/// The one child of a process that wraps the server.
fn wrapped(wrapper: i32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{wrapper}/task/{wrapper}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}
