//! Attacks on a server of our own, for longer than a check may take: fuzzers, slow clients,
//! schemathesis with more examples.

use std::process::{Command, Stdio};

use crate::api::{self, Server};
use crate::tools::Tools;
use crate::{Failure, cargo, run, say};

const CARGO_FUZZ: (&str, &str) = ("cargo-fuzz", "0.13.2");
/// The targets in `fuzz/fuzz_targets`.
const TARGETS: [&str; 6] = [
    "cmcd",
    "record",
    "stream_token",
    "platform_token",
    "request",
    "configuration",
];
/// How long an input may be, in bytes.
const INPUT_MAX: u32 = 4096;
/// Examples of schemathesis for each operation.
const EXAMPLES: u32 = 300;
/// Ways of slowhttptest to be slow: heads, bodies, ranges, reading.
const SLOW: [(&str, &str); 4] = [
    ("-H", "slow heads"),
    ("-B", "slow bodies"),
    ("-R", "ranges"),
    ("-X", "slow reading"),
];
const SLOW_CONNECTIONS: u32 = 500;
const SLOW_SECONDS: u32 = 30;

/// Runs every fuzz target for so many minutes, if any, and the other attacks.
pub(crate) fn attack(tools: &Tools, minutes: u32) -> Result<(), Failure> {
    if 0 < minutes {
        fuzz(tools, minutes)?;
    }
    slow(tools)?;
    api::check_with(tools, EXAMPLES, EXAMPLES)
}

fn fuzz(tools: &Tools, minutes: u32) -> Result<(), Failure> {
    let fuzzer = tools.crate_tool(CARGO_FUZZ.0, CARGO_FUZZ.1)?;
    for target in TARGETS {
        say(&format!("\n== fuzz {target}, {minutes} minutes ==\n"));
        let grown = format!("fuzz/grown/{target}");
        std::fs::create_dir_all(&grown).map_err(|error| format!("cannot make {grown}: {error}"))?;
        // Without a sanitizer, which would need a nightly compiler; there is no unsafe code.
        let fixed = ["fuzz", "run", "--sanitizer", "none", target];
        run(Command::new(&fuzzer).args(fixed).args([
            &grown,
            &format!("fuzz/corpus/{target}"),
            "--",
            &format!("-max_total_time={}", minutes * 60),
            &format!("-max_len={INPUT_MAX}"),
            "-print_final_stats=1",
        ]))?;
    }
    Ok(())
}

/// slowhttptest, while an honest client looks whether it is still served.
fn slow(tools: &Tools) -> Result<(), Failure> {
    tools.debian("slowhttptest", "slowhttptest")?;
    cargo(&["build", "--package", "streamgate-server"])?;
    for (way, name) in SLOW {
        say(&format!("\n== {name} ==\n"));
        let server = Server::start(&[])?;
        let mut attacker = Command::new("slowhttptest")
            .args([way, "-c", &SLOW_CONNECTIONS.to_string()])
            .args(["-r", "100", "-i", "2", "-l", &SLOW_SECONDS.to_string()])
            .args(["-u", &format!("{}/livez", server.url())])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run slowhttptest: {error}"))?;
        let mut served = 0;
        while attacker.try_wait().map_err(|it| it.to_string())?.is_none() {
            if !is_served(server.url())? {
                drop(attacker.kill());
                return Err(format!("{name}: an honest client was not served"));
            }
            served += 1;
        }
        say(&format!("{served} honest requests were served meanwhile\n"));
    }
    Ok(())
}

/// Whether a request is answered within five seconds, by a client that nobody here wrote.
fn is_served(url: &str) -> Result<bool, Failure> {
    let probe = format!("import urllib.request as r; r.urlopen('{url}/readyz', timeout=5)");
    let status = Command::new("python3")
        .args(["-c", &probe])
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("cannot run python3: {error}"))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::TARGETS;

    #[test]
    fn every_fuzz_target_is_run() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
        let mut found: Vec<String> = std::fs::read_dir(root)
            .expect("the targets can be read")
            .map(|entry| entry.expect("an entry").path())
            .map(|path| {
                path.file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        let mut run = TARGETS.map(str::to_owned).to_vec();
        found.sort();
        run.sort();
        assert_eq!(run, found);
    }
}
