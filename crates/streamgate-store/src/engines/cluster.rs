//! A Redis or Valkey Cluster of three masters with a replica each.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use super::fault_proxy::FaultProxy;
use super::ports::Port;
use super::process::started;
use super::redis::{Make, RedisServer, RedisSetup, home};

const NODES: usize = 6;
/// How long the nodes may take to agree, and the replicas to follow.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long the cluster may take to promote a replica: 2 s until a node is missed, and some more
/// for the votes.
const FAILOVER_MAX: Duration = Duration::from_secs(30);

/// Six servers; the first three start as masters. A server is named by its index.
#[derive(Debug)]
pub struct RedisCluster {
    make: Make,
    nodes: Vec<RedisServer>,
    /// What each node is called by the others.
    ids: Vec<String>,
    /// In front of each node, or none.
    proxies: Vec<FaultProxy>,
}

/// What one node says of one node: a line of `CLUSTER NODES`.
#[derive(Clone, Debug)]
struct Node {
    id: String,
    index: usize,
    is_master: bool,
    is_failed: bool,
    /// Which of two nodes that claim a slot is right: the one that has more.
    epoch: u64,
    slots: Vec<(u16, u16)>,
    master: String,
}

/// A node, the slots that it serves and the id of the one that it follows.
type Role = (usize, Vec<(u16, u16)>, String);

impl RedisCluster {
    /// Starts a cluster of Redis, and waits until every slot is served and every replica follows.
    ///
    /// # Panics
    /// When that does not come to pass.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::start_as(&RedisSetup::new(Make::Redis))
    }

    /// The same with servers that are set up like this, without TLS and password.
    ///
    /// # Panics
    /// When the cluster does not get ready.
    #[must_use]
    #[track_caller]
    pub fn start_as(setup: &RedisSetup) -> Self {
        let setup = clustered(setup);
        let nodes = (0..NODES).map(|_| setup.start()).collect();
        Self::of(setup.make(), nodes, Vec::new())
    }

    /// The same with a proxy in front of each node. The nodes name the proxies to clients, and to
    /// their replicas; among each other they talk past them. So a master whose proxy stalls is
    /// not replaced.
    ///
    /// # Panics
    /// When the cluster does not get ready.
    #[must_use]
    #[track_caller]
    pub fn start_behind_proxies(setup: &RedisSetup) -> Self {
        let setup = clustered(setup);
        let node = |_| {
            let port = Port::free();
            let proxy = FaultProxy::start((Ipv4Addr::LOCALHOST, port.number()).into());
            let announced = proxy.port().to_string();
            let setup = setup.clone().option("cluster-announce-port", &announced);
            (setup.start_in(home(), port, &[]), proxy)
        };
        let (nodes, proxies) = (0..NODES).map(node).unzip();
        Self::of(setup.make(), nodes, proxies)
    }

    #[track_caller]
    fn of(make: Make, nodes: Vec<RedisServer>, proxies: Vec<FaultProxy>) -> Self {
        let ids = nodes.iter().map(|node| node.command(&["CLUSTER", "MYID"]));
        let cluster = Self {
            make,
            ids: ids.collect(),
            nodes,
            proxies,
        };
        let mut create = vec!["create".to_owned()];
        create.extend(cluster.nodes.iter().map(address));
        create.extend(["--cluster-replicas".to_owned(), "1".to_owned()]);
        cluster.manage(&create);
        cluster.wait_until_ready();
        cluster
    }

    /// Where clients find its nodes, as URLs of Redis.
    #[must_use]
    pub fn seeds(&self) -> Vec<String> {
        let seed = |(index, node): (usize, &RedisServer)| match self.proxies.get(index) {
            None => node.url(),
            Some(proxy) => node.url_at(proxy.port()),
        };
        self.nodes.iter().enumerate().map(seed).collect()
    }

    /// The proxies in front of the nodes, of a cluster that was started behind them.
    #[must_use]
    pub fn proxies(&self) -> &[FaultProxy] {
        &self.proxies
    }

    /// The servers.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// Kills a node with SIGKILL.
    pub fn kill(&self, index: usize) {
        self.nodes[index].kill();
    }

    /// Starts a node again; it knows the others.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn start_again(&self, index: usize) {
        self.nodes[index].start_again();
    }

    /// Stops a node with SIGSTOP.
    ///
    /// # Panics
    /// When it was killed.
    #[track_caller]
    pub fn pause(&self, index: usize) {
        self.nodes[index].pause();
    }

    /// Lets a node go on with SIGCONT.
    ///
    /// # Panics
    /// When it was killed.
    #[track_caller]
    pub fn resume(&self, index: usize) {
        self.nodes[index].resume();
    }

    /// Runs a command on one node, as it is: it follows no redirect.
    ///
    /// # Panics
    /// When the answer is an error, or there is none.
    #[track_caller]
    pub fn command<W: AsRef<str>>(&self, index: usize, words: &[W]) -> String {
        self.nodes[index].command(words)
    }

    /// The slot of a key.
    ///
    /// # Panics
    /// When no node is up.
    #[must_use]
    #[track_caller]
    pub fn slot_of(&self, key: &str) -> u16 {
        let said = self.up().command(&["CLUSTER", "KEYSLOT", key]);
        said.parse().expect("a slot is a number")
    }

    /// The node that serves a key.
    ///
    /// # Panics
    /// When no node that is up knows one that does.
    #[must_use]
    #[track_caller]
    pub fn master_of(&self, key: &str) -> usize {
        let slot = self.slot_of(key);
        let Some(master) = self.master_of_slot(slot) else {
            self.up()
                .process()
                .fail(&format!("nobody serves slot {slot}"))
        };
        master.index
    }

    /// The nodes that follow a master, as far as the cluster has not given them up.
    ///
    /// # Panics
    /// When no node is up.
    #[must_use]
    #[track_caller]
    pub fn replicas_of(&self, master: usize) -> Vec<usize> {
        let view = self.view_of(self.up());
        let Some(of) = view.iter().find(|node| node.index == master) else {
            return Vec::new();
        };
        let replicas = view.iter().filter(|it| it.master == of.id && !it.is_failed);
        replicas.map(|node| node.index).collect()
    }

    /// Waits until another node than this serves a key; which one.
    ///
    /// # Panics
    /// When it is too late.
    #[track_caller]
    pub fn wait_for_failover(&self, key: &str, from: usize) -> usize {
        let slot = self.slot_of(key);
        let what = "a replica is promoted and every node that is up knows it";
        self.up().process().wait_until(what, FAILOVER_MAX, || {
            let master = self.master_of_slot(slot)?.index;
            let knows = |node| {
                let seen = serving(self.view_of(node), slot);
                seen.is_some_and(|seen| seen.index == master) && is_ok(node)
            };
            (master != from && self.all_up().all(knows)).then_some(master)
        })
    }

    /// Waits until every node that is up sees every slot served, every replica follows and all of
    /// them say the same of each other.
    ///
    /// # Panics
    /// When it is too late.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        for node in self.all_up() {
            let what = "the node is ready";
            node.process().wait_until(what, READY_MAX, || {
                (is_ok(node) && node.is_master_or_follows()).then_some(())
            });
        }
        let what = "the nodes agree";
        self.up().process().wait_until(what, READY_MAX, || {
            let mut roles = self.all_up().map(|node| self.roles_seen_by(node));
            let first = roles.next()?;
            let is_complete = self.all_up().count() <= first.len();
            (is_complete && roles.all(|seen| seen == first)).then_some(())
        });
    }

    /// Moves so many slots from one master to another.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn reshard(&self, slots: u16, from: usize, to: usize) {
        self.manage(&[
            "reshard".to_owned(),
            address(&self.nodes[from]),
            "--cluster-from".to_owned(),
            self.ids[from].clone(),
            "--cluster-to".to_owned(),
            self.ids[to].clone(),
            "--cluster-slots".to_owned(),
            slots.to_string(),
        ]);
        self.wait_until_ready();
    }

    /// Runs `redis-cli --cluster`.
    #[track_caller]
    fn manage(&self, words: &[String]) {
        let cli = self.make.cli();
        let mut command = Command::new(cli);
        command.arg("--cluster").args(words).arg("--cluster-yes");
        let done = started(command.output(), cli);
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{command:?}: {said}");
    }

    fn all_up(&self) -> impl Iterator<Item = &RedisServer> {
        self.nodes.iter().filter(|node| node.process().is_up())
    }

    #[track_caller]
    fn up(&self) -> &RedisServer {
        self.all_up().next().expect("a node is up")
    }

    /// Who serves a slot, by what all nodes that are up say.
    fn master_of_slot(&self, slot: u16) -> Option<Node> {
        serving(self.all_up().flat_map(|node| self.view_of(node)), slot)
    }

    /// Which nodes are not given up.
    fn roles_seen_by(&self, node: &RedisServer) -> Vec<Role> {
        let view = self.view_of(node).into_iter().filter(|it| !it.is_failed);
        let mut roles: Vec<Role> = view.map(|it| (it.index, it.slots, it.master)).collect();
        roles.sort();
        roles
    }

    fn view_of(&self, node: &RedisServer) -> Vec<Node> {
        let said = node.try_command(&["CLUSTER", "NODES"]);
        let said = said.unwrap_or_default();
        let lines = said.lines();
        lines.filter_map(|line| self.parse(line)).collect()
    }

    /// `id ip:port@bus flags master ping pong epoch link slots...`
    fn parse(&self, line: &str) -> Option<Node> {
        let words: Vec<&str> = line.split(' ').collect();
        let &[id, _, flags, master, _, _, epoch, _, ref slots @ ..] = words.as_slice() else {
            return None;
        };
        let has = |flag| flags.split(',').any(|it| it == flag);
        Some(Node {
            id: id.to_owned(),
            index: self.ids.iter().position(|own| own == id)?,
            is_master: has("master"),
            is_failed: has("fail"),
            epoch: epoch.parse().ok()?,
            slots: slots.iter().filter_map(|slots| range(slots)).collect(),
            master: master.to_owned(),
        })
    }
}

fn clustered(setup: &RedisSetup) -> RedisSetup {
    let setup = setup.clone().option("cluster-enabled", "yes");
    setup.option("cluster-node-timeout", "2000")
}

/// Which of these nodes serves a slot.
fn serving(nodes: impl IntoIterator<Item = Node>, slot: u16) -> Option<Node> {
    let has = |(first, last): &(u16, u16)| (*first..=*last).contains(&slot);
    let serves = |node: &Node| node.is_master && !node.is_failed && node.slots.iter().any(has);
    let serving = nodes.into_iter().filter(serves);
    serving.max_by_key(|node| node.epoch)
}

/// One slot or a range; nothing for a slot that is on its way.
fn range(slots: &str) -> Option<(u16, u16)> {
    let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn is_ok(node: &RedisServer) -> bool {
    let info = node.try_command(&["CLUSTER", "INFO"]);
    info.is_ok_and(|info| info.contains("cluster_state:ok"))
}

fn address(node: &RedisServer) -> String {
    format!("127.0.0.1:{}", node.port())
}
