//! The tools that the checks need, installed when they are missing.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{Failure, run, say};

/// Python tools, with their versions.
const PYTHON_TOOLS: [&str; 2] = ["schemathesis==4.32.5", "typos==1.52.0"];
const DENY: &str = "0.20.2";

pub(crate) struct Tools {
    cache: PathBuf,
}

impl Tools {
    pub(crate) fn new() -> Result<Self, Failure> {
        let home = std::env::home_dir().ok_or("there is no home directory to keep tools in")?;
        let cache = home.join(".cache/streamgate");
        fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
        Ok(Self { cache })
    }

    /// A program of a Debian package.
    pub(crate) fn debian(&self, program: &str, package: &str) -> Result<(), Failure> {
        if Command::new(program).arg("--version").output().is_ok() {
            return Ok(());
        }
        self.install_debian(package)
    }

    fn install_debian(&self, package: &str) -> Result<(), Failure> {
        say(&format!("installing the Debian package {package}\n"));
        run(Command::new("apt-get").arg("update").arg("-qq"))?;
        let install = ["install", "-y", "-qq", "--no-install-recommends", package];
        run(Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(install))
    }

    /// A Python tool, in an environment of its own that is made anew when a version changes.
    pub(crate) fn python(&self, tool: &str) -> Result<PathBuf, Failure> {
        let environment = self
            .cache
            .join(format!("python-{}", PYTHON_TOOLS.join("-")));
        let finished = environment.join("finished");
        if !finished.exists() {
            say("installing Python tools\n");
            self.debian("python3", "python3")?;
            let venv = ["-m", "venv", "--clear"];
            let made = Command::new("python3")
                .args(venv)
                .arg(&environment)
                .output();
            if !made.is_ok_and(|made| made.status.success()) {
                self.install_debian("python3-venv")?;
                run(Command::new("python3").args(venv).arg(&environment))?;
            }
            let pip = ["install", "--quiet", "--disable-pip-version-check"];
            run(Command::new(environment.join("bin/pip"))
                .args(pip)
                .args(PYTHON_TOOLS))?;
            fs::write(&finished, "").map_err(|error| error.to_string())?;
        }
        Ok(environment.join("bin").join(tool))
    }

    pub(crate) fn deny(&self) -> Result<PathBuf, Failure> {
        self.crate_tool("cargo-deny", DENY)
    }

    /// A tool that has to be compiled: minutes, once per version.
    pub(crate) fn crate_tool(&self, name: &str, version: &str) -> Result<PathBuf, Failure> {
        let root = self.cache.join(format!("{name}-{version}"));
        let program = root.join("bin").join(name);
        if !program.exists() {
            say(&format!("installing {name} {version}\n"));
            let install = [
                "install",
                "--quiet",
                "--locked",
                "--version",
                version,
                "--root",
            ];
            run(Command::new("cargo").args(install).arg(&root).arg(name))?;
        }
        Ok(program)
    }
}
