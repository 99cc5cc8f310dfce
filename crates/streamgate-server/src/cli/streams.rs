//! `streamgate streams`: for whoever frees a stuck viewer.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use http::header::AUTHORIZATION;
use http::{StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::print;

/// How long the server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show who is watching
    #[command(
        after_help = "Examples:\n  streamgate streams list --user 123456789\n  streamgate streams list --user 123456789 --json"
    )]
    List(ListArgs),
    /// Evict streams of a user; their players are told at once, or at the next heartbeat
    #[command(
        after_help = "Examples:\n  streamgate streams stop --user 123456789 --all\n  streamgate streams stop --user 123456789 6f3b1c2e-8a4d-8f00-9d7e-3b2a1c0d4e5f"
    )]
    Stop(StopArgs),
}

#[derive(Args)]
struct Whose {
    /// The user
    #[arg(long, value_name = "USER")]
    user: String,
    /// Where the server listens
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        env = "STREAMGATE_SERVER",
        value_parser = server
    )]
    server: String,
    #[command(flatten)]
    key: super::Key,
}

#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    whose: Whose,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct StopArgs {
    #[command(flatten)]
    whose: Whose,
    /// Stop all of them
    #[arg(long, conflicts_with = "streams")]
    all: bool,
    /// Which to stop
    #[arg(value_name = "STREAM", required_unless_present = "all")]
    streams: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(args) => list(args),
        Command::Stop(args) => stop(args),
    }
}

/// What `GET /v1/users/{userId}/streams` answers, as far as a table shows it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    limit: u8,
    streams: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    stream_id: String,
    state: String,
    device: Device,
    content_id: Option<String>,
    started_at: String,
    last_heard_at: String,
}

#[derive(Deserialize)]
struct Device {
    id: Option<String>,
    name: Option<String>,
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let answer = args
        .whose
        .call("GET", "")?
        .context("the server answered nothing")?;
    if args.json {
        return print(&format!("{}\n", serde_json::to_string_pretty(&answer)?));
    }
    let listing: Listing = serde_json::from_value(answer).context("the server is no streamgate")?;
    let mut page = format!("{} of {} streams\n", listing.streams.len(), listing.limit);
    for row in &listing.streams {
        let device = row.device.name.as_ref().or(row.device.id.as_ref());
        writeln!(
            page,
            "{}  {:7}  started {}  heard {}  {}  {}",
            row.stream_id,
            row.state,
            row.started_at,
            row.last_heard_at,
            device.map_or("unnamed device", String::as_str),
            row.content_id.as_deref().unwrap_or("-"),
        )?;
    }
    print(&page)
}

fn stop(args: &StopArgs) -> anyhow::Result<()> {
    let answer = args
        .whose
        .call("GET", "")?
        .context("the server answered nothing")?;
    let listing: Listing = serde_json::from_value(answer).context("the server is no streamgate")?;
    let is_listed = |id: &String| listing.streams.iter().any(|row| row.stream_id == *id);
    if let Some(unknown) = args.streams.iter().find(|id| !is_listed(id)) {
        bail!(
            "{} has no live stream {unknown}; nothing was stopped",
            args.whose.user
        );
    }
    if args.all {
        args.whose.call("DELETE", "")?;
    }
    for stream in &args.streams {
        args.whose.call("DELETE", &format!("/{}", escape(stream)))?;
    }
    if args.json {
        let stopped = if args.all {
            Value::from("all")
        } else {
            Value::from(args.streams.clone())
        };
        return print(&format!("{}\n", serde_json::json!({ "stopped": stopped })));
    }
    print("stopped; the players are told at once, or at their next heartbeat\n")
}

impl Whose {
    /// Calls the server below the user's streams; the JSON of a 2xx answer, if it has any.
    fn call(&self, method: &str, below: &str) -> anyhow::Result<Option<Value>> {
        let server = &self.server;
        let url = format!("{server}/v1/users/{}/streams{below}", escape(&self.user));
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .timeout_global(Some(ANSWER_MAX))
                .http_status_as_error(false)
                .build(),
        );
        let mut request = http::Request::builder().method(method).uri(&url);
        let key = self.key.read()?;
        if let Some(key) = &key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request.body(())?;
        let mut answer = agent
            .run(request)
            .with_context(|| format!("cannot reach {server}"))?;
        let text = answer.body_mut().read_to_string()?;
        let status = answer.status();
        if !status.is_success() {
            let said = serde_json::from_str(&text).map_or(text, |it: Refusal| it.detail);
            let help = match (status, key) {
                (StatusCode::UNAUTHORIZED, None) => {
                    "; give it one with --key-file or STREAMGATE_API_KEY"
                }
                _ => "",
            };
            bail!("the server answered {status}: {}{help}", said.trim());
        }
        if text.is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&text)
            .map(Some)
            .context("the server is no streamgate")
    }
}

/// What of a problem document is for people.
#[derive(Deserialize)]
struct Refusal {
    detail: String,
}

fn server(text: &str) -> anyhow::Result<String> {
    let uri: Uri = text.parse().context("must be a URL")?;
    ensure!(
        matches!(uri.scheme_str(), Some("http" | "https")),
        "must begin with http:// or https://"
    );
    Ok(text.trim_end_matches('/').to_owned())
}

fn escape(segment: &str) -> String {
    utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string()
}
