//! Files with one mistake each, and what is answered.

use super::*;

#[track_caller]
fn check_each(files: &[&str], expected: &Expect) {
    let answers = files
        .iter()
        .map(|file| format!("{file}\n    {}", answer(&load(file, &[], &[]))));
    expected.assert_eq(&answers.collect::<Vec<_>>().join("\n"));
}

#[test]
fn addresses_words_and_paths_are_checked() {
    check_each(
        &[
            "listen = 8080",
            "listen = 'localhost:8080'",
            "listen = '127.0.0.1'",
            "listen = '127.0.0.1:65536'",
            "listen = '0.0.0.0:8080'",
            "allow_unauthenticated = 1",
            "store = 'redis'",
            "store = ['memory']",
            "store = 'Memory'",
            "data_dir = ''",
            "data_dir = 5",
            "data_dir = \"a\\u0000b\"",
            "locator_key = 'secret'",
            "log.level = 'verbose'",
            "log.format = ''",
        ],
        &expect![[r#"
            listen = 8080
                streamgate.toml:1: listen must be an IP address and a port, such as "127.0.0.1:8080", not 8080
            listen = 'localhost:8080'
                streamgate.toml:1: listen must be an IP address and a port, such as "127.0.0.1:8080", not "localhost:8080"
            listen = '127.0.0.1'
                streamgate.toml:1: listen must be an IP address and a port, such as "127.0.0.1:8080", not "127.0.0.1"
            listen = '127.0.0.1:65536'
                streamgate.toml:1: listen must be an IP address and a port, such as "127.0.0.1:8080", not "127.0.0.1:65536"
            listen = '0.0.0.0:8080'
                streamgate.toml:1: listen must be a loopback address, not 0.0.0.0:8080, unless auth is "required", or allow_unauthenticated (--allow-unauthenticated) lets in everybody who can reach it
            allow_unauthenticated = 1
                streamgate.toml:1: allow_unauthenticated must be true or false, not 1
            store = 'redis'
                streamgate.toml:1: store = "redis" needs store_url, such as redis://127.0.0.1:6379
            store = ['memory']
                streamgate.toml:1: store must be one of "embedded", "memory", "redis", "dynamodb", not an array
            store = 'Memory'
                streamgate.toml:1: store must be one of "embedded", "memory", "redis", "dynamodb", not "Memory"
            data_dir = ''
                streamgate.toml:1: data_dir must be a string with a path, not ""
            data_dir = 5
                streamgate.toml:1: data_dir must be a string with a path, not 5
            data_dir = "a\u0000b"
                streamgate.toml:1: data_dir must be a string with a path, not "a\0b"
            locator_key = 'secret'
                streamgate.toml:1: locator_key must be a string of 32 hex digits
            log.level = 'verbose'
                streamgate.toml:1: log.level must be one of "error", "warn", "info", "debug", "trace", not "verbose"
            log.format = ''
                streamgate.toml:1: log.format must be one of "auto", "human", "json", not """#]],
    );
}

#[test]
fn numbers_are_checked() {
    check_each(
        &[
            "limit = 3.0",
            "limit = '3'",
            "limit = -1",
            "limit = nan",
            "limit = 1979-05-27",
            "limit = 340282366920938463463374607431768211456",
            "limit = { streams = 3 }",
            "plans.premium = 'many'",
            "plans.premium.hd = 3",
            "heartbeat.lease_seconds = 1e2",
            "http.drain_seconds = true",
        ],
        &expect![[r#"
            limit = 3.0
                streamgate.toml:1: limit must be a whole number between 1 and 64 streams, not 3.0
            limit = '3'
                streamgate.toml:1: limit must be a whole number between 1 and 64 streams, not "3"
            limit = -1
                streamgate.toml:1: limit must be between 1 and 64 streams, not -1
            limit = nan
                streamgate.toml:1: limit must be a whole number between 1 and 64 streams, not nan
            limit = 1979-05-27
                streamgate.toml:1: limit must be a whole number between 1 and 64 streams, not 1979-05-27
            limit = 340282366920938463463374607431768211456
                streamgate.toml:1: limit must be between 1 and 64 streams, not 340282366920938463463374607431768211456
            limit = { streams = 3 }
                streamgate.toml:1: limit must be a whole number between 1 and 64 streams, not a table
            plans.premium = 'many'
                streamgate.toml:1: plans.premium must be a whole number between 1 and 64 streams, not "many"
            plans.premium.hd = 3
                streamgate.toml:1: plans.premium must be a whole number between 1 and 64 streams, not a table
            heartbeat.lease_seconds = 1e2
                streamgate.toml:1: heartbeat.lease_seconds must be a whole number between 10 and 86400 seconds, not 1e2
            http.drain_seconds = true
                streamgate.toml:1: http.drain_seconds must be a whole number between 0 and 600 seconds, not true"#]],
    );
}

#[test]
fn what_is_not_toml_is_reported_with_its_line() {
    check_each(
        &[
            "limit",
            "limit =",
            "limit = 3\nlimit = 4",
            "limit = 3 # fine\n\n  store = \"",
            "[heartbeat]\n[heartbeat]",
            "store = 'é' é",
            "limit = [1,\n 2,\n",
        ],
        &expect![[r#"
            limit
                streamgate.toml:1: syntax error in column 6: key with no value, expected `=`
            limit =
                streamgate.toml:1: syntax error in column 8: string values must be quoted, expected literal string
            limit = 3
            limit = 4
                streamgate.toml:2: syntax error in column 1: duplicate key
            limit = 3 # fine

              store = "
                streamgate.toml:3: syntax error in column 12: invalid basic string, expected `"`
            [heartbeat]
            [heartbeat]
                streamgate.toml:2: syntax error in column 2: duplicate key
            store = 'é' é
                streamgate.toml:1: syntax error in column 13: unexpected key or value, expected newline, `#`
            limit = [1,
             2,

                streamgate.toml:2: syntax error in column 4: unclosed array, expected `]`"#]],
    );
}

#[test]
fn names_and_sections_are_checked() {
    check_each(
        &[
            "[limit]",
            "[[plans]]",
            "plans = 3",
            "heartbeat = 20",
            "[heartbeats]\ninterval_seconds = 20",
            "[heartbeat]\ninterval = 20",
            "interval_seconds = 20",
            "http.conections_max = 5",
            "log.file = 'x'",
            "port = 80",
            "\"\" = 80",
            "\"\\u001b[31m\" = 80",
        ],
        &expect![[r#"
            [limit]
                streamgate.toml:1: limit must be a whole number between 1 and 64 streams, not a table
            [[plans]]
                streamgate.toml:1: plans must be a table, not an array
            plans = 3
                streamgate.toml:1: plans must be a table, not 3
            heartbeat = 20
                streamgate.toml:1: heartbeat must be a table, not 20
            [heartbeats]
            interval_seconds = 20
                streamgate.toml:1: unknown setting "heartbeats"; did you mean heartbeat?
            [heartbeat]
            interval = 20
                streamgate.toml:2: unknown setting "heartbeat.interval"; did you mean heartbeat.interval_seconds?
            interval_seconds = 20
                streamgate.toml:1: unknown setting "interval_seconds"; did you mean heartbeat.interval_seconds?
            http.conections_max = 5
                streamgate.toml:1: unknown setting "http.conections_max"; did you mean http.connections_max?
            log.file = 'x'
                streamgate.toml:1: unknown setting "log.file"
            port = 80
                streamgate.toml:1: unknown setting "port"
            "" = 80
                streamgate.toml:1: unknown setting ""
            "\u001b[31m" = 80
                streamgate.toml:1: unknown setting "\u{1b}[31m""#]],
    );
}
