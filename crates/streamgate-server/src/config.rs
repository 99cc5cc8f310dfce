//! The configuration: what can be set, within which bounds, and how the four sources become one
//! [`Config`]. It reads no file and no environment itself; the caller hands over what they say.
//!
//! A new setting is a field of [`Config`], an entry in [`SETTINGS`] and a paragraph in
//! `config.default.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use streamgate_core::{Limit, LocatorKey};

use crate::auth::Scope;

mod given;
mod loading;
mod mistake;
mod page;
#[cfg(test)]
mod tests;

pub(crate) use given::is_private;
use given::{Given, Unfit};
use loading::Loading;
pub(crate) use mistake::Mistakes;

/// The limits of the plans, by the plans' names.
pub(crate) type Plans = BTreeMap<String, Limit>;

/// Everything that can be set, all of it checked. `config.default.toml` says what each means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where to listen: loopback, unless callers are asked who they are, or `allow_unauthenticated`.
    pub(crate) listen: SocketAddr,
    /// Whether callers are asked who they are.
    pub(crate) auth: AuthMode,
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
    /// Where the API keys are kept; when absent, in the data directory.
    pub(crate) keys_file: Option<PathBuf>,
    /// The tokens that players bring from the video platform.
    pub(crate) jwt: JwtConfig,
    /// The tokens that starts are answered with.
    pub(crate) tokens: TokensConfig,
    /// How often streams may be started.
    pub(crate) rate: RateConfig,
    /// HTTPS.
    pub(crate) tls: TlsConfig,
    /// The pages that may call, by their origins.
    pub(crate) cors_origins: Vec<HeaderValue>,
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

/// The section `[jwt]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JwtConfig {
    /// Who signs them; `iss` must be this.
    pub(crate) issuer: Option<String>,
    /// For whom they are; `aud` must have this.
    pub(crate) audience: Option<String>,
    /// A file with the issuer's public keys.
    pub(crate) jwks_file: Option<PathBuf>,
    /// Where the issuer publishes them.
    pub(crate) jwks_url: Option<String>,
    /// Whether the issuer says by OpenID Connect discovery where that is.
    pub(crate) discovery: bool,
    /// A file with a secret that is shared with the issuer, for HS256.
    pub(crate) secret_file: Option<PathBuf>,
    /// The algorithms that are taken.
    pub(crate) algorithms: Vec<JwtAlgorithm>,
    /// The claim that names the user.
    pub(crate) user_claim: String,
    /// The claim that may have the limit.
    pub(crate) limit_claim: Option<String>,
    /// The claim that may have the plan.
    pub(crate) plan_claim: Option<String>,
}

/// The section `[tokens]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokensConfig {
    /// How they are signed.
    pub(crate) algorithm: JwtAlgorithm,
    /// Where the keys are kept; when absent, in the data directory.
    pub(crate) keys_file: Option<PathBuf>,
}

/// The section `[rate]`; 0 is no bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RateConfig {
    /// How many starts in a minute a player may ask for.
    pub(crate) player_starts_per_minute: u32,
    /// How many starts in a second may come with one API key.
    pub(crate) key_starts_per_second: u32,
}

/// The section `[tls]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    /// The certificate chain and its key, in PEM: both or neither.
    pub(crate) certificate_file: Option<PathBuf>,
    pub(crate) key_file: Option<PathBuf>,
    /// Whose certificates make a client an operator or a back end, in PEM.
    pub(crate) client_ca_file: Option<PathBuf>,
    /// What they may do.
    pub(crate) client_scopes: Vec<Scope>,
}

/// The section `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// The least severe lines that are written.
    pub(crate) level: LogLevel,
    /// How they are written.
    pub(crate) format: LogFormat,
}

/// Whether callers are asked who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthMode {
    /// Whoever reaches the service may do everything.
    None,
    /// Every call needs an API key, a token or a client certificate.
    Required,
}

/// How a token is signed (RFC 7518, section 3.1; RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JwtAlgorithm {
    /// HMAC with SHA-256: whoever can check it can also sign.
    Hs256,
    /// RSA with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
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
            auth: AuthMode::None,
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
            keys_file: None,
            jwt: JwtConfig {
                issuer: None,
                audience: None,
                jwks_file: None,
                jwks_url: None,
                discovery: false,
                secret_file: None,
                algorithms: Vec::new(),
                user_claim: String::new(),
                limit_claim: None,
                plan_claim: None,
            },
            tokens: TokensConfig {
                algorithm: JwtAlgorithm::Hs256,
                keys_file: None,
            },
            rate: RateConfig {
                player_starts_per_minute: 0,
                key_starts_per_second: 0,
            },
            tls: TlsConfig {
                certificate_file: None,
                key_file: None,
                client_ca_file: None,
                client_scopes: Vec::new(),
            },
            cors_origins: Vec::new(),
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
    Setting::new("auth", |c, given| {
        put(&mut c.auth, given.choice(AUTH_MODES))
    }),
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
    Setting::new("keys.file", |c, given| {
        put(&mut c.keys_file, given.path().map(Some))
    }),
    Setting::new("jwt.issuer", |c, given| {
        put(&mut c.jwt.issuer, given.words().map(Some))
    }),
    Setting::new("jwt.audience", |c, given| {
        put(&mut c.jwt.audience, given.words().map(Some))
    }),
    Setting::new("jwt.jwks_file", |c, given| {
        put(&mut c.jwt.jwks_file, given.path().map(Some))
    }),
    Setting::new("jwt.jwks_url", |c, given| {
        put(&mut c.jwt.jwks_url, given.url().map(Some))
    }),
    Setting::new("jwt.discovery", |c, given| {
        put(&mut c.jwt.discovery, given.boolean())
    }),
    Setting::new("jwt.secret_file", |c, given| {
        put(&mut c.jwt.secret_file, given.path().map(Some))
    }),
    Setting::new("jwt.algorithms", |c, given| {
        put(&mut c.jwt.algorithms, given.choices(PUBLIC_ALGORITHMS))
    }),
    Setting::new("jwt.user_claim", |c, given| {
        put(&mut c.jwt.user_claim, given.words())
    }),
    Setting::new("jwt.limit_claim", |c, given| {
        put(&mut c.jwt.limit_claim, given.words().map(Some))
    }),
    Setting::new("jwt.plan_claim", |c, given| {
        put(&mut c.jwt.plan_claim, given.words().map(Some))
    }),
    Setting::new("tokens.algorithm", |c, given| {
        put(&mut c.tokens.algorithm, given.choice(TOKEN_ALGORITHMS))
    }),
    Setting::new("tokens.keys_file", |c, given| {
        put(&mut c.tokens.keys_file, given.path().map(Some))
    }),
    Setting::new("rate.player_starts_per_minute", |c, given| {
        let starts = given.count(0..=1_000_000, "starts");
        put(&mut c.rate.player_starts_per_minute, starts)
    }),
    Setting::new("rate.key_starts_per_second", |c, given| {
        let starts = given.count(0..=1_000_000, "starts");
        put(&mut c.rate.key_starts_per_second, starts)
    }),
    Setting::new("tls.certificate_file", |c, given| {
        put(&mut c.tls.certificate_file, given.path().map(Some))
    }),
    Setting::new("tls.key_file", |c, given| {
        put(&mut c.tls.key_file, given.path().map(Some))
    }),
    Setting::new("tls.client_ca_file", |c, given| {
        put(&mut c.tls.client_ca_file, given.path().map(Some))
    }),
    Setting::new("tls.client_scopes", |c, given| {
        put(&mut c.tls.client_scopes, given.choices(SCOPES))
    }),
    Setting::new("cors.origins", |c, given| {
        put(&mut c.cors_origins, given.origins())
    }),
    Setting::new("log.level", |c, given| {
        put(&mut c.log.level, given.choice(LOG_LEVELS))
    }),
    Setting::new("log.format", |c, given| {
        put(&mut c.log.format, given.choice(LOG_FORMATS))
    }),
];

const AUTH_MODES: &[(&str, AuthMode)] =
    &[("none", AuthMode::None), ("required", AuthMode::Required)];

/// With a public key: what a page of an issuer's keys may hold.
const PUBLIC_ALGORITHMS: &[(&str, JwtAlgorithm)] = &[
    ("RS256", JwtAlgorithm::Rs256),
    ("ES256", JwtAlgorithm::Es256),
    ("EdDSA", JwtAlgorithm::EdDsa),
];

const TOKEN_ALGORITHMS: &[(&str, JwtAlgorithm)] = &[
    ("HS256", JwtAlgorithm::Hs256),
    ("ES256", JwtAlgorithm::Es256),
    ("EdDSA", JwtAlgorithm::EdDsa),
];

const SCOPES: &[(&str, Scope)] = &[
    ("play", Scope::Play),
    ("operate", Scope::Operate),
    ("read", Scope::Read),
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
