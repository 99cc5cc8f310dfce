//! `streamgate store`: what has to be made once, before nodes can use it.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use streamgate_store::{Capacity, DynamoDbStore, TableState};

use super::{EngineArgs, load, print};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make the table of `DynamoDB`, or adjust its capacity if it is there
    #[command(after_help = "Examples:\n  \
        streamgate store init                            on demand, in the region of AWS_REGION\n  \
        streamgate store init --store-table live --reads 500 --writes 2000\n  \
        streamgate store init --store-url http://127.0.0.1:8000")]
    Init(InitArgs),
}

#[derive(Args)]
pub(super) struct InitArgs {
    /// Read settings from this file
    #[arg(long, value_name = "FILE", env = "STREAMGATE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Strongly consistent reads a second that are paid for [default: on demand]
    #[arg(long, value_name = "UNITS", requires = "writes", value_parser = clap::value_parser!(i64).range(1..))]
    reads: Option<i64>,
    /// Writes a second that are paid for [default: on demand]
    #[arg(long, value_name = "UNITS", requires = "reads", value_parser = clap::value_parser!(i64).range(1..))]
    writes: Option<i64>,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    let Command::Init(args) = command;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(init(args))
}

async fn init(args: &InitArgs) -> anyhow::Result<()> {
    let flags = args.engine.settings().into_iter();
    let flags = flags.filter_map(|(name, value)| Some((name, value?)));
    // The table belongs to no other store, whatever else the configuration is for.
    let store = [
        ("store", "dynamodb".to_owned()),
        ("locator_key", "0".repeat(32)),
    ];
    let (config, _) = load(args.config.as_deref(), flags.chain(store).collect())?;
    let capacity = match (args.reads, args.writes) {
        (Some(reads), Some(writes)) => Capacity::Provisioned { reads, writes },
        (None, _) | (_, None) => Capacity::OnDemand,
    };
    let store = DynamoDbStore::new(config.store_url.as_deref(), &config.store_table).await;
    let table = &config.store_table;
    match store.init_table(capacity).await? {
        TableState::Created => print(&format!("made table {table}\n")),
        TableState::Adjusted => print(&format!(
            "table {table} was there; its capacity is as asked\n"
        )),
    }
}
