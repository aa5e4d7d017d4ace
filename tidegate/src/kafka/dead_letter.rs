//! A Kafka topic for dead letters.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tidegate_runtime::{Letter, Sink, SinkError, SinkFuture, Timestamp};

use super::context::Context;
use super::settings::{KafkaSettings, SettingsError, no_nul};

/// The client tries a letter for so long. Then it is told that letters fail, and tried again.
const TRIED_FOR_MS: &str = "10000";

/// Writes dead letters to a topic, through an idempotent producer that waits for all replicas.
///
/// A letter has the key, the value and the headers of its record, and behind them headers with the
/// names that other tools read: `__connect.errors.*` as Kafka Connect writes them (text) and
/// `kafka_dlt-*` as Spring Kafka does (numbers big-endian). Its timestamp is the present one, so
/// that retention does not delete it at once; the record's own is in
/// `kafka_dlt-original-timestamp`. A letter that is too large for the topic is tried once more
/// without these headers.
pub struct KafkaDeadLetters {
    config: ClientConfig,
    topic: String,
    group: String,
    producer: Mutex<Option<Producer>>,
}

type Producer = Arc<FutureProducer<Context>>;

impl KafkaDeadLetters {
    /// Writes to `topic` of the cluster that `settings` name, with their connection properties.
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When the client does not accept the properties.
    pub fn new(settings: &KafkaSettings, topic: impl Into<String>) -> Result<Self, SettingsError> {
        let topic = topic.into();
        if topic.is_empty() {
            return Err(SettingsError::Missing("the dead-letter topic's name"));
        }
        no_nul("the dead-letter topic's name", &topic)?;
        if settings.topics.contains(&topic) {
            return Err(SettingsError::DeadLetterLoop(topic));
        }
        let mut config = settings.connection();
        config.set("enable.idempotence", "true");
        config.set("message.timeout.ms", TRIED_FOR_MS);
        // The topic decides what is too large, not the client.
        config.set("message.max.bytes", "1000000000");
        config.set("allow.auto.create.topics", "false");
        // A topic that is not there is told as such, and not as a timeout later on.
        config.set("topic.metadata.propagation.max.ms", "1000");
        config.set("linger.ms", "0");
        // A batch is refused as a whole: one letter that is too large would take others with it.
        config.set("batch.num.messages", "1");
        config
            .create_native_config()
            .map_err(|error| SettingsError::Inconsistent(error.to_string()))?;
        let group = settings.group.clone();
        Ok(Self { config, topic, group, producer: Mutex::new(None) })
    }

    /// The producer; a new one if there is none, or if the one there was cannot go on.
    fn producer(&self) -> Result<Producer, KafkaError> {
        let mut slot = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = &*slot
            && producer.client().fatal_error().is_none()
        {
            return Ok(Arc::clone(producer));
        }
        let made = Arc::new(self.config.create_with_context(Context)?);
        *slot = Some(Arc::clone(&made));
        Ok(made)
    }

    async fn put(&self, letter: &Letter) -> Result<(), SinkError> {
        if letter.record.topic() == self.topic {
            // Subscribed by a pattern: the letter would come back for ever.
            let topic = &self.topic;
            return Err(SinkError::Refused(format!("{topic} is its own dead-letter topic")));
        }
        match self.send(letter, self.headers(letter)).await {
            Err(error) if is_too_large(&error) => {}
            result => return result.map_err(|error| self.failed(&error)),
        }
        match self.send(letter, own_headers(letter)).await {
            Err(error) if is_too_large(&error) => Err(SinkError::Refused(format!(
                "dead-letter topic {} does not take a record of this size, even without added \
                 headers; raise its max.message.bytes",
                self.topic
            ))),
            result => result.map_err(|error| self.failed(&error)),
        }
    }

    async fn send(&self, letter: &Letter, headers: OwnedHeaders) -> Result<(), KafkaError> {
        let producer = self.producer()?;
        let mut record = FutureRecord::<[u8], [u8]>::to(&self.topic).headers(headers);
        if let Some(key) = letter.record.key() {
            record = record.key(key);
        }
        if let Some(value) = letter.record.value() {
            record = record.payload(value);
        }
        // A full queue is told as a failure and tried again by the caller.
        let sent = producer.send(record, Duration::ZERO).await;
        sent.map(drop).map_err(|(error, _)| error)
    }

    fn failed(&self, error: &KafkaError) -> SinkError {
        let topic = &self.topic;
        if error.rdkafka_error_code() == Some(Code::InvalidRecord) {
            return SinkError::Refused(format!(
                "dead-letter topic {topic} does not take the record (a compacted topic takes none \
                 without a key): {error}"
            ));
        }
        SinkError::Failed(match error.rdkafka_error_code() {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                format!("dead-letter topic {topic} does not exist; create it")
            }
            Some(Code::TopicAuthorizationFailed) => {
                format!("no permission to write to dead-letter topic {topic}")
            }
            _ => format!("dead-letter topic {topic}: {error}"),
        })
    }

    fn headers(&self, letter: &Letter) -> OwnedHeaders {
        let record = &letter.record;
        let cause = format!("tidegate.{:?}", letter.cause);
        let partition = record.partition();
        let offset = record.offset();
        let mut headers = own_headers(letter);
        for (name, value) in [
            ("__connect.errors.topic", record.topic()),
            ("__connect.errors.partition", &partition.to_string()),
            ("__connect.errors.offset", &offset.to_string()),
            ("__connect.errors.exception.class.name", &cause),
            ("__connect.errors.exception.message", &letter.reason),
            ("kafka_dlt-original-topic", record.topic()),
            ("kafka_dlt-original-consumer-group", &self.group),
            ("kafka_dlt-exception-fqcn", &cause),
            ("kafka_dlt-exception-message", &letter.reason),
        ] {
            headers = headers.insert(Header { key: name, value: Some(value) });
        }
        let number = |headers: OwnedHeaders, name, bytes: &[u8]| {
            headers.insert(Header { key: name, value: Some(bytes) })
        };
        headers = number(headers, "kafka_dlt-original-partition", &partition.to_be_bytes());
        headers = number(headers, "kafka_dlt-original-offset", &offset.to_be_bytes());
        if let Some(timestamp) = record.timestamp() {
            let kind = match timestamp {
                Timestamp::Appended(_) => "LogAppendTime",
                _ => "CreateTime",
            };
            let millis = timestamp.millis().to_be_bytes();
            headers = number(headers, "kafka_dlt-original-timestamp", &millis);
            headers = number(headers, "kafka_dlt-original-timestamp-type", kind.as_bytes());
        }
        headers
    }
}

/// The record's own headers.
fn own_headers(letter: &Letter) -> OwnedHeaders {
    let headers = letter.record.headers();
    let empty = OwnedHeaders::new_with_capacity(headers.len() + 13);
    headers.fold(empty, |all, header| all.insert(Header { key: header.name, value: header.value }))
}

fn is_too_large(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize))
}

impl Sink for KafkaDeadLetters {
    fn write<'a>(&'a self, letter: &'a Letter) -> SinkFuture<'a> {
        Box::pin(self.put(letter))
    }
}

impl fmt::Debug for KafkaDeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaDeadLetters").field("topic", &self.topic).finish_non_exhaustive()
    }
}
