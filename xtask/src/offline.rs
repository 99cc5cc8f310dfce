//! The service as AWS would run it, on this machine: API Gateway's part is played by `front`,
//! Lambda's by AWS's own emulator, DynamoDB's by Amazon's DynamoDB Local.

mod event;
mod front;
mod functions;
mod process;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures_util::FutureExt;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::event::Api;
use self::front::Front;
use self::functions::Functions;
use self::process::{Process, free_port};
use crate::tools::Tools;
use crate::{Failure, now, run, say};

const TABLE: &str = "streamgate";
/// The tables live as long as the command does, so the secret may be known to all.
const LOCATOR_KEY: &str = "000102030405060708090a0b0c0d0e0f";
/// How long requests may go on, and then processes take to end, when the command is to end.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long Java may take on a busy machine.
const DATABASE_READY_MAX: Duration = Duration::from_secs(90);

/// Runs the whole service locally as AWS would: API Gateway, Lambda, DynamoDB.
///
/// It builds the function, starts Amazon's DynamoDB Local with an empty table and AWS's own Lambda
/// emulator, and turns HTTP requests into API Gateway's events. What it needs is installed first.
/// Ctrl-C ends all of it.
#[derive(Parser)]
#[command(
    name = "cargo xtask offline",
    after_help = "\
Examples:
  cargo xtask offline
  cargo xtask offline --port 8080 --processes 8 --env STREAMGATE_LIMIT=5
  cargo xtask offline --api http --release
  cargo xtask offline --bootstrap /path/to/another/bootstrap

  curl -d '{\"userId\":\"123456789\"}' http://127.0.0.1:3000/dev/stream"
)]
struct Options {
    /// Where to listen on 127.0.0.1; 0 picks a free port
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// How many processes Lambda runs at the most, each with one request at a time
    #[arg(long, value_name = "N", default_value = "4")]
    processes: NonZeroUsize,
    /// The first segment of every path
    #[arg(long, default_value = "dev", value_parser = stage)]
    stage: String,
    /// Which kind of API Gateway's APIs it is, and so what an event looks like
    #[arg(long, value_enum, default_value = "rest")]
    api: Api,
    /// Builds the function as it would be deployed
    #[arg(long)]
    release: bool,
    /// Runs this program as the function instead of building ours: an executable file that speaks
    /// Lambda's runtime API. `AWS_ENDPOINT_URL_DYNAMODB` tells it where the database is
    #[arg(long, value_name = "PATH", conflicts_with = "release")]
    bootstrap: Option<PathBuf>,
    /// Sets a variable of the function's environment; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Where the logs of the function and of the database are written
    #[arg(long, value_name = "DIR", default_value = "target/offline")]
    logs: PathBuf,
}

fn stage(text: &str) -> Result<String, Failure> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(is_part) {
        Ok(text.to_owned())
    } else {
        Err("a stage is 1 to 64 letters, digits, - and _".to_owned())
    }
}

fn variable(text: &str) -> Result<(String, String), Failure> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("it must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs it until a signal or a failure ends it.
pub(crate) fn offline(options: &[&str]) -> Result<(), Failure> {
    let name = "cargo xtask offline";
    let options = Options::parse_from([name].iter().chain(options));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(until_told_to_end(&options))
}

async fn until_told_to_end(options: &Options) -> Result<(), Failure> {
    // Before anything else, so that nobody waits for a build first.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| {
        format!("cannot listen on {address}: {error}; --port picks another one, 0 a free one")
    })?;
    let installed = Installed::find(options)?;
    let mut signals = Signals::new()?;
    let draining = CancellationToken::new();
    let mut processes = Vec::new();
    let ended = {
        let served = serve(options, &installed, listener, &mut processes, &draining);
        let mut served = std::pin::pin!(served);
        tokio::select! {
            ended = served.as_mut() => ended,
            () = signals.next() => {
                say("\nending; a second signal ends it at once\n");
                draining.cancel();
                tokio::select! {
                    ended = tokio::time::timeout(DRAIN_MAX, served) => ended.unwrap_or(Ok(())),
                    () = signals.next() => Ok(()),
                }
            }
        }
    };
    // The functions first: they settle with the database what is in doubt.
    for end in [processes.split_off(processes.len().min(1)), processes] {
        let ending = futures_util::future::join_all(end.into_iter().map(|it| it.end(DRAIN_MAX)));
        tokio::select! {
            _ended = ending => {}
            () = signals.next() => return ended,
        }
    }
    ended
}

/// What runs.
struct Installed {
    database: PathBuf,
    lambda: PathBuf,
    bootstrap: PathBuf,
}

impl Installed {
    /// Finds, installs or builds all of it.
    fn find(options: &Options) -> Result<Self, Failure> {
        let tools = Tools::new()?;
        Ok(Self {
            database: tools.dynamodb()?,
            lambda: tools.lambda()?,
            bootstrap: bootstrap(options)?,
        })
    }
}

/// Where the function's program is, built if it is ours.
fn bootstrap(options: &Options) -> Result<PathBuf, Failure> {
    let given = options.bootstrap.as_deref();
    let program = match given {
        Some(program) => program.to_owned(),
        None => {
            say("building the function\n");
            let mut build = Command::new("cargo");
            build.args(["build", "--package", "streamgate-lambda"]);
            if options.release {
                build.arg("--release");
            }
            run(&mut build)?;
            let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
            let profile = if options.release { "release" } else { "debug" };
            Path::new(&target).join(profile).join("bootstrap")
        }
    };
    // The emulator takes no other path.
    let whole = std::fs::canonicalize(&program);
    whole.map_err(|error| format!("{}: {error}", program.display()))
}

/// Starts everything and serves until `draining`; `processes` are there to be ended then.
async fn serve(
    options: &Options,
    installed: &Installed,
    listener: TcpListener,
    processes: &mut Vec<Process>,
    draining: &CancellationToken,
) -> Result<(), Failure> {
    let starting = start(options, installed, processes);
    let Some(started) = draining.run_until_cancelled(starting).await else {
        return Ok(());
    };
    let (database, functions) = started?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tell(options, address, &database);
    let front = Front::new(options.api, options.stage.clone(), functions);
    let ends = processes.iter_mut().map(|process| process.ends().boxed());
    tokio::select! {
        served = front::serve(listener, Arc::new(front), draining.clone()) => served,
        (failure, ..) = futures_util::future::select_all(ends) => Err(failure),
    }
}

/// The database's URL, and the functions.
async fn start(
    options: &Options,
    installed: &Installed,
    processes: &mut Vec<Process>,
) -> Result<(String, Functions), Failure> {
    let logs = &options.logs;
    std::fs::create_dir_all(logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    let began = now();
    say("starting DynamoDB Local ");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    processes.push(start_database(&installed.database, address, logs)?);
    let database = &mut processes[0];
    let asked = async || call_database(address, "ListTables", "{}").await.is_ok();
    database.until(DATABASE_READY_MAX, asked).await?;
    create_table(address).await?;
    write_once(address).await?;
    say(&format!("{:.1} s\n", began.elapsed().as_secs_f64()));

    let began = now();
    say("starting Lambda's emulator ");
    let database = format!("http://{address}");
    let mut environment: Vec<(String, String)> = [
        ("AWS_ENDPOINT_URL_DYNAMODB", database.as_str()),
        ("STREAMGATE_STORE_URL", &database),
        ("STREAMGATE_STORE_TABLE", TABLE),
        ("STREAMGATE_LOCATOR_KEY", LOCATOR_KEY),
        ("STREAMGATE_ALLOW_UNAUTHENTICATED", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    environment.extend(options.environment.iter().cloned());
    let program = (installed.lambda.as_path(), installed.bootstrap.as_path());
    let count = options.processes.get();
    let functions = Functions::start(program, count, &environment, logs, processes).await?;
    say(&format!("{:.1} s\n", began.elapsed().as_secs_f64()));
    Ok((database, functions))
}

fn start_database(jar: &Path, address: SocketAddr, logs: &Path) -> Result<Process, Failure> {
    let mut java = tokio::process::Command::new("java");
    java.arg("-Xmx256m")
        .arg("-XX:+UseSerialGC")
        .arg(format!(
            "-Djava.library.path={}",
            jar.with_file_name("DynamoDBLocal_lib").display()
        ))
        .arg("-jar")
        .arg(jar)
        .args(["-inMemory", "-sharedDb", "-disableTelemetry", "-port"])
        .arg(address.port().to_string());
    Process::start("DynamoDB Local", java, &logs.join("database.log"))
}

async fn create_table(database: SocketAddr) -> Result<(), Failure> {
    let table = json!({
        "TableName": TABLE,
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    call_database(database, "CreateTable", &table.to_string()).await
}

/// Writes and removes an item. The first write takes longer than the function waits for one.
async fn write_once(database: SocketAddr) -> Result<(), Failure> {
    let item = json!({
        "TableName": TABLE,
        "Item": {"id": {"S": "first"}},
        "ConditionExpression": "attribute_not_exists(id)",
    });
    call_database(database, "PutItem", &item.to_string()).await?;
    let key = json!({"TableName": TABLE, "Key": {"id": {"S": "first"}}});
    call_database(database, "DeleteItem", &key.to_string()).await
}

/// Asks DynamoDB Local for an operation. The signature is none, and it does not mind.
async fn call_database(address: SocketAddr, operation: &str, input: &str) -> Result<(), Failure> {
    let request = http::Request::post("/")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header("content-type", "application/x-amz-json-1.0")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=offline/20260101/local/dynamodb/aws4_request, \
             SignedHeaders=host, Signature=none",
        )
        .body(input.to_owned())
        .expect("a request");
    let (status, said) = process::send(address, request).await?;
    if status.is_success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&said);
        Err(format!("the database says to {operation}: {said}"))
    }
}

/// Says where everything is, as the seed's deployment did.
fn tell(options: &Options, address: SocketAddr, database: &str) {
    let Options {
        stage, processes, ..
    } = options;
    let base = format!("http://{address}/{stage}");
    let logs = options.logs.display();
    say(&format!(
        "
service: streamgate
stage: {stage}
database: {database}
table: {TABLE}
processes: {processes}
logs: {logs}
endpoints:
  POST - {base}/stream
  DELETE - {base}/stream
  ANY - {base}/v1/{{proxy+}}

Ctrl-C ends it.
"
    ));
}

/// What asks the command to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| format!("no signals: {error}"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
