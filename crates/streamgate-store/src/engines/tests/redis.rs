use std::net::Ipv4Addr;

use super::{SOON, first_bytes_after};
use crate::engines::{Make, RedisServer, RedisSetup};

#[test]
fn redis_is_killed_and_comes_back_empty_at_the_same_port() {
    let server = RedisServer::start();
    let url = server.url();
    assert_eq!(server.command(&["SET", "key", "value"]), "OK");
    assert_eq!(server.command(&["GET", "key"]), "value");
    server.kill();
    assert!(server.try_command(&["PING"]).is_err());
    server.start_again();
    assert_eq!(server.command(&["GET", "key"]), "");
    assert_eq!(server.url(), url);
}

#[test]
fn an_error_is_told_from_an_answer() {
    let server = RedisServer::start();
    let said = server.try_command(&["EVAL", "return nothing(", "0"]);
    assert!(said.is_err_and(|said| said.contains("ERR")));
}

#[test]
fn valkey_keeps_its_data_with_an_append_only_file() {
    let setup = RedisSetup::new(Make::Valkey)
        .option("appendonly", "yes")
        .option("appendfsync", "always");
    let server = setup.start();
    server.command(&["SET", "key", "value"]);
    server.kill();
    server.start_again();
    assert_eq!(server.command(&["GET", "key"]), "value");
    assert!(
        server
            .command(&["INFO", "server"])
            .contains("valkey_version:8")
    );
}

#[test]
fn a_paused_server_answers_when_it_goes_on() {
    let server = RedisServer::start();
    server.pause();
    let address = (Ipv4Addr::LOCALHOST, server.port()).into();
    let answer = first_bytes_after(address, "PING\r\n", || server.resume());
    assert!(answer.starts_with("+PONG"), "{answer}");
}

#[test]
fn a_password_and_a_certificate_are_asked_for() {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let setup = RedisSetup::new(Make::Redis)
        .password("secret")
        .tls(&made.cert.pem(), &made.signing_key.serialize_pem());
    let server = setup.start();
    server.wait_for(&["PING"], "PONG", SOON);
    let port = server.port();
    assert_eq!(server.url(), format!("rediss://:secret@127.0.0.1:{port}"));
}
