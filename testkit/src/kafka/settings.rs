//! `server.properties`, the broker's logging, and its ports.

use std::{
    fmt::Write as _,
    hash::{BuildHasher as _, RandomState},
    net::TcpListener,
    path::Path,
};

/// The ports of one node. They stay the same over restarts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) plain: u16,
    pub(crate) controller: u16,
    pub(crate) sasl: u16,
    pub(crate) tls: u16,
    /// A cluster's member listens here to clients that come through its proxy,
    pub(crate) proxied: u16,
    /// which listens here.
    pub(crate) proxy: u16,
}

impl Ports {
    /// Ports for so many nodes, free at this moment.
    pub(crate) fn free<const NODES: usize>() -> [Self; NODES] {
        let mut free = free_ports();
        let mut next = || free.next().expect("a free port");
        std::array::from_fn(|_| Self {
            plain: next(),
            controller: next(),
            sasl: next(),
            tls: next(),
            proxied: next(),
            proxy: next(),
        })
    }
}

/// Ports that are free at the moment when each is drawn.
///
/// They lie below the range from which the system takes the ports of outgoing connections. From
/// that range, a client that retries while the broker is down would sooner or later be given the
/// broker's own port, connect to itself, and keep the broker from returning.
fn free_ports() -> impl Iterator<Item = u16> {
    let seed = RandomState::new().hash_one(std::process::id());
    (0..)
        .map(move |step| 12_000 + ((seed >> 8) + step * 7) % 20_000)
        .filter_map(|port| u16::try_from(port).ok())
        .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// What a node is among others.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// The only one.
    Alone,
    /// The only one, with listeners for TLS and SASL.
    Secure,
    /// Number `index` (from 0) of several, each behind a proxy. Numbered from 1 on in Kafka.
    Member { index: usize, all: &'a [Ports] },
}

/// The text of `server.properties`; a later property replaces an earlier one of its name.
pub(crate) fn server_properties(
    folder: &Path,
    ports: Ports,
    place: Place<'_>,
    more: &[(String, String)],
) -> String {
    let Ports { plain, controller, sasl, tls, proxied, proxy } = ports;
    let mut listeners = format!("PLAIN://127.0.0.1:{plain}");
    let mut advertised = listeners.clone();
    let (mut id, mut replicas) = (1, 1);
    let mut voters = format!("1@127.0.0.1:{controller}");
    match place {
        Place::Alone => {}
        Place::Secure => {
            let secure = format!(",SECURE://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}");
            listeners += &secure;
            advertised += &secure;
        }
        // The brokers talk to each other by the plain listener, so that a proxy is between them
        // and those clients only that were told of it.
        Place::Member { index, all } => {
            (id, replicas) = (index + 1, all.len());
            let _ = write!(listeners, ",PROXIED://127.0.0.1:{proxied}");
            let _ = write!(advertised, ",PROXIED://127.0.0.1:{proxy}");
            let voter = |(n, p): (usize, &Ports)| format!("{n}@127.0.0.1:{}", p.controller);
            voters = (1..).zip(all).map(voter).collect::<Vec<_>>().join(",");
        }
    }
    let data = folder.join("data");
    let in_sync = if replicas > 1 { 2 } else { 1 };
    // A cluster's tests take brokers and networks away for some seconds, and not a session.
    let session = if replicas > 1 { 12_000 } else { 6_000 };
    let mut text = format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={advertised},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAIN:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,TLS:SSL
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.session.timeout.ms={session}
group.consumer.heartbeat.interval.ms=500
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=4
log.retention.check.interval.ms=500
log.initial.task.delay.ms=500
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=2097152
log.segment.delete.delay.ms=500
message.max.bytes=4194304
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
",
        data = data.display(),
    );
    for (name, value) in more {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

/// log4j: everything from INFO on into one file.
pub(crate) fn log_properties(folder: &Path) -> String {
    format!(
        "status=error
appender.file.type=File
appender.file.name=file
appender.file.fileName={}
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{ISO8601}} %p %c{{1}}: %m%n
rootLogger.level=info
rootLogger.appenderRef.file.ref=file
",
        folder.join("server.log").display()
    )
}
