//! streamgate: stops an account from playing more video streams at once than it may.
//!
//! This crate ties the rules (`streamgate-core`) to a store (`streamgate-store`) and puts HTTP,
//! a command line and configuration around them. Without its feature `cli` it is what something
//! else gives its requests to: [`Hosted`].

#![cfg_attr(
    not(feature = "cli"),
    expect(dead_code, unused_imports, reason = "what only the command line uses")
)]

mod auth;
#[cfg(feature = "cli")]
mod cli;
mod clock;
mod cmcd;
mod config;
mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod hosted;
mod http;
mod limiter;
mod log;
mod metrics;
#[cfg(feature = "cli")]
mod noop;
mod service;
#[cfg(feature = "cli")]
mod sweeper;
#[cfg(feature = "cli")]
mod tls;
mod watchers;

#[cfg(feature = "cli")]
pub use cli::main;
pub use hosted::Hosted;
#[cfg(feature = "cli")]
pub use noop::noop;

/// Half of a request's cost above the network is memory that lives for one request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
