//! The configuration: what can be set, within which bounds, and how the four sources become one
//! [`Config`]. It reads no file and no environment itself; the caller hands over what they say.
//!
//! A new setting is a field of [`Config`], an entry in [`SETTINGS`] and a paragraph in
//! `config.default.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use streamgate_core::{Limit, LocatorKey};

mod given;
mod loading;
mod mistake;
mod page;
#[cfg(test)]
mod tests;

use given::{Given, Unfit};
use loading::Loading;
pub(crate) use mistake::Mistakes;

/// The limits of the plans, by the plans' names.
pub(crate) type Plans = BTreeMap<String, Limit>;

/// Everything that can be set, all of it checked. `config.default.toml` says what each means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where to listen: loopback, unless `allow_unauthenticated`.
    pub(crate) listen: SocketAddr,
    /// Whether whoever reaches an address beyond loopback may use the service.
    pub(crate) allow_unauthenticated: bool,
    /// What keeps the records.
    pub(crate) store: StoreKind,
    /// Where the embedded store keeps them.
    pub(crate) data_dir: PathBuf,
    /// The secret of the locators; when absent, the data directory keeps one.
    pub(crate) locator_key: Option<LocatorKey>,
    /// How many streams a user about whom nothing else is said may have live.
    pub(crate) limit: Limit,
    /// The limits of those with a plan.
    pub(crate) plans: Plans,
    /// The terms of players that send heartbeats.
    pub(crate) heartbeat: HeartbeatConfig,
    /// The terms of the seed's route.
    pub(crate) seed: SeedConfig,
    /// The bounds of the HTTP server.
    pub(crate) http: HttpConfig,
    /// What is logged, and how.
    pub(crate) log: LogConfig,
}

/// The section `[heartbeat]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeartbeatConfig {
    /// How often a player is to be heard.
    pub(crate) interval: Duration,
    /// How long it keeps its place in silence: longer than 1.5 intervals.
    pub(crate) lease: Duration,
}

/// The section `[seed]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeedConfig {
    /// How long a stream of the seed's route keeps its place.
    pub(crate) lease: Duration,
}

/// The section `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpConfig {
    /// How many connections may be open; at least 1.
    pub(crate) connections_max: usize,
    /// How many requests may be in flight; at least 1.
    pub(crate) requests_max: usize,
    /// How long a request may take.
    pub(crate) deadline: Duration,
    /// How long requests in flight may go on after the service was told to stop.
    pub(crate) drain: Duration,
}

/// The section `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// The least severe lines that are written.
    pub(crate) level: LogLevel,
    /// How they are written.
    pub(crate) format: LogFormat,
}

/// What keeps the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// A durable store in the data directory.
    Embedded,
    /// Memory only: a restart forgets all.
    Memory,
}

/// How severe a line of the log is, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogLevel {
    /// Something is broken.
    Error,
    /// Something may break.
    Warn,
    /// What an operator wants to know of an ordinary day.
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object.
    Json,
}

/// What the configuration is made of, each over the one before; the defaults lie below all.
#[derive(Default)]
pub(crate) struct Sources<'a> {
    /// A file's name, for messages, and its text.
    pub(crate) file: Option<(&'a Path, &'a str)>,
    /// The whole environment; only `STREAMGATE_…` matters.
    pub(crate) environment: Vec<(String, String)>,
    /// Settings by their dotted names, and what their flags say. The flag of `log.level` is
    /// called `--log-level` in messages, and so on.
    pub(crate) flags: Vec<(&'static str, String)>,
}

impl Config {
    /// Every setting with its default, commented: the base, and the only place of defaults.
    pub(crate) const DEFAULT_TOML: &str = include_str!("../config.default.toml");

    /// Puts the sources one over the other. With the configuration come warnings, each a line
    /// about a `STREAMGATE_…` variable that is no setting: orchestrators make such up.
    ///
    /// # Errors
    /// Every mistake of every source, also in values that a later source overrides.
    pub(crate) fn load(sources: Sources<'_>) -> Result<(Self, Vec<String>), Mistakes> {
        let mut loading = Loading::defaults();
        if let Some((name, text)) = sources.file {
            loading.file(name, text);
        }
        loading.environment(sources.environment);
        loading.flags(sources.flags);
        loading.finish()
    }

    /// What the fields hold until [`Self::DEFAULT_TOML`] has been read over it.
    fn blank() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            allow_unauthenticated: false,
            store: StoreKind::Embedded,
            data_dir: PathBuf::new(),
            locator_key: None,
            limit: Limit::DEFAULT,
            plans: Plans::new(),
            heartbeat: HeartbeatConfig {
                interval: Duration::ZERO,
                lease: Duration::ZERO,
            },
            seed: SeedConfig {
                lease: Duration::ZERO,
            },
            http: HttpConfig {
                connections_max: 0,
                requests_max: 0,
                deadline: Duration::ZERO,
                drain: Duration::ZERO,
            },
            log: LogConfig {
                level: LogLevel::Info,
                format: LogFormat::Auto,
            },
        }
    }
}

/// One thing that can be set.
struct Setting {
    /// Its dotted name; [`Self::ANY`] at the end stands for a name that the operator chooses.
    name: &'static str,
    /// Parses what is given and writes it into its field.
    write: fn(&mut Config, &Given<'_>) -> Result<(), Unfit>,
}

/// All that can be set.
const SETTINGS: &[Setting] = &[
    Setting::new("listen", |c, given| put(&mut c.listen, given.address())),
    Setting::new("allow_unauthenticated", |c, given| {
        put(&mut c.allow_unauthenticated, given.boolean())
    }),
    Setting::new("store", |c, given| {
        put(&mut c.store, given.choice(STORE_KINDS))
    }),
    Setting::new("data_dir", |c, given| put(&mut c.data_dir, given.path())),
    Setting::new("locator_key", |c, given| {
        put(&mut c.locator_key, given.locator_key().map(Some))
    }),
    Setting::new("limit", |c, given| put(&mut c.limit, given.limit())),
    Setting::new("plans.<name>", |c, given| {
        c.plans.insert(given.plan()?, given.limit()?);
        Ok(())
    }),
    Setting::new("heartbeat.interval_seconds", |c, given| {
        put(&mut c.heartbeat.interval, given.seconds(5..=60))
    }),
    Setting::new("heartbeat.lease_seconds", |c, given| {
        put(&mut c.heartbeat.lease, given.seconds(10..=86_400))
    }),
    Setting::new("seed.lease_seconds", |c, given| {
        put(&mut c.seed.lease, given.seconds(60..=604_800))
    }),
    Setting::new("http.connections_max", |c, given| {
        let connections = given.count(1..=1_000_000, "connections");
        put(&mut c.http.connections_max, connections)
    }),
    Setting::new("http.requests_max", |c, given| {
        let requests = given.count(1..=1_000_000, "requests");
        put(&mut c.http.requests_max, requests)
    }),
    Setting::new("http.deadline_seconds", |c, given| {
        put(&mut c.http.deadline, given.seconds(1..=60))
    }),
    Setting::new("http.drain_seconds", |c, given| {
        put(&mut c.http.drain, given.seconds(0..=600))
    }),
    Setting::new("log.level", |c, given| {
        put(&mut c.log.level, given.choice(LOG_LEVELS))
    }),
    Setting::new("log.format", |c, given| {
        put(&mut c.log.format, given.choice(LOG_FORMATS))
    }),
];

const STORE_KINDS: &[(&str, StoreKind)] = &[
    ("embedded", StoreKind::Embedded),
    ("memory", StoreKind::Memory),
];

const LOG_LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

const LOG_FORMATS: &[(&str, LogFormat)] = &[
    ("auto", LogFormat::Auto),
    ("human", LogFormat::Human),
    ("json", LogFormat::Json),
];

fn put<T>(field: &mut T, parsed: Result<T, Unfit>) -> Result<(), Unfit> {
    *field = parsed?;
    Ok(())
}

impl Setting {
    /// Stands, at the end of a setting's name, for a name that the operator chooses.
    const ANY: &str = "<name>";

    const fn new(
        name: &'static str,
        write: fn(&mut Config, &Given<'_>) -> Result<(), Unfit>,
    ) -> Self {
        Self { name, write }
    }

    fn find(name: &str) -> Option<&'static Self> {
        SETTINGS
            .iter()
            .find(|it| match it.name.strip_suffix(Self::ANY) {
                Some(section) => name.starts_with(section),
                None => it.name == name,
            })
    }

    /// The section that it stands in, if any.
    fn section(&self) -> Option<&'static str> {
        self.name.rsplit_once('.').map(|(section, _)| section)
    }

    /// The setting's name that an environment variable stands for, given without its prefix.
    fn name_of_variable(variable: &str) -> Option<String> {
        SETTINGS
            .iter()
            .find_map(|it| match it.name.strip_suffix(Self::ANY) {
                Some(section) => variable
                    .strip_prefix(&variable_of_name(section))
                    .filter(|chosen| !chosen.is_empty())
                    .map(|chosen| format!("{section}{}", chosen.to_ascii_lowercase())),
                None => (variable_of_name(it.name) == variable).then(|| it.name.to_owned()),
            })
    }
}

/// What the environment variables that matter begin with.
const VARIABLE_PREFIX: &str = "STREAMGATE_";

/// `LOG_LEVEL` for `log.level`: the rest of the variable.
fn variable_of_name(name: &str) -> String {
    name.replace('.', "_").to_ascii_uppercase()
}

/// `--log-level` for `log.level`.
fn flag_of_name(name: &str) -> String {
    format!("--{}", name.replace(['.', '_'], "-"))
}
