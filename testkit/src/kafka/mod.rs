//! Real Apache Kafka brokers, and clients that are independent of the code under test.
//!
//! | file | what |
//! |---|---|
//! | `install` | Apache Kafka's jars by their Maven coordinates |
//! | `java` | command lines on those jars |
//! | `settings` | `server.properties`, logging, ports |
//! | `node` | one process with its folder |
//! | `broker` | one node as a whole cluster: start, kill, restart, pause, stop |
//! | `cluster` | three nodes, each behind a proxy |
//! | `proxy` | a network that is cut, slow or half open |
//! | `security` | certificates made at run time, SASL users, access control |
//! | `admin` | topics, configs, groups, log start, access control lists |
//! | `record` | a record to write, and what became of it |
//! | `fill` | many deterministic records |
//! | `produce` | sends records, also in transactions |
//! | `load` | goes on sending records until it is told to stop |
//! | `read` | reads a topic back without a group |
//! | `offsets` | committed offsets with metadata, begin and end of a log |
//!
//! All calls block. In an async test call them from `spawn_blocking`, or before the runtime
//! has anything else to do.

mod admin;
mod broker;
mod cluster;
mod fill;
mod install;
mod java;
mod load;
mod node;
pub mod offsets;
pub mod produce;
mod proxy;
mod read;
mod record;
mod security;
mod settings;

use rdkafka::ClientConfig;

pub use self::{
    admin::{Admin, NewTopic},
    broker::{Broker, Builder},
    cluster::Cluster,
    fill::Fill,
    install::{KAFKA_VERSION, libraries},
    load::Load,
    offsets::{Committed, Partition, Watermarks},
    proxy::{Network, Proxy},
    read::{Isolation, ReadBack, read_topic},
    record::{NewRecord, Written},
    security::User,
};

/// librdkafka properties, as name and value.
pub type Properties = Vec<(String, String)>;

/// How long a single call to a broker may take before the test fails.
pub(crate) const CALL: std::time::Duration = std::time::Duration::from_secs(30);

/// A client configuration from [`Properties`], with reconnects fast enough for tests.
pub(crate) fn client(properties: &Properties) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "500");
    for (name, value) in properties {
        config.set(name, value);
    }
    config
}
