//! What a configuration may say, from which source, and what is answered to mistakes.

use expect_test::{Expect, expect};

use super::settings::{SETTINGS, Setting, VARIABLE_PREFIX, variable_of_name};
use super::*;

mod bad_files;
mod bounds;
mod every;
mod hostile;
mod mistakes;
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
