//! Starts and stops streams on a data directory as fast as it can, and says what was answered:
//! one line for each answer, so that whoever kills it knows what must be there afterwards.
//!
//! ```text
//! hammer DIR [--ops N] [--name NAME] [--beats] [--patience-ms N]
//! hammer DIR --verify
//! ```
//!
//! The first goes on until N starts and stops were answered; NAME begins the ids of its streams
//! and must be another for each run on a directory. The second says what is there.
//!
//! With `--beats` it sends heartbeats all the while, and at the end says how they were answered.
//! It ends without closing the store, as after kill -9; also when the store took nothing for as
//! long as its patience lasts.

#[path = "../tests/support/hammering.rs"]
mod hammering;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use hammering::Plan;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(dir) = arguments.first().map(PathBuf::from) else {
        return ExitCode::from(2);
    };
    let number = |name: &str, default: u64| {
        let place = arguments.iter().position(|argument| argument == name);
        let value = place.and_then(|place| arguments.get(place + 1));
        value.map_or(Ok(default), |value| value.parse())
    };
    let (Ok(ops), Ok(patience)) = (number("--ops", 100), number("--patience-ms", 60_000)) else {
        return ExitCode::from(2);
    };
    let name = arguments.iter().position(|argument| argument == "--name");
    let name = name.and_then(|place| arguments.get(place + 1));
    let plan = Plan {
        name: name.map_or("run", String::as_str).into(),
        ops,
        sends_beats: arguments.iter().any(|argument| argument == "--beats"),
        patience: Duration::from_millis(patience),
    };
    let outcome = if arguments.iter().any(|argument| argument == "--verify") {
        hammering::show(&dir)
    } else {
        hammering::run(&dir, plan)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
