//! `streamgate keys`: API keys of back ends and operators. A running server takes changes in
//! within a second.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use streamgate_core::WallTime;

use super::{load, print};
use crate::auth::{ApiKey, KeyFile, NAME_MAX, Scope, keys_file};
use crate::clock::{Clock, SystemClock};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a key and show it, this one time
    #[command(
        after_help = "Examples:\n  streamgate keys new --name cms --scope play\n  streamgate keys new --name support --scope operate --expires 90d\n  streamgate keys new --name prometheus --scope read --json"
    )]
    New(NewArgs),
    /// Show what keys there are, without their secrets
    #[command(after_help = "Example:\n  streamgate keys list")]
    List(ListArgs),
    /// Take a key away
    #[command(after_help = "Example:\n  streamgate keys revoke 3f9c1b77a0d2")]
    Revoke(RevokeArgs),
}

#[derive(Args)]
struct Place {
    /// Read settings from this file
    #[arg(long, value_name = "FILE", env = "STREAMGATE_CONFIG")]
    config: Option<PathBuf>,
    /// The server's data directory, where its keys are unless keys.file says otherwise
    /// [default: ./streamgate-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

#[derive(Args)]
pub(super) struct NewArgs {
    /// What the key is for: 1 to 128 bytes, no control characters
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: String,
    /// What it allows; may be repeated
    #[arg(long, value_enum, required = true)]
    scope: Vec<Scope>,
    /// How long it is good for, such as 90d [default: for ever]
    #[arg(long, value_name = "D", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct RevokeArgs {
    /// Which: what `keys list` shows first, and what stands in the key behind sgk_
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    place: Place,
}

fn name(text: &str) -> Result<String, String> {
    let fits = (1..=NAME_MAX).contains(&text.len()) && !text.contains(char::is_control);
    let message = || format!("must be 1 to {NAME_MAX} bytes without control characters");
    fits.then(|| text.to_owned()).ok_or_else(message)
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::New(args) => new(args),
        Command::List(args) => list(args),
        Command::Revoke(args) => revoke(args),
    }
}

fn new(args: &NewArgs) -> anyhow::Result<()> {
    let mut scopes = args.scope.clone();
    scopes.dedup();
    let mut file = args.place.open()?;
    let (key, text) = file.add(args.name.clone(), scopes, now(), args.expires)?;
    if args.json {
        let shown = serde_json::json!({ "id": key.id, "key": text });
        return print(&format!("{shown}\n"));
    }
    print(&format!(
        "{text}\n\nKeep it now: it is not shown again. Its id is {}.\n",
        key.id
    ))
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let file = args.place.open()?;
    if args.json {
        let rows: Vec<_> = file.keys.iter().map(row_of_json).collect();
        return print(&format!("{}\n", serde_json::Value::from(rows)));
    }
    let mut page = format!(
        "{:<14}{:<22}{:<22}{:<22}NAME\n",
        "ID", "SCOPES", "CREATED", "EXPIRES"
    );
    for key in &file.keys {
        let scopes: Vec<_> = key.scopes.iter().map(word).collect();
        let expires = key.expires_at_ms.map_or("never".into(), time);
        writeln!(
            page,
            "{:<14}{:<22}{:<22}{:<22}{}",
            key.id,
            scopes.join(" "),
            time(key.created_at_ms),
            expires,
            key.name
        )?;
    }
    print(&page)
}

fn row_of_json(key: &ApiKey) -> serde_json::Value {
    serde_json::json!({
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "createdAt": time(key.created_at_ms),
        "expiresAt": key.expires_at_ms.map(time),
    })
}

fn revoke(args: &RevokeArgs) -> anyhow::Result<()> {
    if !args.place.open()?.revoke(&args.id)? {
        bail!("there is no key {:?}; see streamgate keys list", args.id);
    }
    print("revoked; a running server refuses it within a second\n")
}

impl Place {
    fn open(&self) -> anyhow::Result<KeyFile> {
        let flags = self.data_dir.clone().map(|dir| ("data_dir", dir));
        let (config, _warnings) = load(self.config.as_deref(), flags.into_iter().collect())?;
        Ok(KeyFile::open(&keys_file(&config))?)
    }
}

fn word(scope: &Scope) -> &'static str {
    match scope {
        Scope::Play => "play",
        Scope::Operate => "operate",
        Scope::Read => "read",
    }
}

fn time(ms: u64) -> String {
    let at = std::time::SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    at.map_or("-".into(), |at| {
        humantime::format_rfc3339_seconds(at).to_string()
    })
}

fn now() -> WallTime {
    SystemClock::starting_at(streamgate_core::Timestamp::default()).wall()
}
