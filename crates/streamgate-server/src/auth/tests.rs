//! An issuer of tokens, and the files of a server that trusts it.

mod keys;
mod player;
mod stream_token;

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use streamgate_core::WallTime;
use tempfile::TempDir;

use super::{KeyFile, Scope, keys_file};
use crate::config::{Config, Sources};

pub(crate) const ISSUER: &str = "https://login.example.com/";
pub(crate) const AUDIENCE: &str = "streamgate";

/// Signs tokens, whatever they say.
pub(crate) struct Issuer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key"),
            ec: ec.expect("a key on P-256"),
            ed: Ed25519KeyPair::generate().expect("an Ed25519 key"),
        }
    }

    /// What it publishes.
    pub(crate) fn page(&self) -> Value {
        let (rsa, ec) = (self.rsa.public_key(), self.ec.public_key().as_ref());
        let n = rsa.modulus().big_endian_without_leading_zero();
        let e = rsa.exponent().big_endian_without_leading_zero();
        json!({"keys": [
            {"kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": encoded(n), "e": encoded(e)},
            {"kty": "EC", "kid": "ec", "crv": "P-256", "x": encoded(&ec[1..33]), "y": encoded(&ec[33..])},
            {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": encoded(self.ed.public_key().as_ref())},
            {"kty": "EC", "kid": "encryption", "use": "enc", "crv": "P-256", "x": encoded(&ec[1..33]), "y": encoded(&ec[33..])},
            {"kty": "oct", "kid": "shared", "k": encoded(b"a secret that stands in public view")},
        ]})
    }

    /// The modulus of its RSA key, as an attacker knows it.
    pub(crate) fn rsa_modulus(&self) -> Vec<u8> {
        let modulus = self.rsa.public_key().modulus();
        modulus.big_endian_without_leading_zero().to_vec()
    }

    pub(crate) fn rs256(&self, header: &Value, claims: &Value) -> String {
        signed(header, claims, |message| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa
                .sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )
                .expect("a signature");
            signature
        })
    }

    pub(crate) fn es256(&self, header: &Value, claims: &Value) -> String {
        signed(header, claims, |message| {
            let signature = self.ec.sign(&SystemRandom::new(), message);
            signature.expect("a signature").as_ref().to_vec()
        })
    }

    pub(crate) fn eddsa(&self, header: &Value, claims: &Value) -> String {
        signed(header, claims, |message| {
            self.ed.sign(message).as_ref().to_vec()
        })
    }

    /// An ordinary token for a user.
    pub(crate) fn token_for(&self, user: &str) -> String {
        self.es256(&json!({"alg": "ES256", "kid": "ec"}), &claims_for(user))
    }
}

/// What an ordinary token says.
pub(crate) fn claims_for(user: &str) -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": user, "exp": seconds_from_now(300)})
}

pub(crate) fn seconds_from_now(seconds: i64) -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the library that checks tokens looks at it"
    )]
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.expect("it is after 1970").as_secs()).expect("it is before 2262") + seconds
}

/// A JWT with this header and these claims, however it is signed.
pub(crate) fn signed(
    header: &Value,
    claims: &Value,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let part = |value: &Value| encoded(value.to_string().as_bytes());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = encoded(&sign(message.as_bytes()));
    format!("{message}.{signature}")
}

pub(crate) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A server's files: the issuer's page, and API keys by their scopes.
pub(crate) struct Files {
    pub(crate) directory: TempDir,
    pub(crate) config: Config,
}

impl Files {
    /// With more settings, as lines of TOML that come first.
    pub(crate) fn new(issuer: &Issuer, settings: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let page = directory.path().join("jwks.json");
        std::fs::write(&page, issuer.page().to_string()).expect("the page is written");
        let text = format!(
            "auth = \"required\"\nstore = \"memory\"\ndata_dir = {:?}\n[jwt]\nissuer = {ISSUER:?}\n\
             audience = {AUDIENCE:?}\njwks_file = {page:?}\nlimit_claim = \"streams\"\n\
             plan_claim = \"plan\"\n[plans]\npremium = 5\n{settings}",
            directory.path(),
        );
        let sources = Sources {
            file: Some(("test.toml".as_ref(), &text)),
            ..Sources::default()
        };
        let (config, _) = Config::load(sources).expect("the configuration is right");
        Self { directory, config }
    }

    /// Makes an API key.
    pub(crate) fn key(&self, scopes: &[Scope]) -> String {
        let mut file = KeyFile::open(&keys_file(&self.config)).expect("a file of keys");
        let made = file.add(
            "test".into(),
            scopes.to_vec(),
            WallTime::from_millis(0),
            None,
        );
        made.expect("a key").1
    }
}
