//! A topic of the log as a dead-letter topic.

use super::log::MemoryLog;
use super::produce::NewRecord;
use crate::sink::{Letter, Sink, SinkError, SinkFuture};

/// Writes dead letters to a topic of a [`MemoryLog`]: key, value and headers of the record, and
/// headers `topic`, `partition`, `offset` and `reason` behind them.
#[derive(Clone, Debug)]
pub struct MemorySink {
    log: MemoryLog,
    topic: String,
}

impl MemoryLog {
    /// A sink for dead letters.
    pub fn sink(&self, topic: impl Into<String>) -> MemorySink {
        MemorySink { log: self.clone(), topic: topic.into() }
    }
}

impl Sink for MemorySink {
    fn write<'a>(&'a self, letter: &'a Letter) -> SinkFuture<'a> {
        Box::pin(std::future::ready(self.put(letter)))
    }
}

impl MemorySink {
    fn put(&self, letter: &Letter) -> Result<(), SinkError> {
        if self.log.lock().faults.no_letters {
            return Err(SinkError::Failed(format!("topic {} is down", self.topic)));
        }
        let record = &letter.record;
        let mut copy = match record.value() {
            Some(value) => NewRecord::value(value),
            None => NewRecord::tombstone(),
        };
        if let Some(key) = record.key() {
            copy = copy.key(key);
        }
        for header in record.headers() {
            copy = copy.header(header.name, header.value);
        }
        for (name, value) in [
            ("topic", record.topic().to_owned()),
            ("partition", record.partition().to_string()),
            ("offset", record.offset().to_string()),
            ("reason", letter.reason.clone()),
        ] {
            copy = copy.header(name, Some(value.as_bytes()));
        }
        let produced = self.log.produce(&self.topic, copy);
        produced.map(drop).map_err(|error| SinkError::Refused(error.to_string()))
    }
}
