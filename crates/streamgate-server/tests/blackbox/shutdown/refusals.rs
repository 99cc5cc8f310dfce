//! Where the server does not start, it says why and what to do.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use serde_json::json;

use crate::support::{Server, Setup, run};

#[track_caller]
fn check(output: &Output, code: i32, said: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for part in said {
        assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[test]
fn a_second_process_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let server = Server::start();
    let client = server.client();
    let id = client.admitted(&json!({"userId": "1"}));
    let dir = server.data_dir();
    let dir = dir.to_str().expect("UTF-8");
    let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", dir];
    let home = server.data_dir();
    let second = run(home.parent().expect("it has a parent"), &args);
    check(
        &second,
        74,
        &[dir, "in use by another streamgate", "--data-dir"],
    );
    assert_eq!(
        client.poke(&format!("/v1/streams/{id}/heartbeat")).status,
        200
    );
    client.admitted(&json!({"userId": "1"}));
}

#[test]
fn a_foreign_or_damaged_file_is_refused_and_left_alone() {
    let mut found = Server::start();
    found.client().admitted(&json!({"userId": "1"}));
    found.terminate();
    let whole = fs::read(found.data_dir().join("streams.redb")).expect("the journal");
    let mut damaged = whole.clone();
    for byte in &mut damaged[64..8192] {
        *byte ^= 0x5a;
    }
    let foreign = b"SQLite format 3\0 and some more".to_vec();
    let cases = [
        (foreign, "was not written by streamgate"),
        (Vec::new(), "was not written by streamgate"),
        (damaged, "is damaged"),
        (whole[..whole.len() / 3].to_vec(), "is damaged"),
    ];
    for (content, said) in cases {
        let setup = Setup::new();
        let path = setup.data_dir().join("streams.redb");
        fs::create_dir(setup.data_dir()).expect("a directory");
        fs::write(&path, &content).expect("a file");
        check(
            &setup.run_to_end(),
            74,
            &[path.to_str().expect("UTF-8"), said],
        );
        assert_eq!(
            fs::read(&path).expect("the file"),
            content,
            "it is unchanged"
        );
    }
}

#[test]
fn a_data_directory_that_cannot_be_made_is_refused() {
    let setup = Setup::new();
    fs::write(setup.data_dir(), "a file").expect("a file");
    check(&setup.run_to_end(), 74, &["cannot use", "data"]);
}

#[test]
fn a_locator_key_that_the_directory_was_not_made_with_is_refused() {
    let key = "00112233445566778899aabbccddeeff";
    let mut server = Setup::new().set("LOCATOR_KEY", key).start();
    server.terminate();
    let dir = server.data_dir();
    let home = dir.parent().expect("it has a parent");
    fs::write(
        home.join("other.toml"),
        format!("locator_key = \"{}\"\n", key.replace('0', "1")),
    )
    .expect("a file");
    let dir = dir.to_str().expect("UTF-8");
    let args = [
        "--config",
        "other.toml",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        dir,
    ];
    check(&run(home, &args), 74, &["another locator key"]);
}

#[test]
fn a_mistaken_configuration_is_refused_with_its_lines() {
    let home = tempfile::tempdir().expect("a directory");
    let text = "limit = 0\nlimits = 3\n\n[heartbeat]\ninterval_seconds = \"often\"\n";
    fs::write(home.path().join("bad.toml"), text).expect("a file");
    let said = [
        "bad.toml:1",
        "bad.toml:2",
        "bad.toml:5",
        "limit",
        "interval_seconds",
    ];
    check(
        &run(home.path(), &["serve", "--config", "bad.toml"]),
        2,
        &said,
    );
    check(
        &run(home.path(), &["config", "--check", "bad.toml"]),
        2,
        &said,
    );
    let show = ["config", "--show", "--config", "bad.toml"];
    check(&run(home.path(), &show), 2, &said);
    for without_effect in ["--json", "--allow-unauthenticated", "--listen=[::1]:80"] {
        let output = run(home.path(), &["config", without_effect]);
        check(&output, 2, &["--show"]);
    }
    check(
        &run(home.path(), &["serve", "--config", "none.toml"]),
        2,
        &["none.toml"],
    );
    check(
        &run(home.path(), &["serve", "--no-such-flag"]),
        2,
        &["--no-such-flag"],
    );
    let limit = Setup::new().set("LIMIT", "many").run_to_end();
    check(&limit, 2, &["STREAMGATE_LIMIT"]);
}

#[test]
fn an_address_that_is_taken_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let home = tempfile::tempdir().expect("a directory");
    let output = run(home.path(), &["serve", "--listen", &address]);
    check(
        &output,
        1,
        &[&format!("cannot listen on {address}"), "in use"],
    );
}

#[test]
fn an_open_address_needs_the_flag_that_says_so() {
    let home = tempfile::tempdir().expect("a directory");
    let open = ["serve", "--listen", "0.0.0.0:0"];
    check(&run(home.path(), &open), 2, &["--allow-unauthenticated"]);
    let left: Vec<_> = fs::read_dir(home.path()).expect("a directory").collect();
    assert!(left.is_empty(), "nothing was made: {left:?}");
}
