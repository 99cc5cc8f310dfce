//! The other commands: what they print, for people and for programs.

use std::fs;
use std::process::Output;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Server, Setup, run, run_with};

#[track_caller]
fn printed(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(stderr, "");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn help_shows_the_commands_examples_and_exit_codes() {
    let home = tempfile::tempdir().expect("a directory");
    expect![[r#"
        Stops an account from playing more video streams at once than it may

        Usage: streamgate [OPTIONS]
               streamgate <COMMAND>

        Commands:
          serve        Serve the API (what plain `streamgate` does)
          demo         Serve the API with a page that shows what it does
          config       Print the default configuration or the one that `serve` would use, or check one
          streams      List or stop a user's streams on a running server
          store        Make what a store over an engine needs
          import-seed  Take in the streams of the service that this one grew from
          keys         Make, list or revoke API keys
          bench        Load a server, measure it and check its answers
          openapi      Print the OpenAPI document
          help         Print this message or the help of the given subcommand(s)

        Options:
              --config <FILE>          Read settings from this file [env: STREAMGATE_CONFIG=]
              --listen <ADDR>          Listen on this address [default: 127.0.0.1:8080]
              --data-dir <DIR>         Keep the data in this directory [default: ./streamgate-data]
              --store <STORE>          Where records are kept: embedded, memory, redis or dynamodb [default:
                                       embedded]
              --store-url <URL>        Where the engine is: redis://HOST:PORT (redis+cluster://,
                                       redis+sentinel://, rediss), or an endpoint of `DynamoDB` [default for
                                       dynamodb: AWS's own]
              --store-table <NAME>     The table of `DynamoDB` [default: streamgate]
              --auth <MODE>            Whether callers are asked who they are: none or required [default:
                                       none]
              --allow-unauthenticated  Serve callers beyond this machine although nothing tells who they are
              --log-level <LEVEL>      How much to log: error, warn, info, debug or trace [default: info]
          -h, --help                   Print help
          -V, --version                Print version

        Examples:
          streamgate                                   serve on 127.0.0.1:8080, data in ./streamgate-data
          streamgate demo                              see what it does, in a browser
          streamgate serve --listen 127.0.0.1:9000 --data-dir /var/lib/streamgate
          streamgate serve --config streamgate.toml    see `streamgate config` for all settings
          streamgate config --check streamgate.toml    report every mistake with its line
          streamgate config --show                     what `streamgate serve` would be set to
          streamgate streams list --user 123456789     who is watching
          streamgate streams stop --user 123456789 --all
          streamgate store init                        make the table of DynamoDB
          streamgate keys new --name cms --scope play  an API key, for when callers are asked for one
          streamgate bench                             how fast it is, and whether it keeps the limit

        Exit codes:
          0   done, or stopped by SIGINT or SIGTERM after draining
          1   failed while running
          2   wrong arguments or configuration
          3   `streamgate bench` found that the server broke the rules
          74  the data directory can't be used
          130 ended at once by a second SIGINT or SIGTERM while draining
    "#]].assert_eq(&printed(&run(home.path(), &["--help"])));
    let version = concat!("streamgate ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(printed(&run(home.path(), &["--version"])), version);
    for command in ["serve", "config", "streams", "keys", "openapi"] {
        let help = printed(&run(home.path(), &[command, "--help"]));
        assert!(help.contains("Usage: streamgate "), "{help}");
    }
}

#[test]
fn the_printed_configuration_is_whole_and_right() {
    let home = tempfile::tempdir().expect("a directory");
    let text = printed(&run(home.path(), &["config"]));
    assert_eq!(text, include_str!("../../../config.default.toml"));
    fs::write(home.path().join("own.toml"), text).expect("a file");
    let checked = printed(&run(home.path(), &["config", "--check", "own.toml"]));
    assert_eq!(checked, "own.toml is fine\n");
}

#[test]
fn the_configuration_that_serve_would_use_is_printed_and_can_be_read_again() {
    let home = tempfile::tempdir().expect("a directory");
    let key = "00112233445566778899aabbccddeeff";
    let text = "limit = 4\nstore = \"memory\"\n[plans]\npremium = 6\n[http]\ndrain_seconds = 3\n";
    fs::write(home.path().join("own.toml"), text).expect("a file");
    let args = ["config", "--show", "--listen", "127.0.0.1:9000"];
    let variables = [
        ("STREAMGATE_CONFIG", "own.toml"),
        ("STREAMGATE_HTTP_DRAIN_SECONDS", "4"),
        ("STREAMGATE_LISTEN", "127.0.0.1:8000"),
        ("STREAMGATE_API_KEY", "sgk_something"),
    ];
    let shown = printed(&run_with(home.path(), &args, &variables));
    let defaults = printed(&run(home.path(), &["config", "--show"]));
    let changed: Vec<_> = shown
        .lines()
        .filter(|it| !defaults.lines().any(|line| line == *it))
        .collect();
    assert_eq!(
        changed,
        [
            "listen = \"127.0.0.1:9000\"",
            "store = \"memory\"",
            "limit = 4",
            "[plans]",
            "premium = 6",
            "drain_seconds = 4",
        ]
    );
    fs::write(home.path().join("shown.toml"), &shown).expect("a file");
    let checked = printed(&run(home.path(), &["config", "--check", "shown.toml"]));
    assert_eq!(checked, "shown.toml is fine\n");
    let again = ["config", "--show", "--config", "shown.toml"];
    assert_eq!(printed(&run(home.path(), &again)), shown);

    let secret = [("STREAMGATE_LOCATOR_KEY", key), ("STREAMGATE_PORT", "80")];
    let output = run_with(home.path(), &["config", "--show", "--json"], &secret);
    let json = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!json.contains(&key[..8]), "{json}");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["locator_key"], "(set)");
    assert_eq!(json["heartbeat"]["lease_seconds"], 90);
    let warned = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        warned,
        "streamgate: environment STREAMGATE_PORT: not a setting, ignored\n"
    );
    let left: Vec<_> = fs::read_dir(home.path()).expect("a directory").collect();
    assert_eq!(left.len(), 2, "nothing was made: {left:?}");
}

/// What is set and how it is printed: ids and times differ from run to run.
fn settled(text: &str, ids: &[&str]) -> String {
    let mut settled = text.to_owned();
    for (number, id) in (1..).zip(ids) {
        settled = settled.replace(id, &format!("<id {number}>"));
    }
    let is_time = |word: &str| {
        let word = word.trim_matches(['"', ',']);
        word.ends_with('Z') && word.parse::<jiff::Timestamp>().is_ok()
    };
    let words = settled.split_inclusive(' ').map(|word| {
        let bare = word.trim_end();
        if is_time(bare) {
            word.replace(bare.trim_matches(['"', ',']), "<time>")
        } else {
            word.into()
        }
    });
    words.collect()
}

/// Two streams of a user, and the command line of an operator.
struct Watched {
    server: Server,
    home: tempfile::TempDir,
    tv: String,
    phone: String,
}

impl Watched {
    fn new() -> Self {
        let server = Server::start();
        let client = server.client();
        let tv = client.admitted(&json!({"userId": "a/b c", "contentId": "movie-1",
            "device": {"id": "tv-9", "name": "Living room TV"}}));
        let phone = client.admitted(&json!({"userId": "a/b c"}));
        Self {
            server,
            home: tempfile::tempdir().expect("a directory"),
            tv,
            phone,
        }
    }

    /// What `streamgate streams` prints.
    #[track_caller]
    fn streams(&self, args: &[&str]) -> String {
        settled(&printed(&self.run(args)), &[&self.tv, &self.phone])
    }

    /// What `streamgate streams` says when it fails.
    #[track_caller]
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn run(&self, args: &[&str]) -> Output {
        let url = format!("http://{}", self.server.address());
        let whose = ["--user", "a/b c", "--server", &url];
        let args = ["streams"].iter().chain(args).chain(&whose);
        let args: Vec<&str> = args.copied().collect();
        run(self.home.path(), &args)
    }
}

#[test]
fn an_operator_lists_streams() {
    let watched = Watched::new();
    expect![[r#"
        2 of 3 streams
        <id 1>  live     started <time>  heard <time>  Living room TV  movie-1
        <id 2>  live     started <time>  heard <time>  unnamed device  -
    "#]]
    .assert_eq(&watched.streams(&["list"]));
    expect![[r#"
        {
          "active": 2,
          "limit": 3,
          "streams": [
            {
              "contentId": "movie-1",
              "device": {
                "id": "tv-9",
                "name": "Living room TV"
              },
              "expiresAt": "<time>",
              "lastHeardAt": "<time>",
              "playback": "playing",
              "startedAt": "<time>",
              "state": "live",
              "streamId": "<id 1>"
            },
            {
              "device": {},
              "expiresAt": "<time>",
              "lastHeardAt": "<time>",
              "playback": "playing",
              "startedAt": "<time>",
              "state": "live",
              "streamId": "<id 2>"
            }
          ],
          "userId": "a/b c"
        }
    "#]]
    .assert_eq(&watched.streams(&["list", "--json"]));
}

#[test]
fn an_operator_stops_streams() {
    let watched = Watched::new();
    let client = watched.server.client();
    let (tv, phone) = (watched.tv.as_str(), watched.phone.as_str());
    expect![[r#"
        stopped; the players are told at once, or at their next heartbeat
    "#]]
    .assert_eq(&watched.streams(&["stop", phone]));
    assert_eq!(client.streams_of("a%2Fb%20c"), [tv]);
    let over = client.poke(&format!("/v1/streams/{phone}/heartbeat"));
    assert_eq!(over.code(), "stream-evicted");
    expect![[r#"
        {"stopped":["<id 1>"]}
    "#]]
    .assert_eq(&watched.streams(&["stop", tv, "--json"]));
    let again = watched.refused(&["stop", tv]);
    assert!(again.contains("has no live stream"), "{again}");
    expect![[r#"
        {"stopped":"all"}
    "#]]
    .assert_eq(&watched.streams(&["stop", "--all", "--json"]));
    expect![[r#"
        0 of 3 streams
    "#]]
    .assert_eq(&watched.streams(&["list"]));
}

#[test]
fn a_server_that_is_not_there_is_a_clear_failure() {
    let home = tempfile::tempdir().expect("a directory");
    let mut server = Server::start();
    let url = format!("http://{}", server.address());
    server.terminate();
    let output = run(
        home.path(),
        &["streams", "list", "--user", "1", "--server", &url],
    );
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with(&format!("streamgate: cannot reach {url}")),
        "{stderr}"
    );
    let nothing_chosen = run(
        home.path(),
        &["streams", "stop", "--user", "1", "--server", &url],
    );
    assert_eq!(nothing_chosen.status.code(), Some(2));
    let no_url = run(
        home.path(),
        &["streams", "list", "--user", "1", "--server", "127.0.0.1:1"],
    );
    assert_eq!(no_url.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&no_url.stderr);
    assert!(stderr.contains("must begin with http:// or"), "{stderr}");
}

#[test]
fn an_operator_without_a_key_is_told_so() {
    let watched = Watched {
        server: Setup::new().set("AUTH", "required").start(),
        home: tempfile::tempdir().expect("a directory"),
        tv: String::new(),
        phone: String::new(),
    };
    let said = watched.refused(&["list"]);
    expect![[r#"
        streamgate: the server answered 401 Unauthorized: no credentials; give it one with --key-file or STREAMGATE_API_KEY
    "#]].assert_eq(&said);
}

#[test]
fn the_log_names_no_user_no_device_and_no_stream() {
    let mut server = Setup::new().start();
    let client = server.client();
    let names = ["viewer-31337", "couch-tv", "secret-movie"];
    let id = client.admitted(&json!({"userId": names[0], "contentId": names[2],
        "device": {"id": names[1], "name": names[1]}}));
    client.poke(&format!("/v1/streams/{id}/heartbeat"));
    client.post("/stream", &json!({"userId": names[0]}));
    for _ in 0..3 {
        client.start(&json!({"userId": names[0]}));
    }
    client.start(&json!({"userId": names[0], "plan": "none"}));
    client.get(&format!("/v1/users/{}/streams", names[0]));
    client.delete(&format!("/v1/users/{}/streams", names[0]));
    client.delete(&format!("/v1/streams/{id}?userId={}", names[0]));
    server.terminate();
    let log = server.log();
    for line in log.lines() {
        assert!(
            serde_json::from_str::<Value>(line).is_ok(),
            "no JSON: {line}"
        );
    }
    for name in names.into_iter().chain([id.as_str()]) {
        assert!(!log.contains(name), "{name} is in the log: {log}");
    }
}
