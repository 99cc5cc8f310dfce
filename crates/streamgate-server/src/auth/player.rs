//! Players: who they are, by a token (JWT) of the video platform. RFC 8725 lists the traps; each
//! that concerns a server is closed here: the algorithm is the key's, never the header's; a key
//! is looked up by name among those of the one issuer, nowhere else; issuer, audience and expiry
//! must be there and right.

use std::fs;

use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::{Map, Value};
use streamgate_core::{Limit, UserId};

use super::jwks::{IssuerKey, Jwks, JwksError, NoKey, Source};
use crate::config::{JwtAlgorithm, JwtConfig, Plans};

/// How far the clocks of the issuer and ours may lie apart.
const LEEWAY_SECONDS: u64 = 60;
/// How long a token may be, in bytes.
const TOKEN_MAX: usize = 8 << 10;
/// How long a shared secret must be: as long as the hash (RFC 7518, section 3.2).
const SECRET_MIN: usize = 32;

/// Who plays, and what the platform says of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Player {
    pub(crate) user: UserId,
    /// The limit that the token has, or the plan's that it names.
    pub(crate) limit: Option<Limit>,
}

/// Why a token is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not good. The reason is for the log of whoever looks for the fault: its bearer learns
    /// no more than that it is not.
    Invalid(String),
    /// Nobody can tell: the issuer's keys were never fetched. Worth a retry.
    NoKeys,
}

/// Checks the platform's tokens.
pub(crate) struct Players {
    keys: IssuerKeys,
    algorithms: Vec<Algorithm>,
    validation: Validation,
    user_claim: String,
    limit_claim: Option<String>,
    plan_claim: Option<String>,
    plans: Plans,
}

enum IssuerKeys {
    Published(Box<Jwks>),
    /// For HS256 only. It never meets a key that is public.
    Shared(DecodingKey),
}

impl Players {
    /// `None` when no such token is taken.
    pub(crate) fn open(config: &JwtConfig, plans: &Plans) -> Result<Option<Self>, JwksError> {
        let published = |source| Ok(IssuerKeys::Published(Box::new(Jwks::open(source)?)));
        let keys = if let Some(path) = &config.secret_file {
            IssuerKeys::Shared(secret(path)?)
        } else if let Some(path) = &config.jwks_file {
            published(Source::File(path.clone()))?
        } else if let Some(url) = &config.jwks_url {
            published(Source::Url(url.clone()))?
        } else if let (true, Some(issuer)) = (config.discovery, &config.issuer) {
            published(Source::Discovery(issuer.clone()))?
        } else {
            return Ok(None);
        };
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(config.issuer.as_slice());
        validation.set_audience(config.audience.as_slice());
        Ok(Some(Self {
            keys,
            algorithms: config.algorithms.iter().filter_map(known).collect(),
            validation,
            user_claim: config.user_claim.clone(),
            limit_claim: config.limit_claim.clone(),
            plan_claim: config.plan_claim.clone(),
            plans: plans.clone(),
        }))
    }

    /// Who brings this token.
    pub(crate) async fn verify(&self, token: &str) -> Result<Player, Refusal> {
        let header = header(token).map_err(Refusal::Invalid)?;
        let IssuerKey { algorithm, key } = match &self.keys {
            IssuerKeys::Shared(key) => IssuerKey {
                algorithm: Algorithm::HS256,
                key: key.clone(),
            },
            IssuerKeys::Published(jwks) => {
                let key = jwks.key(header.kid.as_deref()).await;
                let key = key.map_err(|none| match none {
                    NoKey::Unknown => Refusal::Invalid("the issuer has no such key".into()),
                    NoKey::Unreached => Refusal::NoKeys,
                })?;
                if !self.algorithms.contains(&key.algorithm) {
                    return Err(Refusal::Invalid("its algorithm is not taken".into()));
                }
                key
            }
        };
        let mut validation = self.validation.clone();
        validation.algorithms = vec![algorithm];
        jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation)
            .map_err(|error| error.to_string())
            .and_then(|token| self.player(&token.claims))
            .map_err(Refusal::Invalid)
    }

    fn player(&self, claims: &Map<String, Value>) -> Result<Player, String> {
        let user = claims.get(&self.user_claim).and_then(Value::as_str);
        let user = user.ok_or_else(|| format!("it has no text {:?}", self.user_claim))?;
        let user = UserId::parse(user).map_err(|error| format!("its user {error}"))?;
        let claim = |name: &Option<String>| claims.get(name.as_deref()?);
        let limit = match (claim(&self.limit_claim), claim(&self.plan_claim)) {
            (Some(limit), _) => {
                let limit = limit.as_u64().and_then(|it| u8::try_from(it).ok());
                Some(limit.and_then(Limit::new).ok_or("its limit is none")?)
            }
            (None, Some(plan)) => {
                let plan = plan.as_str().and_then(|it| self.plans.get(it));
                Some(*plan.ok_or("its plan is not in the configuration")?)
            }
            (None, None) => None,
        };
        Ok(Player { user, limit })
    }

    /// Takes in keys that changed.
    pub(crate) async fn refresh(&self) {
        if let IssuerKeys::Published(jwks) = &self.keys {
            jwks.refresh().await;
        }
    }
}

/// What a token says of how it is signed: read to find the key, and not believed.
fn header(token: &str) -> Result<Header, String> {
    if TOKEN_MAX < token.len() {
        return Err("it is too long".into());
    }
    let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
    if header.crit.is_some() {
        // RFC 7515, section 4.1.11: what is not understood is refused.
        return Err("it has critical header fields".into());
    }
    Ok(header)
}

fn known(algorithm: &JwtAlgorithm) -> Option<Algorithm> {
    match algorithm {
        JwtAlgorithm::Hs256 => None,
        JwtAlgorithm::Rs256 => Some(Algorithm::RS256),
        JwtAlgorithm::Es256 => Some(Algorithm::ES256),
        JwtAlgorithm::EdDsa => Some(Algorithm::EdDSA),
    }
}

fn secret(path: &std::path::Path) -> Result<DecodingKey, JwksError> {
    let text = fs::read(path).map_err(|source| JwksError::File {
        path: path.into(),
        source,
    })?;
    let secret = text.strip_suffix(b"\n").unwrap_or(&text);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    if secret.len() < SECRET_MIN {
        return Err(JwksError::ShortSecret {
            path: path.into(),
            len: secret.len(),
        });
    }
    Ok(DecodingKey::from_secret(secret))
}
