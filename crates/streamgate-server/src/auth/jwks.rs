//! The public keys of the issuer of the platform's tokens (JWKS, RFC 7517): from a file, from
//! where the issuer publishes them, or from where it says that it does.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;

use super::Stamp;
use crate::clock::instant;
use crate::config::is_private;

/// How often keys are fetched anew, and how soon again for a key that is not known.
const FETCHED_EVERY: Duration = Duration::from_secs(300);
const FETCHED_AGAIN: Duration = Duration::from_secs(60);
/// How soon an issuer is tried again that was never reached.
const FETCHED_FIRST: Duration = Duration::from_secs(5);
/// How many requests may wait for a fetch.
const WAITING_MAX: usize = 64;
/// How long the issuer may take, and how much it may say, in bytes.
const ANSWER_MAX: Duration = Duration::from_secs(3);
const PAGE_MAX: u64 = 256 << 10;
/// How many keys are taken.
const KEYS_MAX: usize = 64;

/// Where keys come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    File(PathBuf),
    Url(String),
    /// The issuer, who says where (OpenID Connect Discovery 1.0, section 4).
    Discovery(String),
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JwksError {
    #[error("cannot read {path}", path = .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot fetch {url}")]
    Fetch {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("{place} is not what it should be: {reason}")]
    Page { place: String, reason: String },
    #[error("{path} has {len} bytes; a secret must have at least 32", path = .path.display())]
    ShortSecret { path: PathBuf, len: usize },
}

/// A key with the one algorithm that it is good for: the header of a token never chooses.
#[derive(Clone)]
pub(super) struct IssuerKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

type Keys = HashMap<String, IssuerKey>;

/// The issuer's keys, kept fresh. When they can't be fetched, the last ones stay.
pub(super) struct Jwks {
    source: Source,
    /// `None` until they were fetched for the first time.
    keys: Arc<RwLock<Option<Arc<Keys>>>>,
    /// One fetch at a time, and few who wait for it.
    fetched: Mutex<Fetched>,
    waiting: Semaphore,
}

#[derive(Default)]
struct Fetched {
    at: Option<Instant>,
    /// What the file looked like that was read, and the last one that could not be.
    stamp: Stamp,
    complained: Stamp,
    /// The fetch under way, and of which file.
    running: Option<(Stamp, JoinHandle<bool>)>,
}

/// Why a key is not there.
pub(super) enum NoKey {
    /// The issuer has no key of this name.
    Unknown,
    /// The issuer was never reached.
    Unreached,
}

impl Jwks {
    /// Reads a file, which must be right; what is fetched may come later.
    pub(super) fn open(source: Source) -> Result<Self, JwksError> {
        let mut fetched = Fetched::default();
        let keys = match &source {
            Source::File(path) => {
                fetched.stamp = Stamp::of(path);
                Some(Arc::new(source.fetch()?))
            }
            Source::Url(_) | Source::Discovery(_) => None,
        };
        Ok(Self {
            source,
            keys: Arc::new(RwLock::new(keys)),
            fetched: Mutex::new(fetched),
            waiting: Semaphore::new(WAITING_MAX),
        })
    }

    /// The key of this name. One that is not known is asked for, once a minute at the most.
    pub(super) async fn key(&self, kid: Option<&str>) -> Result<IssuerKey, NoKey> {
        if let Some(key) = self.known(kid) {
            return Ok(key);
        }
        // Whoever would be one too many is not worth the wait.
        if let Ok(_turn) = self.waiting.try_acquire() {
            self.fetch_after(FETCHED_AGAIN).await;
        }
        let none = match *self.keys.read() {
            Some(_) => NoKey::Unknown,
            None => NoKey::Unreached,
        };
        self.known(kid).ok_or(none)
    }

    /// Fetches the keys again if that was long ago, or reads a file that changed.
    pub(super) async fn refresh(&self) {
        self.fetch_after(FETCHED_EVERY).await;
    }

    /// Without a name the only key there is.
    fn known(&self, kid: Option<&str>) -> Option<IssuerKey> {
        let keys = self.keys.read().clone()?;
        match kid {
            Some(kid) => keys.get(kid).cloned(),
            None if keys.len() == 1 => keys.values().next().cloned(),
            None => None,
        }
    }

    async fn fetch_after(&self, pause: Duration) {
        let mut fetched = self.fetched.lock().await;
        if fetched.running.is_none() {
            let stamp = match &self.source {
                Source::File(path) => Stamp::of(path),
                Source::Url(_) | Source::Discovery(_) => Stamp::default(),
            };
            if self.is_fresh(&fetched, stamp, pause) {
                return;
            }
            fetched.at = Some(instant());
            fetched.running = Some((stamp, self.fetch(fetched.complained == stamp)));
        }
        // Whoever waits for it may go away; the next one finds it running.
        if let Some((stamp, running)) = &mut fetched.running {
            let (stamp, is_done) = (*stamp, running.await.unwrap_or(false));
            fetched.running = None;
            if is_done {
                fetched.stamp = stamp;
            } else {
                fetched.complained = stamp;
            }
        }
    }

    /// Whether what is known is new enough, or there is no hope to know more yet.
    fn is_fresh(&self, fetched: &Fetched, stamp: Stamp, pause: Duration) -> bool {
        if let Source::File(_) = self.source {
            return stamp == fetched.stamp
                || (stamp == fetched.complained && pause == FETCHED_AGAIN);
        }
        let pause = match *self.keys.read() {
            Some(_) => pause,
            None => FETCHED_FIRST,
        };
        fetched.at.is_some_and(|at| at.elapsed() < pause)
    }

    /// Fetches the keys and takes them in; whether that worked.
    fn fetch(&self, is_told: bool) -> JoinHandle<bool> {
        let (source, keys) = (self.source.clone(), Arc::clone(&self.keys));
        let is_told = is_told && matches!(source, Source::File(_));
        tokio::task::spawn_blocking(move || match source.fetch() {
            Ok(fetched) => {
                *keys.write() = Some(Arc::new(fetched));
                true
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                if !is_told {
                    tracing::error!(error = %error, cause, "the issuer's keys stay as they were");
                }
                false
            }
        })
    }
}

impl Source {
    fn fetch(&self) -> Result<Keys, JwksError> {
        match self {
            Self::File(path) => {
                let text = fs::read_to_string(path).map_err(|source| JwksError::File {
                    path: path.clone(),
                    source,
                })?;
                keys(&parse(&text, &path.display().to_string())?)
            }
            Self::Url(url) => keys(&get(url)?),
            Self::Discovery(issuer) => {
                #[derive(Deserialize)]
                struct Configuration {
                    issuer: String,
                    jwks_uri: String,
                }

                let base = issuer.trim_end_matches('/');
                let place = format!("{base}/.well-known/openid-configuration");
                let said: Configuration = get(&place)?;
                // Section 4.3: an issuer speaks for itself only.
                if said.issuer != *issuer {
                    let reason = format!("it speaks for {:?}", said.issuer);
                    return Err(JwksError::Page { place, reason });
                }
                if !is_private(&said.jwks_uri) {
                    let reason = format!("it sends to {:?}, which is not https", said.jwks_uri);
                    return Err(JwksError::Page { place, reason });
                }
                keys(&get(&said.jwks_uri)?)
            }
        }
    }
}

fn get<T: DeserializeOwned>(url: &str) -> Result<T, JwksError> {
    let failed = |source| JwksError::Fetch {
        url: url.into(),
        source: Box::new(source),
    };
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::PlatformVerifier)
        .build();
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_MAX))
        // Keys come from where the configuration says, not from where that place sends us.
        .max_redirects(0)
        .max_redirects_will_error(true)
        .tls_config(tls)
        .build()
        .new_agent();
    let mut answer = agent.get(url).call().map_err(failed)?;
    let body = answer.body_mut().with_config().limit(PAGE_MAX);
    parse(&body.read_to_string().map_err(failed)?, url)
}

fn parse<T: DeserializeOwned>(text: &str, place: &str) -> Result<T, JwksError> {
    serde_json::from_str(text).map_err(|error| JwksError::Page {
        place: place.into(),
        reason: error.to_string(),
    })
}

/// The keys that are for signatures and of a kind that is taken. A shared secret never is: it
/// would let whoever reads the page sign.
fn keys(page: &JwkSet) -> Result<Keys, JwksError> {
    let usable = page.keys.iter().filter_map(|jwk| {
        let is_for_signatures = matches!(
            jwk.common.public_key_use,
            None | Some(PublicKeyUse::Signature)
        );
        let algorithm = algorithm_of(jwk).filter(|_| is_for_signatures)?;
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let kid = jwk.common.key_id.clone().unwrap_or_default();
        Some((kid, IssuerKey { algorithm, key }))
    });
    Ok(usable.take(KEYS_MAX).collect())
}

fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    let is = |curve| curve_of(jwk) == Some(&curve);
    let (algorithm, name) = if matches!(jwk.algorithm, AlgorithmParameters::RSA(_)) {
        (Algorithm::RS256, KeyAlgorithm::RS256)
    } else if is(EllipticCurve::P256) {
        (Algorithm::ES256, KeyAlgorithm::ES256)
    } else if is(EllipticCurve::Ed25519) {
        (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
    } else {
        return None;
    };
    let said = jwk.common.key_algorithm;
    said.is_none_or(|said| said == name).then_some(algorithm)
}

fn curve_of(jwk: &Jwk) -> Option<&EllipticCurve> {
    if let AlgorithmParameters::EllipticCurve(key) = &jwk.algorithm {
        Some(&key.curve)
    } else if let AlgorithmParameters::OctetKeyPair(key) = &jwk.algorithm {
        Some(&key.curve)
    } else {
        None
    }
}
