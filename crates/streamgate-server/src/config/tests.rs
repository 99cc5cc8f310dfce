//! What a configuration may say, from which source, and what is answered to mistakes.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use super::settings::{SETTINGS, Setting, VARIABLE_PREFIX, variable_of_name};
use super::*;

mod bad_files;
mod bounds;
mod hostile;
mod shown;

type Loaded = Result<(Config, Vec<String>), Mistakes>;

fn load(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Loaded {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    Config::load(Sources {
        file: Some((Path::new("streamgate.toml"), file)),
        environment: environment.iter().map(owned).collect(),
        flags: flags
            .iter()
            .map(|(name, text)| (*name, (*text).to_owned()))
            .collect(),
    })
}

fn good(file: &str) -> Config {
    load(file, &[], &[]).expect("a good configuration").0
}

fn answer(loaded: &Loaded) -> String {
    match loaded {
        Ok((_, warnings)) if warnings.is_empty() => "good".to_owned(),
        Ok((_, warnings)) => warnings.join("\n"),
        Err(mistakes) => mistakes.to_string(),
    }
}

/// Compares the mistakes, or else the warnings, that a configuration gives.
#[track_caller]
fn check(loaded: &Loaded, expected: &Expect) {
    expected.assert_eq(&answer(loaded));
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one snapshot")]
fn the_defaults_are_good_as_they_stand() {
    let (config, warnings) = Config::load(Sources::default()).expect("good defaults");
    assert_eq!(warnings, Vec::<String>::new());
    expect![[r#"
        Config {
            listen: 127.0.0.1:8080,
            auth: None,
            allow_unauthenticated: false,
            store: Embedded,
            store_url: None,
            store_table: "streamgate",
            wait_replicas: 0,
            on_store_failure: Deny,
            data_dir: "./streamgate-data",
            locator_key: None,
            limit: Limit(
                3,
            ),
            plans: {},
            heartbeat: HeartbeatConfig {
                interval: 20s,
                lease: 90s,
                renew_after: 0ns,
            },
            seed: SeedConfig {
                lease: 14400s,
            },
            http: HttpConfig {
                connections_max: 10000,
                requests_max: 4096,
                deadline: 5s,
                drain: 10s,
            },
            keys_file: None,
            jwt: JwtConfig {
                issuer: None,
                audience: None,
                jwks_file: None,
                jwks_url: None,
                discovery: false,
                secret_file: None,
                algorithms: [
                    Rs256,
                    Es256,
                    EdDsa,
                ],
                user_claim: "sub",
                limit_claim: None,
                plan_claim: None,
            },
            tokens: TokensConfig {
                algorithm: Hs256,
                keys_file: None,
            },
            rate: RateConfig {
                player_starts_per_minute: 60,
                key_starts_per_second: 0,
            },
            tls: TlsConfig {
                certificate_file: None,
                key_file: None,
                client_ca_file: None,
                client_scopes: [
                    Play,
                    Operate,
                    Read,
                ],
            },
            cors_origins: [],
            log: LogConfig {
                level: Info,
                format: Auto,
            },
        }
    "#]]
    .assert_debug_eq(&config);
}

#[test]
fn every_setting_stands_in_the_default_file_and_nothing_else_does() {
    let mut section = String::new();
    let mut listed = BTreeSet::new();
    for line in Config::DEFAULT_TOML.lines() {
        let line = line.trim_start_matches("# ");
        if let Some(name) = line.strip_prefix('[') {
            section = name.replace(']', ".");
        } else if let Some((name, _)) = line.split_once(" = ") {
            let name = if section == "plans." {
                Setting::ANY
            } else {
                name
            };
            listed.insert(format!("{section}{name}"));
        }
    }
    let known: BTreeSet<_> = SETTINGS.iter().map(|it| it.name.to_owned()).collect();
    assert_eq!(listed, known);
}

#[test]
fn no_field_is_left_without_a_default() {
    let loading = Loading::defaults();
    let unset: Vec<_> = SETTINGS
        .iter()
        .map(|it| it.name)
        .filter(|name| !loading.origins.contains_key(name))
        .collect();
    let optional = [
        "store_url",
        "locator_key",
        "plans.<name>",
        "keys.file",
        "jwt.issuer",
        "jwt.audience",
        "jwt.jwks_file",
        "jwt.jwks_url",
        "jwt.secret_file",
        "jwt.limit_claim",
        "jwt.plan_claim",
        "tokens.keys_file",
        "tls.certificate_file",
        "tls.key_file",
        "tls.client_ca_file",
    ];
    assert_eq!(unset, optional);
}

#[test]
fn flags_go_before_the_environment_before_the_file_before_the_defaults() {
    const FILE: &str = "limit = 4\n[http]\ndrain_seconds = 4\ndeadline_seconds = 4";
    let environment = [
        ("STREAMGATE_HTTP_DRAIN_SECONDS", "5"),
        ("STREAMGATE_HTTP_DEADLINE_SECONDS", "5"),
    ];
    let flags = [("http.deadline_seconds", "6")];
    let (config, _) = load(FILE, &environment, &flags).expect("good");
    assert_eq!(config.heartbeat.interval, Duration::from_secs(20));
    assert_eq!(config.limit, Limit::new(4).expect("a limit"));
    assert_eq!(config.http.drain, Duration::from_secs(5));
    assert_eq!(config.http.deadline, Duration::from_secs(6));
}

/// Every setting, in the environment and in a file; of those that exclude each other, one.
const ALL_VARIABLES: [(&str, &str); 40] = [
    ("STREAMGATE_LISTEN", "[::1]:80"),
    ("STREAMGATE_AUTH", "required"),
    ("STREAMGATE_ALLOW_UNAUTHENTICATED", "true"),
    ("STREAMGATE_STORE", "\"redis\""),
    ("STREAMGATE_STORE_URL", "redis://localhost"),
    ("STREAMGATE_STORE_TABLE", "streams"),
    ("STREAMGATE_WAIT_REPLICAS", "1"),
    ("STREAMGATE_ON_STORE_FAILURE", "admit"),
    ("STREAMGATE_DATA_DIR", "2024"),
    (
        "STREAMGATE_LOCATOR_KEY",
        "00112233445566778899AABBCCDDEEFF\n",
    ),
    ("STREAMGATE_LIMIT", "16"),
    ("STREAMGATE_PLANS_PREMIUM", "6"),
    ("STREAMGATE_HEARTBEAT_INTERVAL_SECONDS", "6"),
    ("STREAMGATE_HEARTBEAT_LEASE_SECONDS", "10"),
    ("STREAMGATE_HEARTBEAT_RENEW_AFTER_SECONDS", "0"),
    ("STREAMGATE_SEED_LEASE_SECONDS", "60"),
    ("STREAMGATE_HTTP_CONNECTIONS_MAX", "1"),
    ("STREAMGATE_HTTP_REQUESTS_MAX", "2"),
    ("STREAMGATE_HTTP_DEADLINE_SECONDS", "3"),
    ("STREAMGATE_HTTP_DRAIN_SECONDS", "4"),
    ("STREAMGATE_KEYS_FILE", "keys"),
    ("STREAMGATE_JWT_ISSUER", "https://issuer/"),
    ("STREAMGATE_JWT_AUDIENCE", "us"),
    ("STREAMGATE_JWT_JWKS_FILE", "jwks"),
    ("STREAMGATE_JWT_DISCOVERY", "false"),
    ("STREAMGATE_JWT_ALGORITHMS", "EdDSA ES256"),
    ("STREAMGATE_JWT_USER_CLAIM", "user"),
    ("STREAMGATE_JWT_LIMIT_CLAIM", "limit"),
    ("STREAMGATE_JWT_PLAN_CLAIM", "plan"),
    ("STREAMGATE_TOKENS_ALGORITHM", "ES256"),
    ("STREAMGATE_TOKENS_KEYS_FILE", "token-keys"),
    ("STREAMGATE_RATE_PLAYER_STARTS_PER_MINUTE", "0"),
    ("STREAMGATE_RATE_KEY_STARTS_PER_SECOND", "7"),
    ("STREAMGATE_TLS_CERTIFICATE_FILE", "crt"),
    ("STREAMGATE_TLS_KEY_FILE", "key"),
    ("STREAMGATE_TLS_CLIENT_CA_FILE", "ca"),
    ("STREAMGATE_TLS_CLIENT_SCOPES", "read"),
    (
        "STREAMGATE_CORS_ORIGINS",
        "https://a.example https://b.example:8443",
    ),
    ("STREAMGATE_LOG_LEVEL", "trace"),
    ("STREAMGATE_LOG_FORMAT", "json"),
];
const ALL_FILE: &str = r#"
        listen = "[::1]:80"
        auth = "required"
        allow_unauthenticated = true
        store = "redis"
        store_url = "redis://localhost"
        store_table = "streams"
        wait_replicas = 1
        on_store_failure = "admit"
        data_dir = "2024"
        locator_key = "00112233445566778899aabbccddeeff"
        limit = 0x10
        plans.premium = 6
        heartbeat = { interval_seconds = 6, lease_seconds = 1_0, renew_after_seconds = 0 }
        seed.lease_seconds = 60
        http = { connections_max = 1, requests_max = 2, deadline_seconds = 3, drain_seconds = 4 }
        keys.file = "keys"
        tokens = { algorithm = "ES256", keys_file = "token-keys" }
        rate = { player_starts_per_minute = 0, key_starts_per_second = 7 }
        cors.origins = "https://a.example https://b.example:8443"
        log = { level = "trace", format = "json" }

        [jwt]
        issuer = "https://issuer/"
        audience = "us"
        jwks_file = "jwks"
        discovery = false
        algorithms = "EdDSA ES256"
        user_claim = "user"
        limit_claim = "limit"
        plan_claim = "plan"

        [tls]
        certificate_file = "crt"
        key_file = "key"
        client_ca_file = "ca"
        client_scopes = "read"
    "#;

#[test]
#[expect(clippy::too_many_lines, reason = "it is one snapshot")]
fn every_setting_can_come_from_the_environment_and_from_the_file_alike() {
    // jwt.jwks_url and jwt.secret_file stand instead of jwt.jwks_file.
    assert_eq!(ALL_VARIABLES.len() + 2, SETTINGS.len());
    let (config, _) = load("", &ALL_VARIABLES, &[]).expect("good");
    assert_eq!(config, good(ALL_FILE));
    expect![[r#"
        Config {
            listen: [::1]:80,
            auth: Required,
            allow_unauthenticated: true,
            store: Redis,
            store_url: Some(
                "redis://localhost",
            ),
            store_table: "streams",
            wait_replicas: 1,
            on_store_failure: Admit,
            data_dir: "2024",
            locator_key: Some(
                LocatorKey(secret),
            ),
            limit: Limit(
                16,
            ),
            plans: {
                "premium": Limit(
                    6,
                ),
            },
            heartbeat: HeartbeatConfig {
                interval: 6s,
                lease: 10s,
                renew_after: 0ns,
            },
            seed: SeedConfig {
                lease: 60s,
            },
            http: HttpConfig {
                connections_max: 1,
                requests_max: 2,
                deadline: 3s,
                drain: 4s,
            },
            keys_file: Some(
                "keys",
            ),
            jwt: JwtConfig {
                issuer: Some(
                    "https://issuer/",
                ),
                audience: Some(
                    "us",
                ),
                jwks_file: Some(
                    "jwks",
                ),
                jwks_url: None,
                discovery: false,
                secret_file: None,
                algorithms: [
                    EdDsa,
                    Es256,
                ],
                user_claim: "user",
                limit_claim: Some(
                    "limit",
                ),
                plan_claim: Some(
                    "plan",
                ),
            },
            tokens: TokensConfig {
                algorithm: Es256,
                keys_file: Some(
                    "token-keys",
                ),
            },
            rate: RateConfig {
                player_starts_per_minute: 0,
                key_starts_per_second: 7,
            },
            tls: TlsConfig {
                certificate_file: Some(
                    "crt",
                ),
                key_file: Some(
                    "key",
                ),
                client_ca_file: Some(
                    "ca",
                ),
                client_scopes: [
                    Read,
                ],
            },
            cors_origins: [
                "https://a.example",
                "https://b.example:8443",
            ],
            log: LogConfig {
                level: Trace,
                format: Json,
            },
        }
    "#]]
    .assert_debug_eq(&config);
}

#[test]
fn a_file_may_come_from_windows() {
    assert_eq!(good("\u{feff}limit = 3\r\n"), good(""));
    let broken = "\u{feff}limit = 3\r\nstore = \r\nlimit = 0\r\n";
    check(
        &load(broken, &[], &[]),
        &expect![[r#"
        streamgate.toml:2: syntax error in column 9: string values must be quoted, expected literal string
        streamgate.toml:3: syntax error in column 1: duplicate key"#]],
    );
}

#[test]
fn a_variable_that_is_no_setting_is_a_warning() {
    let environment = [
        ("STREAMGATE_PORT", "tcp://10.0.0.1:80"),
        ("STREAMGATE_HEARTBEAT_INTERVAL", "20"),
        ("STREAMGATE_LIMTI", "20"),
        ("STREAMGATE_PLANS", "20"),
        ("STREAMGATE_PLANS_", "20"),
        ("STREAMGATE_", ""),
        ("STREAMGATE", ""),
        ("PATH", "/bin"),
    ];
    check(
        &load("", &environment, &[]),
        &expect![[r#"
        environment STREAMGATE_: not a setting, ignored
        environment STREAMGATE_HEARTBEAT_INTERVAL: not a setting, ignored; did you mean STREAMGATE_HEARTBEAT_INTERVAL_SECONDS?
        environment STREAMGATE_LIMTI: not a setting, ignored; did you mean STREAMGATE_LIMIT?
        environment STREAMGATE_PLANS: not a setting, ignored; did you mean STREAMGATE_PLANS_<NAME>?
        environment STREAMGATE_PLANS_: not a setting, ignored
        environment STREAMGATE_PORT: not a setting, ignored"#]],
    );
}

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
