//! What is asked for on the command line, parsed.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;

/// How many heartbeats a batch may have.
const BATCH_MAX: u64 = 1000;

/// What to load the server with.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Plan {
    /// The server to load
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(super) url: Target,
    /// How many starts, heartbeats and stops there are to each other; any may be 0
    #[arg(long, value_name = "S:H:E", default_value = "1:20:1")]
    pub(super) mix: Mix,
    /// Send heartbeats in batches of N; the mix then counts batches
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=BATCH_MAX))]
    pub(super) batch: Option<u64>,
    /// How many users there are
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(super) users: u64,
    /// Exponent of the Zipf law by which users are chosen; 0: each as often
    #[arg(long, value_name = "X", default_value = "1", value_parser = exponent)]
    pub(super) zipf: f64,
    /// The limit that the server is expected to enforce
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..))]
    pub(super) limit: u8,
    /// Before measuring, start one stream each of N users [at most --users]
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(super) fill: u64,
    /// How many connections
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(super) connections: u64,
    /// Threads of the generator [at most one per connection and user]
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(super) threads: u64,
    /// Open loop: this many requests per second, evenly spaced, latency counted from when each
    /// was due. Without it each connection sends its next request when the last is answered
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// Load it this long before measuring
    #[arg(long, value_name = "D", default_value = "2s", value_parser = duration)]
    pub(super) warmup: Duration,
    /// Measure this long
    #[arg(long, value_name = "D", default_value = "10s", value_parser = duration)]
    pub(super) duration: Duration,
    /// Look for answers all the time instead of sleeping until one comes: a thread that sleeps has
    /// to be woken, which the kernel counts as the server's CPU time. Takes a core per thread
    #[arg(long)]
    pub(super) busy_poll: bool,
    /// Do not check the answers, for servers that are no limiter
    #[arg(long)]
    pub(super) unchecked: bool,
    #[command(flatten)]
    pub(super) key: crate::cli::Key,
    /// Send heartbeats and stops with the tokens that their streams were answered with, as players
    /// do, and not with the API key
    #[arg(long, conflicts_with_all = ["batch", "unchecked"])]
    pub(super) tokens: bool,
    /// The API key, once it is read.
    #[arg(skip)]
    pub(super) credential: Option<Arc<str>>,
    /// Report CPU time and memory of this local process too; may be repeated
    #[arg(long, value_name = "PID")]
    pub(super) pid: Vec<u32>,
    /// Seed of the random choices [default: random, printed]
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl Plan {
    /// With every choice made that the command line leaves open, and every number in its bounds.
    pub(super) fn settled(mut self) -> anyhow::Result<Self> {
        self.fill = self.fill.min(self.users);
        self.threads = self.threads.min(self.connections).min(self.users);
        self.credential = self.key.read()?.map(Into::into);
        if self.seed.is_none() {
            self.seed = Some(getrandom::u64().context("no random bytes for a seed")?);
        }
        Ok(self)
    }

    /// How many of `all` (users, connections) belong to this thread, dealt out in turn.
    pub(super) fn share(&self, all: u64, thread: u64) -> u64 {
        all / self.threads + u64::from(thread < all % self.threads)
    }
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) url: String,
    /// Host and port.
    pub(super) authority: String,
    /// What goes before each path, without a slash at its end.
    pub(super) prefix: String,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let uri: http::Uri = text.parse().context("must be a URL")?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => bail!("https is not supported yet; load the server over http"),
            Some(_) | None => bail!("must begin with http://"),
        }
        let host = uri.host().context("must name a host")?;
        Ok(Self {
            url: text.to_owned(),
            authority: format!("{host}:{}", uri.port_u16().unwrap_or(80)),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// Starts, heartbeats and stops in relation to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mix {
    pub(super) starts: u32,
    pub(super) beats: u32,
    pub(super) stops: u32,
}

impl FromStr for Mix {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let numbers: Vec<u32> = text
            .split(':')
            .map(|number| number.parse().context("must be three numbers like 1:20:1"))
            .collect::<Result<_, _>>()?;
        let &[starts, beats, stops] = numbers.as_slice() else {
            bail!("must be three numbers like 1:20:1");
        };
        let sum = starts
            .checked_add(beats)
            .and_then(|sum| sum.checked_add(stops));
        ensure!(sum.context("must be smaller")? != 0, "must not be all 0");
        Ok(Self {
            starts,
            beats,
            stops,
        })
    }
}

impl std::fmt::Display for Mix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.starts, self.beats, self.stops)
    }
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(text).context("must be like 10s, 500ms or 2m")
}

fn exponent(text: &str) -> anyhow::Result<f64> {
    let exponent: f64 = text.parse()?;
    ensure!((0.0..=10.0).contains(&exponent), "must be between 0 and 10");
    Ok(exponent)
}

fn rate(text: &str) -> anyhow::Result<f64> {
    let rate: f64 = text.parse()?;
    ensure!(
        (0.001..=1e8).contains(&rate),
        "must be between 0.001 and 1e8"
    );
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_three_numbers_of_which_one_is_not_0() {
        let mix = |text: &str| text.parse::<Mix>().map(|mix| mix.to_string());
        assert_eq!(mix("1:20:0").expect("a mix"), "1:20:0");
        for bad in [
            "",
            "1:20",
            "1:2:3:4",
            "a:1:1",
            "-1:1:1",
            "0:0:0",
            "4294967295:1:0",
        ] {
            assert!(mix(bad).is_err(), "{bad:?} is no mix");
        }
    }

    #[test]
    fn a_duration_has_a_unit_and_is_not_negative() {
        for (text, ms) in [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("0s", 0)] {
            let parsed = duration(text).expect("a duration");
            assert_eq!(parsed, Duration::from_millis(ms), "{text}");
        }
        for bad in ["", "10", "10 parsecs", "-1s", "1s ago"] {
            assert!(duration(bad).is_err(), "{bad:?} is no duration");
        }
    }

    #[test]
    fn a_target_is_a_plain_http_url() {
        let target: Target = "http://localhost/prod/".parse().expect("a URL");
        assert_eq!(target.authority, "localhost:80");
        assert_eq!(target.prefix, "/prod");
        let target: Target = "http://[::1]:8080".parse().expect("a URL");
        assert_eq!(target.authority, "[::1]:8080");
        assert_eq!(target.prefix, "");
        for bad in ["", "localhost:8080", "https://localhost", "http://", "/v1"] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?} is no target");
        }
    }
}
