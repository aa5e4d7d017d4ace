//! Three Apache Kafka nodes, each of them broker and controller, each behind a proxy.

use std::{
    io,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    Admin, Fill, Network, Properties, Proxy, Written,
    node::Node,
    produce,
    settings::{self, Place, Ports},
};

const NODES: usize = 3;
/// Three of them share a machine with the tests, and are restarted often: code that is compiled once,
/// quickly, is worth more than code that is compiled well.
const OPTIONS: &[&str] = &["-Xmx256m", "-XX:TieredStopAtLevel=1"];

/// A cluster of three nodes with the ids 1, 2 and 3.
///
/// Topics have three replicas, of which two must be in sync to take a record, unless they say
/// otherwise: one node may be gone and nothing is lost. Tests that hurt nodes take turns on
/// [`Cluster::shared`], since starting three takes a while.
#[derive(Debug)]
pub struct Cluster {
    proxies: Vec<Proxy>,
    nodes: Vec<Node>,
    bootstrap: String,
    proxied: String,
}

impl Cluster {
    /// Starts three nodes and waits until they know each other.
    ///
    /// # Panics
    /// When they do not start; the message has the end of a log.
    #[must_use]
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|error| panic!("the cluster did not start: {error}"))
    }

    fn try_start() -> io::Result<Self> {
        let ports = Ports::free::<NODES>();
        let formatted = |index: usize| {
            let own = ports[index];
            let node = Node::new(index as i32 + 1, OPTIONS, own.plain, &[own.proxied])?;
            let place = Place::Member { index, all: &ports };
            let text = settings::server_properties(node.folder(), own, place, &[]);
            node.format(&text, &[]).map(|()| node)
        };
        let nodes: io::Result<Vec<Node>> = thread::scope(|scope| {
            let formatting: Vec<_> =
                (0..NODES).map(|index| scope.spawn(move || formatted(index))).collect();
            formatting.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let proxies: io::Result<Vec<Proxy>> =
            ports.iter().map(|own| Proxy::start(own.proxy, own.proxied)).collect();
        let list = |port: fn(&Ports) -> u16| {
            ports.map(|own| format!("127.0.0.1:{}", port(&own))).join(",")
        };
        let mut cluster = Self {
            proxies: proxies?,
            nodes: nodes?,
            bootstrap: list(|own| own.plain),
            proxied: list(|own| own.proxy),
        };
        // None is ready before a majority runs.
        for node in &mut cluster.nodes {
            node.launch()?;
        }
        for node in &mut cluster.nodes {
            node.wait_until_ready()?;
        }
        Ok(cluster)
    }

    /// The cluster of a test binary, whole, for one test at a time.
    ///
    /// # Panics
    /// As [`Cluster::start`], and when a test before has left it so that it cannot be mended.
    pub fn shared() -> MutexGuard<'static, Self> {
        static SHARED: OnceLock<Mutex<Cluster>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Mutex::new(Self::start()));
        // A test that failed leaves nodes dead; the next one does not suffer for that.
        let mut cluster = shared.lock().unwrap_or_else(PoisonError::into_inner);
        cluster.mend();
        cluster
    }

    /// All nodes run, the network passes, all replicas are in sync.
    fn mend(&mut self) {
        self.network(Network::Pass);
        for node in &mut self.nodes {
            node.resume();
        }
        for id in 1..=NODES as i32 {
            if !self.node(id).runs() {
                self.restart(id);
            }
        }
        self.admin().wait_in_sync();
    }

    /// `bootstrap.servers` of all nodes, without a proxy between.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `bootstrap.servers` of all nodes, each through its proxy; so are the addresses that the
    /// nodes name to such a client.
    #[must_use]
    pub fn bootstrap_through_proxies(&self) -> &str {
        &self.proxied
    }

    /// librdkafka properties, without a proxy between.
    #[must_use]
    pub fn properties(&self) -> Properties {
        vec![("bootstrap.servers".into(), self.bootstrap.clone())]
    }

    /// Administers it.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(&self.properties())
    }

    /// Writes what `fill` describes; returns where each record went.
    #[must_use]
    pub fn fill(&self, fill: &Fill) -> Vec<Written> {
        produce::send(&self.properties(), fill.topic(), fill.iter())
    }

    /// What happens between all nodes and the clients that come through the proxies. The nodes
    /// see each other all the time.
    pub fn network(&self, network: Network) {
        for proxy in &self.proxies {
            proxy.set(network);
        }
    }

    /// What happens between one node and the clients that come through its proxy.
    pub fn network_of(&self, id: i32, network: Network) {
        self.proxies[id as usize - 1].set(network);
    }

    /// `kill -9`. The data stays for [`Cluster::restart`].
    pub fn kill(&mut self, id: i32) {
        self.node(id).kill();
    }

    /// Ends a node as an operator would: it hands its partitions over first.
    ///
    /// # Panics
    /// When it is still there after 30 s.
    pub fn stop(&mut self, id: i32) {
        self.node(id).stop();
    }

    /// Starts a node on the data it has, after killing it if it still runs.
    ///
    /// # Panics
    /// When it does not start; the message has the end of its log.
    pub fn restart(&mut self, id: i32) {
        let node = self.node(id);
        node.kill();
        node.launch()
            .and_then(|()| node.wait_until_ready())
            .unwrap_or_else(|error| panic!("node {id} did not start again: {error}"));
    }

    /// Freezes a node (`SIGSTOP`).
    pub fn pause(&mut self, id: i32) {
        self.node(id).pause();
    }

    /// Ends [`Cluster::pause`].
    pub fn resume(&mut self, id: i32) {
        self.node(id).resume();
    }

    /// From now on no file of a node grows beyond the number of bytes that is returned, as if its
    /// disk were full: see
    /// [`Guarded::limit_file_size`](crate::process::Guarded::limit_file_size). It is a little more
    /// than its own log (`server.log`) has, so that it can still say what is wrong. It lasts until
    /// [`Cluster::restart`].
    pub fn fill_disk(&mut self, id: i32) -> u64 {
        let node = self.node(id);
        let bytes = node.log("server.log").len() as u64 + (1 << 20);
        node.limit_file_size(bytes);
        bytes
    }

    /// Waits for a node that ends by itself.
    ///
    /// # Panics
    /// When it is still there after 30 s.
    pub fn wait_for_end(&mut self, id: i32) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.node(id).runs() {
            assert!(Instant::now() < deadline, "node {id} runs on: {}", self.log_end(id));
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What a node logged since its last start: what went to its console, and `server.log`.
    #[must_use]
    pub fn log(&self, id: i32) -> String {
        let node = &self.nodes[id as usize - 1];
        node.log("console.log") + &node.log("server.log")
    }

    /// The last lines of a node's log.
    #[must_use]
    pub fn log_end(&self, id: i32) -> String {
        self.nodes[id as usize - 1].log_end()
    }

    fn node(&mut self, id: i32) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }
}
