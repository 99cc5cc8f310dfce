//! Every setting: in the default file, with a default, from each source.

use std::collections::BTreeSet;

use super::*;

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
pub(super) const ALL_FILE: &str = r#"
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
