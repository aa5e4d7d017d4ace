//! A record to send.

use std::fmt;
use std::sync::Arc;

/// A record to send. Key and value may be absent (a value that is absent is a tombstone), which is
/// not the same as empty.
#[derive(Clone, PartialEq, Eq)]
pub struct ProducerRecord {
    pub(super) topic: Arc<str>,
    pub(super) partition: Option<u32>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(super) timestamp: Option<i64>,
}

impl ProducerRecord {
    /// A record for a topic, without key and value. An `Arc<str>` that is cloned for each record
    /// costs less than a name that is copied.
    pub fn to(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp: None,
        }
    }

    /// Its key. Records of one key go to one partition, the one that Java's producer chooses, and
    /// keep their order there.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Its value.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Another header, behind those that it has.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: Option<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value));
        self
    }

    /// The partition that it goes to, instead of that of its key.
    #[must_use]
    pub fn with_partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Its timestamp in milliseconds since the Unix epoch, instead of the time at which it is sent.
    #[must_use]
    pub fn with_timestamp(mut self, millis: i64) -> Self {
        self.timestamp = Some(millis);
        self
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition that it was given, if any.
    pub fn partition(&self) -> Option<u32> {
        self.partition
    }

    /// Its key.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// Its value.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// Its headers, in order.
    pub fn headers(&self) -> &[(String, Option<Vec<u8>>)] {
        &self.headers
    }

    /// Its timestamp, if it has one of its own.
    pub fn timestamp(&self) -> Option<i64> {
        self.timestamp
    }

    /// Key, value and headers together.
    pub fn bytes(&self) -> usize {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(name, v)| name.len() + of(v)).sum();
        of(&self.key) + of(&self.value) + headers
    }
}

/// Without key, value and headers: they are nobody's business.
impl fmt::Debug for ProducerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}
