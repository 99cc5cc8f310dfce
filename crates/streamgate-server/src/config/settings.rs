//! The table of all settings: what each is called, how it is read and shown, and the names that it
//! has in the environment and as a flag.

use toml::Value;

use super::given::{Given, Unfit};
use super::shown::{limits, origins, path, secret, text, url, whole, word, words};
use super::{AuthMode, Config, JwtAlgorithm, LogFormat, LogLevel, OnStoreFailure, StoreKind};
use crate::auth::Scope;

/// One thing that can be set.
pub(super) struct Setting {
    /// Its dotted name; [`Self::ANY`] at the end stands for a name that the operator chooses.
    pub(super) name: &'static str,
    /// Parses what is given and writes it into its field.
    pub(super) write: fn(&mut Config, &Given<'_>) -> Result<(), Unfit>,
    /// What a file would give for its field, secrets aside, or `None` when it is not set. Of the
    /// names that the operator chooses, it is a table with all.
    pub(super) show: fn(&Config) -> Option<Value>,
}

/// All that can be set.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new(
        "listen",
        |c, given| put(&mut c.listen, given.address()),
        |c| Some(text(&c.listen.to_string())),
    ),
    Setting::new(
        "auth",
        |c, given| put(&mut c.auth, given.choice(AUTH_MODES)),
        |c| Some(word(AUTH_MODES, &c.auth)),
    ),
    Setting::new(
        "allow_unauthenticated",
        |c, given| put(&mut c.allow_unauthenticated, given.boolean()),
        |c| Some(c.allow_unauthenticated.into()),
    ),
    Setting::new(
        "store",
        |c, given| put(&mut c.store, given.choice(STORE_KINDS)),
        |c| Some(word(STORE_KINDS, &c.store)),
    ),
    Setting::new(
        "store_url",
        |c, given| put(&mut c.store_url, given.words().map(Some)),
        |c| c.store_url.as_deref().map(url),
    ),
    Setting::new(
        "store_table",
        |c, given| put(&mut c.store_table, given.table_name()),
        |c| Some(text(&c.store_table)),
    ),
    Setting::new(
        "wait_replicas",
        |c, given| put(&mut c.wait_replicas, given.count(0..=16, "replicas")),
        |c| Some(whole(c.wait_replicas)),
    ),
    Setting::new(
        "on_store_failure",
        |c, given| put(&mut c.on_store_failure, given.choice(ON_STORE_FAILURE)),
        |c| Some(word(ON_STORE_FAILURE, &c.on_store_failure)),
    ),
    Setting::new(
        "data_dir",
        |c, given| put(&mut c.data_dir, given.path()),
        |c| Some(path(&c.data_dir)),
    ),
    Setting::new(
        "locator_key",
        |c, given| put(&mut c.locator_key, given.locator_key().map(Some)),
        |c| c.locator_key.as_ref().map(|_| secret()),
    ),
    Setting::new(
        "limit",
        |c, given| put(&mut c.limit, given.limit()),
        |c| Some(whole(c.limit.get())),
    ),
    Setting::new(
        "plans.<name>",
        |c, given| {
            c.plans.insert(given.plan()?, given.limit()?);
            Ok(())
        },
        |c| (!c.plans.is_empty()).then(|| limits(&c.plans)),
    ),
    Setting::new(
        "heartbeat.interval_seconds",
        |c, given| put(&mut c.heartbeat.interval, given.seconds(5..=60)),
        |c| Some(whole(c.heartbeat.interval.as_secs())),
    ),
    Setting::new(
        "heartbeat.lease_seconds",
        |c, given| put(&mut c.heartbeat.lease, given.seconds(10..=86_400)),
        |c| Some(whole(c.heartbeat.lease.as_secs())),
    ),
    Setting::new(
        "heartbeat.renew_after_seconds",
        |c, given| put(&mut c.heartbeat.renew_after, given.seconds(0..=3600)),
        |c| Some(whole(c.heartbeat.renew_after.as_secs())),
    ),
    Setting::new(
        "seed.lease_seconds",
        |c, given| put(&mut c.seed.lease, given.seconds(60..=604_800)),
        |c| Some(whole(c.seed.lease.as_secs())),
    ),
    Setting::new(
        "http.connections_max",
        |c, given| {
            let connections = given.count(1..=1_000_000, "connections");
            put(&mut c.http.connections_max, connections)
        },
        |c| Some(whole(c.http.connections_max)),
    ),
    Setting::new(
        "http.requests_max",
        |c, given| {
            let requests = given.count(1..=1_000_000, "requests");
            put(&mut c.http.requests_max, requests)
        },
        |c| Some(whole(c.http.requests_max)),
    ),
    Setting::new(
        "http.deadline_seconds",
        |c, given| put(&mut c.http.deadline, given.seconds(1..=60)),
        |c| Some(whole(c.http.deadline.as_secs())),
    ),
    Setting::new(
        "http.drain_seconds",
        |c, given| put(&mut c.http.drain, given.seconds(0..=600)),
        |c| Some(whole(c.http.drain.as_secs())),
    ),
    Setting::new(
        "keys.file",
        |c, given| put(&mut c.keys_file, given.path().map(Some)),
        |c| c.keys_file.as_deref().map(path),
    ),
    Setting::new(
        "jwt.issuer",
        |c, given| put(&mut c.jwt.issuer, given.words().map(Some)),
        |c| c.jwt.issuer.as_deref().map(url),
    ),
    Setting::new(
        "jwt.audience",
        |c, given| put(&mut c.jwt.audience, given.words().map(Some)),
        |c| c.jwt.audience.as_deref().map(text),
    ),
    Setting::new(
        "jwt.jwks_file",
        |c, given| put(&mut c.jwt.jwks_file, given.path().map(Some)),
        |c| c.jwt.jwks_file.as_deref().map(path),
    ),
    Setting::new(
        "jwt.jwks_url",
        |c, given| put(&mut c.jwt.jwks_url, given.url().map(Some)),
        |c| c.jwt.jwks_url.as_deref().map(url),
    ),
    Setting::new(
        "jwt.discovery",
        |c, given| put(&mut c.jwt.discovery, given.boolean()),
        |c| Some(c.jwt.discovery.into()),
    ),
    Setting::new(
        "jwt.secret_file",
        |c, given| put(&mut c.jwt.secret_file, given.path().map(Some)),
        |c| c.jwt.secret_file.as_deref().map(path),
    ),
    Setting::new(
        "jwt.algorithms",
        |c, given| put(&mut c.jwt.algorithms, given.choices(PUBLIC_ALGORITHMS)),
        |c| Some(words(PUBLIC_ALGORITHMS, &c.jwt.algorithms)),
    ),
    Setting::new(
        "jwt.user_claim",
        |c, given| put(&mut c.jwt.user_claim, given.words()),
        |c| Some(text(&c.jwt.user_claim)),
    ),
    Setting::new(
        "jwt.limit_claim",
        |c, given| put(&mut c.jwt.limit_claim, given.words().map(Some)),
        |c| c.jwt.limit_claim.as_deref().map(text),
    ),
    Setting::new(
        "jwt.plan_claim",
        |c, given| put(&mut c.jwt.plan_claim, given.words().map(Some)),
        |c| c.jwt.plan_claim.as_deref().map(text),
    ),
    Setting::new(
        "tokens.algorithm",
        |c, given| put(&mut c.tokens.algorithm, given.choice(TOKEN_ALGORITHMS)),
        |c| Some(word(TOKEN_ALGORITHMS, &c.tokens.algorithm)),
    ),
    Setting::new(
        "tokens.keys_file",
        |c, given| put(&mut c.tokens.keys_file, given.path().map(Some)),
        |c| c.tokens.keys_file.as_deref().map(path),
    ),
    Setting::new(
        "rate.player_starts_per_minute",
        |c, given| {
            let starts = given.count(0..=1_000_000, "starts");
            put(&mut c.rate.player_starts_per_minute, starts)
        },
        |c| Some(whole(c.rate.player_starts_per_minute)),
    ),
    Setting::new(
        "rate.key_starts_per_second",
        |c, given| {
            let starts = given.count(0..=1_000_000, "starts");
            put(&mut c.rate.key_starts_per_second, starts)
        },
        |c| Some(whole(c.rate.key_starts_per_second)),
    ),
    Setting::new(
        "tls.certificate_file",
        |c, given| put(&mut c.tls.certificate_file, given.path().map(Some)),
        |c| c.tls.certificate_file.as_deref().map(path),
    ),
    Setting::new(
        "tls.key_file",
        |c, given| put(&mut c.tls.key_file, given.path().map(Some)),
        |c| c.tls.key_file.as_deref().map(path),
    ),
    Setting::new(
        "tls.client_ca_file",
        |c, given| put(&mut c.tls.client_ca_file, given.path().map(Some)),
        |c| c.tls.client_ca_file.as_deref().map(path),
    ),
    Setting::new(
        "tls.client_scopes",
        |c, given| put(&mut c.tls.client_scopes, given.choices(SCOPES)),
        |c| Some(words(SCOPES, &c.tls.client_scopes)),
    ),
    Setting::new(
        "cors.origins",
        |c, given| put(&mut c.cors_origins, given.origins()),
        |c| Some(origins(&c.cors_origins)),
    ),
    Setting::new(
        "log.level",
        |c, given| put(&mut c.log.level, given.choice(LOG_LEVELS)),
        |c| Some(word(LOG_LEVELS, &c.log.level)),
    ),
    Setting::new(
        "log.format",
        |c, given| put(&mut c.log.format, given.choice(LOG_FORMATS)),
        |c| Some(word(LOG_FORMATS, &c.log.format)),
    ),
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
    ("redis", StoreKind::Redis),
    ("dynamodb", StoreKind::DynamoDb),
];

const ON_STORE_FAILURE: &[(&str, OnStoreFailure)] = &[
    ("deny", OnStoreFailure::Deny),
    ("admit", OnStoreFailure::Admit),
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
    pub(super) const ANY: &str = "<name>";

    const fn new(
        name: &'static str,
        write: fn(&mut Config, &Given<'_>) -> Result<(), Unfit>,
        show: fn(&Config) -> Option<Value>,
    ) -> Self {
        Self { name, write, show }
    }

    pub(super) fn find(name: &str) -> Option<&'static Self> {
        SETTINGS
            .iter()
            .find(|it| match it.name.strip_suffix(Self::ANY) {
                Some(section) => name.starts_with(section),
                None => it.name == name,
            })
    }

    /// The section that it stands in, if any.
    pub(super) fn section(&self) -> Option<&'static str> {
        self.name.rsplit_once('.').map(|(section, _)| section)
    }

    /// The setting's name that an environment variable stands for, given without its prefix.
    pub(super) fn name_of_variable(variable: &str) -> Option<String> {
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
pub(super) const VARIABLE_PREFIX: &str = "STREAMGATE_";

/// `LOG_LEVEL` for `log.level`: the rest of the variable.
pub(super) fn variable_of_name(name: &str) -> String {
    name.replace('.', "_").to_ascii_uppercase()
}

/// `--log-level` for `log.level`.
pub(super) fn flag_of_name(name: &str) -> String {
    format!("--{}", name.replace(['.', '_'], "-"))
}
