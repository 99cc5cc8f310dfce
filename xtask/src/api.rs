//! schemathesis, which nobody here wrote, against the API of a running server.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::tools::Tools;
use crate::{Failure, cargo, run};

const CONFIG_DIR: &str = "tests/schemathesis";
/// How many examples are generated for each operation.
const EXAMPLES: &str = "60";

/// Runs every check of schemathesis; `tests/schemathesis/schemathesis.toml` says what is set and
/// why.
pub(crate) fn check(tools: &Tools) -> Result<(), Failure> {
    let schemathesis = tools.python("schemathesis")?;
    cargo(&["build", "--package", "streamgate-server"])?;
    let server = Server::start()?;
    let document = format!("{}/openapi.json", server.url);
    let fixed = [
        "--config-file",
        "schemathesis.toml",
        "run",
        "--continue-on-failure",
        "--no-color",
    ];
    run(Command::new(schemathesis)
        .current_dir(CONFIG_DIR)
        .args(fixed)
        .args(["--max-examples", EXAMPLES, "--seed", "1", &document]))
}

/// A server of our own, ended with this value.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Result<Self, Failure> {
        let config = Path::new(CONFIG_DIR).join("streamgate.toml");
        let mut child = Command::new("target/debug/streamgate")
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

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
