//! The collection for Postman: whether it is what `deploy/postman/make.py` makes, and whether what it
//! says of the answers is so: of a server, and of the function as AWS would run it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::api::{self, Server};
use crate::tools::Tools;
use crate::{Failure, cargo, run};

const DIR: &str = "deploy/postman";

pub(crate) fn check(tools: &Tools) -> Result<(), Failure> {
    run(Command::new("python3").args([&format!("{DIR}/make.py"), "--check"]))?;
    let newman = tools.newman()?;
    cargo(&["build", "--package", "streamgate-server"])?;
    let open = Server::start(&[])?;
    run(&mut collection(&newman, open.url()))?;
    drop(open);

    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    let dir = home.path().display().to_string();
    let key = api::key(&dir)?;
    let asking = Server::start(&["--auth", "required", "--data-dir", &dir])?;
    run(collection(&newman, asking.url()).args(["--env-var", &format!("apiKey={key}")]))?;
    drop(asking);

    let offline = Offline::start(tools)?;
    run(&mut collection(&newman, &offline.url))
}

/// Newman with the whole collection.
fn collection(newman: &Path, url: &str) -> Command {
    let mut command = Command::new(newman);
    command
        .arg("run")
        .arg(format!("{DIR}/streamgate.postman_collection.json"))
        .arg("--environment")
        .arg(format!("{DIR}/streamgate.postman_environment.json"))
        .args(["--env-var", &format!("baseUrl={url}")])
        .args(["--color", "off", "--reporters", "cli"])
        .args([
            "--reporter-cli-no-success-assertions",
            "--timeout-request",
            "10000",
        ]);
    command
}

/// `cargo xtask offline`, ended with this value.
struct Offline {
    child: Child,
    /// Up to the stage.
    url: String,
    _logs: TempDir,
}

impl Offline {
    /// Builds the function and starts everything.
    fn start(tools: &Tools) -> Result<Self, Failure> {
        let logs = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut child = Command::new(tools.own())
            .args(["offline", "--port", "0", "--processes", "2", "--logs"])
            .arg(logs.path())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start the offline mode: {error}"))?;
        let said = child.stdout.take().expect("it is piped");
        let endpoint = BufReader::new(said)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("  POST - ").map(str::to_owned));
        let url = endpoint
            .as_deref()
            .and_then(|it| it.strip_suffix("/stream"));
        let offline = Self {
            child,
            url: url.unwrap_or_default().to_owned(),
            _logs: logs,
        };
        if offline.url.is_empty() {
            return Err("the offline mode ended before it said where it is".to_owned());
        }
        Ok(offline)
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        // By a signal that lets it end the database and the emulator, which would live on otherwise.
        let id = self.child.id().to_string();
        drop(Command::new("kill").arg(id).status());
        drop(self.child.wait());
    }
}
