//! How the Kafka client is configured, and what cannot be changed.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use thiserror::Error;

/// Where a partition begins for which the group has no committed offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartFrom {
    /// At the first record there is.
    #[default]
    Earliest,
    /// Behind the last record there is. That offset is committed at once, so that a restart goes
    /// on from it.
    Latest,
    /// At the first record with this timestamp (milliseconds since the Unix epoch) or a later one.
    Timestamp(i64),
}

/// What happens when the offset to read is not in the log: retention or `DeleteRecords` passed
/// it, the log was truncated by an unclean election, or the topic was recreated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnGap {
    /// The partition stops and both offsets are named. Nothing is skipped without a decision.
    #[default]
    Stop,
    /// Go on at the first record there is: **the records in between are lost**, and that is told.
    Earliest,
    /// Go on behind the last record there is: **everything until then is lost**, and that is told.
    Latest,
}

/// What a Kafka consumer needs to know.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KafkaSettings {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// The consumer group.
    pub group: String,
    /// Topics, or regular expressions that begin with `^`.
    pub topics: Vec<String>,
    /// Where a partition without a committed offset begins.
    pub from: StartFrom,
    /// What happens when an offset is not in the log.
    pub on_gap: OnGap,
    /// End with the first trouble (no broker, unknown topic, refused login, missing ACL) instead
    /// of trying on.
    pub fail_fast: bool,
    /// Ask for the end offsets at assignment, for a run that stops there.
    pub until_end: bool,
    /// librdkafka properties, which come over the defaults.
    pub properties: Vec<(String, String)>,
}

/// What makes settings unusable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Something that has no default is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A property that Tidegate must set itself.
    #[error("property {name} cannot be set: {why}")]
    Reserved {
        /// The property.
        name: String,
        /// Why not, and what to use instead.
        why: &'static str,
    },
    /// librdkafka does not accept a property.
    #[error("property {name}={value} is not accepted: {detail}")]
    Refused {
        /// The property.
        name: String,
        /// Its value; stars for a secret, and where the name is not known: it may be a secret's with a
        /// letter missing.
        value: String,
        /// librdkafka's words.
        detail: String,
    },
    /// A NUL character, which no name has.
    #[error("{0} contains a NUL character")]
    Nul(&'static str),
    /// Dead letters would be consumed again.
    #[error("topic {0} is consumed and cannot be its own dead-letter topic")]
    DeadLetterLoop(String),
    /// librdkafka does not accept the properties together.
    #[error("the properties do not go together: {0}")]
    Inconsistent(String),
}

/// Over librdkafka's defaults, each with its reason.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "tidegate"),
    // Only what moves stops for a rebalance.
    ("partition.assignment.strategy", "cooperative-sticky"),
    // A small prefetch: what waits here is invisible to everybody.
    ("queued.min.messages", "5000"),
    ("queued.max.messages.kbytes", "4096"),
    ("max.partition.fetch.bytes", "524288"),
    ("fetch.max.bytes", "8388608"),
    // A queue that was full is filled again at once; librdkafka waits for a second by default.
    ("fetch.queue.backoff.ms", "1"),
    // A fetch that waits for one idle partition holds up the others of its broker.
    ("fetch.wait.max.ms", "10"),
    // A network or broker that is back is found within a second, as by Java's clients. librdkafka
    // waits for up to ten, and a session goes on running out meanwhile.
    ("reconnect.backoff.max.ms", "1000"),
    // New partitions are found within half a minute instead of five.
    ("topic.metadata.refresh.interval.ms", "30000"),
];

/// Ours to decide.
const FIXED: &[(&str, &str, &str)] = &[
    ("enable.auto.commit", "false", "only finished records are committed, at the commit interval"),
    ("enable.auto.offset.store", "false", "only finished records are committed"),
    ("auto.offset.reset", "error", "use `from` for a new group and `on_gap` for a missing offset"),
    ("enable.partition.eof", "false", "it is on when a run stops at the end offsets"),
];

/// Properties that the broker decides under `group.protocol=consumer`.
const CLASSIC_ONLY: &[&str] =
    &["partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"];

/// How the properties begin that say how a cluster is reached, whatever is done there.
const CONNECTION: &[&str] = &[
    "bootstrap.servers",
    "metadata.broker.list",
    "client.",
    "security.",
    "ssl.",
    "sasl.",
    "enable.ssl.",
    "enable.sasl.",
    "socket.",
    "broker.",
    "reconnect.",
    "https.",
    "debug",
];

impl KafkaSettings {
    /// Settings for a group on some topics, everything else at its default.
    pub fn new(
        brokers: impl Into<String>,
        group: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            brokers: brokers.into(),
            group: group.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// The client's configuration.
    ///
    /// # Errors
    /// When something is missing, reserved, or not accepted by librdkafka.
    pub(crate) fn to_client_config(&self) -> Result<ClientConfig, SettingsError> {
        let given = |name: &str| self.properties.iter().any(|(n, _)| n == name);
        if self.brokers.is_empty() && !given("bootstrap.servers") {
            return Err(SettingsError::Missing("the brokers' address (host:port)"));
        }
        if self.group.is_empty() {
            return Err(SettingsError::Missing("the consumer group"));
        }
        if self.topics.is_empty() || self.topics.iter().any(String::is_empty) {
            return Err(SettingsError::Missing("a topic"));
        }
        no_nul("the brokers' address", &self.brokers)?;
        no_nul("the consumer group", &self.group)?;
        self.topics.iter().try_for_each(|topic| no_nul("a topic", topic))?;
        let consumer_protocol = self.properties.iter().any(|(name, value)| {
            name == "group.protocol" && value.eq_ignore_ascii_case("consumer")
        });

        let mut config = ClientConfig::new();
        for (name, value) in DEFAULTS {
            if !(consumer_protocol && CLASSIC_ONLY.contains(name)) {
                config.set(*name, *value);
            }
        }
        for (name, value) in &self.properties {
            let reserved = FIXED.iter().find(|(fixed, ..)| fixed == name);
            if let Some((.., why)) = reserved {
                return Err(SettingsError::Reserved { name: name.clone(), why });
            }
            if name == "group.id" && *value != self.group {
                let why = "the group has a setting of its own";
                return Err(SettingsError::Reserved { name: name.clone(), why });
            }
            accept(name, value)?;
            config.set(name, value);
        }
        for (name, value, _) in FIXED {
            config.set(*name, *value);
        }
        if self.until_end {
            config.set("enable.partition.eof", "true");
        }
        if !self.brokers.is_empty() {
            config.set("bootstrap.servers", &self.brokers);
        }
        config.set("group.id", &self.group);
        config.create_native_config().map_err(|e| SettingsError::Inconsistent(e.to_string()))?;
        Ok(config)
    }

    /// How a producer beside the consumer reaches the cluster.
    pub(crate) fn connection(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "tidegate");
        for (name, value) in &self.properties {
            if CONNECTION.iter().any(|prefix| name.starts_with(prefix)) {
                config.set(name, value);
            }
        }
        if !self.brokers.is_empty() {
            config.set("bootstrap.servers", &self.brokers);
        }
        config
    }

    /// How long the group waits for a member that does not poll or does not give back.
    pub(crate) fn max_poll_interval(&self) -> Duration {
        let given = self.properties.iter().rfind(|(name, _)| name == "max.poll.interval.ms");
        let millis = given.and_then(|(_, value)| value.trim().parse().ok());
        Duration::from_millis(millis.unwrap_or(300_000))
    }

    /// Whether only records of committed transactions are read (librdkafka's default).
    pub(crate) fn read_committed(&self) -> bool {
        !self
            .properties
            .iter()
            .any(|(name, value)| name == "isolation.level" && value == "read_uncommitted")
    }
}

/// librdkafka takes names up to a NUL only, and its bindings panic on one.
pub(crate) fn no_nul(what: &'static str, name: &str) -> Result<(), SettingsError> {
    if name.contains('\0') { Err(SettingsError::Nul(what)) } else { Ok(()) }
}

/// Asks librdkafka whether it knows this property and takes this value.
///
/// # Errors
/// When it does not, with its words.
pub(crate) fn accept(name: &str, value: &str) -> Result<(), SettingsError> {
    let mut alone = ClientConfig::new();
    alone.set(name, value);
    let Err(error) = alone.create_native_config() else { return Ok(()) };
    // librdkafka's words have the value in them where it knows the name.
    let is_known =
        !matches!(error, KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..));
    let hidden = !is_known || is_secret(name);
    let detail = match error {
        KafkaError::ClientConfig(_, detail, ..) if is_known && hidden && detail.contains(value) => {
            "the value cannot be used".to_owned()
        }
        KafkaError::ClientConfig(_, detail, ..) => detail,
        KafkaError::Nul(_) => "it contains a NUL character".to_owned(),
        other => other.to_string(),
    };
    let value = if hidden { "***".to_owned() } else { value.to_owned() };
    Err(SettingsError::Refused { name: name.to_owned(), value, detail })
}

/// Whether a property's value must not be in a message.
fn is_secret(name: &str) -> bool {
    let words = ["password", "secret", "key.pem", "jaas", "token", "sasl.oauthbearer.config"];
    words.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(properties: &[(&str, &str)]) -> KafkaSettings {
        let mut settings = KafkaSettings::new("localhost:9092", "g", ["t"]);
        settings.properties =
            properties.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        settings
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = KafkaSettings::new("", "g", ["t"]).to_client_config().unwrap_err();
        assert!(missing.to_string().contains("address"), "{missing}");
        let missing = KafkaSettings::new("b:1", "g", [""]).to_client_config().unwrap_err();
        assert!(missing.to_string().contains("topic"), "{missing}");
    }

    #[test]
    fn properties_come_over_defaults_and_reserved_ones_are_refused() {
        let config = with(&[("fetch.wait.max.ms", "77")]).to_client_config().unwrap();
        assert_eq!(config.get("fetch.wait.max.ms"), Some("77"));
        let refused = with(&[("enable.auto.commit", "true")]).to_client_config().unwrap_err();
        assert!(matches!(refused, SettingsError::Reserved { .. }), "{refused}");
        let refused = with(&[("no.such.thing", "1")]).to_client_config().unwrap_err();
        assert!(refused.to_string().contains("no.such.thing"), "{refused}");
    }

    #[test]
    fn a_nul_character_is_refused_by_name() {
        let refused = with(&[("client.id", "a\0b")]).to_client_config().unwrap_err();
        assert!(refused.to_string().contains("client.id"), "{refused}");
        let refused = with(&[("client\0id", "a")]).to_client_config().unwrap_err();
        assert!(refused.to_string().contains("client\0id"), "{refused}");
        for (brokers, group, topic, named) in [
            ("a\0:1", "g", "t", "address"),
            ("a:1", "g\0", "t", "group"),
            ("a:1", "g", "t\0", "topic"),
        ] {
            let refused = KafkaSettings::new(brokers, group, [topic]).to_client_config();
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(named) && refused.contains("NUL"), "{refused}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        for name in
            ["sasl.password", "ssl.key.pem", "ssl.key.password", "sasl.oauthbearer.client.secret"]
        {
            assert!(is_secret(name), "{name}");
        }
        assert!(!is_secret("client.id"));
        for name in ["sasl.pasword", "ssl.key.pasword", "sasl.jaas.config", "hush"] {
            let refused = accept(name, "hunter2").unwrap_err().to_string();
            assert!(refused.contains(name) && !refused.contains("hunter2"), "{refused}");
        }
        let refused = accept("security.protocol", "SSLL").unwrap_err().to_string();
        assert!(refused.contains("SSLL"), "{refused}");
    }

    #[test]
    fn the_consumer_protocol_leaves_out_what_the_broker_decides() {
        let config = with(&[("group.protocol", "consumer")]).to_client_config().unwrap();
        assert_eq!(config.get("partition.assignment.strategy"), None);
    }
}
