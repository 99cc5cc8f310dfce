//! The configuration: what can be set, within which bounds, and how the four sources become one
//! [`Config`]. It reads no file and no environment itself; the caller hands over what they say.
//!
//! A new setting is a field of [`Config`], an entry in [`settings::SETTINGS`] and a paragraph in
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
mod settings;
mod shown;
#[cfg(test)]
mod tests;

pub(crate) use given::is_private;
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
    /// Where the engine of the store is: one that the store can use.
    pub(crate) store_url: Option<String>,
    /// The table of DynamoDB.
    pub(crate) store_table: String,
    /// How many replicas of Redis have a start before it is answered.
    pub(crate) wait_replicas: usize,
    /// What becomes of a start while the store is away.
    pub(crate) on_store_failure: OnStoreFailure,
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
    /// How long it keeps its place in silence: longer than 1.5 intervals and `renew_after`.
    pub(crate) lease: Duration,
    /// How old a lease must be before a heartbeat writes it anew.
    pub(crate) renew_after: Duration,
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
    /// Redis or Valkey, which several nodes share.
    Redis,
    /// Amazon DynamoDB, which several nodes share.
    DynamoDb,
}

/// What becomes of a start while the store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnStoreFailure {
    /// It is answered 503.
    Deny,
    /// It is admitted, and competes for a place once the store is back.
    Admit,
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
            store_url: None,
            store_table: String::new(),
            wait_replicas: 0,
            on_store_failure: OnStoreFailure::Deny,
            data_dir: PathBuf::new(),
            locator_key: None,
            limit: Limit::DEFAULT,
            plans: Plans::new(),
            heartbeat: HeartbeatConfig {
                interval: Duration::ZERO,
                lease: Duration::ZERO,
                renew_after: Duration::ZERO,
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
