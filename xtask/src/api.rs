//! schemathesis, which nobody here wrote, against the API of a running server.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::tools::Tools;
use crate::{Failure, cargo, run};

const CONFIG_DIR: &str = "tests/schemathesis";
/// How many examples are generated for each operation.
const EXAMPLES: u32 = 60;
const EXAMPLES_WITH_AUTH: u32 = 20;
const BINARY: &str = "target/debug/streamgate";

/// Runs every check of schemathesis; `tests/schemathesis/schemathesis.toml` says what is set and
/// why.
pub(crate) fn check(tools: &Tools) -> Result<(), Failure> {
    check_with(tools, EXAMPLES, EXAMPLES_WITH_AUTH)
}

/// The same with so many examples for each operation, and so many once more where callers are
/// asked who they are.
pub(crate) fn check_with(tools: &Tools, open: u32, asking: u32) -> Result<(), Failure> {
    let (examples, examples_with_auth) = (open.to_string(), asking.to_string());
    let schemathesis = tools.python("schemathesis")?;
    cargo(&["build", "--package", "streamgate-server"])?;
    let fixed = [
        "--config-file",
        "schemathesis.toml",
        "run",
        "--continue-on-failure",
        "--no-color",
        "--seed",
        "1",
        "--max-examples",
    ];
    let open = Server::start(&[])?;
    run(Command::new(&schemathesis)
        .current_dir(CONFIG_DIR)
        .args(fixed)
        .args([&examples, &open.document()]))?;
    drop(open);

    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    let dir = home.path().display().to_string();
    let key = key(&dir)?;
    let asking = Server::start(&["--auth", "required", "--data-dir", &dir])?;
    run(Command::new(&schemathesis)
        .current_dir(CONFIG_DIR)
        .args(fixed)
        .args([&examples_with_auth, &asking.document()])
        .args(["--header", &format!("Authorization: Bearer {key}")]))
}

/// An API key for everything.
pub(crate) fn key(dir: &str) -> Result<String, Failure> {
    let made = Command::new(BINARY)
        .args(["keys", "new", "--name", "checks", "--data-dir", dir])
        .args(["--scope", "play", "--scope", "operate", "--scope", "read"])
        .output()
        .map_err(|error| format!("cannot make an API key: {error}"))?;
    let text = String::from_utf8_lossy(&made.stdout);
    let key = text.lines().next().unwrap_or_default().to_owned();
    if made.status.success() {
        Ok(key)
    } else {
        Err(format!("streamgate keys ended with {}", made.status))
    }
}

/// A server of our own, ended with this value.
pub(crate) struct Server {
    child: Child,
    url: String,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Result<Self, Failure> {
        let config = Path::new(CONFIG_DIR).join("streamgate.toml");
        let mut child = Command::new(BINARY)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--store",
                "memory",
                "--log-level",
                "warn",
            ])
            .arg("--config")
            .arg(config)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start the server: {error}"))?;
        let mut line = String::new();
        let read = child
            .stdout
            .take()
            .map(|out| BufReader::new(out).read_line(&mut line));
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"));
        let url = url
            .map(|url| url.trim_end_matches(',').to_owned())
            .unwrap_or_default();
        let server = Self { child, url };
        match read {
            Some(Ok(_)) if !server.url.is_empty() => Ok(server),
            _ => Err(format!("the server said {line:?} instead of its address")),
        }
    }
}

impl Server {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn document(&self) -> String {
        format!("{}/openapi.json", self.url)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
