//! `streamgate demo`: the page is there, with all that it loads, and only there. What it shows is
//! tried in a browser (`sdk/web`).

use std::collections::HashSet;

use crate::support::{Client, Server, Setup};

/// What a page or a playlist names that it loads.
fn named_in(text: &str) -> Vec<&str> {
    let in_quotes = text.split('"').skip(1).step_by(2);
    let in_lines = text.lines().filter(|line| !line.starts_with('#'));
    let is_file = |name: &&str| {
        let (_, kind) = name.rsplit_once('.').unwrap_or_default();
        ["css", "html", "js", "m3u8", "m4s", "mp4"].contains(&kind) && !name.contains(' ')
    };
    in_quotes.chain(in_lines).filter(is_file).collect()
}

/// All that can be reached from a page of the demo.
fn reached(client: &Client, from: &str, seen: &mut HashSet<String>) {
    if !seen.insert(from.to_owned()) {
        return;
    }
    let answer = client.get(from);
    assert_eq!(answer.status, 200, "{from}");
    assert!(answer.header("content-security-policy").is_some(), "{from}");
    let is_read = [".html", ".m3u8"].iter().any(|kind| from.ends_with(kind)) || from.ends_with('/');
    if !is_read {
        return;
    }
    let (directory, _) = from.rsplit_once('/').expect("paths begin with a slash");
    for name in named_in(&answer.body) {
        reached(client, &format!("{directory}/{name}"), seen);
    }
}

#[test]
fn the_demo_has_all_that_it_loads_and_an_account_with_three_places() {
    let server = Setup::demo().start();
    let client = server.client();
    let mut seen = HashSet::new();
    reached(&client, "/demo/", &mut seen);
    reached(&client, "/demo/player.html", &mut seen);
    reached(&client, "/demo/film/film.m3u8", &mut seen);
    assert!(seen.contains("/demo/streamgate.js"), "{seen:?}");
    assert!(seen.contains("/demo/film/film5.m4s"), "{seen:?}");
    assert_eq!(client.get("/demo").status, 200, "by way of a redirection");
    for device in ["tv", "phone", "tablet"] {
        client.admitted(&serde_json::json!({"userId": "ann", "device": {"id": device}}));
    }
    assert_eq!(
        client.start(&serde_json::json!({"userId": "ann"})).status,
        409
    );
}

#[test]
fn a_server_has_no_demo() {
    let server = Server::start();
    for path in [
        "/demo",
        "/demo/",
        "/demo/player.html",
        "/demo/film/film.m3u8",
    ] {
        assert_eq!(server.client().get(path).status, 404, "{path}");
    }
}
