//! `deploy/envoy`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;

use http::Method;
use serde_json::json;
use streamgate_store::engines::Port;

use super::{Gateway, MEDIA, SERVICE, asking, evict, recipe, stream_of};
use crate::support::Server;

/// Where `cargo xtask` puts Envoy, below the home directory.
const INSTALLED: &str = ".cache/streamgate";
const ENVIRONMENT: &str = "gateways-";
/// A stream that nobody knows, as we would have named it.
const NOBODYS: &str = "00000000-0000-8000-8000-000000000000";

/// The real Envoy, which a Python package brings.
#[track_caller]
fn program() -> PathBuf {
    let home = std::env::home_dir().expect("a home directory");
    let below = |path: PathBuf, begin: &str| {
        let entries = fs::read_dir(path).ok()?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let begins = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(begin)
        };
        paths.filter(begins).max()
    };
    let environment = below(home.join(INSTALLED), ENVIRONMENT);
    let python = environment.and_then(|it| below(it.join("lib"), "python3"));
    let program = python.map(|it| it.join("site-packages/envoy/_bin/envoy"));
    program.expect("`cargo xtask check test` installs Envoy")
}

/// A server that has the media, for as long as the test lives.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for viewer in listener.incoming().flatten() {
            thread::spawn(move || serve(&viewer));
        }
    });
    address
}

fn serve(mut viewer: &TcpStream) {
    let head = BufReader::new(viewer).lines();
    let rest = head
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    rest.for_each(drop);
    let length = MEDIA.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    drop(viewer.write_all((head + MEDIA).as_bytes()));
}

/// Envoy, with more of its file replaced.
#[track_caller]
fn envoy(server: SocketAddr, replaced: &[(&str, &str)]) -> Gateway {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (own, origin) = (Port::free(), origin());
    let port = |address: SocketAddr| format!("port_value: {} ", address.port());
    let (listens, service, media) = (port(own.address()), port(server), port(origin));
    assert!(SERVICE.ends_with(":8080"));
    let addresses = [
        ("port_value: 10000 ", listens.as_str()),
        ("port_value: 8080 ", service.as_str()),
        ("port_value: 8081 ", media.as_str()),
    ];
    let text = recipe("envoy/envoy.yaml", &[&addresses[..], replaced].concat());
    let file = directory.path().join("envoy.yaml");
    fs::write(&file, text).expect("it can be written");
    let file = file.to_str().expect("a path of text");
    let quiet = ["--disable-hot-restart", "--concurrency", "1", "-l", "error"];
    let args = [&["-c", file][..], &quiet].concat();
    Gateway::run(&program(), &args, own, directory)
}

#[test]
fn who_has_a_place_gets_through_until_the_stream_ends() {
    let server = Server::start();
    let client = server.client();
    let envoy = envoy(server.address(), &[]);
    let (ann, bob) = (stream_of(&client, "ann"), stream_of(&client, "bob"));
    for sid in [&ann, &bob] {
        for answer in [envoy.get(sid), envoy.get_with_header(sid, "")] {
            assert_eq!((answer.status, answer.body.as_str()), (200, MEDIA));
        }
    }
    for method in [Method::HEAD, Method::POST, Method::OPTIONS] {
        let path = format!("/media/1.ts?CMCD=sid%3D%22{ann}%22");
        assert_eq!(
            envoy.client.call(method.clone(), &path).send().status,
            200,
            "{method}"
        );
        assert_eq!(
            envoy
                .client
                .call(method.clone(), "/media/1.ts")
                .send()
                .status,
            401,
            "{method}"
        );
    }
    let chosen = client.start(&serde_json::json!({"userId": "ann", "streamId": "mine"}));
    let path = format!("/media/1.ts?t={}", chosen.text("token"));
    assert_eq!(envoy.client.get(&path).status, 200);
    evict(&client, "ann");
    assert_eq!(envoy.client.get(&path).status, 403);
    for _ in 0..20 {
        let refused = envoy.get(&ann);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (403, "forbidden")
        );
        let of_bob = format!("?CMCD=sid%3D%22{bob}%22");
        assert_eq!(envoy.get_with_header(&ann, &of_bob).status, 403);
        assert_eq!(envoy.get(&bob).status, 200);
    }
    assert_eq!(envoy.get(NOBODYS).status, 403);
    for path in ["/", "/media/1.ts", "/media/1.ts?t=10", "/media/1.ts?CMCD=x"] {
        assert_eq!(envoy.client.get(path).status, 401, "{path}");
    }
}

#[test]
fn while_the_service_is_away_nobody_gets_through_or_everybody() {
    let mut server = Server::start();
    let ann = stream_of(&server.client(), "ann");
    let closed = envoy(server.address(), &[]);
    let open = [("failure_mode_allow: false", "failure_mode_allow: true")];
    let open = envoy(server.address(), &open);
    for envoy in [&closed, &open] {
        assert_eq!(envoy.get(&ann).status, 200);
        assert_eq!(envoy.get(NOBODYS).status, 403);
    }
    server.kill9();
    assert_eq!(closed.get(&ann).status, 403);
    for sid in [&ann, NOBODYS] {
        assert_eq!(open.get(sid).status, 200);
    }
}

#[test]
fn where_callers_are_asked_it_brings_its_key_and_nothing_of_the_viewers() {
    let (setup, play, read) = asking();
    let server = setup.start();
    let client = server.client();
    let start = client.call(Method::POST, "/v1/streams");
    let start = start.header("authorization", format!("Bearer {play}"));
    let started = start.json(&json!({"userId": "ann"})).send();
    let (ann, token) = (started.text("streamId"), started.text("token"));
    let commented = "# headers_to_add:\n                          #   - { key: authorization, \
                     value: \"Bearer <the API key>\" }";
    let with_key = format!(
        "headers_to_add:\n                            - {{ key: authorization, \
         value: \"Bearer {read}\" }}"
    );
    let with_key = envoy(server.address(), &[(commented, with_key.as_str())]);
    let without = envoy(server.address(), &[]);
    let viewers = |envoy: &Gateway, sid: &str, credential: &str| {
        let path = format!("/media/1.ts?t=10&CMCD=sid%3D%22{sid}%22");
        let call = envoy.client.call(Method::GET, &path);
        call.header("authorization", credential).send().status
    };
    assert_eq!(viewers(&with_key, &ann, "Basic YTpi"), 200);
    assert_eq!(viewers(&with_key, NOBODYS, "Basic YTpi"), 403);
    assert_eq!(viewers(&without, &ann, "Basic YTpi"), 401);
    assert_eq!(viewers(&without, &ann, &format!("Bearer {token}")), 200);
    assert_eq!(viewers(&without, NOBODYS, &format!("Bearer {token}")), 403);
}
