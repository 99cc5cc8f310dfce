//! Stream tokens: each is good for what it says, for as long as it says, and nothing else is.

use std::time::Duration;

use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use streamgate_core::{
    Admitted, Claim, ContentId, Device, DeviceText, LocatorKey, OnLimit, Place, Policy, Record,
    Start, Started, StreamId, Terms, Timestamp, UserId,
};

use super::{WallTime, encoded, signed};
use crate::auth::StreamTokens;
use crate::config::JwtAlgorithm;

const NOW: WallTime = WallTime::from_millis(1_800_000_000_000);
const DAY: u64 = 86_400_000;

fn place(device: Option<&str>) -> Place {
    let user = UserId::parse("ann \"the\" user").expect("a name");
    let start = Start {
        id: StreamId::mint(LocatorKey::from_bytes([7; 16]).locator(&user), 42),
        user,
        device: Device {
            id: device.map(|id| DeviceText::parse(id).expect("a name")),
            ..Device::default()
        },
        content: ContentId::parse("movie").ok(),
        replace: Vec::new(),
        on_limit: OnLimit::Deny,
        started_at: NOW,
    };
    let terms = Terms {
        lease: Duration::from_secs(90),
        heartbeat: Some(Duration::from_secs(20)),
        renew_after: Duration::ZERO,
    };
    let policy = Policy {
        limit: streamgate_core::Limit::DEFAULT,
        terms,
    };
    let started = Record::default().start(&start, &policy, Timestamp::default());
    let Started::Admitted { place, .. } = started else {
        panic!("{started:?}")
    };
    place
}

fn later(ms: u64) -> WallTime {
    WallTime::from_millis(NOW.as_millis() + ms)
}

fn in_memory(algorithm: JwtAlgorithm) -> StreamTokens {
    StreamTokens::open(None, algorithm, NOW).expect("keys can be made")
}

#[test]
fn a_token_proves_its_stream_until_nothing_is_remembered_of_it() {
    for algorithm in [
        JwtAlgorithm::Hs256,
        JwtAlgorithm::Es256,
        JwtAlgorithm::EdDsa,
    ] {
        for device in [None, Some("tv")] {
            let (tokens, place) = (in_memory(algorithm), place(device));
            let token = tokens.mint(&place, Admitted::ByStore, NOW);
            // The lease, ten minutes of memory, a minute for clocks that differ.
            let last = (90 + 600 + 120 + 60) * 1000 - 1;
            let proof = tokens.verify(&token, later(last)).expect("it is not over");
            assert_eq!((proof.user, proof.stream), (place.user, place.stream.id));
            assert_eq!(tokens.verify(&token, later(last + 1)), None);
        }
    }
}

#[test]
fn a_token_says_all_that_it_takes_to_enter_its_stream_again() {
    let text = |it: &str| DeviceText::parse(it).ok();
    let silent = Device::default();
    let named = Device {
        id: text("tv"),
        name: text("the \"big\" TV"),
        kind: text("tv-app"),
    };
    for device in [silent, named] {
        for admitted in [Admitted::ByStore, Admitted::Provisionally] {
            let (tokens, mut place) = (in_memory(JwtAlgorithm::Hs256), place(None));
            place.stream.device = device.clone();
            let minted_at = later(5_000);
            let proof = tokens.verify(&tokens.mint(&place, admitted, minted_at), minted_at);
            let claim = Claim {
                user: place.user,
                id: place.stream.id,
                device: device.clone(),
                started_at: NOW,
                limit: place.limit,
                admitted,
            };
            assert_eq!(proof.expect("it is good").claim(minted_at), Some(claim));
        }
    }
}

#[test]
fn whatever_is_changed_in_a_token_it_proves_nothing_any_more() {
    for algorithm in [
        JwtAlgorithm::Hs256,
        JwtAlgorithm::Es256,
        JwtAlgorithm::EdDsa,
    ] {
        let tokens = in_memory(algorithm);
        let token = tokens.mint(&place(Some("tv")), Admitted::ByStore, NOW);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'Q' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(
                changed == token || tokens.verify(&changed, NOW).is_none(),
                "{at}"
            );
            assert!(tokens.verify(&token[..at], NOW).is_none(), "{at}");
        }
        // Another spelling of the same bytes: bits that mean nothing, and padding.
        let mut spelt = token.clone().into_bytes();
        let last = spelt.last_mut().expect("a signature");
        *last = if *last == b'8' { b'9' } else { *last + 1 };
        let spelt = String::from_utf8(spelt).expect("ASCII");
        for other in [spelt, format!("{token}="), format!("{token}A")] {
            assert!(tokens.verify(&other, NOW).is_none(), "{other}");
        }
        let others = in_memory(algorithm).mint(&place(Some("tv")), Admitted::ByStore, NOW);
        assert!(tokens.verify(&others, NOW).is_none());
    }
}

#[test]
fn a_token_with_another_algorithm_or_none_is_nothing() {
    let tokens = in_memory(JwtAlgorithm::Es256);
    let token = tokens.mint(&place(None), Admitted::ByStore, NOW);
    let parts: Vec<&str> = token.split('.').collect();
    let kid = jsonwebtoken::decode_header(&token).expect("a header").kid;
    let public = serde_json::to_vec(&tokens.public_keys()).expect("JSON");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
    for alg in ["none", "None", "HS256", "RS256"] {
        let header = json!({"alg": alg, "kid": kid, "typ": "streamgate+jwt"});
        let claims: Value = json!({"sub": "ann", "sid": "s", "iat": 0, "exp": 9_999_999_999u64});
        let forged = signed(&header, &claims, |message| {
            aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
        });
        assert_eq!(tokens.verify(&forged, NOW), None, "{alg}");
        let header = encoded(header.to_string().as_bytes());
        let stripped = format!("{header}.{}.", parts[1]);
        assert_eq!(tokens.verify(&stripped, NOW), None, "{alg}");
    }
}

#[test]
fn others_check_a_token_by_the_published_keys() {
    for (algorithm, name) in [
        (JwtAlgorithm::Es256, jsonwebtoken::Algorithm::ES256),
        (JwtAlgorithm::EdDsa, jsonwebtoken::Algorithm::EdDSA),
    ] {
        let tokens = in_memory(algorithm);
        let token = tokens.mint(
            &place(Some("tv")),
            Admitted::ByStore,
            WallTime::from_millis(4_000_000_000_000),
        );
        let kid = jsonwebtoken::decode_header(&token).expect("a header").kid;
        let keys = tokens.public_keys();
        let jwk = keys.find(&kid.expect("a name")).expect("it is published");
        let key = DecodingKey::from_jwk(jwk).expect("a key");
        let claims = jsonwebtoken::decode::<Value>(&token, &key, &Validation::new(name));
        let claims = claims.expect("another library takes it").claims;
        assert_eq!(claims["sub"], "ann \"the\" user");
        assert_eq!(claims["adm"][2], "tv");
    }
    assert!(in_memory(JwtAlgorithm::Hs256).public_keys().keys.is_empty());
}

#[test]
fn nodes_that_sign_otherwise_keep_a_key_each_in_one_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("token-keys.json");
    let open = |algorithm| StreamTokens::open(Some(&path), algorithm, NOW).expect("keys");
    let (old, new) = (open(JwtAlgorithm::Hs256), open(JwtAlgorithm::Es256));
    for _ in 0..10 {
        old.refresh(NOW);
        new.refresh(NOW);
    }
    let kept = std::fs::read_to_string(&path).expect("it is there");
    assert_eq!(kept.matches("\"kid\"").count(), 2, "{kept}");
    let tokens = [
        old.mint(&place(None), Admitted::ByStore, NOW),
        new.mint(&place(None), Admitted::ByStore, NOW),
    ];
    for token in &tokens {
        assert!(old.verify(token, NOW).is_some() && new.verify(token, NOW).is_some());
    }
}

#[test]
fn keys_survive_a_restart_are_replaced_after_30_days_and_kept_for_30_more() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("token-keys.json");
    let open = |now| StreamTokens::open(Some(&path), JwtAlgorithm::Hs256, now).expect("keys");
    let first = open(NOW);
    let token = |tokens: &StreamTokens, now| tokens.mint(&place(None), Admitted::ByStore, now);
    let old = token(&first, NOW);
    assert!(open(NOW).verify(&old, NOW).is_some());

    let second = open(NOW);
    first.refresh(later(31 * DAY));
    let kid = |token: &str| token.split('.').next().map(str::to_owned);
    let next = token(&first, later(31 * DAY));
    assert_eq!(kid(&old), kid(&next), "others may not know the new key yet");
    let known = 31 * DAY + 600_001;
    let new = token(&first, later(known));
    assert_ne!(kid(&old), kid(&new));
    // A second node sees it with its next look at the file.
    assert!(second.verify(&new, later(known)).is_none());
    second.refresh(later(known));
    assert!(second.verify(&new, later(known)).is_some());
    second.refresh(later(known));
    let kept = std::fs::read_to_string(&path).expect("it is there");
    assert_eq!(
        kept.matches("\"kid\"").count(),
        2,
        "one was added, by one of them"
    );

    let minted_before = second.verify(&old, NOW);
    assert!(minted_before.is_some(), "the old key is kept");
    first.refresh(later(62 * DAY));
    assert!(first.verify(&old, NOW).is_none(), "and then it is not");
}
