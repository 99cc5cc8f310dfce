//! The web SDK, up to a real browser that plays against the real server.

use std::process::Command;

use crate::tools::Tools;
use crate::{Failure, cargo, run};

const DIR: &str = "sdk/web";

/// Types, unit tests, the size and freshness of what is committed in `dist/`, browser tests.
pub(crate) fn check(tools: &Tools) -> Result<(), Failure> {
    tools.debian("npm", "npm")?;
    tools.debian("chromium", "chromium")?;
    tools.debian("ffmpeg", "ffmpeg")?;
    tools.gateways()?;
    cargo(&["build", "--package", "streamgate-server"])?;
    npm(&["ci", "--no-audit", "--no-fund", "--loglevel=error"])?;
    for script in ["types", "unit", "check", "browser"] {
        npm(&["run", "--silent", script])?;
    }
    Ok(())
}

fn npm(args: &[&str]) -> Result<(), Failure> {
    run(Command::new("npm").current_dir(DIR).args(args))
}
