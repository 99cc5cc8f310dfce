//! The collection for Postman: whether it is what `deploy/postman/make.py` makes, and whether what it
//! says of the answers is so.

use std::path::Path;
use std::process::Command;

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
    run(collection(&newman, asking.url()).args(["--env-var", &format!("apiKey={key}")]))
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
