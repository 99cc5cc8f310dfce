//! Lays the sources one over the other, and collects what is wrong with them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "redis")]
use streamgate_store::RedisUrl;
use toml::de::DeTable;

use super::given::{Given, has_login, is_private};
use super::mistake::{Mistake, Mistakes, Origin, shortened, suggestion};
use super::page::Page;
use super::settings::{SETTINGS, Setting, VARIABLE_PREFIX, flag_of_name, variable_of_name};
use super::{AuthMode, Config, JwtAlgorithm, StoreKind};

/// A configuration with some of its sources read.
pub(super) struct Loading {
    config: Config,
    /// Where each setting was last set; `None` when that was a mistake.
    pub(super) origins: BTreeMap<&'static str, Option<Origin>>,
    /// Whether settings may be missing because a line of the file was not TOML.
    broken: bool,
    mistakes: Vec<Mistake>,
    warnings: Vec<String>,
}

impl Loading {
    /// The defaults.
    pub(super) fn defaults() -> Self {
        let mut loading = Self {
            config: Config::blank(),
            origins: BTreeMap::new(),
            broken: false,
            mistakes: Vec::new(),
            warnings: Vec::new(),
        };
        loading.document(Config::DEFAULT_TOML, &|line| Origin::Default { line });
        loading
    }

    pub(super) fn file(&mut self, name: &Path, text: &str) {
        let name: Arc<str> = name.display().to_string().into();
        self.document(text, &|line| Origin::File {
            name: Arc::clone(&name),
            line,
        });
    }

    pub(super) fn environment(&mut self, variables: Vec<(String, String)>) {
        for (variable, text) in variables {
            let Some(rest) = variable.strip_prefix(VARIABLE_PREFIX) else {
                continue;
            };
            if let Some(name) = Setting::name_of_variable(rest) {
                self.apply(&Given::text(&name, &text), Origin::Environment(variable));
            } else {
                let names = SETTINGS.iter().map(|it| variable_of_name(it.name));
                let hint = suggestion(VARIABLE_PREFIX, rest, names);
                let origin = Origin::Environment(variable);
                self.warnings
                    .push(format!("{origin}: not a setting, ignored{hint}"));
            }
        }
    }

    pub(super) fn flags(&mut self, flags: Vec<(&'static str, String)>) {
        for (name, text) in flags {
            self.apply(&Given::text(name, &text), Origin::Flag(flag_of_name(name)));
        }
    }

    pub(super) fn finish(mut self) -> Result<(Config, Vec<String>), Mistakes> {
        self.check_across();
        self.warnings.sort();
        if self.mistakes.is_empty() {
            Ok((self.config, self.warnings))
        } else {
            Err(Mistakes::new(self.mistakes))
        }
    }

    fn document(&mut self, text: &str, origin: &dyn Fn(usize) -> Origin) {
        let (page, table) = Page::read(text);
        self.table("", &table, &page, origin);
        self.broken |= !page.broken.is_empty();
        for (line, message) in page.broken {
            self.reject(origin(line), message);
        }
    }

    fn table(
        &mut self,
        section: &str,
        table: &DeTable<'_>,
        page: &Page<'_>,
        origin: &dyn Fn(usize) -> Origin,
    ) {
        for (key, value) in table {
            let name = format!("{section}{}", key.get_ref());
            if let Some(inner) = value.get_ref().as_table().filter(|_| is_section(&name)) {
                self.table(&format!("{name}."), inner, page, origin);
            } else if page.is_sound(&key.span(), &value.span()) {
                let given = Given::value(&name, value.get_ref().clone());
                self.apply(&given, origin(page.line(key.span().start)));
            }
        }
    }

    fn apply(&mut self, given: &Given<'_>, origin: Origin) {
        let name = shortened(given.name);
        if let Some(setting) = Setting::find(given.name) {
            let written = (setting.write)(&mut self.config, given);
            let origin_if_right = written.is_ok().then(|| origin.clone());
            self.origins.insert(setting.name, origin_if_right);
            if let Err(unfit) = written {
                self.reject(origin, format!("{} {unfit}", name.escape_debug()));
            }
        } else if is_section(given.name) {
            self.reject(origin, format!("{name} {}", given.unfit("a table")));
        } else {
            let sections = SETTINGS.iter().filter_map(Setting::section);
            let names = sections.chain(SETTINGS.iter().map(|it| it.name));
            let hint = suggestion("", given.name, names);
            self.reject(origin, format!("unknown setting {name:?}{hint}"));
        }
    }

    /// Checks what concerns several settings at once.
    fn check_across(&mut self) {
        let heartbeat = &self.config.heartbeat;
        let silence = heartbeat.interval * 3 / 2 + heartbeat.renew_after;
        if heartbeat.lease <= silence {
            let and = match heartbeat.renew_after.as_secs() {
                0 => String::new(),
                seconds => format!(" and renew_after_seconds ({seconds})"),
            };
            let message = format!(
                "heartbeat.lease_seconds must be longer than 1.5 heartbeats{and} ({} seconds), not {}",
                silence.as_secs_f64(),
                heartbeat.lease.as_secs(),
            );
            self.reject_across(
                ["heartbeat.interval_seconds", "heartbeat.lease_seconds"],
                message,
            );
        }
        let Config {
            listen, auth, tls, ..
        } = &self.config;
        let is_open = *auth == AuthMode::None && !self.config.allow_unauthenticated;
        if !listen.ip().is_loopback() && is_open {
            let message = format!(
                "listen must be a loopback address, not {listen}, unless auth is \"required\", or \
                 allow_unauthenticated (--allow-unauthenticated) lets in everybody who can reach it"
            );
            self.reject_across(["listen", "allow_unauthenticated"], message);
        } else if tls.certificate_file.is_some() != tls.key_file.is_some() {
            let message = "tls.certificate_file and tls.key_file go together".to_owned();
            self.reject_of(&["tls.certificate_file", "tls.key_file"], message);
        } else if tls.client_ca_file.is_some() && tls.certificate_file.is_none() {
            let message = "tls.client_ca_file needs tls.certificate_file".to_owned();
            self.reject_of(&["tls.client_ca_file"], message);
        }
        if self.config.tls.client_ca_file.is_some() && self.config.auth == AuthMode::None {
            let message = "client certificates are only asked for with auth = \"required\"";
            self.reject_of(&["tls.client_ca_file"], message.to_owned());
        }
        self.check_store();
        self.check_jwt();
    }

    /// Checks that the store has what it needs, and that all its nodes can understand each other.
    fn check_store(&mut self) {
        let Config {
            store, store_url, ..
        } = &self.config;
        let is_shared = match (store, store_url) {
            (StoreKind::Embedded | StoreKind::Memory, None) => false,
            (StoreKind::Embedded | StoreKind::Memory, Some(_)) => {
                let message = "store_url is for store = \"redis\" and \"dynamodb\"".to_owned();
                self.reject_of(&["store_url", "store"], message);
                return;
            }
            (StoreKind::Redis, None) => {
                let message = "store = \"redis\" needs store_url, such as redis://127.0.0.1:6379";
                self.reject_of(&["store"], message.to_owned());
                return;
            }
            #[cfg(feature = "redis")]
            (StoreKind::Redis, Some(url)) => {
                if let Err(error) = url.parse::<RedisUrl>() {
                    self.reject_of(&["store_url"], format!("store_url {error}"));
                    return;
                }
                true
            }
            #[cfg(not(feature = "redis"))]
            (StoreKind::Redis, Some(_)) => true,
            (StoreKind::DynamoDb, url) => {
                let is_endpoint = |it: &String| {
                    let uri = it.parse::<http::Uri>().ok();
                    uri.is_some_and(|it| it.authority().is_some() && it.scheme().is_some())
                };
                if !url.iter().all(is_endpoint) {
                    let message = "store_url must be the http:// or https:// URL of an endpoint";
                    self.reject_of(&["store_url"], message.to_owned());
                    return;
                }
                true
            }
        };
        let by_flag = matches!(self.origins.get("store_url"), Some(Some(Origin::Flag(_))));
        if by_flag && store_url.as_deref().is_some_and(has_login) {
            let message =
                "every user of the machine sees a password there: set STREAMGATE_STORE_URL \
                           or a file"
                    .to_owned();
            self.reject_of(&["store_url"], message);
        }
        if is_shared && self.config.locator_key.is_none() {
            let message = "its nodes must share a secret: set locator_key (STREAMGATE_LOCATOR_KEY) \
                           to the same 32 hex digits on all, as `openssl rand -hex 16` prints";
            self.reject_of(&["store"], message.to_owned());
        }
        let tokens = &self.config.tokens;
        if is_shared && tokens.algorithm != JwtAlgorithm::Hs256 && tokens.keys_file.is_none() {
            let message = "its nodes must share their keys: set tokens.keys_file".to_owned();
            self.reject_of(&["tokens.algorithm"], message);
        }
    }

    /// Checks that it is clear whose tokens are taken, and by which keys.
    fn check_jwt(&mut self) {
        const SOURCES: [&str; 4] = [
            "jwt.jwks_file",
            "jwt.jwks_url",
            "jwt.discovery",
            "jwt.secret_file",
        ];
        let jwt = &self.config.jwt;
        let sources = [
            jwt.jwks_file.is_some(),
            jwt.jwks_url.is_some(),
            jwt.discovery,
            jwt.secret_file.is_some(),
        ];
        let sources = sources.into_iter().filter(|is_set| *is_set).count();
        if 1 < sources {
            let message = format!("only one of {} can be set", SOURCES.join(", "));
            self.reject_of(&SOURCES, message);
        } else if sources == 1 && (jwt.issuer.is_none() || jwt.audience.is_none()) {
            let message = "jwt.issuer and jwt.audience must be set, or tokens that were made for \
                           others would be taken"
                .to_owned();
            self.reject_of(&SOURCES, message);
        } else if jwt.discovery && !jwt.issuer.as_deref().is_some_and(is_private) {
            let message = "jwt.discovery needs a jwt.issuer that is an https:// URL (http:// on \
                           loopback)"
                .to_owned();
            self.reject_of(&SOURCES, message);
        } else if sources == 1 && self.config.auth == AuthMode::None {
            let message = "tokens are only asked for with auth = \"required\"".to_owned();
            self.reject_of(&SOURCES, message);
        } else if sources == 0 && jwt.issuer.is_some() {
            let message = format!("jwt.issuer needs one of {}", SOURCES.join(", "));
            self.reject_of(&["jwt.issuer"], message);
        }
    }

    /// Blames the last of these settings that was set other than by the defaults.
    fn reject_of(&mut self, settings: &[&str], message: String) {
        let origins = settings.iter().filter_map(|it| self.origins.get(*it));
        let last = origins.flatten().max().cloned();
        if let (Some(origin), false) = (last, self.broken) {
            self.reject(origin, message);
        }
    }

    /// Blames the last of these settings, if all of them are known for certain.
    fn reject_across(&mut self, settings: [&str; 2], message: String) {
        let origins = settings.map(|it| self.origins.get(it).cloned().flatten());
        if let [Some(one), Some(other)] = origins
            && !self.broken
        {
            self.reject(one.max(other), message);
        }
    }

    fn reject(&mut self, origin: Origin, message: String) {
        self.mistakes.push(Mistake { origin, message });
    }
}

/// Whether settings have names that begin with this one and a dot.
fn is_section(name: &str) -> bool {
    SETTINGS.iter().any(|it| it.section() == Some(name))
}
