//! A node whose clock on the wall is wrong.

use std::fs;
use std::path::Path;
use std::time::Duration;

use streamgate_store::engines::RedisServer;

use crate::account::CLOCKS_APART;
use crate::fleet::{Fleet, over_redis, with_short_leases};
use crate::nodes::{ALWAYS, SHORT};
use crate::players::Players;
use crate::support::let_pass;

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// The node with the wrong clock.
const WRONG: usize = 1;

/// Sets the node's clock so far from the right one.
fn step(clock: &Path, by: &str) {
    let next = clock.with_extension("next");
    fs::write(&next, format!("{by}\n")).expect("a file can be written");
    fs::rename(next, clock).expect("a file can be renamed");
}

#[test]
fn a_node_whose_clock_is_stepped_says_so_and_its_answers_stand() {
    assert!(
        Path::new(FAKETIME).exists(),
        "faketime is not installed; `cargo xtask check test` installs what the tests need"
    );
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let clock = home.path().join("clock");
    step(&clock, "+0");
    let redis = RedisServer::start();
    let fleet = Fleet::start(|node| {
        let setup = with_short_leases(over_redis(&redis.url()));
        if node != WRONG {
            return setup;
        }
        let file = format!("FAKETIME_TIMESTAMP_FILE={}", clock.display());
        setup.wrapped_by(&[
            "env",
            &format!("LD_PRELOAD={FAKETIME}"),
            &file,
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        ])
    });
    fleet.wait_until_ready();
    let players = Players::new(&fleet, SHORT, 540);
    let mut steps = 0;
    let mut account = players.play(|| {
        for by in ["+5", "-2h"] {
            let_pass(Duration::from_secs(1));
            step(&clock, by);
            steps += 1;
            let said = fleet.wait_until_ready_is(WRONG, 503);
            assert!(said.contains("s apart"), "{said}");
            // Streams live and end while the clock is wrong.
            let_pass(Duration::from_secs(5));
        }
        step(&clock, "+0");
        fleet.wait_until_ready_is(WRONG, 200);
        let_pass(Duration::from_secs(1));
    });
    account.count_many("steps", steps);
    let words = [&ALWAYS[..], &["reclaimed"]].concat();
    account.check("a clock that is stepped", CLOCKS_APART, &words);
}
