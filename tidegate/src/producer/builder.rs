//! From names and limits to a producer.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::ClientConfig;
use thiserror::Error;
use tidegate_engine::ConfigError;
use tidegate_engine::gate::{Gate, GateConfig, WhenShut, Window};

use super::client::Client;
use super::event::ProducerEvent;
use super::on_their_way::OnTheirWay;
use super::reports::Settling;
use super::room::Room;
use super::send::{Inner, Producer};
use super::topic::{Listener, Topic};
use crate::clock;
use crate::kafka::probe::{Follower, Probe};
use crate::kafka::{KafkaSettings, SettingsError, accept, no_nul};

/// Why a producer could not be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProducerBuildError {
    /// A limit is outside its range.
    #[error(transparent)]
    Limit(#[from] ConfigError),
    /// Something for the Kafka client is missing or not accepted.
    #[error(transparent)]
    Kafka(#[from] SettingsError),
    /// A topic, or a group of one topic, was named twice.
    #[error("{0} is named twice")]
    Twice(String),
}

/// A topic to produce to, and the groups whose progress decides how fast.
#[derive(Clone, Debug)]
#[must_use]
pub struct TopicGate {
    name: String,
    groups: Vec<String>,
    config: GateConfig,
}

impl TopicGate {
    /// A topic without a group: its gate is open, whatever the consumers do.
    pub fn new(topic: impl Into<String>) -> Self {
        Self { name: topic.into(), groups: Vec::new(), config: GateConfig::default() }
    }

    /// Follows this consumer group. Call it again for more: the slowest counts. Needs the permission
    /// to describe topic and group.
    pub fn follow(mut self, group: impl Into<String>) -> Self {
        self.groups.push(group.into());
        self
    }

    /// The drain time that is aimed for. 100 ms to 1 h; 2 s by default. Groups that commit seldom
    /// raise it.
    pub fn target(mut self, target: Duration) -> Self {
        self.config.target = target;
        self
    }

    /// A fixed number of outstanding records instead of the adaptive window. 1 to 10^9.
    pub fn fixed_window(mut self, records: u64) -> Self {
        self.config.window = Window::Fixed(records);
        self
    }

    /// What a send does that finds the gate shut. Waits for 60 s by default.
    pub fn when_shut(mut self, policy: WhenShut) -> Self {
        self.config.when_shut = policy;
        self
    }

    /// At most so many records a second. 1 to 10^8; none by default. Can be
    /// [changed](Producer::set_rate) later.
    pub fn rate(mut self, records: u32) -> Self {
        self.config.rate = Some(records);
        self
    }

    /// Records a second when the groups' progress is not known, or there is none. 0 to 10^6; 1 by
    /// default.
    pub fn floor_rate(mut self, records: u32) -> Self {
        self.config.floor_rate = records;
        self
    }

    /// For how long the last window is kept when the probe fails. 0 to 1 h; 10 s by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// Everything at once. The number of groups and the probe's interval are those of the producer.
    pub fn config(mut self, config: GateConfig) -> Self {
        self.config = config;
        self
    }
}

/// Builds a [`Producer`]. Needed are brokers and a topic; everything else has a default.
///
/// Limits are checked by [`build`](Self::build), which does not wait for the cluster.
#[must_use]
pub struct ProducerBuilder {
    brokers: String,
    properties: Vec<(String, String)>,
    topics: Vec<TopicGate>,
    max_records: u32,
    max_bytes: u32,
    delivery_timeout: Duration,
    probe_interval: Duration,
    probe: Option<Probe>,
    listener: Option<Listener>,
}

/// Over librdkafka's defaults, each with its reason.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "tidegate"),
    // A batch is worth a wait that nobody notices.
    ("linger.ms", "5"),
    // A topic that is not there is told within a second, and not as a time-out later on.
    ("topic.metadata.propagation.max.ms", "1000"),
    ("allow.auto.create.topics", "false"),
];

/// Ours to decide.
const FIXED: &[(&str, &str, &str)] = &[
    ("enable.idempotence", "true", "what is tried again must not be written twice"),
    ("acks", "all", "a delivery is one when all replicas in sync have it"),
    ("message.timeout.ms", "", "use `delivery_timeout`"),
    ("delivery.timeout.ms", "", "use `delivery_timeout`"),
    ("queue.buffering.max.messages", "0", "use `max_on_their_way`"),
    ("queue.buffering.max.kbytes", "2097151", "use `max_bytes_on_their_way`"),
];

impl ProducerBuilder {
    pub(super) fn new() -> Self {
        Self {
            brokers: String::new(),
            properties: Vec::new(),
            topics: Vec::new(),
            max_records: 100_000,
            max_bytes: 64 << 20,
            delivery_timeout: Duration::from_secs(120),
            probe_interval: GateConfig::default().probe_interval,
            probe: None,
            listener: None,
        }
    }

    /// Bootstrap servers: `host:port`, several separated by commas.
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.brokers = brokers.into();
        self
    }

    /// A topic to produce to, with the groups that it follows. Call it again for more; each has a
    /// gate of its own.
    pub fn topic(mut self, topic: TopicGate) -> Self {
        self.topics.push(topic);
        self
    }

    /// A librdkafka property, over the defaults.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// How many records may be on their way to the broker. 1 to 10^6; 100,000 by default, about a
    /// tenth of a second of what one client can send.
    pub fn max_on_their_way(mut self, records: u32) -> Self {
        self.max_records = records;
        self
    }

    /// How many bytes (keys, values and headers) may be. 1,024 to 2^30; 64 MiB by default. One record
    /// always fits.
    pub fn max_bytes_on_their_way(mut self, bytes: u32) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// For how long the delivery of a record is tried. 1 s to 24 h; 120 s by default.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// The longest time until the groups' progress is asked for again; three fifths of it on average,
    /// so that producers do not keep step. 10 ms to 60 s; 500 ms by default. A probe that is shared
    /// has its own.
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.probe_interval = interval;
        self
    }

    /// Shares the probe of another producer of the same cluster.
    pub fn probe(mut self, probe: &Probe) -> Self {
        self.probe = Some(probe.clone());
        self
    }

    /// Is told what an operator should know. Must not block. Without one it is logged.
    pub fn on_event(mut self, listener: impl Fn(&ProducerEvent) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// The producer. Its client and its probe begin to connect.
    ///
    /// # Errors
    /// When a limit is outside its range, something is missing, or a property is not accepted.
    pub fn build(self) -> Result<Producer, ProducerBuildError> {
        let config = self.to_client_config()?;
        let topics = self.gated()?;
        let interval = self.interval();
        let group = self.topics.iter().find_map(|topic| topic.groups.first().cloned());
        let listener = self.listener.unwrap_or_else(|| Arc::new(log));
        let room = Arc::new(Room::new(self.max_records, self.max_bytes));
        let on_their_way = Arc::new(OnTheirWay::new(topics.len()));
        let settling = Arc::new(Settling { topics, room, on_their_way });
        let client = Client::new(config, Arc::clone(&settling))
            .map_err(|error| SettingsError::Inconsistent(error.to_string()))?;
        let probe = match self.probe {
            Some(probe) => probe,
            None => {
                let settings = KafkaSettings {
                    brokers: self.brokers,
                    properties: self.properties,
                    ..KafkaSettings::default()
                };
                Probe::start(settings.connection(), group.as_deref(), interval)?
            }
        };
        for topic in &settling.topics {
            let topic: Weak<Topic> = Arc::downgrade(topic);
            probe.follow(topic as Weak<dyn Follower>);
        }
        Ok(Producer::new(Inner { settling, client, listener, probe }))
    }

    /// Whether [`build`](Self::build) takes these settings. Nothing begins to connect.
    ///
    /// # Errors
    /// As those of [`build`](Self::build).
    pub fn check(&self) -> Result<(), ProducerBuildError> {
        self.to_client_config()?;
        self.gated().map(|_| ())
    }

    fn interval(&self) -> Duration {
        self.probe.as_ref().map_or(self.probe_interval, Probe::interval)
    }

    /// The topics with their gates, sorted by name.
    fn gated(&self) -> Result<Vec<Arc<Topic>>, ProducerBuildError> {
        ConfigError::number("max_on_their_way", self.max_records.into(), 1, 1_000_000)?;
        ConfigError::number("max_bytes_on_their_way", self.max_bytes.into(), 1_024, 1 << 30)?;
        let listener = self.listener.clone().unwrap_or_else(|| Arc::new(log));
        let interval = self.interval();
        let mut topics: Vec<Arc<Topic>> = Vec::new();
        for topic in self.topics.iter().cloned() {
            let TopicGate { name, groups, mut config } = topic;
            if name.is_empty() || groups.iter().any(String::is_empty) {
                return Err(SettingsError::Missing("a name of a topic or a group").into());
            }
            no_nul("a topic", &name)?;
            groups.iter().try_for_each(|group| no_nul("a group", group))?;
            if let Some(group) = (1..groups.len()).find(|i| groups[..*i].contains(&groups[*i])) {
                return Err(ProducerBuildError::Twice(format!("group {}", groups[group])));
            }
            config.groups = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            config.probe_interval = interval;
            let gate = Gate::new(config, clock::now())?;
            match topics.binary_search_by(|topic| topic.name.cmp(&name)) {
                Ok(_) => return Err(ProducerBuildError::Twice(format!("topic {name}"))),
                Err(at) => {
                    let made = Topic::new(name, groups, gate, Arc::clone(&listener));
                    topics.insert(at, Arc::new(made));
                }
            }
        }
        Ok(topics)
    }

    /// The same client without a gate in front: the partitioner and the bounds are the client's own.
    pub(super) fn to_bare_config(&self) -> Result<ClientConfig, ProducerBuildError> {
        let mut config = self.to_client_config()?;
        config.set("partitioner", "murmur2_random");
        config.set("queue.buffering.max.messages", self.max_records.to_string());
        config.set("queue.buffering.max.kbytes", self.max_bytes.div_ceil(1_024).to_string());
        Ok(config)
    }

    fn to_client_config(&self) -> Result<ClientConfig, ProducerBuildError> {
        let given = |name: &str| self.properties.iter().any(|(n, _)| n == name);
        if self.brokers.is_empty() && !given("bootstrap.servers") {
            return Err(SettingsError::Missing("the brokers' address (host:port)").into());
        }
        if self.topics.is_empty() {
            return Err(SettingsError::Missing("a topic").into());
        }
        no_nul("the brokers' address", &self.brokers)?;
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        ConfigError::duration("delivery_timeout", self.delivery_timeout, second, day)?;
        ConfigError::duration(
            "probe_interval",
            self.probe_interval,
            Duration::from_millis(10),
            Duration::from_secs(60),
        )?;
        let mut config = ClientConfig::new();
        for (name, value) in DEFAULTS {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            if let Some((.., why)) = FIXED.iter().find(|(fixed, ..)| fixed == name) {
                return Err(SettingsError::Reserved { name: name.clone(), why }.into());
            }
            accept(name, value)?;
            config.set(name, value);
        }
        for (name, value, _) in FIXED.iter().filter(|(_, value, _)| !value.is_empty()) {
            config.set(*name, *value);
        }
        config.set("message.timeout.ms", self.delivery_timeout.as_millis().to_string());
        if !self.brokers.is_empty() {
            config.set("bootstrap.servers", &self.brokers);
        }
        config
            .create_native_config()
            .map_err(|error| SettingsError::Inconsistent(error.to_string()))?;
        Ok(config)
    }
}

fn log(event: &ProducerEvent) {
    match event.is_recovery() {
        true => tracing::info!("{event}"),
        false => tracing::warn!("{event}"),
    }
}

impl fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerBuilder").field("topics", &self.topics).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> ProducerBuilder {
        Producer::builder().brokers("localhost:1").topic(TopicGate::new("t").follow("g"))
    }

    fn refused(builder: ProducerBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn what_is_missing_contradicts_or_is_absurd_is_named() {
        assert!(refused(Producer::builder().brokers("b:1")).contains("topic"));
        assert!(refused(Producer::builder().topic(TopicGate::new("t"))).contains("brokers"));
        assert!(refused(builder().topic(TopicGate::new("t"))).contains("topic t is named twice"));
        let twice = TopicGate::new("u").follow("g").follow("g");
        assert!(refused(builder().topic(twice)).contains("group g is named twice"));
        assert!(refused(builder().max_on_their_way(0)).contains("max_on_their_way"));
        assert!(refused(builder().max_bytes_on_their_way(0)).contains("max_bytes_on_their_way"));
        assert!(refused(builder().delivery_timeout(Duration::ZERO)).contains("delivery_timeout"));
        assert!(refused(builder().probe_interval(Duration::ZERO)).contains("probe_interval"));
        let target = TopicGate::new("u").target(Duration::ZERO);
        assert!(refused(builder().topic(target)).contains("target"));
        assert!(refused(builder().property("no.such.thing", "1")).contains("no.such.thing"));
        assert!(refused(builder().property("acks", "0")).contains("acks"));
    }
}
