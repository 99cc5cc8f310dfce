//! Three nodes over one engine.

use std::net::SocketAddr;
use std::sync::Mutex;

use rustix::process::Signal;
use streamgate_core::LocatorKey;

use crate::support::{Client, SOON, Server, Setup, wait_until};

pub(crate) const NODES: usize = 3;
pub(crate) const KEY: u128 = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff;

/// Nodes that can be killed and started again while players talk to them.
pub(crate) struct Fleet(Vec<Node>);

struct Node {
    server: Mutex<Option<Server>>,
    address: SocketAddr,
}

/// The key that all nodes share.
pub(crate) fn locator_key() -> LocatorKey {
    LocatorKey::from_bytes(KEY.to_be_bytes())
}

/// A node over Redis, with leases that nobody waits for.
pub(crate) fn over_redis(url: &str) -> Setup {
    Setup::new()
        .set("STORE", "redis")
        .set("STORE_URL", url)
        .set("LOCATOR_KEY", format!("{KEY:032x}"))
        .set("RATE_PLAYER_STARTS_PER_MINUTE", 0)
        .set("HEARTBEAT_INTERVAL_SECONDS", 60)
        .set("HEARTBEAT_LEASE_SECONDS", 600)
}

/// The same with the shortest leases there are.
pub(crate) fn with_short_leases(setup: Setup) -> Setup {
    setup
        .set("HEARTBEAT_INTERVAL_SECONDS", 5)
        .set("HEARTBEAT_LEASE_SECONDS", 10)
}

impl Fleet {
    /// Starts nodes that are set up like this.
    pub(crate) fn start(setup: impl Fn(usize) -> Setup) -> Self {
        let node = |index| {
            let server = setup(index).start();
            Node {
                address: server.address(),
                server: Mutex::new(Some(server)),
            }
        };
        Self((0..NODES).map(node).collect())
    }

    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        self.0[node].address
    }

    pub(crate) fn client(&self, node: usize) -> Client {
        Client::new(self.address(node))
    }

    /// Ends a node as a power cut would.
    pub(crate) fn kill9(&self, node: usize) {
        self.with(node, Server::kill9);
    }

    /// Starts a node that was killed again at its old address.
    pub(crate) fn start_again(&self, node: usize) {
        let mut server = self.0[node].server.lock().expect("nobody failed with it");
        *server = server.take().map(Server::restart);
    }

    pub(crate) fn signal(&self, node: usize, signal: Signal) {
        self.with(node, |server| server.signal(signal));
    }

    /// Waits until every node says that it should get requests.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self) {
        for node in 0..NODES {
            self.wait_until_ready_is(node, 200);
        }
    }

    /// Waits until a node answers this to the question whether it should get requests.
    #[track_caller]
    pub(crate) fn wait_until_ready_is(&self, node: usize, status: u16) -> String {
        let client = self.client(node);
        wait_until(&format!("node {node} says {status}"), SOON, || {
            let call = client.call(http::Method::GET, "/readyz").try_send();
            let answer = call.ok().filter(|answer| answer.status == status)?;
            Some(answer.body)
        })
    }

    fn with<T>(&self, node: usize, act: impl FnOnce(&mut Server) -> T) -> T {
        let mut server = self.0[node].server.lock().expect("nobody failed with it");
        act(server.as_mut().expect("there is a server"))
    }
}
