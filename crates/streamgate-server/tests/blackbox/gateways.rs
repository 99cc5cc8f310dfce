//! The gateways of `deploy/`, as they stand there but for addresses and directories, in front of
//! the real server: who gets through, and what happens while it is away.

mod envoy;
mod nginx;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use streamgate_store::engines::Port;
use tempfile::TempDir;

use crate::support::{Answer, Client, SOON, Setup, run, wait_until};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");
/// Where the recipes have the service.
const SERVICE: &str = "127.0.0.1:8080";
const MEDIA: &str = "what viewers want to see";

/// A gateway that runs. It ends with its value, or with the thread of its test.
struct Gateway {
    child: Child,
    client: Client,
    directory: TempDir,
    _port: Port,
}

impl Gateway {
    /// Runs a program and waits until it answers.
    #[track_caller]
    fn run(program: &Path, args: &[&str], port: Port, directory: TempDir) -> Self {
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} starts: {error}", program.display()));
        let mut gateway = Self {
            child,
            client: Client::new(port.address()),
            directory,
            _port: port,
        };
        wait_until("the gateway answers", SOON, || {
            let ended = gateway.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "it ended: {}", gateway.log());
            let asked = gateway.client.call(Method::GET, "/").try_send();
            asked.ok()
        });
        gateway
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Asks for a segment as a player does whose session this is.
    #[track_caller]
    fn get(&self, sid: &str) -> Answer {
        let query = format!("CMCD=bl%3D21300%2Cot%3Dv%2Csid%3D%22{sid}%22%2Csu");
        self.client.get(&format!("/media/1.ts?x=y&{query}"))
    }

    /// The same, with CMCD in headers.
    #[track_caller]
    fn get_with_header(&self, sid: &str, query: &str) -> Answer {
        let call = self
            .client
            .call(Method::GET, &format!("/media/1.ts{query}"));
        let session = format!("cid=\"m\",sf=h,sid=\"{sid}\",v=2");
        call.header("cmcd-session", session).send()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).expect("a process id is positive");
        let pid = Pid::from_raw(id).expect("a process id is positive");
        let _gone = kill_process(pid, Signal::TERM);
        drop(self.child.wait());
    }
}

/// A file of `deploy/` with something put in the place of something that is in it.
#[track_caller]
fn recipe(name: &str, replaced: &[(&str, &str)]) -> String {
    let path = PathBuf::from(DEPLOY).join(name);
    let text = std::fs::read_to_string(&path).expect("it is committed");
    replaced.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from}");
        text.replace(from, to)
    })
}

/// A server that asks who calls, and a key for its gateway.
fn asking() -> (Setup, String, String) {
    let setup = Setup::new().set("AUTH", "required");
    let data_dir = setup.data_dir();
    let key = |scope: &str| {
        let data_dir = data_dir.to_str().expect("a path of text");
        let args = [
            "keys",
            "new",
            "--name",
            scope,
            "--scope",
            scope,
            "--data-dir",
            data_dir,
        ];
        let made = run(Path::new("/"), &args);
        let said = String::from_utf8_lossy(&made.stdout).into_owned();
        let words = said.split_whitespace();
        let key = words.into_iter().find(|word| word.starts_with("sgk_"));
        key.unwrap_or_else(|| panic!("no key: {made:?}")).to_owned()
    };
    let (play, read) = (key("play"), key("read"));
    (setup, play, read)
}

/// A stream of this user.
fn stream_of(client: &Client, user: &str) -> String {
    client.admitted(&json!({ "userId": user }))
}

fn evict(client: &Client, user: &str) {
    let evicted = client.delete(&format!("/v1/users/{user}/streams"));
    assert_eq!(evicted.status, 204);
}

/// How often the server was asked by gateways.
fn asked(client: &Client) -> usize {
    let page = client.get("/metrics").body;
    let counts = page.lines().filter_map(|line| {
        let (name, count) = line.rsplit_once(' ')?;
        let is_meant = name.starts_with("streamgate_http_request_seconds_count{")
            && name.contains("route=\"/v1/check");
        is_meant.then(|| count.parse::<usize>().ok())?
    });
    counts.sum()
}
