//! The command line.

mod bench;
mod demo;
mod import_seed;
mod keys;
mod serve;
mod store;
mod streams;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, Args, Parser, Subcommand};

use crate::config::{Config, Mistakes, Sources};
use crate::http::openapi_document;

/// Variables that are no settings: they stand for arguments.
const ARGUMENTS: [&str; 3] = [
    "STREAMGATE_CONFIG",
    "STREAMGATE_SERVER",
    "STREAMGATE_API_KEY",
];

/// Exit codes; `--help` lists them.
const FAILURE: u8 = 1;
const BAD_CONFIGURATION: u8 = 2;
const BROKEN_RULES: u8 = 3;
const BAD_DATA_DIRECTORY: u8 = 74;

const EXAMPLES: &str = "\
Examples:
  streamgate                                   serve on 127.0.0.1:8080, data in ./streamgate-data
  streamgate demo                              see what it does, in a browser
  streamgate serve --listen 127.0.0.1:9000 --data-dir /var/lib/streamgate
  streamgate serve --config streamgate.toml    see `streamgate config` for all settings
  streamgate config --check streamgate.toml    report every mistake with its line
  streamgate config --show                     what `streamgate serve` would be set to
  streamgate streams list --user 123456789     who is watching
  streamgate streams stop --user 123456789 --all
  streamgate store init                        make the table of DynamoDB
  streamgate keys new --name cms --scope play  an API key, for when callers are asked for one
  streamgate bench                             how fast it is, and whether it keeps the limit

Exit codes:
  0   done, or stopped by SIGINT or SIGTERM after draining
  1   failed while running
  2   wrong arguments or configuration
  3   `streamgate bench` found that the server broke the rules
  74  the data directory can't be used
  130 ended at once by a second SIGINT or SIGTERM while draining";

/// Stops an account from playing more video streams at once than it may.
#[derive(Parser)]
#[command(name = "streamgate", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (what plain `streamgate` does)
    #[command(after_help = "Example:\n  streamgate serve --listen 127.0.0.1:9000 --store memory")]
    Serve(ServeArgs),
    /// Serve the API with a page that shows what it does
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::DemoArgs),
    /// Print the default configuration or the one that `serve` would use, or check one
    #[command(
        after_help = "Examples:\n  streamgate config > streamgate.toml\n  streamgate config --check streamgate.toml\n  streamgate config --show --config streamgate.toml --listen 127.0.0.1:9000"
    )]
    Config(ConfigArgs),
    /// List or stop a user's streams on a running server
    #[command(subcommand)]
    Streams(streams::Command),
    /// Make what a store over an engine needs
    #[command(subcommand)]
    Store(store::Command),
    /// Take in the streams of the service that this one grew from
    #[command(after_help = import_seed::EXAMPLES)]
    ImportSeed(Box<import_seed::ImportArgs>),
    /// Make, list or revoke API keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Load a server, measure it and check its answers
    #[command(after_help = bench::EXAMPLES)]
    Bench(Box<bench::Plan>),
    /// Print the OpenAPI document
    #[command(after_help = "Example:\n  streamgate openapi > openapi.json")]
    Openapi,
}

/// Settings that go before the environment and the file.
#[derive(Args)]
struct ServeArgs {
    /// Read settings from this file
    #[arg(long, value_name = "FILE", env = "STREAMGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Listen on this address [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Keep the data in this directory [default: ./streamgate-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where records are kept: embedded, memory, redis or dynamodb [default: embedded]
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Whether callers are asked who they are: none or required [default: none]
    #[arg(long, value_name = "MODE")]
    auth: Option<String>,
    /// Serve callers beyond this machine although nothing tells who they are
    #[arg(long)]
    allow_unauthenticated: bool,
    /// How much to log: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// Where an engine is that several nodes share.
#[derive(Args)]
struct EngineArgs {
    /// Where the engine is: redis://HOST:PORT (redis+cluster://, redis+sentinel://, rediss), or an
    /// endpoint of `DynamoDB` [default for dynamodb: AWS's own]
    #[arg(long, value_name = "URL")]
    store_url: Option<String>,
    /// The table of `DynamoDB` [default: streamgate]
    #[arg(long, value_name = "NAME")]
    store_table: Option<String>,
}

impl EngineArgs {
    fn settings(&self) -> [(&'static str, Option<String>); 2] {
        [
            ("store_url", self.store_url.clone()),
            ("store_table", self.store_table.clone()),
        ]
    }
}

/// The API key for a server that asks for one.
#[derive(Args, Clone, Debug)]
struct Key {
    /// A file with the API key, where the server asks for one [env: `STREAMGATE_API_KEY` has the key itself]
    // A secret is no argument: every user of the machine sees those.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Key {
    fn read(&self) -> anyhow::Result<Option<String>> {
        if let Some(path) = &self.key_file {
            return Ok(Some(read(path)?.trim().to_owned()));
        }
        match std::env::var_os("STREAMGATE_API_KEY").map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(key)) => Ok(Some(key.trim().to_owned())),
            Some(Err(_)) => Err(Unusable::Variable("STREAMGATE_API_KEY".into()).into()),
        }
    }
}

#[derive(Args)]
#[command(mut_args(only_to_show))]
struct ConfigArgs {
    /// Report every mistake of this file, with its line, instead
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Print what `serve` would use, given the same file, environment and flags; secrets are not
    /// shown
    #[arg(long, conflicts_with = "check")]
    show: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "With --show, what `serve` takes")]
    serve: ServeArgs,
}

/// Flags that would be without effect are refused. The file's is not: it may come from the
/// environment, where it is meant for other commands too.
fn only_to_show(flag: Arg) -> Arg {
    match flag.get_id().as_str() {
        "check" | "show" | "config" => flag,
        _ => flag.requires("show"),
    }
}

/// Runs the command line and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve::serve(&cli.serve),
        Some(Command::Serve(args)) => serve::serve(&args),
        Some(Command::Demo(args)) => demo::demo(&args),
        Some(Command::Config(args)) => config(&args),
        Some(Command::Streams(command)) => streams::run(&command),
        Some(Command::Store(command)) => store::run(&command),
        Some(Command::ImportSeed(args)) => import_seed::run(&args),
        Some(Command::Keys(command)) => keys::run(&command),
        Some(Command::Bench(plan)) => bench::run(*plan),
        Some(Command::Openapi) => openapi(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code =
                if error.is::<Mistakes>() || error.is::<Unusable>() || error.is::<serve::Refused>()
                {
                    BAD_CONFIGURATION
                } else if error.is::<streamgate_store::OpenError>() {
                    BAD_DATA_DIRECTORY
                } else if error.is::<bench::Violations>() {
                    BROKEN_RULES
                } else {
                    FAILURE
                };
            // Nothing is left to do if stderr is gone.
            drop(writeln!(io::stderr(), "streamgate: {}", told(&error)));
            ExitCode::from(code)
        }
    }
}

/// An error and its causes; what says the same as what it caused is said once.
fn told(error: &anyhow::Error) -> String {
    let mut said: Vec<String> = error.chain().map(ToString::to_string).collect();
    said.dedup();
    said.join(": ")
}

/// A source of settings that can't be read at all.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("cannot read {path}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("environment {0}: must be UTF-8")]
    Variable(String),
}

fn read(path: &Path) -> Result<String, Unusable> {
    std::fs::read_to_string(path).map_err(|source| Unusable::File {
        path: path.into(),
        source,
    })
}

/// The variables that are meant as settings.
fn environment() -> Result<Vec<(String, String)>, Unusable> {
    let named =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let ours = named
        .filter(|(name, _)| name.starts_with("STREAMGATE_") && !ARGUMENTS.contains(&name.as_str()));
    ours.map(|(name, value)| match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(Unusable::Variable(name)),
    })
    .collect()
}

impl ServeArgs {
    fn load(&self) -> anyhow::Result<(Config, Vec<String>)> {
        let settings = [
            ("listen", self.listen.clone()),
            ("data_dir", self.data_dir.clone()),
            ("store", self.store.clone()),
            ("auth", self.auth.clone()),
            (
                "allow_unauthenticated",
                self.allow_unauthenticated.then(|| "true".to_owned()),
            ),
            ("log.level", self.log_level.clone()),
        ];
        let flags = settings
            .into_iter()
            .chain(self.engine.settings())
            .filter_map(|(name, value)| Some((name, value?)));
        load(self.config.as_deref(), flags.collect())
    }
}

/// The configuration of a server with this file and these flags, and warnings.
fn load(
    file: Option<&Path>,
    flags: Vec<(&'static str, String)>,
) -> anyhow::Result<(Config, Vec<String>)> {
    let text = file.map(read).transpose()?;
    let sources = Sources {
        file: file.zip(text.as_deref()),
        environment: environment()?,
        flags,
    };
    Ok(Config::load(sources)?)
}

fn config(args: &ConfigArgs) -> anyhow::Result<()> {
    if args.show {
        return show(args);
    }
    let Some(path) = &args.check else {
        return print(Config::DEFAULT_TOML);
    };
    let text = read(path)?;
    let sources = Sources {
        file: Some((path, &text)),
        environment: Vec::new(),
        flags: Vec::new(),
    };
    Config::load(sources)?;
    print(&format!("{} is fine\n", path.display()))
}

fn show(args: &ConfigArgs) -> anyhow::Result<()> {
    let (config, warnings) = args.serve.load()?;
    for warning in warnings {
        // Nothing is left to do if stderr is gone.
        drop(writeln!(io::stderr(), "streamgate: {warning}"));
    }
    let shown = config.shown();
    if args.json {
        return print(&(serde_json::to_string_pretty(&shown)? + "\n"));
    }
    print(&toml::to_string(&shown)?)
}

fn openapi() -> anyhow::Result<()> {
    print(&(openapi_document().to_pretty_json()? + "\n"))
}

/// Writes to stdout; a reader that left early is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}
