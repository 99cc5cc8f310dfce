//! One Redis or Valkey server.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::ports::Port;
use super::process::{Launch, Process, missing, started};

/// How long a server may take until it answers.
const READY_MAX: Duration = Duration::from_secs(20);
/// How long one command may take, in seconds.
const COMMAND_SECONDS_MAX: &str = "20";
const FOLLOWS: &str = "master_link_status:up";
/// What `timeout` ends with when it finds no program.
const NOT_FOUND: i32 = 127;

/// Who made the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// Debian's Redis 7.0.
    Redis,
    /// Valkey 8.
    Valkey,
}

impl Make {
    pub(super) fn server(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        }
    }

    pub(super) fn cli(self) -> &'static str {
        match self {
            Self::Redis => "redis-cli",
            Self::Valkey => "valkey-cli",
        }
    }
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct RedisSetup {
    make: Make,
    args: Vec<String>,
    password: Option<String>,
    tls: Option<Tls>,
}

#[derive(Clone, Debug)]
struct Tls {
    certificate: String,
    key: String,
}

impl RedisSetup {
    /// A server without persistence: what is killed comes back empty.
    #[must_use]
    pub fn new(make: Make) -> Self {
        // Without the last, a replica's first copy begins 5 s after it asked.
        Self::empty(make)
            .option("bind", "127.0.0.1")
            .option("save", "")
            .option("appendonly", "no")
            .option("repl-diskless-sync-delay", "0")
    }

    /// A server with the defaults of its maker.
    pub(super) fn empty(make: Make) -> Self {
        Self {
            make,
            args: Vec::new(),
            password: None,
            tls: None,
        }
    }

    pub(super) fn make(&self) -> Make {
        self.make
    }

    /// With this line of the configuration; of two with the same name the later one counts.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.args.extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// Asks for this password, which is in the URL too.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.option("requirepass", password)
            .option("masterauth", password)
    }

    /// Speaks TLS only, with a certificate for 127.0.0.1 or localhost and its key, in PEM.
    #[must_use]
    pub fn tls(mut self, certificate: &str, key: &str) -> Self {
        self.tls = Some(Tls {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        });
        self
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    #[track_caller]
    pub fn start(&self) -> RedisServer {
        self.start_in(home(), Port::free(), &[])
    }

    /// Starts it with these words behind the program's name, such as a file of configuration.
    #[track_caller]
    pub(super) fn start_in(&self, home: TempDir, port: Port, first: &[&str]) -> RedisServer {
        let number = port.number().to_string();
        let mut args: Vec<String> = first.iter().map(ToString::to_string).collect();
        args.extend(self.args.clone());
        match &self.tls {
            None => args.extend(["--port".into(), number]),
            Some(tls) => {
                for (name, pem) in [("cert.pem", &tls.certificate), ("key.pem", &tls.key)] {
                    fs::write(home.path().join(name), pem).expect("a file can be written");
                }
                let words = "--port 0 --tls-cert-file cert.pem --tls-key-file key.pem \
                     --tls-ca-cert-file cert.pem --tls-auth-clients no --tls-port";
                args.extend(words.split_whitespace().map(str::to_owned));
                args.push(number);
            }
        }
        let launch = Launch {
            program: self.make.server().to_owned(),
            args,
            dir: home.path().to_owned(),
        };
        let server = RedisServer {
            process: Process::start(launch),
            setup: self.clone(),
            port,
            home,
        };
        server.wait_until_it_answers();
        server
    }
}

/// A running server, or one that was killed. It dies with its value.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    setup: RedisSetup,
    port: Port,
    home: TempDir,
}

impl RedisServer {
    /// Starts a Redis without persistence.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        RedisSetup::new(Make::Redis).start()
    }

    /// Its port of 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where it is, with the password if it asks for one.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.port())
    }

    /// The same through a proxy at another port.
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        let scheme = if self.setup.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        let password = self.setup.password.as_ref();
        let password = password.map_or(String::new(), |password| format!(":{password}@"));
        format!("{scheme}://{password}127.0.0.1:{port}")
    }

    /// Its process.
    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again on the same port and directory, and waits until it answers. One that runs
    /// is killed first.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn start_again(&self) {
        self.process.start_again();
        self.wait_until_it_answers();
    }

    /// Stops it with SIGSTOP: its connections stay and nothing answers.
    ///
    /// # Panics
    /// When it was killed.
    #[track_caller]
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on with SIGCONT.
    ///
    /// # Panics
    /// When it was killed.
    #[track_caller]
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Runs a command with redis-cli, for what it prints. Each has a connection of its own; for
    /// `WAIT` behind a write see [`RedisServer::write_to_replicas`].
    ///
    /// # Panics
    /// When the answer is an error, or there is none.
    #[track_caller]
    pub fn command<W: AsRef<str>>(&self, words: &[W]) -> String {
        match self.try_command(words) {
            Ok(said) => said,
            Err(said) => {
                let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
                self.process.fail(&format!("{words:?}: {said}"))
            }
        }
    }

    /// The same where it may fail.
    ///
    /// # Errors
    /// What redis-cli printed.
    ///
    /// # Panics
    /// When there is no redis-cli.
    #[track_caller]
    pub fn try_command<W: AsRef<str>>(&self, words: &[W]) -> Result<String, String> {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        self.cli(&words, "")
    }

    /// Runs a command that writes, given as one line, and waits until so many replicas have it.
    ///
    /// # Panics
    /// When they do not have it after some seconds.
    #[track_caller]
    pub fn write_to_replicas(&self, line: &str, replicas: usize) {
        // WAIT is for the writes of its own connection, so both are lines of one redis-cli.
        let lines = format!("{line}\nWAIT {replicas} 10000\n");
        let said = self.cli(&[], &lines);
        let last = said.as_ref().ok().and_then(|said| said.lines().last());
        if last.and_then(|last| last.parse().ok()) < Some(replicas) {
            self.process
                .fail(&format!("{line} is not with {replicas} replicas: {said:?}"));
        }
    }

    #[track_caller]
    fn cli(&self, words: &[&str], lines: &str) -> Result<String, String> {
        let cli = self.setup.make.cli();
        // A paused server would hold redis-cli for ever.
        let mut command = Command::new("timeout");
        command.args([COMMAND_SECONDS_MAX, cli, "-e", "-h", "127.0.0.1", "-p"]);
        command.arg(self.port().to_string());
        if self.setup.tls.is_some() {
            command.arg("--tls").arg("--cacert").arg(self.certificate());
        }
        if let Some(password) = &self.setup.password {
            command.env("REDISCLI_AUTH", password);
        }
        command.args(words).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = started(command.spawn(), "timeout");
        if let Some(mut input) = child.stdin.take() {
            // It may have ended before it read that; then its status says why.
            drop(input.write_all(lines.as_bytes()));
        }
        let done = started(child.wait_with_output(), "timeout");
        if done.status.code() == Some(NOT_FOUND) {
            missing(cli);
        }
        let said = String::from_utf8_lossy(&done.stdout).trim_end().to_owned();
        if done.status.success() {
            Ok(said)
        } else {
            let err = String::from_utf8_lossy(&done.stderr);
            Err(format!("{} {said} {}", done.status, err.trim_end()))
        }
    }

    /// Waits until a part of the answer of a command is this.
    ///
    /// # Panics
    /// When it is too late, with the last answer.
    #[track_caller]
    pub fn wait_for(&self, words: &[&str], part: &str, within: Duration) {
        self.process
            .wait_until(&format!("{words:?} says {part:?}"), within, || {
                let said = self.try_command(words);
                said.is_ok_and(|said| said.contains(part)).then_some(())
            });
    }

    /// Waits until a replica has its first copy and follows.
    #[track_caller]
    pub(super) fn wait_until_it_follows(&self, within: Duration) {
        self.wait_for(&["INFO", "replication"], FOLLOWS, within);
    }

    pub(super) fn is_master_or_follows(&self) -> bool {
        let said = self.try_command(&["INFO", "replication"]);
        said.is_ok_and(|said| said.contains("role:master") || said.contains(FOLLOWS))
    }

    /// The file with the certificate of a server that speaks TLS.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.home.path().join("cert.pem")
    }

    #[track_caller]
    fn wait_until_it_answers(&self) {
        self.wait_for(&["PING"], "PONG", READY_MAX);
    }
}

/// A directory for one server.
pub(super) fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}
