//! Who may call: API keys, the platform's tokens, our own stream tokens. What each of them may do
//! is said in `http/caller.rs`.

mod jwks;
mod keys;
mod player;
mod rates;
mod stamp;
mod stream_token;

#[cfg(test)]
pub(crate) mod tests;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use streamgate_core::{Admitted, Place, WallTime};
use tokio_util::sync::CancellationToken;

pub(crate) use self::keys::{
    ApiKey, Granted, KEY_PREFIX, KeyFile, KeyRing, KeyUse, KeysError, NAME_MAX, Scope,
};
pub(crate) use self::player::{Player, Players, Refusal};
pub(crate) use self::rates::{Rates, TooMany};
pub(crate) use self::stamp::Stamp;
pub(crate) use self::stream_token::{StreamProof, StreamTokens};

use crate::clock::Clock;
use crate::config::{AuthMode, Config, StoreKind};

/// How often files are looked at that may have changed.
const LOOK: Duration = Duration::from_secs(1);
/// The names of the files in the data directory.
const KEYS_FILE: &str = "keys.json";
const TOKEN_KEYS_FILE: &str = "token-keys.json";

/// Everything that tells callers apart.
pub(crate) struct Auth {
    /// `None` when nobody is asked.
    pub(crate) asked: Option<Asked>,
    pub(crate) stream_tokens: StreamTokens,
    pub(crate) rates: Rates,
}

/// What callers are asked for.
pub(crate) struct Asked {
    pub(crate) keys: KeyRing,
    pub(crate) players: Option<Players>,
    /// What a client may do that has a certificate of the right authority.
    pub(crate) certificate_scopes: Vec<Scope>,
}

/// Why what tells callers apart can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    /// The API keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The keys of the stream tokens.
    #[error(transparent)]
    StreamTokens(#[from] stream_token::TokenKeysError),
    /// The keys of the platform's tokens.
    #[error(transparent)]
    Players(#[from] jwks::JwksError),
}

impl Auth {
    /// Reads and makes what the configuration names. The data directory must be there, unless
    /// nothing is kept on disk.
    pub(crate) fn open(config: &Config, now: WallTime) -> Result<Self, AuthError> {
        let asked = match config.auth {
            AuthMode::None => None,
            AuthMode::Required => Some(Asked {
                keys: KeyRing::open(&keys_file(config))?,
                players: Players::open(&config.jwt, &config.plans)?,
                certificate_scopes: config.tls.client_scopes.clone(),
            }),
        };
        let open = |path: Option<&Path>| StreamTokens::open(path, config.tokens.algorithm, now);
        let stream_tokens = match (&config.tokens.keys_file, config.store, &config.locator_key) {
            (Some(file), _, _) => open(Some(file))?,
            (None, StoreKind::Embedded, _) => open(Some(&config.data_dir.join(TOKEN_KEYS_FILE)))?,
            (None, StoreKind::Redis | StoreKind::DynamoDb, Some(secret)) => {
                StreamTokens::derived(secret)?
            }
            (None, StoreKind::Memory | StoreKind::Redis | StoreKind::DynamoDb, _) => open(None)?,
        };
        Ok(Self {
            asked,
            stream_tokens,
            rates: Rates::new(&config.rate),
        })
    }

    /// The token for a stream that has its place.
    pub(crate) fn token_of(&self, place: &Place, admitted: Admitted, now: WallTime) -> String {
        self.stream_tokens.mint(place, admitted, now)
    }

    /// The token for a stream's reports by CMCD.
    pub(crate) fn report_token_of(
        &self,
        place: &Place,
        admitted: Admitted,
        now: WallTime,
    ) -> String {
        self.stream_tokens.mint_for_reports(place, admitted, now)
    }

    /// Takes in what changed on disk, until the service ends.
    pub(crate) async fn follow(&self, clock: &dyn Clock, ending: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        while ending.run_until_cancelled(looks.tick()).await.is_some() {
            self.look(clock.wall());
        }
    }

    /// Takes in what changed on disk, once.
    pub(crate) fn look(&self, now: WallTime) {
        self.stream_tokens.refresh(now);
        self.rates.forget_old();
        if let Some(asked) = &self.asked {
            asked.keys.refresh();
        }
    }

    /// Fetches the issuer's keys, if there is an issuer to ask. What can't be fetched is tried
    /// again later.
    pub(crate) async fn ask_issuer(&self) {
        if let Some(players) = self.asked.as_ref().and_then(|it| it.players.as_ref()) {
            players.refresh().await;
        }
    }

    /// Keeps the issuer's keys fresh until the service ends.
    pub(crate) async fn follow_issuer(&self, ending: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        while ending.run_until_cancelled(looks.tick()).await.is_some() {
            ending.run_until_cancelled(self.ask_issuer()).await;
        }
    }
}

/// Where a configuration has its API keys.
pub(crate) fn keys_file(config: &Config) -> PathBuf {
    let in_data_dir = || config.data_dir.join(KEYS_FILE);
    config.keys_file.clone().unwrap_or_else(in_data_dir)
}

/// One process at a time changes the files in a directory, for as long as this lives.
struct DirectoryLock(std::fs::File);

impl DirectoryLock {
    /// Waits for the directory of a file, which is made if it is not there.
    fn of(path: &Path) -> std::io::Result<Self> {
        let directory = directory_of(path);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let directory = std::fs::File::open(directory)?;
        directory.lock()?;
        Ok(Self(directory))
    }
}

fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Writes a file that only its owner can read, whole or not at all. It belongs to whom the one
/// before it belonged to, or to whom the directory does: root may make keys for a service.
fn write_private(lock: &DirectoryLock, path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};

    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let mut file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    let owner = std::fs::metadata(path).or_else(|_| lock.0.metadata())?;
    if file.metadata()?.uid() != owner.uid() {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    lock.0.sync_all()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;

    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every character");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.len()
        .is_multiple_of(2)
        .then(|| digits.map(byte).collect())?
}
