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
}

impl Ports {
    /// Four ports that are free at this moment.
    ///
    /// They lie below the range from which the system takes the ports of outgoing connections.
    /// From that range, a client that retries while the broker is down would sooner or later
    /// be given the broker's own port, connect to itself, and keep the broker from returning.
    pub(crate) fn free() -> Self {
        let seed = RandomState::new().hash_one(std::process::id());
        let mut free = (0..)
            .map(|step| 12_000 + ((seed >> 8) + step * 7) % 20_000)
            .filter_map(|port| u16::try_from(port).ok())
            .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let mut next = || free.next().expect("a free port");
        Self { plain: next(), controller: next(), sasl: next(), tls: next() }
    }
}

/// The text of `server.properties`; a later property replaces an earlier one of its name.
pub(crate) fn server_properties(
    folder: &Path,
    ports: Ports,
    secure: bool,
    more: &[(String, String)],
) -> String {
    let Ports { plain, controller, sasl, tls } = ports;
    let mut listeners = format!("PLAIN://127.0.0.1:{plain}");
    if secure {
        let _ = write!(listeners, ",SECURE://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}");
    }
    let data = folder.join("data");
    let mut text = format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,TLS:SSL
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.session.timeout.ms=6000
group.consumer.heartbeat.interval.ms=500
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
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
