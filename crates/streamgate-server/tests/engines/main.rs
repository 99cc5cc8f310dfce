//! Several real nodes over one real engine, while things fail. What players saw is written down
//! and checked for an order by the rules of the core; each test says how much that was.

#[path = "../blackbox/support"]
#[expect(dead_code, reason = "the black-box tests use more of it")]
mod support {
    //! What the black-box tests have: the server under test, clients, and waiting.

    mod client;
    mod dice;
    mod events;
    mod server;
    mod wait;
    mod wire;

    pub(crate) use client::{Answer, Client};
    pub(crate) use dice::Dice;
    pub(crate) use events::Events;
    pub(crate) use server::{Server, Setup, run_with};
    pub(crate) use wait::{elapsed_since, let_pass, now, wait_until};
    pub(crate) use wire::{Wire, is_timeout};

    /// How long a test waits for what should happen soon, on a machine that others use too.
    pub(crate) const SOON: std::time::Duration = std::time::Duration::from_secs(20);
}

mod account;
mod clocks;
mod cluster;
mod down;
mod dynamodb;
mod events;
mod fleet;
mod loss;
mod nodes;
mod player;
mod players;
mod replicas;
mod sentinel;
mod tls;

/// Says what a test counted; `--nocapture` shows it.
#[expect(clippy::print_stdout, reason = "counts are part of what a test says")]
fn say(counted: &str) {
    println!("{counted}");
}
