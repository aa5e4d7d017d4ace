//! A record to write, and what became of it.

use crate::history::key_hash;

/// A record to write. Without a key, a value, headers and a timestamp until they are given.
///
/// Absent and empty are different: `NewRecord::new()` is a tombstone without a key, and
/// `NewRecord::new().key("").value("")` has a key and a value of zero bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) timestamp: Option<i64>,
}

impl NewRecord {
    /// A record whose partition comes from its key as in Java's producers (`murmur2_random`).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A record for this partition.
    #[must_use]
    pub fn to(partition: i32) -> Self {
        Self { partition: Some(partition), ..Self::default() }
    }

    /// Its key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Its value. Without one it is a tombstone.
    #[must_use]
    pub fn value(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// One more header. Names may repeat.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }

    /// One more header without a value.
    #[must_use]
    pub fn null_header(mut self, name: &str) -> Self {
        self.headers.push((name.to_owned(), None));
        self
    }

    /// Its timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.timestamp = Some(milliseconds);
        self
    }
}

/// Where a record went: the broker acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its topic.
    pub topic: std::sync::Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The [`key_hash`] of its key.
    pub key_hash: Option<u64>,
}

impl Written {
    pub(crate) fn hash_of(record: &NewRecord) -> Option<u64> {
        record.key.as_deref().map(key_hash)
    }
}
