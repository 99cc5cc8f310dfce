//! `deploy/nginx`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use streamgate_store::engines::Port;

use super::{Gateway, MEDIA, SERVICE, asked, asking, evict, recipe, stream_of};
use crate::support::{SOON, Server, wait_until};

const REFUSE: &str = "streamgate-check.conf";
const STALE: &str = "streamgate-check-stale.conf";
const OPEN: &str = "streamgate-check-open.conf";
/// A stream that nobody knows, as we would have named it.
const NOBODYS: &str = "00000000-0000-8000-8000-000000000000";

/// nginx with one of the three ways to ask, and a key to ask with.
#[track_caller]
fn nginx(check: &str, server: SocketAddr, key: Option<&str>) -> Gateway {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let home = directory
        .path()
        .to_str()
        .expect("a path of text")
        .to_owned();
    let at = |name: &str| format!("{home}/{name}");
    let port = Port::free();
    let address = port.address();
    fs::create_dir_all(at("video/media")).expect("it can be made");
    fs::write(at("video/media/1.ts"), MEDIA).expect("it can be written");
    let own = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let own = own
        .map(|what| format!("{what}_temp_path {};", at(what)))
        .join("\n");
    let config = recipe(
        "nginx/nginx.conf",
        &[
            (REFUSE, check),
            ("/etc/nginx/", &at("")),
            ("listen 80;", &format!("listen {address};")),
            ("/srv/video", &at("video")),
            ("http {", &format!("http {{\n{own}\naccess_log off;")),
        ],
    );
    fs::write(at("nginx.conf"), config).expect("it can be written");
    let service = server.to_string();
    let cache = at("cache");
    let replaced = [
        (SERVICE, service.as_str()),
        ("/var/lib/nginx/streamgate", &cache),
    ];
    let shared = recipe("nginx/streamgate.conf", &replaced);
    fs::write(at("streamgate.conf"), shared).expect("it can be written");
    let header = "# proxy_set_header Authorization \"Bearer <the API key>\";";
    let with_key = key.map(|key| format!("proxy_set_header Authorization \"Bearer {key}\";"));
    let with_key = with_key.as_deref().unwrap_or(header);
    let ask = recipe("nginx/streamgate-ask.conf", &[(header, with_key)]);
    fs::write(at("streamgate-ask.conf"), ask).expect("it can be written");
    let text = recipe(&format!("nginx/{check}"), &[("/etc/nginx/", &at(""))]);
    fs::write(at(check), text).expect("it can be written");
    let globals = format!("daemon off; user root; pid {};", at("pid"));
    let args = [
        "-p",
        &home,
        "-c",
        &at("nginx.conf"),
        "-e",
        "stderr",
        "-g",
        &globals,
    ];
    Gateway::run(Path::new("/usr/sbin/nginx"), &args, port, directory)
}

#[test]
fn who_has_a_place_gets_through_until_the_stream_ends() {
    let server = Server::start();
    let client = server.client();
    let nginx = nginx(REFUSE, server.address(), None);
    let ann = stream_of(&client, "ann");
    for answer in [nginx.get(&ann), nginx.get_with_header(&ann, "")] {
        assert_eq!((answer.status, answer.body.as_str()), (200, MEDIA));
    }
    assert_eq!(nginx.get(NOBODYS).status, 403);
    assert_eq!(nginx.get_with_header(NOBODYS, "").status, 403);
    evict(&client, "ann");
    wait_until("the decision is no longer remembered", SOON, || {
        (nginx.get(&ann).status == 403).then_some(())
    });
    assert_eq!(nginx.get_with_header(&ann, "").status, 403);
}

#[test]
fn who_names_no_stream_does_not_get_through_whoever_did_before() {
    let server = Server::start();
    let nginx = nginx(OPEN, server.address(), None);
    let ann = stream_of(&server.client(), "ann");
    for path in [
        "/media/1.ts",
        "/media/1.ts?CMCD=",
        "/media/1.ts?CMCD=bl%3D1%2Csid%3D%22%22",
        "/media/1.ts?sid=%22x%22",
        "/media/1.ts?t=10",
        "/media/1.ts?CMCD=cid%3D%22m%22%2Cmysid%3D%22x%22",
    ] {
        assert_eq!(nginx.get(&ann).status, 200);
        assert_eq!(nginx.client.get(path).status, 401, "{path}");
    }
    assert_eq!(nginx.client.get("/_streamgate").status, 404, "it is ours");
}

#[test]
fn who_chose_the_name_of_its_stream_gets_through_with_its_token() {
    let server = Server::start();
    let client = server.client();
    let nginx = nginx(REFUSE, server.address(), None);
    let mine = client.start(&serde_json::json!({"userId": "ann", "streamId": "mine"}));
    let bobs = client.start(&serde_json::json!({"userId": "bob", "streamId": "bobs"}));
    let path = |token: &str| format!("/media/1.ts?t={token}");
    let (mine, bobs) = (path(&mine.text("token")), path(&bobs.text("token")));
    assert_eq!(nginx.get("mine").status, 403, "whose is not known");
    evict(&client, "bob");
    for _ in 0..100 {
        assert_eq!(nginx.client.get(&mine).status, 200);
        assert_eq!(nginx.client.get(&bobs).status, 403);
    }
    let named = format!("{mine}&CMCD=sid%3D%22bobs%22");
    assert_eq!(nginx.client.get(&named).status, 403, "one of the two lies");
    assert!(asked(&client) < 100, "{}", asked(&client));
    evict(&client, "ann");
    wait_until("the decision is no longer remembered", SOON, || {
        (nginx.client.get(&mine).status == 403).then_some(())
    });
}

#[test]
fn two_viewers_never_share_a_decision() {
    let server = Server::start();
    let client = server.client();
    let nginx = nginx(STALE, server.address(), None);
    let (ann, bob) = (stream_of(&client, "ann"), stream_of(&client, "bob"));
    evict(&client, "bob");
    for _ in 0..100 {
        assert_eq!(nginx.get(&ann).status, 200);
        assert_eq!(nginx.get(&bob).status, 403);
        // The header goes before the query.
        let of_bob = format!("?CMCD=sid%3D%22{bob}%22");
        assert_eq!(nginx.get_with_header(&ann, &of_bob).status, 200);
        let of_ann = format!("?CMCD=sid%3D%22{ann}%22");
        assert_eq!(nginx.get_with_header(&bob, &of_ann).status, 403);
    }
    // Decisions are remembered: of so many requests few are asked about.
    assert!(asked(&client) < 100, "{}", asked(&client));
}

#[test]
fn while_the_service_is_away_it_is_as_the_chosen_file_says() {
    let mut server = Server::start();
    let client = server.client();
    let address = server.address();
    let [refuse, stale, open] = [REFUSE, STALE, OPEN].map(|check| nginx(check, address, None));
    let (ann, bob) = (stream_of(&client, "ann"), stream_of(&client, "bob"));
    evict(&client, "bob");
    for nginx in [&stale, &open, &refuse] {
        assert_eq!(nginx.get(&ann).status, 200);
        assert_eq!(nginx.get(&bob).status, 403);
    }
    server.kill9();

    // What the others know of Ann is older still.
    wait_until("nothing is remembered", SOON, || {
        (refuse.get(&ann).status == 500).then_some(())
    });
    assert_eq!(refuse.get(NOBODYS).status, 500);
    assert_eq!(refuse.get(&bob).status, 500);

    assert_eq!(stale.get(&ann).status, 200);
    assert_eq!(stale.get(&bob).status, 403);
    assert_eq!(stale.get(NOBODYS).status, 500);

    assert_eq!(open.get(&ann).status, 200);
    assert_eq!(open.get(&bob).status, 403);
    assert_eq!(open.get(NOBODYS).status, 200);
    assert_eq!(open.client.get("/media/1.ts").status, 401);
}

#[test]
fn where_callers_are_asked_it_brings_its_key_and_nothing_of_the_viewers() {
    let (setup, play, read) = asking();
    let server = setup.start();
    let client = server.client();
    let start = client.call(http::Method::POST, "/v1/streams");
    let start = start.header("authorization", format!("Bearer {play}"));
    let ann = start
        .json(&serde_json::json!({"userId": "ann"}))
        .send()
        .text("streamId");
    let with_key = nginx(REFUSE, server.address(), Some(&read));
    let without = nginx(REFUSE, server.address(), None);
    let viewers = |nginx: &Gateway, sid: &str| {
        let path = format!("/media/1.ts?t=10&CMCD=sid%3D%22{sid}%22");
        let call = nginx.client.call(http::Method::GET, &path);
        call.header("authorization", format!("Bearer {play}"))
            .send()
            .status
    };
    assert_eq!(viewers(&with_key, &ann), 200);
    assert_eq!(viewers(&with_key, NOBODYS), 403);
    assert_eq!(viewers(&without, &ann), 401);
}
