//! A record as a handler gets it.

use std::fmt;
use std::sync::Arc;

use crate::batch::{Batch, Header, Timestamp};
use crate::cancellation::Cancellation;

/// One record of a batch: what the engine carries for it.
#[derive(Clone, Debug)]
pub(crate) struct RecordRef {
    pub(crate) batch: Arc<Batch>,
    pub(crate) index: u32,
}

/// A record to be handled.
///
/// Owned, cheap to make and to move: it shares the buffer of the batch it was read in. Keeping
/// it keeps that buffer (about 64 KiB, or the record's size if that is more).
///
/// `Debug` shows the coordinates and sizes, never the key or the value.
pub struct Record {
    pub(crate) of: RecordRef,
    pub(crate) attempt: u32,
    pub(crate) cancellation: Cancellation,
}

impl Record {
    fn index(&self) -> usize {
        self.of.index as usize
    }

    /// The topic it was read from.
    pub fn topic(&self) -> &str {
        &self.of.batch.source().topic
    }

    /// The partition it was read from.
    pub fn partition(&self) -> i32 {
        self.of.batch.source().partition
    }

    /// Its offset in the partition.
    pub fn offset(&self) -> i64 {
        self.of.batch.offset(self.index()).0
    }

    /// When it came to be; `None` if the log does not say.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.of.batch.timestamp(self.index())
    }

    /// Its key; `None` if null, which is not the same as empty. Records without a key have no
    /// order among each other.
    pub fn key(&self) -> Option<&[u8]> {
        self.of.batch.key(self.index())
    }

    /// Its value; `None` is a tombstone, which is not the same as empty.
    pub fn value(&self) -> Option<&[u8]> {
        self.of.batch.value(self.index())
    }

    /// Its headers in the order they were written, duplicates and null values included.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = Header<'_>> {
        self.of.batch.headers(self.index())
    }

    /// The value of the last header called `name`, as Kafka's own clients choose among
    /// duplicates. `None` if there is no such header or its value is null.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().filter(|header| header.name == name).last().and_then(|header| header.value)
    }

    /// Which attempt this is, from 1. Not carried over a restart or a rebalance.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Tells when this attempt is to end before it is done.
    pub fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("offset", &self.offset())
            .field("attempt", &self.attempt)
            .field("key_bytes", &self.key().map(<[u8]>::len))
            .field("value_bytes", &self.value().map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::Offset;

    use crate::batch::{BatchBuilder, RecordParts, TopicPartition};
    use crate::cancellation::CancelSignal;

    #[test]
    fn debug_shows_neither_key_nor_value_and_the_last_header_wins() {
        let mut builder = BatchBuilder::new(TopicPartition::new("orders", 3));
        let parts = RecordParts {
            offset: Offset(42),
            timestamp: Some(Timestamp::Created(5)),
            leader_epoch: -1,
            key: Some(b"secret-key"),
            value: Some(b"secret-value"),
        };
        let headers: [(&str, Option<&[u8]>); 3] =
            [("h", Some(b"1")), ("h", Some(b"2")), ("null", None)];
        builder.push(parts, headers);
        let record = Record {
            of: RecordRef { batch: builder.finish(), index: 0 },
            attempt: 1,
            cancellation: Arc::new(CancelSignal::default()).token(1),
        };
        let shown = format!("{record:?}");
        assert!(shown.contains("orders") && shown.contains("42"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
        assert_eq!(record.header("h"), Some(&b"2"[..]));
        assert_eq!((record.header("null"), record.header("none")), (None, None));
        assert_eq!(record.headers().len(), 3);
    }
}
