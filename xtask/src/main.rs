//! The project's own tasks. `cargo xtask check` is exactly what CI runs.

mod api;
mod attack;
mod aws;
mod offline;
mod players;
mod postman;
mod tools;

use std::io::Write;
use std::process::{Command, ExitCode};
use std::time::Duration;

use tools::Tools;

const HELP: &str = "\
Usage: cargo xtask check [STEP...]   run all checks, or the named ones
       cargo xtask offline [OPTION..] run the service locally as AWS would: API Gateway, Lambda,
                                     DynamoDB; --help says more
       cargo xtask mutants           mutate the rules and see which changes no test notices
       cargo xtask attack [MINUTES]  fuzz each target so long [10; 0: not], then attack our own server
                                     with slow clients and thousands of generated requests

Steps, in their order:
  fmt      rustfmt
  clippy   lints, warnings are errors
  doc      rustdoc, warnings are errors
  typos    spelling
  deny     licenses, bans and sources of the dependencies
  test     unit, model, crash, fault and black-box tests; those of bench/nightly
  api      schemathesis against /openapi.json of a running server
  postman  newman with the collection of deploy/postman against a running server and the offline mode
  aws      the templates of deploy/aws
  players  the web SDK: its size, its unit tests, and Chromium against a running server

Whatever a step needs is installed first: Debian packages by apt-get (as root), Python tools,
cargo-deny, DynamoDB Local, Envoy and tools for AWS into ~/.cache/streamgate, once per version.
";

/// How long an attack fuzzes each target unless it is said.
const FUZZ_MINUTES: u32 = 10;

/// Why a task failed, for people.
type Failure = String;

struct Step {
    name: &'static str,
    run: fn(&Tools) -> Result<(), Failure>,
}

const STEPS: [Step; 10] = [
    Step {
        name: "fmt",
        run: |_| cargo(&["fmt", "--all", "--check"]),
    },
    Step {
        name: "clippy",
        run: |_| {
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ])?;
            // What the function on AWS is made of: the workspace as a whole has every feature.
            cargo(&[
                "clippy",
                "--package",
                "streamgate-lambda",
                "--",
                "-D",
                "warnings",
            ])
        },
    },
    Step {
        name: "doc",
        run: |_| {
            let mut doc = Command::new("cargo");
            doc.args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ]);
            run(doc.env("RUSTDOCFLAGS", "-D warnings"))
        },
    },
    Step {
        name: "typos",
        run: |tools| run(&mut Command::new(tools.python("typos")?)),
    },
    Step {
        name: "deny",
        run: |tools| run(Command::new(tools.deny()?).args(["check", "bans", "licenses", "sources"])),
    },
    Step {
        name: "test",
        run: |tools| {
            tools.debian("strace", "strace")?;
            tools.debian("python3", "python3")?;
            tools.debian("faketime", "faketime")?;
            tools.engines()?;
            tools.gateways()?;
            tools.aws("sam")?;
            cargo(&["test", "--workspace"])?;
            let unittest = [
                "-m",
                "unittest",
                "discover",
                "-t",
                "bench",
                "-s",
                "bench/measuring",
            ];
            run(Command::new("python3").args(unittest))
        },
    },
    Step {
        name: "api",
        run: api::check,
    },
    Step {
        name: "postman",
        run: postman::check,
    },
    Step {
        name: "aws",
        run: aws::check,
    },
    Step {
        name: "players",
        run: players::check,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["check", names @ ..] => check(names),
        ["offline", options @ ..] => offline::offline(options),
        ["mutants"] => mutants(),
        ["attack"] => attack(FUZZ_MINUTES),
        ["attack", minutes] if let Ok(minutes) = minutes.parse() => attack(minutes),
        _ => {
            say(HELP);
            return ExitCode::from(u8::from(!matches!(args.as_slice(), ["--help" | "-h"])) * 2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("\nFAILED: {failure}\n"));
            ExitCode::FAILURE
        }
    }
}

fn check(names: &[&str]) -> Result<(), Failure> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !STEPS.iter().any(|step| step.name == **name))
    {
        return Err(format!(
            "there is no step {unknown}; see cargo xtask --help"
        ));
    }
    let tools = Tools::new()?;
    let mut took = Vec::new();
    for step in STEPS
        .iter()
        .filter(|step| names.is_empty() || names.contains(&step.name))
    {
        say(&format!("\n== {} ==\n", step.name));
        let began = now();
        (step.run)(&tools).map_err(|failure| format!("{}: {failure}", step.name))?;
        took.push((step.name, began.elapsed()));
    }
    say("\nAll checks passed:\n");
    for (name, took) in took {
        say(&format!("  {name:8}{:>5} s\n", took.as_secs()));
    }
    Ok(())
}

fn attack(minutes: u32) -> Result<(), Failure> {
    attack::attack(&Tools::new()?, minutes)
}

fn mutants() -> Result<(), Failure> {
    let tools = Tools::new()?;
    let mutants = tools.crate_tool("cargo-mutants", "27.1.0")?;
    run(Command::new(mutants).args(["mutants", "--package", "streamgate-core"]))
}

fn cargo(args: &[&str]) -> Result<(), Failure> {
    run(Command::new("cargo").args(args))
}

/// Runs a command to its end.
fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command
        .status()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} ended with {status}"))
    }
}

fn say(text: &str) {
    // If nobody listens any more, there is nobody to tell.
    drop(std::io::stdout().write_all(text.as_bytes()));
}

struct Began(std::time::Instant);

impl Began {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[expect(clippy::disallowed_methods, reason = "the tasks have no Clock")]
fn now() -> Began {
    Began(std::time::Instant::now())
}
