//! The templates that put the service on AWS, as far as they can be tried without AWS.

use std::process::Command;

use crate::tools::Tools;
use crate::{Failure, run};

const DIR: &str = "deploy/aws";
/// The template for the Serverless Framework, and what it takes in.
const SERVERLESS: [&str; 2] = ["serverless.yml", "throttling.js"];
/// What `cargo lambda build` would have made.
const ARTIFACT: &str = "target/lambda/bootstrap/bootstrap.zip";

/// Lints template.yaml, packages serverless.yml, and lints what came of it.
pub(crate) fn check(tools: &Tools) -> Result<(), Failure> {
    run(Command::new(tools.aws("sam")?)
        .args(["validate", "--lint", "--template"])
        .arg(format!("{DIR}/template.yaml"))
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("SAM_CLI_TELEMETRY", "0"))?;

    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    let artifact = home.path().join(ARTIFACT);
    let deploy = home.path().join(DIR);
    let made = artifact.parent().map_or(Ok(()), std::fs::create_dir_all);
    let made = made.and_then(|()| std::fs::write(&artifact, "no zip, but nobody looks"));
    let made = made.and_then(|()| std::fs::create_dir_all(&deploy));
    let copied = made.and_then(|()| {
        SERVERLESS.iter().try_for_each(|file| {
            std::fs::copy(format!("{DIR}/{file}"), deploy.join(file)).map(drop)
        })
    });
    copied.map_err(|error| format!("cannot copy serverless.yml: {error}"))?;
    run(Command::new(tools.serverless()?)
        .arg("package")
        .current_dir(&deploy)
        .env("SLS_TELEMETRY_DISABLED", "1")
        .env("SLS_NOTIFICATIONS_MODE", "off")
        .env("AWS_ACCESS_KEY_ID", "none")
        .env("AWS_SECRET_ACCESS_KEY", "none")
        .env("STREAMGATE_LOCATOR_KEY", "0".repeat(32)))?;
    let template = ".serverless/cloudformation-template-update-stack.json";
    run(Command::new(tools.aws("cfn-lint")?)
        .args(["--ignore-checks", "W", "--", template])
        .current_dir(&deploy))
}
