//! streamgate: stops an account from playing more video streams at once than it may.
//!
//! This crate ties the rules (`streamgate-core`) to a store (`streamgate-store`) and puts HTTP,
//! a command line and configuration around them.

mod auth;
mod cli;
mod clock;
mod config;
mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod http;
mod limiter;
mod metrics;
mod noop;
mod sweeper;
mod tls;

pub use cli::main;
pub use noop::noop;

/// Half of a request's cost above the network is memory that lives for one request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
