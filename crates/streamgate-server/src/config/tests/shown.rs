//! What `streamgate config --show` prints.

use super::every::ALL_FILE;
use super::*;

fn shown(config: &Config) -> String {
    toml::to_string(&config.shown()).expect("it is TOML")
}

#[test]
fn every_setting_is_shown_in_its_place() {
    let mut config = good(ALL_FILE);
    // They exclude jwt.jwks_file.
    config.jwt.jwks_url = Some("https://issuer/jwks".into());
    config.jwt.secret_file = Some("secret".into());
    let page = toml::Value::Table(config.shown());
    for setting in SETTINGS {
        let name = setting.name.replace(Setting::ANY, "premium");
        let value = name
            .split('.')
            .try_fold(&page, |value, part| value.get(part));
        assert!(value.is_some(), "{name} is not shown");
    }
    expect![[r#"
        listen = "[::1]:80"
        auth = "required"
        allow_unauthenticated = true
        store = "redis"
        store_url = "redis://localhost"
        store_table = "streams"
        wait_replicas = 1
        on_store_failure = "admit"
        data_dir = "2024"
        locator_key = "(set)"
        limit = 16

        [plans]
        premium = 6

        [heartbeat]
        interval_seconds = 6
        lease_seconds = 10
        renew_after_seconds = 0

        [seed]
        lease_seconds = 60

        [http]
        connections_max = 1
        requests_max = 2
        deadline_seconds = 3
        drain_seconds = 4

        [keys]
        file = "keys"

        [jwt]
        issuer = "https://issuer/"
        audience = "us"
        jwks_file = "jwks"
        jwks_url = "https://issuer/jwks"
        discovery = false
        secret_file = "secret"
        algorithms = "EdDSA ES256"
        user_claim = "user"
        limit_claim = "limit"
        plan_claim = "plan"

        [tokens]
        algorithm = "ES256"
        keys_file = "token-keys"

        [rate]
        player_starts_per_minute = 0
        key_starts_per_second = 7

        [tls]
        certificate_file = "crt"
        key_file = "key"
        client_ca_file = "ca"
        client_scopes = "read"

        [cors]
        origins = "https://a.example https://b.example:8443"

        [log]
        level = "trace"
        format = "json"
    "#]]
    .assert_eq(&shown(&config));
}

#[test]
fn what_is_shown_is_read_as_the_same_configuration() {
    // Redis would need the key, which is not shown.
    let all = ALL_FILE
        .replace("locator_key", "# locator_key")
        .replace("\"redis\"", "\"memory\"")
        .replace("store_url", "# store_url");
    let with_keys_from = |source| all.replace("jwks_file = \"jwks\"", source);
    let files = [
        "",
        &all,
        &with_keys_from("jwks_url = \"https://issuer/@jwks?a=b@c\""),
        &with_keys_from("secret_file = \"secret\""),
        &with_keys_from("").replace("discovery = false", "discovery = true"),
        "jwt.user_claim = 'https://user@example.com'",
        "[plans]\n\"gold.card\" = 1\n-_ = 64\n7 = 2",
        r#"data_dir = "\"'\\ \r\n\t\u0001\u007f\u0085 #é\U0001F4FA""#,
        r#"data_dir = "\n'''\"\"\"\n""#,
        "data_dir = '2024'",
    ];
    for file in files {
        let config = good(file);
        let shown = shown(&config);
        assert_eq!(good(&shown), config, "{shown}");
    }
}

#[test]
fn no_secret_is_shown() {
    let key = "00112233445566778899aabbccddeeff";
    let jwt = "auth = 'required'\n[jwt]\naudience = 'us'\n";
    let hidden = [
        (format!("locator_key = '{key}'"), "locator_key"),
        (
            format!("{jwt}issuer = 'us@example.com'\njwks_url = 'https://us:{key}@example.com?@'"),
            "jwks_url",
        ),
        (
            format!("{jwt}issuer = 'https://us:{key}@example.com'\ndiscovery = true"),
            "issuer",
        ),
    ];
    for (file, name) in hidden {
        let config = good(&file);
        let page = shown(&config);
        let json = serde_json::to_string(&config.shown()).expect("it is JSON");
        assert!(page.contains(&format!("\n{name} = \"(set)\"\n")), "{page}");
        assert_eq!(page.matches("(set)").count(), 1, "{page}");
        assert!(!page.contains(&key[..8]) && !json.contains(&key[..8]));
    }
    assert!(!shown(&good("")).contains("locator_key"));
}
