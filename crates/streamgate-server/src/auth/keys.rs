//! API keys of back ends and operators. A key is shown once, when it is made; kept is its hash.
//! What a key is looked up by, its id, stands in it and is no secret.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use streamgate_core::WallTime;

use super::{DirectoryLock, Stamp, hex, write_private};

/// How every key begins, so that scanners of leaked secrets recognise it.
pub(crate) const KEY_PREFIX: &str = "sgk_";
/// Bytes of a key that are no secret, and bytes that are.
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
/// How many characters a key has: prefix, id and secret in hex, a line between them.
const KEY_LEN: usize = KEY_PREFIX.len() + 2 * ID_BYTES + 1 + 2 * SECRET_BYTES;
/// How many keys a file may have, and how long a key's name may be, in bytes.
const KEYS_MAX: usize = 10_000;
pub(crate) const NAME_MAX: usize = 128;
const FORMAT: u8 = 1;
/// What a start counts at first, and which part of that is left out with every look at the file:
/// after a minute it counts for little.
const START: u64 = 1 << 10;
const FADING: u64 = 32;

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Start, heartbeat and stop streams of any user.
    Play,
    /// Evict streams, and read.
    Operate,
    /// See who is watching, and metrics.
    Read,
}

/// One key, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApiKey {
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    /// SHA-256 of the whole key, in hex. The secret is random, so nothing slower is needed.
    hash: String,
    pub(crate) created_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at_ms: Option<u64>,
}

/// Who calls with a key, and what it may do.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) id: String,
    pub(crate) scopes: Vec<Scope>,
    /// The starts of late.
    starts: AtomicU64,
}

/// How the keys are used, without telling which.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct KeyUse {
    /// How many are good.
    pub(crate) good: usize,
    /// Which part of the starts of late came with the busiest one: 0, if there were none, to 1.
    pub(crate) busiest: f64,
}

/// Why keys can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("cannot use {path}", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is no file of API keys: {reason}", path = .path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{path} has {KEYS_MAX} keys already; revoke some", path = .path.display())]
    Full { path: PathBuf },
    #[error("no random bytes for a key")]
    Random(#[source] getrandom::Error),
}

/// The file as a whole.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    format: u8,
    keys: Vec<ApiKey>,
}

/// The file of keys, for the command line.
pub(crate) struct KeyFile {
    path: PathBuf,
    pub(crate) keys: Vec<ApiKey>,
    lock: DirectoryLock,
}

impl KeyFile {
    /// Opens the file to change it; one that is not there has no keys.
    pub(crate) fn open(path: &Path) -> Result<Self, KeysError> {
        let failed = |source| KeysError::Io {
            path: path.into(),
            source,
        };
        let lock = DirectoryLock::of(path).map_err(failed)?;
        Ok(Self {
            path: path.into(),
            keys: read(path)?,
            lock,
        })
    }

    /// Makes a key and returns it; it is shown this one time.
    pub(crate) fn add(
        &mut self,
        name: String,
        scopes: Vec<Scope>,
        now: WallTime,
        lasts: Option<Duration>,
    ) -> Result<(ApiKey, String), KeysError> {
        if KEYS_MAX <= self.keys.len() {
            return Err(KeysError::Full {
                path: self.path.clone(),
            });
        }
        let mut random = [0; ID_BYTES + SECRET_BYTES];
        getrandom::fill(&mut random).map_err(KeysError::Random)?;
        let (id, secret) = random.split_at(ID_BYTES);
        let id = hex(id);
        let text = format!("{KEY_PREFIX}{id}_{}", hex(secret));
        let lasts_ms = |lasts: Duration| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let key = ApiKey {
            id,
            name,
            scopes,
            hash: hash(&text),
            created_at_ms: now.as_millis(),
            expires_at_ms: lasts.map(|it| now.as_millis().saturating_add(lasts_ms(it))),
        };
        self.keys.push(key.clone());
        self.write()?;
        Ok((key, text))
    }

    /// Takes a key away; false when there is no such key.
    pub(crate) fn revoke(&mut self, id: &str) -> Result<bool, KeysError> {
        let before = self.keys.len();
        self.keys.retain(|key| key.id != id);
        let is_gone = self.keys.len() < before;
        if is_gone {
            self.write()?;
        }
        Ok(is_gone)
    }

    fn write(&self) -> Result<(), KeysError> {
        let page = Page {
            format: FORMAT,
            keys: self.keys.clone(),
        };
        let text = serde_json::to_string_pretty(&page).expect("keys can be written as JSON");
        write_private(&self.lock, &self.path, &(text + "\n")).map_err(|source| KeysError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// The keys of a running server.
pub(crate) struct KeyRing {
    path: PathBuf,
    state: RwLock<State>,
}

struct State {
    /// What the file looked like.
    stamp: Stamp,
    /// What it looked like when it could not be read, which was told. It is tried again.
    complained: Stamp,
    keys: HashMap<String, Known>,
}

struct Known {
    key: ApiKey,
    granted: Arc<Granted>,
}

impl Granted {
    pub(crate) fn new(id: String, scopes: Vec<Scope>) -> Self {
        let starts = AtomicU64::new(0);
        Self { id, scopes, starts }
    }

    /// Counts a start, for [`KeyRing::usage`].
    pub(crate) fn count_start(&self) {
        self.starts.fetch_add(START, Relaxed);
    }

    fn fade(&self) {
        let starts = self.starts.load(Relaxed);
        self.starts.fetch_sub(starts.div_ceil(FADING), Relaxed);
    }
}

impl ApiKey {
    fn is_good(&self, now: WallTime) -> bool {
        self.expires_at_ms.is_none_or(|end| now.as_millis() < end)
    }
}

impl KeyRing {
    /// Reads the file; one that is not there yet has no keys.
    pub(crate) fn open(path: &Path) -> Result<Self, KeysError> {
        Ok(Self {
            path: path.into(),
            state: RwLock::new(State::read(path)?),
        })
    }

    /// Who calls with this key; `None` for one that is unknown, revoked or too old.
    pub(crate) fn verify(&self, text: &str, now: WallTime) -> Option<Arc<Granted>> {
        let (id, _secret) = text.strip_prefix(KEY_PREFIX)?.split_once('_')?;
        if text.len() != KEY_LEN {
            return None;
        }
        let state = self.state.read();
        let Known { key, granted } = state.keys.get(id)?;
        verify_slices_are_equal(key.hash.as_bytes(), hash(text).as_bytes()).ok()?;
        key.is_good(now).then(|| Arc::clone(granted))
    }

    /// How many keys are good, and how their starts are spread.
    pub(crate) fn usage(&self, now: WallTime) -> KeyUse {
        let state = self.state.read();
        let good = state.keys.values().filter(|it| it.key.is_good(now)).count();
        let starts = state
            .keys
            .values()
            .map(|it| it.granted.starts.load(Relaxed));
        let (all, busiest) = starts.fold((0, 0), |(all, busiest): (u64, u64), starts| {
            (all + starts, busiest.max(starts))
        });
        KeyUse {
            good,
            busiest: busiest as f64 / all.max(1) as f64,
        }
    }

    /// Reads the file again if it changed. One that is damaged is reported, and the keys stay as
    /// they were. Called once a second, which makes starts count for less.
    pub(crate) fn refresh(&self) {
        for known in self.state.read().keys.values() {
            known.granted.fade();
        }
        let stamp = Stamp::of(&self.path);
        if stamp == self.state.read().stamp {
            return;
        }
        match State::read(&self.path) {
            Ok(state) => {
                tracing::info!(keys = state.keys.len(), "the API keys changed");
                let mut last = self.state.write();
                for (id, known) in &state.keys {
                    if let Some(last) = last.keys.get(id) {
                        let starts = last.granted.starts.load(Relaxed);
                        known.granted.starts.store(starts, Relaxed);
                    }
                }
                *last = state;
            }
            Err(error) => {
                let mut state = self.state.write();
                if std::mem::replace(&mut state.complained, stamp) != stamp {
                    tracing::error!(error = %error, "the API keys stay as they were");
                }
            }
        }
    }
}

impl State {
    fn read(path: &Path) -> Result<Self, KeysError> {
        // Looked at first: what changes meanwhile is read again.
        let stamp = Stamp::of(path);
        let keys = read(path)?.into_iter().map(|key| {
            let granted = Arc::new(Granted::new(key.id.clone(), key.scopes.clone()));
            (key.id.clone(), Known { key, granted })
        });
        Ok(Self {
            stamp,
            complained: Stamp::default(),
            keys: keys.collect(),
        })
    }
}

fn hash(key: &str) -> String {
    hex(digest(&SHA256, key.as_bytes()).as_ref())
}

fn read(path: &Path) -> Result<Vec<ApiKey>, KeysError> {
    let damaged = |reason: String| KeysError::Damaged {
        path: path.into(),
        reason,
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(KeysError::Io {
                path: path.into(),
                source,
            });
        }
    };
    let page: Page = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    if page.format != FORMAT {
        let reason = format!("it has format {}, expected {FORMAT}", page.format);
        return Err(damaged(reason));
    }
    Ok(page.keys)
}
