//! What is answered to what does not go together.

use super::*;

#[test]
fn all_mistakes_of_all_sources_are_reported_at_once() {
    const FILE: &str = r#"limit = 65
listne = "127.0.0.1:80"
store = redis
[heartbeat]
interval_seconds = 4

lease_seconds = "90"
[http]
deadline = 5
[plans]
"gold card" = 3
"#;
    let environment = [
        ("STREAMGATE_SEED_LEASE_SECONDS", "4h"),
        ("STREAMGATE_PLANS_PREMIUM", "0"),
        ("STREAMGATE_LIMIT", "[3]"),
        ("STREAMGATE_PORT", "80"),
    ];
    let flags = [("log.level", "loud"), ("http.drain_seconds", "-1")];
    check(
        &load(FILE, &environment, &flags),
        &expect![[r#"
            streamgate.toml:1: limit must be between 1 and 64 streams, not 65
            streamgate.toml:2: unknown setting "listne"; did you mean listen?
            streamgate.toml:3: syntax error in column 9: string values must be quoted, expected literal string
            streamgate.toml:5: heartbeat.interval_seconds must be between 5 and 60 seconds, not 4
            streamgate.toml:7: heartbeat.lease_seconds must be a whole number between 10 and 86400 seconds, not "90"
            streamgate.toml:9: unknown setting "http.deadline"; did you mean http.deadline_seconds?
            streamgate.toml:11: plans.gold card must name a plan in 1 to 64 characters of [A-Za-z0-9._-]
            environment STREAMGATE_LIMIT: limit must be a whole number between 1 and 64 streams, not "[3]"
            environment STREAMGATE_PLANS_PREMIUM: plans.premium must be between 1 and 64 streams, not 0
            environment STREAMGATE_SEED_LEASE_SECONDS: seed.lease_seconds must be a whole number between 60 and 604800 seconds, not "4h"
            flag --http-drain-seconds: http.drain_seconds must be between 0 and 600 seconds, not -1
            flag --log-level: log.level must be one of "error", "warn", "info", "debug", "trace", not "loud""#]],
    );
}

#[test]
fn below_a_broken_section_header_nothing_else_is_blamed() {
    const FILE: &str = "limit = 0\n[seed\nlease_seconds = 20\n[log]\nlevel = 3\n";
    check(
        &load(FILE, &[], &[("limit", "0")]),
        &expect![[r#"
            streamgate.toml:1: limit must be between 1 and 64 streams, not 0
            streamgate.toml:2: syntax error in column 6: unclosed table, expected `]`
            flag --limit: limit must be between 1 and 64 streams, not 0"#]],
    );
}

#[test]
fn settings_that_exclude_each_other_are_blamed_on_the_later_source() {
    let lease = "[heartbeat]\nlease_seconds = 31\ninterval_seconds = 21";
    check(
        &load(lease, &[], &[]),
        &expect![
            "streamgate.toml:3: heartbeat.lease_seconds must be longer than 1.5 heartbeats (31.5 seconds), not 31"
        ],
    );
    let interval = [("STREAMGATE_HEARTBEAT_INTERVAL_SECONDS", "60")];
    check(
        &load("", &interval, &[]),
        &expect![[
            "environment STREAMGATE_HEARTBEAT_INTERVAL_SECONDS: heartbeat.lease_seconds must be longer than 1.5 heartbeats (90 seconds), not 90"
        ]],
    );
    let closed = [("allow_unauthenticated", "false")];
    check(
        &load("listen = '[::]:80'", &[], &closed),
        &expect![[
            r#"flag --allow-unauthenticated: listen must be a loopback address, not [::]:80, unless auth is "required", or allow_unauthenticated (--allow-unauthenticated) lets in everybody who can reach it"#
        ]],
    );
    let open = [("allow_unauthenticated", "true")];
    check(&load("listen = '[::]:80'", &[], &open), &expect![["good"]]);
    let asked = "listen = '[::]:80'\nauth = 'required'";
    check(&load(asked, &[], &[]), &expect![["good"]]);
}

#[test]
fn nodes_that_share_an_engine_must_be_able_to_understand_each_other() {
    let key = "locator_key = '00112233445566778899aabbccddeeff'\n";
    let redis = format!("{key}store = 'redis'\n");
    for file in [
        format!("{redis}store_url = 'redis://localhost'"),
        format!("{redis}store_url = 'rediss://user:pass@localhost:6380/2'"),
        format!("{redis}store_url = 'redis+cluster://a:1,b:2'"),
        format!("{redis}store_url = 'redis+sentinel://a:1,b:2/main/1'"),
        format!("{key}store = 'dynamodb'"),
        format!("{key}store = 'dynamodb'\nstore_url = 'http://localhost:8000'"),
        format!("{key}store = 'dynamodb'\n[tokens]\nalgorithm = 'ES256'\nkeys_file = 'k'"),
    ] {
        good(&file);
    }
    let told = |file: &str, flags: &[(&'static str, &str)]| {
        let mistakes = load(file, &[], flags).expect_err(file);
        mistakes.to_string()
    };
    for (file, expected) in [
        ("store = 'redis'".to_owned(), "needs store_url"),
        (
            "store = 'redis'\nstore_url = 'redis://localhost'".to_owned(),
            "its nodes must share a secret",
        ),
        (
            "store = 'dynamodb'".to_owned(),
            "its nodes must share a secret",
        ),
        (
            format!("{redis}store_url = 'localhost'"),
            "must begin with redis://",
        ),
        (format!("{redis}store_url = 'redis://'"), "must have a host"),
        (
            format!("{redis}store_url = 'redis://a,b'"),
            "must have a host",
        ),
        (format!("{redis}store_url = 'redis://a/x'"), "must end with"),
        (
            format!("{redis}store_url = 'redis+cluster://a,b/0'"),
            "must end with",
        ),
        (
            format!("{redis}store_url = 'redis+sentinel://a'"),
            "must end with",
        ),
        (
            format!("{key}store = 'dynamodb'\nstore_url = 'localhost'"),
            "must be the http:// or https:// URL",
        ),
        (
            format!("{key}store = 'dynamodb'\n[tokens]\nalgorithm = 'ES256'"),
            "set tokens.keys_file",
        ),
        ("store_url = 'redis://a'".to_owned(), "store_url is for"),
    ] {
        let told = told(&file, &[]);
        assert!(told.contains(expected), "{file}: {told}");
    }
    let flags = [("store_url", "redis://user:secret@localhost")];
    let told = told(&redis, &flags);
    assert!(told.contains("every user of the machine sees"), "{told}");
    assert!(!told.contains("secret@"), "{told}");
}

#[test]
fn whose_tokens_are_taken_must_be_clear() {
    let wrong = |lines: &str, message: &str| {
        let mistakes = load(&format!("[jwt]\n{lines}"), &[], &[]).expect_err(lines);
        assert_eq!(
            mistakes.to_string().trim(),
            format!("streamgate.toml:{message}")
        );
    };
    wrong(
        "jwks_file = 'page'\naudience = 'us'",
        "2: jwt.issuer and jwt.audience must be set, or tokens that were made for others would be taken",
    );
    wrong(
        "issuer = 'https://issuer/'",
        "2: jwt.issuer needs one of jwt.jwks_file, jwt.jwks_url, jwt.discovery, jwt.secret_file",
    );
    wrong(
        "jwks_file = 'page'\nsecret_file = 'secret'",
        "3: only one of jwt.jwks_file, jwt.jwks_url, jwt.discovery, jwt.secret_file can be set",
    );
    wrong(
        "issuer = 'http://issuer/'\naudience = 'us'\ndiscovery = true",
        "4: jwt.discovery needs a jwt.issuer that is an https:// URL (http:// on loopback)",
    );
    wrong(
        "issuer = 'https://issuer/'\naudience = 'us'\njwks_file = 'page'",
        "4: tokens are only asked for with auth = \"required\"",
    );
    wrong(
        "jwks_url = 'http://issuer/jwks.json'",
        "2: jwt.jwks_url must be an https:// URL (http:// on loopback), not \"http://issuer/jwks.json\"",
    );
    wrong(
        "algorithms = 'HS256'",
        "2: jwt.algorithms must be some of \"RS256 ES256 EdDSA\", not \"HS256\"",
    );
}

#[test]
fn a_certificate_and_its_key_go_together_and_origins_are_origins() {
    let wrong = |lines: &str, message: &str| {
        let mistakes = load(lines, &[], &[]).expect_err(lines);
        assert_eq!(
            mistakes.to_string().trim(),
            format!("streamgate.toml:{message}")
        );
    };
    wrong(
        "tls.key_file = 'key'",
        "1: tls.certificate_file and tls.key_file go together",
    );
    wrong(
        "auth = 'required'\ntls.client_ca_file = 'ca'",
        "2: tls.client_ca_file needs tls.certificate_file",
    );
    wrong(
        "tls = { client_ca_file = 'ca', certificate_file = 'crt', key_file = 'key' }",
        "1: client certificates are only asked for with auth = \"required\"",
    );
    for origins in [
        "*",
        "example.com",
        "https://example.com/",
        "ftp://example.com",
    ] {
        let message = format!(
            "1: cors.origins must be origins such as \"https://example.com\", not {origins:?}"
        );
        wrong(&format!("cors.origins = '{origins}'"), &message);
    }
}

#[test]
fn a_setting_that_is_wrong_itself_is_not_blamed_for_another() {
    let interval = "heartbeat.interval_seconds = 61\nheartbeat.lease_seconds = 20";
    check(
        &load(interval, &[], &[]),
        &expect![[
            "streamgate.toml:1: heartbeat.interval_seconds must be between 5 and 60 seconds, not 61"
        ]],
    );
    let unreadable = "allow_unauthenticated = yes\nlisten = '0.0.0.0:80'";
    check(
        &load(unreadable, &[], &[]),
        &expect![
            "streamgate.toml:1: syntax error in column 25: string values must be quoted, expected literal string"
        ],
    );
    let open = "allow_unauthenticated = 'yes'\nlisten = '0.0.0.0:80'";
    check(
        &load(open, &[], &[]),
        &expect![[r#"streamgate.toml:1: allow_unauthenticated must be true or false, not "yes""#]],
    );
}

#[test]
fn the_locator_key_shows_nowhere() {
    const KEY: &str = "00112233445566778899aabbccddeeff";
    let config = good(&format!("locator_key = '{KEY}'"));
    assert_eq!(
        config.locator_key.as_ref().map(LocatorKey::as_bytes),
        Some(&0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes())
    );
    assert!(!format!("{config:?}").contains("0011"));
    for wrong in ["'{}0'", "'+{}'", "0x{}", "{}", "['{}']", "'{}", "'{}' 1"] {
        let file = format!("locator_key = {}", wrong.replace("{}", KEY));
        let answered = answer(&load(&file, &[("STREAMGATE_LOCATOR_KEY", &KEY[1..])], &[]));
        assert!(answered.starts_with("streamgate.toml:1: "), "{answered}");
        assert!(
            answered.contains("environment STREAMGATE_LOCATOR_KEY: "),
            "{answered}"
        );
        assert!(!answered.contains("1122"), "{answered}");
    }
}
