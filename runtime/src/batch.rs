//! Records as they leave a source: one arena for a batch, so that a record costs no allocation.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use tidegate_engine::Offset;

/// A topic and the number of one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number in the topic, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// When a record came to be, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timestamp {
    /// As its producer said.
    Created(i64),
    /// When the broker appended it to the log.
    Appended(i64),
}

impl Timestamp {
    /// Milliseconds since the Unix epoch.
    pub fn millis(self) -> i64 {
        match self {
            Self::Created(millis) | Self::Appended(millis) => millis,
        }
    }
}

/// A stretch of the arena. `start > end` stands for "null".
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    const NULL: Self = Self { start: 1, end: 0 };
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: Offset,
    timestamp: Option<Timestamp>,
    leader_epoch: i32,
    key: Span,
    value: Span,
    /// Which of the batch's headers are this record's.
    headers: Span,
    bytes: u32,
}

/// Some records of one partition in offset order, their keys, values and headers in one buffer.
///
/// The buffer lives as long as one of its records does; a source keeps batches small
/// ([`BatchBuilder::is_full`]), so that a slow record pins little.
#[derive(Debug)]
pub struct Batch {
    source: TopicPartition,
    data: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<(Span, Span)>,
}

impl Batch {
    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where its records come from.
    pub fn source(&self) -> &TopicPartition {
        &self.source
    }

    /// Offset of record `index`.
    pub fn offset(&self, index: usize) -> Offset {
        self.entries[index].offset
    }

    /// The epoch of the leader that record `index` was written under, -1 if unknown.
    pub fn leader_epoch(&self, index: usize) -> i32 {
        self.entries[index].leader_epoch
    }

    /// Timestamp of record `index`, if it has one.
    pub fn timestamp(&self, index: usize) -> Option<Timestamp> {
        self.entries[index].timestamp
    }

    /// Key, value and headers of record `index` together, in bytes.
    pub fn bytes(&self, index: usize) -> u32 {
        self.entries[index].bytes
    }

    /// Key of record `index`; `None` is a null key, which is not an empty one.
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        self.slice(self.entries[index].key)
    }

    /// Value of record `index`; `None` is a tombstone, which is not an empty value.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        self.slice(self.entries[index].value)
    }

    /// Headers of record `index` in their order, duplicates and null values kept.
    pub fn headers(&self, index: usize) -> impl ExactSizeIterator<Item = Header<'_>> {
        let Span { start, end } = self.entries[index].headers;
        self.headers[start as usize..end as usize].iter().map(|&(name, value)| Header {
            name: self.slice(name).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or(""),
            value: self.slice(value),
        })
    }

    fn slice(&self, span: Span) -> Option<&[u8]> {
        self.data.get(span.start as usize..span.end as usize)
    }
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name. Bytes that are not UTF-8 were replaced by U+FFFD.
    pub name: &'a str,
    /// Its value, which may be any bytes, empty, or null.
    pub value: Option<&'a [u8]>,
}

/// The fixed part of a record to [push](BatchBuilder::push).
#[derive(Clone, Copy, Debug)]
pub struct RecordParts<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp, if it has one.
    pub timestamp: Option<Timestamp>,
    /// The epoch of the leader it was written under, -1 if unknown.
    pub leader_epoch: i32,
    /// Its key, `None` if null.
    pub key: Option<&'a [u8]>,
    /// Its value, `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Fills a [`Batch`].
#[derive(Debug)]
pub struct BatchBuilder {
    batch: Batch,
}

/// Bytes after which a batch is full.
const FULL_BYTES: usize = 64 << 10;
/// Records after which a batch is full.
const FULL_RECORDS: usize = 256;

impl BatchBuilder {
    /// An empty batch from `source`.
    pub fn new(source: TopicPartition) -> Self {
        Self { batch: Batch { source, data: Vec::new(), entries: Vec::new(), headers: Vec::new() } }
    }

    /// Makes room for `records` records of about `bytes` bytes in all.
    pub fn reserve(&mut self, records: usize, bytes: usize) {
        self.batch.entries.reserve(records);
        self.batch.data.reserve(bytes);
    }

    /// Whether the batch should be handed on before another record of `bytes` bytes goes in: it
    /// holds 256 records, or would come to hold more than 64 KiB (a larger record goes alone).
    pub fn is_full(&self, bytes: usize) -> bool {
        let batch = &self.batch;
        batch.entries.len() >= FULL_RECORDS
            || (!batch.entries.is_empty() && batch.data.len() + bytes > FULL_BYTES)
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Appends a record and its headers; copies all of it.
    ///
    /// # Panics
    /// If the batch would outgrow 4 GiB. Kafka's records are at most 2 GiB, and a batch that
    /// [is full](Self::is_full) takes no second one.
    pub fn push<'a, N: Into<Cow<'a, str>>>(
        &mut self,
        parts: RecordParts<'_>,
        headers: impl IntoIterator<Item = (N, Option<&'a [u8]>)>,
    ) {
        let batch = &mut self.batch;
        let begin = batch.data.len();
        let key = store(&mut batch.data, parts.key);
        let value = store(&mut batch.data, parts.value);
        let first_header = batch.headers.len() as u32;
        for (name, content) in headers {
            let name: Cow<'a, str> = name.into();
            let name = store(&mut batch.data, Some(name.as_bytes()));
            let content = store(&mut batch.data, content);
            batch.headers.push((name, content));
        }
        batch.entries.push(Entry {
            offset: parts.offset,
            timestamp: parts.timestamp,
            leader_epoch: parts.leader_epoch,
            key,
            value,
            headers: Span { start: first_header, end: batch.headers.len() as u32 },
            bytes: (batch.data.len() - begin) as u32,
        });
    }

    /// The finished batch.
    pub fn finish(self) -> Arc<Batch> {
        Arc::new(self.batch)
    }
}

fn store(data: &mut Vec<u8>, part: Option<&[u8]>) -> Span {
    let Some(part) = part else { return Span::NULL };
    let start = data.len();
    data.extend_from_slice(part);
    assert!(data.len() <= u32::MAX as usize, "a batch of records outgrew 4 GiB");
    Span { start: start as u32, end: data.len() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> RecordParts<'a> {
        RecordParts { offset: Offset(7), timestamp: None, leader_epoch: 3, key, value }
    }

    #[test]
    fn null_and_empty_differ_and_headers_keep_order_and_duplicates() {
        let mut builder = BatchBuilder::new(TopicPartition::new("t", 1));
        builder.push(parts(None, Some(b"")), [] as [(&str, _); 0]);
        let twice: [(&str, Option<&[u8]>); 3] =
            [("a", Some(b"\xff\x00")), ("a", None), ("b", Some(b""))];
        builder.push(parts(Some(b""), None), twice);
        let batch = builder.finish();
        assert_eq!((batch.key(0), batch.value(0)), (None, Some(&b""[..])));
        assert_eq!((batch.key(1), batch.value(1)), (Some(&b""[..]), None));
        assert_eq!(batch.headers(0).len(), 0);
        let headers: Vec<_> = batch.headers(1).map(|h| (h.name, h.value)).collect();
        assert_eq!(headers, twice);
        assert_eq!((batch.bytes(0), batch.bytes(1)), (0, 5));
    }

    #[test]
    fn a_large_record_goes_alone() {
        let mut builder = BatchBuilder::new(TopicPartition::new("t", 0));
        assert!(!builder.is_full(1 << 20));
        builder.push(parts(None, Some(&[0; 1 << 20])), [] as [(&str, _); 0]);
        assert!(builder.is_full(1));
    }
}
