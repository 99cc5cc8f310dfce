//! The traps of RFC 8725 and of the attack tools: none of them starts a stream.

use expect_test::expect;
use http::HeaderValue;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::{Cast, Scene, World, body_of, request, with};
use crate::auth::tests::{
    AUDIENCE, Files, ISSUER, Issuer, claims_for, encoded, seconds_from_now, signed,
};

const START: &str = r#"{"userId":"ann"}"#;

/// The claims of an ordinary token, with one changed; `null` takes it away.
fn but(name: &str, value: Value) -> Value {
    let mut claims = claims_for("ann");
    let fields = claims.as_object_mut().expect("an object");
    if value.is_null() {
        fields.remove(name);
    } else {
        fields.insert(name.into(), value);
    }
    claims
}

async fn status_with(world: &World, token: &str) -> u16 {
    let start = with(request("POST /v1/streams", START), token);
    world.send(start).await.status().as_u16()
}

#[tokio::test]
async fn a_token_is_taken_with_each_algorithm_that_is_allowed_and_within_its_times() {
    let cast = Cast::new("");
    let issuer = &cast.issuer;
    let (rs, es) = (
        json!({"alg": "RS256", "kid": "rsa"}),
        json!({"alg": "ES256", "kid": "ec"}),
    );
    let ed = json!({"alg": "EdDSA", "kid": "ed"});
    let hour = 3600;
    for (name, token) in [
        ("RS256", issuer.rs256(&rs, &claims_for("ann"))),
        ("ES256", issuer.es256(&es, &claims_for("ann"))),
        ("EdDSA", issuer.eddsa(&ed, &claims_for("ann"))),
        (
            "over, by less than the leeway",
            issuer.es256(&es, &but("exp", json!(seconds_from_now(-30)))),
        ),
        (
            "not yet, by less than the leeway",
            issuer.es256(&es, &but("nbf", json!(seconds_from_now(30)))),
        ),
        (
            "since an hour",
            issuer.es256(&es, &but("nbf", json!(seconds_from_now(-hour)))),
        ),
        (
            "for others too",
            issuer.es256(&es, &but("aud", json!(["others", AUDIENCE]))),
        ),
        (
            "with a limit",
            issuer.es256(&es, &but("streams", json!(64))),
        ),
        (
            "with a plan",
            issuer.es256(&es, &but("plan", json!("premium"))),
        ),
    ] {
        let world = World::with(&cast.files.config);
        assert_eq!(status_with(&world, &token).await, 201, "{name}");
    }
}

/// An attacker's token, and what it is called.
type Case = (&'static str, String);

fn hs256(kid: &str, key: &[u8]) -> String {
    let header = json!({"alg": "HS256", "kid": kid});
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    signed(&header, &claims_for("ann"), |message| {
        aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
    })
}

/// With a header that asks for another key, or for none at all.
fn of_the_header(cast: &Cast) -> Vec<Case> {
    let (issuer, claims) = (&cast.issuer, claims_for("ann"));
    let empty = |header: Value| signed(&header, &claims, |_| Vec::new());
    let zeros = |header: Value| signed(&header, &claims, |_| vec![0; 64]);
    let headed = |header: Value| issuer.es256(&header, &claims);
    let forged = |header: Value| cast.forger.es256(&header, &claims);
    let ec = |field: &str, value: Value| json!({"alg": "ES256", "kid": "ec", field: value});
    let kid = |kid: Value| json!({"alg": "ES256", "kid": kid});
    vec![
        ("alg none", empty(json!({"alg": "none", "kid": "ec"}))),
        ("alg None", empty(json!({"alg": "None", "kid": "ec"}))),
        ("alg NONE", empty(json!({"alg": "NONE", "kid": "ec"}))),
        ("alg empty", empty(json!({"alg": "", "kid": "ec"}))),
        ("alg a list", zeros(json!({"alg": ["ES256"], "kid": "ec"}))),
        ("no alg", zeros(json!({"kid": "ec"}))),
        (
            "another of the family",
            headed(json!({"alg": "ES384", "kid": "ec"})),
        ),
        ("a key for encryption", headed(kid(json!("encryption")))),
        ("an unknown key", headed(kid(json!("new")))),
        ("no kid, of several keys", headed(json!({"alg": "ES256"}))),
        ("kid a path", headed(kid(json!("../../../../dev/null")))),
        ("kid a query", headed(kid(json!("x' UNION SELECT 'key")))),
        (
            "kid a command",
            headed(kid(json!("/dev/null;curl 127.0.0.1"))),
        ),
        ("kid a number", headed(kid(json!(0)))),
        ("jku", forged(ec("jku", json!("http://127.0.0.1:1/")))),
        ("x5u", forged(ec("x5u", json!("http://127.0.0.1:1/")))),
        (
            "jwk",
            forged(ec("jwk", cast.forger.page()["keys"][1].clone())),
        ),
        ("crit", headed(ec("crit", json!(["exp"])))),
    ]
}

/// Signed by others, with what everybody knows, or not at all.
fn of_the_signature(cast: &Cast) -> Vec<Case> {
    let (issuer, page) = (&cast.issuer, cast.issuer.page());
    let good = issuer.token_for("ann");
    let (message, signature) = good.rsplit_once('.').expect("a signature");
    let (header, _) = message.split_once('.').expect("a header");
    let bobs = encoded(claims_for("bob").to_string().as_bytes());
    let x = page["keys"][1]["x"].as_str().expect("a coordinate");
    let rs = json!({"alg": "RS256", "kid": "ec"});
    vec![
        (
            "RS to HS, by the modulus",
            hs256("rsa", &issuer.rsa_modulus()),
        ),
        (
            "RS to HS, by the page",
            hs256("rsa", page["keys"][0].to_string().as_bytes()),
        ),
        ("ES to HS, by the coordinate", hs256("ec", x.as_bytes())),
        (
            "HS, by a published secret",
            hs256("shared", b"a secret that stands in public view"),
        ),
        ("HS, by nothing", hs256("rsa", b"")),
        (
            "the key of another algorithm",
            issuer.rs256(&rs, &claims_for("ann")),
        ),
        ("another's signature", cast.forger.token_for("ann")),
        ("no signature", format!("{message}.")),
        ("no signature and no dot", message.into()),
        ("zeros", format!("{message}.{}", encoded(&[0; 64]))),
        ("other claims", format!("{header}.{bobs}.{signature}")),
        ("a part more", format!("{good}.{signature}")),
        ("padding", format!("{good}=")),
        ("nothing", String::new()),
        ("no token", "token".into()),
        ("dots", "..".into()),
        ("a megabyte", "a".repeat(1 << 20)),
    ]
}

/// Signed as it should be, but not for this, or not for now.
fn of_the_claims(cast: &Cast) -> Vec<Case> {
    let but = |name, value| {
        let header = json!({"alg": "ES256", "kid": "ec"});
        cast.issuer.es256(&header, &but(name, value))
    };
    vec![
        ("expired", but("exp", json!(seconds_from_now(-61)))),
        ("expired in 1970", but("exp", json!(0))),
        ("expires as a text", but("exp", json!("9999999999"))),
        ("never expires", but("exp", Value::Null)),
        ("not yet", but("nbf", json!(seconds_from_now(120)))),
        ("for others", but("aud", json!("others"))),
        ("for nobody", but("aud", Value::Null)),
        ("for a part of us", but("aud", json!("streamgat"))),
        ("of others", but("iss", json!("https://login.example.org/"))),
        (
            "of almost our issuer",
            but("iss", json!(ISSUER.trim_end_matches('/'))),
        ),
        ("of nobody", but("iss", Value::Null)),
        ("without a user", but("sub", Value::Null)),
        ("a user without a name", but("sub", json!(""))),
        ("a user that is a number", but("sub", json!(1))),
        ("a control character", but("sub", json!("an\u{0}n"))),
        ("a long name", but("sub", json!("a".repeat(257)))),
        ("a limit of 0", but("streams", json!(0))),
        ("a limit of 65", but("streams", json!(65))),
        ("a limit of -1", but("streams", json!(-1))),
        ("a limit that is a text", but("streams", json!("9"))),
        ("a plan that is not ours", but("plan", json!("gold"))),
        ("long", but("x", json!("a".repeat(8 << 10)))),
    ]
}

#[tokio::test]
async fn no_forged_stolen_or_spoilt_token_is_taken() {
    let cast = Cast::new("");
    let world = World::with(&cast.files.config);
    let mut cases = of_the_header(&cast);
    cases.extend(of_the_signature(&cast));
    cases.extend(of_the_claims(&cast));
    for (name, token) in &cases {
        assert_eq!(status_with(&world, token).await, 401, "{name}");
    }
    // Nothing of it left anything behind.
    let list = with(request("GET /v1/users/ann/streams", ""), &cast.read);
    assert_eq!(body_of(world.send(list).await).await["active"], 0);
    assert_eq!(cases.len(), 57);
}

#[tokio::test]
async fn what_is_said_twice_or_otherwise_is_not_taken() {
    let cast = Cast::new("");
    let scene = Scene::new(&cast).await;
    let (key, [(s, token), ..]) = (&cast.play, &scene.streams);
    let ann = cast.issuer.token_for("ann");
    for value in [
        format!("Basic {key}"),
        key.clone(),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Bearer {key} {key}"),
        format!("Bearer {key}, Bearer {key}"),
        format!("Bearer\t{key}"),
    ] {
        let mut request = request("POST /v1/streams", START);
        let header = HeaderValue::try_from(&value).expect("it is a header");
        request.headers_mut().insert(AUTHORIZATION, header);
        assert_eq!(scene.world.send(request).await.status(), 401, "{value}");
    }
    let mut twice = with(request("POST /v1/streams", START), key);
    let second = HeaderValue::try_from(format!("Bearer {ann}")).expect("it is a header");
    twice.headers_mut().append(AUTHORIZATION, second);
    assert_eq!(scene.world.send(twice).await.status(), 401, "two headers");

    let beat = format!("POST /v1/streams/{s}/heartbeat?t=");
    let in_both = with(request(&format!("{beat}{token}"), ""), token);
    assert_eq!(
        scene.world.send(in_both).await.status(),
        401,
        "header and query"
    );
    for other in [key, &ann] {
        let status = scene.world.code(&format!("{beat}{other}"), "").await;
        assert_eq!(
            status, "401 unauthorized",
            "only a stream token may stand in a URL"
        );
    }
}

#[tokio::test]
async fn a_refusal_asks_for_a_bearer_and_says_nothing_of_what_was_wrong() {
    let cast = Cast::new("");
    let world = World::with(&cast.files.config);
    let mut details = Vec::new();
    for token in [cast.forger.token_for("ann"), "a.b.c".to_owned()] {
        let answer = world
            .send(with(request("POST /v1/streams", START), &token))
            .await;
        assert_eq!(
            answer.headers()[WWW_AUTHENTICATE],
            "Bearer realm=\"streamgate\""
        );
        details.push(body_of(answer).await);
    }
    assert_eq!(details[0], details[1]);
}

#[tokio::test]
async fn a_shared_secret_is_for_hs256_only_and_counts_only_where_it_is_configured() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("secret");
    let secret = "a secret of more than 32 characters";
    std::fs::write(&path, format!("{secret}\n")).expect("it is written");
    let issuer = Issuer::new();
    let mut files = Files::new(&issuer, "");
    files.config.jwt.jwks_file = None;
    files.config.jwt.secret_file = Some(path);
    let world = World::with(&files.config);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let token = |alg: &str| {
        signed(
            &json!({"alg": alg, "kid": "any"}),
            &claims_for("ann"),
            |message| aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec(),
        )
    };
    assert_eq!(status_with(&world, &token("HS256")).await, 201);
    for alg in ["HS384", "HS512", "RS256", "none"] {
        assert_eq!(status_with(&world, &token(alg)).await, 401, "{alg}");
    }
    assert_eq!(status_with(&world, &issuer.token_for("ann")).await, 401);
}

#[tokio::test]
async fn the_limit_is_the_tokens_and_nothing_in_the_request_raises_it() {
    let cast = Cast::new("");
    let world = World::with(&cast.files.config);
    let es = |claims: &Value| {
        cast.issuer
            .es256(&json!({"alg": "ES256", "kid": "ec"}), claims)
    };
    for (claims, limit) in [
        (claims_for("ann"), 3),
        (but("streams", json!(2)), 2),
        (but("plan", json!("premium")), 5),
    ] {
        let start = with(request("POST /v1/streams", START), &es(&claims));
        let body = body_of(world.send(start).await).await;
        assert_eq!(body["limit"], limit, "{body}");
        for asks in [r#""limit":64"#, r#""limit":1"#, r#""plan":"premium""#] {
            let body = format!(r#"{{"userId":"ann",{asks}}}"#);
            let start = with(request("POST /v1/streams", &body), &es(&claims));
            assert_eq!(world.send(start).await.status(), 403, "{asks}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_new_at_the_issuer_is_found_and_one_that_is_gone_is_not_taken() {
    let cast = Cast::new("");
    let world = World::with(&cast.files.config);
    let page = cast.files.directory.path().join("jwks.json");
    let next = Issuer::new();
    let (old, new) = (cast.issuer.token_for("ann"), next.token_for("ann"));
    assert_eq!(status_with(&world, &old).await, 201);
    assert_eq!(status_with(&world, &new).await, 401);
    let mut keys = next.page();
    keys["keys"][1]["kid"] = json!("next");
    std::fs::write(&page, keys.to_string()).expect("it is written");
    let rotated = next.es256(&json!({"alg": "ES256", "kid": "next"}), &claims_for("ann"));
    assert_eq!(
        status_with(&world, &rotated).await,
        201,
        "asked for, since it is not known"
    );
    assert_eq!(status_with(&world, &old).await, 401);
    // A page that can't be read changes nothing.
    std::fs::write(&page, "{").expect("it is written");
    let unknown = next.es256(
        &json!({"alg": "ES256", "kid": "unknown"}),
        &claims_for("ann"),
    );
    assert_eq!(status_with(&world, &unknown).await, 401);
    assert_eq!(status_with(&world, &rotated).await, 201);
}

#[tokio::test]
async fn a_heartbeat_brings_a_new_token_and_the_stream_outlives_the_platforms() {
    let cast = Cast::new("");
    let scene = Scene::new(&cast).await;
    let [(s, token), ..] = &scene.streams;
    let mut token = token.clone();
    let beat = format!("POST /v1/streams/{s}/heartbeat");
    let mut renewals = 0;
    for _ in 0..100 {
        scene.world.wait(60.0);
        let answer = scene.world.send(with(request(&beat, ""), &token)).await;
        assert_eq!(answer.status(), 200);
        if let Some(renewed) = body_of(answer).await["token"].as_str() {
            renewed.clone_into(&mut token);
            renewals += 1;
        }
    }
    assert_eq!(renewals, 50, "every two minutes");
    let by_key = scene.world.send(with(request(&beat, ""), &cast.play)).await;
    assert_eq!(body_of(by_key).await.get("token"), None, "it brought none");
    let (_, first) = &scene.streams[0];
    let answer = scene.world.send(with(request(&beat, ""), first)).await;
    assert_eq!(answer.status(), 401, "the first one is long over");
}

#[tokio::test]
async fn where_nobody_is_asked_a_heartbeat_that_brings_its_token_gets_a_new_one() {
    let world = World::new();
    let started = body_of(world.call("POST /v1/streams", START).await).await;
    let text = |name: &str| started[name].as_str().expect("it is there").to_owned();
    let beat = format!("POST /v1/streams/{}/heartbeat", text("streamId"));
    let plain = body_of(world.call(&beat, "").await).await;
    assert_eq!(plain.get("token"), None, "it brought none");
    let bringing = format!("{beat}?t={}", text("token"));
    for _ in 0..2 {
        world.wait(59.0);
        let soon = body_of(world.call(&bringing, "").await).await;
        assert_eq!(soon.get("token"), None, "the one it brought is fresh");
    }
    world.wait(2.0);
    let renewed = body_of(world.call(&bringing, "").await).await;
    let renewed = renewed["token"].as_str().expect("a new one");
    assert_ne!(renewed, text("token"));
    let check = format!("GET /v1/check?t={renewed}");
    assert_eq!(world.code(&check, "").await, "200");
}

#[tokio::test]
async fn a_player_that_starts_too_often_waits_and_may_stop_meanwhile() {
    let cast = Cast::new("[rate]\nplayer_starts_per_minute = 5\nkey_starts_per_second = 0");
    let scene = Scene::new(&cast).await;
    let [(s, token), ..] = &scene.streams;
    let (ann, bob) = (cast.issuer.token_for("ann"), cast.issuer.token_for("bob"));
    let start = |user: &str, token: &str| {
        let body = json!({"userId": user, "device": {"id": "tv"}}).to_string();
        with(request("POST /v1/streams", &body), token)
    };
    for _ in 0..5 {
        assert_eq!(scene.world.send(start("ann", &ann)).await.status(), 201);
    }
    let refused = scene.world.send(start("ann", &ann)).await;
    assert_eq!(refused.status(), 429);
    let seconds = refused.headers()["retry-after"].to_str().expect("a number");
    assert!(
        (1..=12).contains(&seconds.parse::<u64>().expect("a number")),
        "{seconds}"
    );
    assert_eq!(body_of(refused).await["code"], "rate-limited");

    assert_eq!(
        scene.world.send(start("bob", &bob)).await.status(),
        201,
        "others may"
    );
    assert_eq!(
        scene.world.send(start("ann", &cast.play)).await.status(),
        201,
        "a back end may"
    );
    let stop = with(request(&format!("DELETE /v1/streams/{s}"), ""), token);
    assert_eq!(scene.world.send(stop).await.status(), 204);
    expect![[r#"
        streamgate_api_key_busiest_ratio 1.0
        streamgate_api_keys 3
        streamgate_starts_rate_limited_total{by="key"} 0
        streamgate_starts_rate_limited_total{by="player"} 1"#]]
    .assert_eq(&scene.metrics_of_starts().await);
}

#[tokio::test]
async fn a_key_that_starts_too_often_waits() {
    let cast = Cast::new("[rate]\nkey_starts_per_second = 3");
    // The scene itself starts three.
    let scene = Scene::new(&cast).await;
    let start = with(request("POST /v1/streams", START), &cast.play);
    assert_eq!(scene.world.send(start).await.status(), 429);
    expect![[r#"
        streamgate_api_key_busiest_ratio 1.0
        streamgate_api_keys 3
        streamgate_starts_rate_limited_total{by="key"} 1
        streamgate_starts_rate_limited_total{by="player"} 0"#]]
    .assert_eq(&scene.metrics_of_starts().await);
}
