//! The HTTP stack of streamgate with nothing behind it, for `bench/compare`.

use std::net::SocketAddr;

use clap::Parser;

/// Answers starts, heartbeats and stops as streamgate does, and decides nothing.
#[derive(Parser)]
#[command(
    after_help = "Example:\n  cargo run --release -p streamgate-server --example noop -- --listen 127.0.0.1:8081"
)]
struct Args {
    /// Listen on this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
}

fn main() -> anyhow::Result<()> {
    streamgate_server::noop(Args::parse().listen)
}
