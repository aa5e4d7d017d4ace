//! The client without anything of ours: what it can do at most.

use std::time::Duration;

use rdkafka::error::KafkaError;

use super::native::BareClient;
use super::settings::{KafkaSettings, SettingsError};

/// A bare consumer of librdkafka, read in batches and with no handler: the limit that any consumer
/// built on it is measured against. It takes all partitions of one topic, without a group.
///
/// Its settings are those of a [`KafkaSource`](super::KafkaSource) but for the prefetch, which is
/// librdkafka's 100,000 records and 64 MiB unless set.
pub struct BareConsumer(BareClient);

impl BareConsumer {
    /// A consumer of the settings' first topic from the earliest offset. Connects at once, and
    /// waits for the topic's metadata for up to 10 s.
    ///
    /// # Errors
    /// When a setting is missing or not accepted, the client cannot be made, or no broker answers.
    pub fn new(settings: &KafkaSettings) -> Result<Self, SettingsError> {
        let mut config = settings.to_client_config()?;
        for (name, value) in
            [("queued.min.messages", "100000"), ("queued.max.messages.kbytes", "65536")]
        {
            if !settings.properties.iter().any(|(given, _)| given == name) {
                config.set(name, value);
            }
        }
        config.set("auto.offset.reset", "earliest");
        let topic = settings.topics.first().map_or("", String::as_str);
        let failed = |error: KafkaError| SettingsError::Inconsistent(error.to_string());
        BareClient::new(&config, topic).map(Self).map_err(failed)
    }

    /// Takes a batch of at most 256 records, waiting up to `timeout` for the first one, and drops
    /// it. Returns how many there were.
    ///
    /// # Errors
    /// When a message stands for an error of the client.
    pub fn read(&mut self, timeout: Duration) -> Result<usize, KafkaError> {
        self.0.read(timeout)
    }

    /// Commits the position, and waits for the answer.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn commit(&self) -> Result<(), KafkaError> {
        self.0.commit()
    }
}
