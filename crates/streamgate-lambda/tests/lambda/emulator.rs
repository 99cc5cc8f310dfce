//! AWS's own Lambda Runtime Interface Emulator with the function in it, and the events that its
//! front ends would make of requests.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamgate_store::engines::{DynamoDbLocal, Port};
use tempfile::TempDir;

/// Where `cargo xtask` puts it, below the home directory.
const INSTALLED: &str = ".cache/streamgate";
const ENVIRONMENT: &str = "aws-";
/// The trace in the events.
pub(crate) const TRACE: &str = "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e";
const FUNCTION: &str = env!("CARGO_BIN_EXE_bootstrap");
/// How long the emulator may take to listen, and the function to answer.
const READY_MAX: Duration = Duration::from_secs(30);
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// What brings a request to the function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Front {
    /// API Gateway, REST: the stage is not in the path.
    Rest { stage: &'static str },
    /// API Gateway, HTTP: a stage with a name is in the path.
    Http { stage: &'static str },
    /// The function's own URL: as an HTTP API without a stage, anonymous.
    Url,
    /// An application load balancer.
    Balancer,
}

impl Front {
    /// `key`: the `Idempotency-Key`.
    fn event(self, method: &str, path: &str, body: &str, key: &str) -> String {
        let (event, stage) = match self {
            Self::Rest { stage } => (include_str!("../events/rest.json"), stage),
            Self::Http { stage } => (include_str!("../events/http.json"), stage),
            Self::Url => (include_str!("../events/url.json"), ""),
            Self::Balancer => (include_str!("../events/alb.json"), ""),
        };
        let path = match self {
            Self::Http { stage } if stage != "$default" => format!("/{stage}{path}"),
            Self::Rest { .. } | Self::Http { .. } | Self::Url | Self::Balancer => path.to_owned(),
        };
        let body = Value::from(body).to_string();
        event
            .replace("STAGE", stage)
            .replace("PATH", &path)
            .replace("METHOD", method)
            .replace("QUERY", "")
            .replace("STARTED-ONCE", key)
            .replace("\"BODY\"", &body)
    }
}

/// Tests follow each other: ten functions at once leave others no time to answer in.
static TURN: Mutex<()> = Mutex::new(());

/// A table of its own in the database that the tests of this process share, and the test's turn.
pub(crate) struct Table {
    _turn: MutexGuard<'static, ()>,
    database: &'static DynamoDbLocal,
    name: String,
}

impl Table {
    pub(crate) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let database = DynamoDbLocal::shared();
        let name = database.table_name();
        let table = json!({
            "TableName": name,
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        });
        let (status, said) = database.call("CreateTable", &table.to_string());
        assert_eq!(status, 200, "{said}");
        Self {
            _turn: turn,
            database,
            name,
        }
    }
}

/// One process of the function. It ends with its value.
pub(crate) struct Emulator {
    child: Child,
    agent: ureq::Agent,
    address: SocketAddr,
    home: TempDir,
    _ports: [Port; 2],
}

/// An answer to a client.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    whole: Value,
    pub(crate) body: String,
}

impl Emulator {
    #[track_caller]
    pub(crate) fn start(table: &Table) -> Self {
        Self::start_with(table, &[("STREAMGATE_ALLOW_UNAUTHENTICATED", "true")])
    }

    /// With these settings.
    #[track_caller]
    pub(crate) fn start_with(table: &Table, settings: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        let ports = [Port::free(), Port::free()];
        let [address, runtime] = ports.each_ref().map(Port::address);
        let log = File::create(home.path().join("log")).expect("the log can be written");
        let also = log.try_clone().expect("a file can be had twice");
        let child = Command::new(program())
            .args(["--runtime-interface-emulator-address", &address.to_string()])
            .args(["--runtime-api-address", &runtime.to_string()])
            .arg(FUNCTION)
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("STREAMGATE_STORE_URL", table.database.endpoint())
            .env("STREAMGATE_STORE_TABLE", &table.name)
            .env("STREAMGATE_LOCATOR_KEY", "000102030405060708090a0b0c0d0e0f")
            .envs(settings.iter().copied())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            .spawn()
            .expect("the emulator starts");
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_MAX))
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .into();
        let emulator = Self {
            child,
            agent,
            address,
            home,
            _ports: ports,
        };
        emulator.wait_until("it listens", || {
            TcpStream::connect(emulator.address).is_ok()
        });
        emulator
    }

    /// Sends a request through this front, again when it is told so: a store on a busy machine
    /// may be slower than the function waits. A start needs a name for that, its own or a key.
    #[track_caller]
    pub(crate) fn call(&self, front: Front, method: &str, path: &str, body: &str) -> Answer {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let key = format!("call-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let event = front.event(method, path, body, &key);
        let began = now();
        loop {
            let answer = self.invoke(&event);
            if answer.status != 503 || ANSWER_MAX < began.elapsed() {
                return answer;
            }
        }
    }

    /// Invokes the function with an event.
    #[track_caller]
    fn invoke(&self, event: &str) -> Answer {
        let url = format!(
            "http://{}/2015-03-31/functions/function/invocations",
            self.address
        );
        let answered = self.agent.post(url).send(event.as_bytes());
        let said = answered.and_then(|mut answer| answer.body_mut().read_to_string());
        let said = match said {
            Ok(said) => said,
            Err(error) => panic!("{error}\n{}", self.log()),
        };
        let answer: Value = serde_json::from_str(&said).unwrap_or_default();
        let Some(status) = answer["statusCode"].as_u64() else {
            panic!("the function said {said}\n{}", self.log());
        };
        Answer {
            status,
            body: answer["body"].as_str().unwrap_or_default().to_owned(),
            whole: answer,
        }
    }

    /// What the emulator and the function logged: whole lines, since the last may be half there.
    pub(crate) fn log(&self) -> String {
        let mut log = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        log.truncate(log.rfind('\n').map_or(0, |end| end + 1));
        log
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = now();
        while !is_so() {
            assert!(began.elapsed() < READY_MAX, "not {what}:\n{}", self.log());
            thread::yield_now();
        }
    }

    /// Ends it as Lambda does that has no more use for it.
    pub(crate) fn terminate(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Answer {
    /// A field of the answer's head: REST APIs and load balancers take lists.
    pub(crate) fn header(&self, name: &str) -> &str {
        let one = self.whole["headers"][name].as_str();
        let one = one.or_else(|| self.whole["multiValueHeaders"][name][0].as_str());
        one.unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The function ends when the emulator does not answer it any more.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(clippy::disallowed_methods, reason = "deadlines of tests")]
fn now() -> Instant {
    Instant::now()
}

/// The emulator, where pip put it.
#[track_caller]
fn program() -> PathBuf {
    let home = std::env::home_dir().unwrap_or_default().join(INSTALLED);
    let program = child(&home, ENVIRONMENT)
        .and_then(|environment| child(&environment.join("lib"), "python3"))
        .map(|python| python.join("site-packages/samcli/local/rapid"))
        .map(|rapid| rapid.join("aws-lambda-rie-x86_64"))
        .filter(|program| program.exists());
    program.expect("the Lambda emulator is installed, as `cargo xtask check aws` does")
}

/// The last entry of a directory whose name begins so.
fn child(dir: &Path, begin: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    let entries = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let begins = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(begin)
    };
    entries.filter(begins).max()
}
