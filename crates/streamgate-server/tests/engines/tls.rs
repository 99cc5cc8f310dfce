//! An engine that speaks TLS only and asks for a password.

use std::time::Duration;

use streamgate_store::engines::{Make, RedisSetup};

use crate::account::CLOCKS_APART;
use crate::fleet::{Fleet, over_redis};
use crate::nodes::{ALWAYS, LONG};
use crate::players::Players;
use crate::support::let_pass;

#[test]
fn over_tls_and_behind_a_password_every_answer_stands() {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let redis = RedisSetup::new(Make::Redis)
        .password("secret")
        .tls(&made.cert.pem(), &made.signing_key.serialize_pem())
        .start();
    let trusted = format!("SSL_CERT_FILE={}", redis.certificate().display());
    let fleet = Fleet::start(|_| over_redis(&redis.url()).wrapped_by(&["env", &trusted]));
    let players = Players::new(&fleet, LONG, 20);
    let account = players.play(|| let_pass(Duration::from_secs(1)));
    account.check("over TLS", CLOCKS_APART, &ALWAYS);
}
