//! Stream tokens: what a start is answered with, and all that its player needs from then on. A
//! token is a JWT (RFC 7519) over user, stream and device. Each is good for one stream only.
//!
//! The header of a token is compared with those that we write, byte by byte, and its claims are
//! read only once the signature is right: nothing that a client made up is ever parsed.

mod claims;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::NO_PAD;
use base64::engine::simd::Simd;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use streamgate_core::{Admitted, ENDING_MEMORY, LocatorKey, Place, StreamId, WallTime};

pub(crate) use self::claims::StreamProof;
use self::claims::{Admission, Claims, Purpose, RENEWED_AFTER};
use super::{DirectoryLock, Stamp, from_hex, hex, write_private};
use crate::config::JwtAlgorithm;

/// The encoding in JWTs (RFC 7515, section 2), by the processor's vectors: x86_64 and aarch64.
static BASE64URL: LazyLock<Simd> = LazyLock::new(|| Simd::url_safe(NO_PAD));
/// The media type in the header (RFC 8725, section 3.11): no other token of anybody is one.
const TYPE: &str = "streamgate+jwt";
/// How old a key is when it begins to sign, so that all who check tokens know it by then; when
/// the next one is made; and when it is forgotten, longer after that than any token lasts.
const KNOWN: Duration = Duration::from_secs(600);
const SIGNS: Duration = Duration::from_secs(30 * 86_400);
const KEPT: Duration = Duration::from_secs(60 * 86_400);
/// How long a token for reports lasts: no player stays on one stream for longer.
const REPORTS: Duration = Duration::from_secs(86_400);
/// What the key is derived for that nodes have in common without a file.
const SHARED: &[u8] = b"streamgate stream tokens 1";
/// How long a token may be, in bytes: names have bounds, so no longer one is ours.
const TOKEN_MAX: usize = 4096;
/// How long most tokens are at the most.
const TOKEN_BYTES: usize = 512;
const SECRET_BYTES: usize = 32;
const FORMAT: u8 = 1;

/// Why the keys of the tokens can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenKeysError {
    #[error("cannot use {path}", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} has no keys of stream tokens: {reason}", path = .path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("a key for stream tokens can't be made")]
    Made,
}

/// The file as a whole.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    format: u8,
    /// Oldest first.
    keys: Vec<KeptKey>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeptKey {
    kid: String,
    algorithm: String,
    /// In hex: the secret, or the private key as PKCS #8.
    secret: String,
    created_at_ms: u64,
}

/// Mints and checks stream tokens.
pub(crate) struct StreamTokens {
    path: Option<PathBuf>,
    algorithm: JwtAlgorithm,
    /// Whether there is nothing to refresh.
    is_derived: bool,
    state: RwLock<State>,
}

struct State {
    stamp: Stamp,
    /// What the file looked like when it could not be read, which was told. It is tried again.
    complained: Stamp,
    page: Page,
    keys: Vec<Key>,
}

/// A key, ready to be used.
struct Key {
    algorithm: JwtAlgorithm,
    created_at_ms: u64,
    /// The header of its tokens, encoded, with the dot behind it.
    header: String,
    signer: Signer,
}

enum Signer {
    /// As it is once the header has gone through it, which is the same in every token.
    Hs256(Box<Hmac<Sha256>>),
    Public(Box<KeyPair>),
}

struct KeyPair {
    algorithm: Algorithm,
    private: EncodingKey,
    public: DecodingKey,
    jwk: Jwk,
}

impl StreamTokens {
    /// Reads the keys, and makes what is missing. Without a file they last as long as the process.
    pub(crate) fn open(
        path: Option<&Path>,
        algorithm: JwtAlgorithm,
        now: WallTime,
    ) -> Result<Self, TokenKeysError> {
        let state = match path {
            Some(path) => State::of_file(path, algorithm, now)?,
            None => State::in_memory(Page::EMPTY, algorithm, now)?,
        };
        Ok(Self {
            path: path.map(Path::to_owned),
            algorithm,
            is_derived: false,
            state: RwLock::new(state),
        })
    }

    /// One key for HS256 that all nodes with this secret have. It is never replaced.
    pub(crate) fn derived(secret: &LocatorKey) -> Result<Self, TokenKeysError> {
        let key = keyed(secret.as_bytes()).chain_update(SHARED).finalize();
        let page = Page {
            keys: vec![KeptKey {
                kid: "shared".into(),
                algorithm: name_of(JwtAlgorithm::Hs256).into(),
                secret: hex(&key.into_bytes()),
                created_at_ms: 0,
            }],
            ..Page::EMPTY
        };
        Ok(Self {
            path: None,
            algorithm: JwtAlgorithm::Hs256,
            is_derived: true,
            state: RwLock::new(State::new(
                Stamp::default(),
                page,
                Path::new("locator_key"),
            )?),
        })
    }

    /// A token for a stream that has its place. It lasts until nothing is remembered of the stream
    /// any more, also if the last heartbeat came just before it would have brought a new one.
    pub(crate) fn mint(&self, place: &Place, admitted: Admitted, now: WallTime) -> String {
        let lease = &place.stream.lease;
        let lasts = lease.expires_at().since(lease.heard_at()) + ENDING_MEMORY + RENEWED_AFTER;
        self.minted(place, admitted, Purpose::Anything, lasts, now)
    }

    /// A token for the stream's reports by CMCD. Players never renew it, so it lasts; and it is
    /// good for nothing else.
    pub(crate) fn mint_for_reports(
        &self,
        place: &Place,
        admitted: Admitted,
        now: WallTime,
    ) -> String {
        self.minted(place, admitted, Purpose::Reports, REPORTS, now)
    }

    fn minted(
        &self,
        place: &Place,
        admitted: Admitted,
        purpose: Purpose,
        lasts: Duration,
        now: WallTime,
    ) -> String {
        let seconds = now.as_millis() / 1000;
        let mut minted = [0; StreamId::MINTED_LEN];
        let claims = Claims {
            sub: place.user.as_str(),
            sid: place.stream.id.text(&mut minted),
            adm: Admission::of(place),
            prv: admitted == Admitted::Provisionally,
            rpt: purpose == Purpose::Reports,
            iat: seconds,
            exp: seconds + lasts.as_secs(),
        };
        self.signing(&self.state.read().keys, now).sign(&claims)
    }

    /// The newest key that all know by now; if there is none, the oldest.
    fn signing<'a>(&self, keys: &'a [Key], now: WallTime) -> &'a Key {
        let ours = || keys.iter().filter(|key| key.algorithm == self.algorithm);
        let is_known = |key: &&Key| is_older_than(key.created_at_ms, KNOWN, now);
        let known = ours().filter(is_known).max_by_key(|key| key.created_at_ms);
        known
            .or_else(|| ours().min_by_key(|key| key.created_at_ms))
            .expect("there is always a key of ours")
    }

    /// What a token proves; `None` if it is none of ours, too old, or for reports only.
    pub(crate) fn verify(&self, token: &str, now: WallTime) -> Option<StreamProof> {
        let proof = self.verify_for_reports(token, now)?;
        (proof.purpose == Purpose::Anything).then_some(proof)
    }

    /// The same, of one for reports too.
    pub(crate) fn verify_for_reports(&self, token: &str, now: WallTime) -> Option<StreamProof> {
        if TOKEN_MAX < token.len() {
            return None;
        }
        let state = self.state.read();
        let claims = state.keys.iter().find_map(|key| key.verified(token));
        StreamProof::read(claims?, now)
    }

    /// Whether it is one for reports, whatever time has passed.
    pub(crate) fn was_for_reports(&self, token: &str) -> bool {
        let proof = self.verify_for_reports(token, WallTime::from_millis(0));
        proof.is_some_and(|it| it.purpose == Purpose::Reports)
    }

    /// Whether it claims to be one of ours.
    pub(crate) fn knows(&self, token: &str) -> bool {
        let state = self.state.read();
        state.keys.iter().any(|key| token.starts_with(&key.header))
    }

    /// The public keys (RFC 7517), for others who check tokens; none of a shared secret.
    pub(crate) fn public_keys(&self) -> JwkSet {
        let state = self.state.read();
        let keys = state.keys.iter().filter_map(|key| match &key.signer {
            Signer::Hs256(_) => None,
            Signer::Public(pair) => Some(pair.jwk.clone()),
        });
        JwkSet {
            keys: keys.collect(),
        }
    }

    /// Takes in what another node changed, and makes a new key when it is time.
    pub(crate) fn refresh(&self, now: WallTime) {
        let is_current = {
            let state = self.state.read();
            let stamp = self.path.as_deref().map(Stamp::of).unwrap_or_default();
            let is_stale = state.page.is_stale(self.algorithm, now);
            self.is_derived || (stamp == state.stamp && !is_stale)
        };
        if is_current {
            return;
        }
        let kept = match &self.path {
            Some(path) => State::of_file(path, self.algorithm, now),
            None => {
                let page = self.state.read().page.clone();
                State::in_memory(page, self.algorithm, now)
            }
        };
        match kept {
            Ok(state) => *self.state.write() = state,
            Err(error) => {
                let stamp = self.path.as_deref().map(Stamp::of).unwrap_or_default();
                let mut state = self.state.write();
                if std::mem::replace(&mut state.complained, stamp) != stamp {
                    let message = "the keys of the stream tokens stay as they were";
                    tracing::error!(error = %error, "{message}");
                }
            }
        }
    }
}

impl State {
    /// What a file has. What is missing is added, by one process at a time.
    fn of_file(
        path: &Path,
        algorithm: JwtAlgorithm,
        now: WallTime,
    ) -> Result<Self, TokenKeysError> {
        // Looked at first: what changes meanwhile is read again.
        let stamp = Stamp::of(path);
        let page = Page::read(path)?;
        if !page.is_stale(algorithm, now) {
            return Self::new(stamp, page, path);
        }
        let lock = DirectoryLock::of(path).map_err(|source| TokenKeysError::Io {
            path: path.into(),
            source,
        })?;
        let mut page = Page::read(path)?;
        if page.is_stale(algorithm, now) {
            page.renew(algorithm, now)?;
            page.write(&lock, path)?;
        }
        Self::new(Stamp::of(path), page, path)
    }

    fn in_memory(
        mut page: Page,
        algorithm: JwtAlgorithm,
        now: WallTime,
    ) -> Result<Self, TokenKeysError> {
        if page.is_stale(algorithm, now) {
            page.renew(algorithm, now)?;
        }
        Self::new(Stamp::default(), page, Path::new("memory"))
    }

    fn new(stamp: Stamp, page: Page, path: &Path) -> Result<Self, TokenKeysError> {
        let keys: Option<Vec<Key>> = page.keys.iter().map(KeptKey::ready).collect();
        let keys = keys.ok_or_else(|| TokenKeysError::Damaged {
            path: path.into(),
            reason: "a key can't be read".into(),
        })?;
        Ok(Self {
            stamp,
            complained: Stamp::default(),
            page,
            keys,
        })
    }
}

impl Page {
    const EMPTY: Self = Self {
        format: FORMAT,
        keys: Vec::new(),
    };

    fn read(path: &Path) -> Result<Self, TokenKeysError> {
        let damaged = |reason: String| TokenKeysError::Damaged {
            path: path.into(),
            reason,
        };
        match fs::read_to_string(path) {
            Ok(text) => {
                let page: Self =
                    serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
                if page.format == FORMAT {
                    Ok(page)
                } else {
                    let found = page.format;
                    Err(damaged(format!("it has format {found}, expected {FORMAT}")))
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::EMPTY),
            Err(source) => Err(TokenKeysError::Io {
                path: path.into(),
                source,
            }),
        }
    }

    fn write(&self, lock: &DirectoryLock, path: &Path) -> Result<(), TokenKeysError> {
        let text = serde_json::to_string_pretty(self).expect("keys can be written as JSON");
        write_private(lock, path, &(text + "\n")).map_err(|source| TokenKeysError::Io {
            path: path.into(),
            source,
        })
    }

    /// Whether it has no key that may sign now.
    fn is_stale(&self, algorithm: JwtAlgorithm, now: WallTime) -> bool {
        let ours = self.keys.iter();
        let mut ours = ours.filter(|key| key.algorithm == name_of(algorithm));
        ours.all(|key| is_older_than(key.created_at_ms, SIGNS, now))
    }

    /// Adds a key, and takes those away that nobody needs any more.
    fn renew(&mut self, algorithm: JwtAlgorithm, now: WallTime) -> Result<(), TokenKeysError> {
        self.keys
            .retain(|key| !is_older_than(key.created_at_ms, KEPT, now));
        self.keys.push(KeptKey::make(algorithm, now)?);
        Ok(())
    }
}

fn is_older_than(created_at_ms: u64, age: Duration, now: WallTime) -> bool {
    age < Duration::from_millis(now.as_millis().saturating_sub(created_at_ms))
}

impl KeptKey {
    fn make(algorithm: JwtAlgorithm, now: WallTime) -> Result<Self, TokenKeysError> {
        let random = rand::SystemRandom::new();
        let secret = match algorithm {
            JwtAlgorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                    .map(|key| key.as_ref().to_vec())
            }
            JwtAlgorithm::EdDsa => {
                Ed25519KeyPair::generate_pkcs8v1(&random).map(|key| key.as_ref().to_vec())
            }
            JwtAlgorithm::Hs256 | JwtAlgorithm::Rs256 => {
                let mut secret = vec![0; SECRET_BYTES];
                rand::SecureRandom::fill(&random, &mut secret).map(|()| secret)
            }
        };
        let mut kid = [0; 8];
        rand::SecureRandom::fill(&random, &mut kid)
            .ok()
            .ok_or(TokenKeysError::Made)?;
        Ok(Self {
            kid: BASE64URL.encode(kid),
            algorithm: name_of(algorithm).into(),
            secret: hex(&secret.ok().ok_or(TokenKeysError::Made)?),
            created_at_ms: now.as_millis(),
        })
    }

    /// `None` when it is no key.
    fn ready(&self) -> Option<Key> {
        let secret = from_hex(&self.secret)?;
        let header = serde_json::json!({
            "alg": self.algorithm,
            "kid": self.kid,
            "typ": TYPE,
        });
        let header = BASE64URL.encode(header.to_string()) + ".";
        let (algorithm, signer) = match self.algorithm.as_str() {
            "HS256" => {
                let headed = keyed(&secret).chain_update(&header);
                (JwtAlgorithm::Hs256, Signer::Hs256(Box::new(headed)))
            }
            "ES256" => {
                let private = EncodingKey::from_ec_der(&secret);
                let pair = public(private, Algorithm::ES256, KeyAlgorithm::ES256, &self.kid)?;
                (JwtAlgorithm::Es256, pair)
            }
            "EdDSA" => {
                let private = EncodingKey::from_ed_der(&secret);
                let pair = public(private, Algorithm::EdDSA, KeyAlgorithm::EdDSA, &self.kid)?;
                (JwtAlgorithm::EdDsa, pair)
            }
            _ => return None,
        };
        Some(Key {
            algorithm,
            created_at_ms: self.created_at_ms,
            header,
            signer,
        })
    }
}

fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).expect("a key may have any length")
}

fn public(
    private: EncodingKey,
    algorithm: Algorithm,
    name: KeyAlgorithm,
    kid: &str,
) -> Option<Signer> {
    let mut jwk = Jwk::from_encoding_key(&private, algorithm).ok()?;
    jwk.common.key_id = Some(kid.into());
    jwk.common.key_algorithm = Some(name);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Some(Signer::Public(Box::new(KeyPair {
        algorithm,
        public: DecodingKey::from_jwk(&jwk).ok()?,
        private,
        jwk,
    })))
}

impl Key {
    fn sign(&self, claims: &Claims<'_>) -> String {
        let claims = serde_json::to_vec(claims).expect("claims can be written as JSON");
        let mut token = String::with_capacity(TOKEN_BYTES);
        token.push_str(&self.header);
        BASE64URL.encode_string(claims, &mut token);
        match &self.signer {
            Signer::Hs256(headed) => {
                let claims = &token[self.header.len()..];
                let tag = Hmac::clone(headed).chain_update(claims).finalize();
                token.push('.');
                BASE64URL.encode_string(tag.into_bytes(), &mut token);
            }
            Signer::Public(pair) => {
                let message = token.as_bytes();
                let signed = jsonwebtoken::crypto::sign(message, &pair.private, pair.algorithm);
                token.push('.');
                token.push_str(&signed.expect("the key was good when it was read"));
            }
        }
        token
    }

    /// The claims of a token of this key, if its signature is right.
    fn verified(&self, token: &str) -> Option<String> {
        let (claims, signature) = token.strip_prefix(&self.header)?.rsplit_once('.')?;
        let is_right = match &self.signer {
            Signer::Hs256(headed) => {
                let mut tag = [0; 2 * SECRET_BYTES];
                let len = BASE64URL.decode_slice(signature, &mut tag).ok()?;
                let whole = Hmac::clone(headed).chain_update(claims);
                whole.verify_slice(&tag[..len]).is_ok()
            }
            Signer::Public(pair) => {
                let message = &token.as_bytes()[..self.header.len() + claims.len()];
                jsonwebtoken::crypto::verify(signature, message, &pair.public, pair.algorithm)
                    .ok()?
            }
        };
        let claims = is_right.then(|| BASE64URL.decode(claims).ok())??;
        String::from_utf8(claims).ok()
    }
}

/// The name of an algorithm in a header (RFC 7518, section 3.1; RFC 8037, section 3.1).
pub(super) fn name_of(algorithm: JwtAlgorithm) -> &'static str {
    match algorithm {
        JwtAlgorithm::Hs256 => "HS256",
        JwtAlgorithm::Rs256 => "RS256",
        JwtAlgorithm::Es256 => "ES256",
        JwtAlgorithm::EdDsa => "EdDSA",
    }
}
