//! What the tests share: the server under test, clients, and waiting.

mod client;
mod dice;
mod events;
mod server;
mod show;
mod wait;
mod wire;

pub(crate) use client::{Answer, Client};
pub(crate) use dice::Dice;
pub(crate) use events::Events;
pub(crate) use server::{Server, Setup, address_on, run, run_with};
pub(crate) use show::Names;
pub(crate) use wait::{elapsed_since, let_pass, now, wait_until};
pub(crate) use wire::{Wire, request};

use std::time::Duration;

/// How long a test waits for what should happen soon, on a machine that others use too.
pub(crate) const SOON: Duration = Duration::from_secs(20);
