//! Taking one partition's records into batches, within a capacity.

use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_engine::{Capacity, Offset, PartitionId, Position};
use tidegate_runtime::{Batch, BatchBuilder, NextRead, Read, SourceError, TopicPartition};

use super::gap::Cause;
use super::native::PartitionQueue;
use super::source::KafkaSource;
use super::trouble;

/// One assigned partition.
pub(crate) struct Reader {
    name: TopicPartition,
    queue: PartitionQueue,
    /// The next offset to read.
    position: Offset,
    /// The leader epoch of what lies before it, -1 if unknown: librdkafka does not tell that of a
    /// transaction marker.
    leader_epoch: i32,
    /// The highest offset that an error or an end-of-partition message named. librdkafka counts
    /// such a message as a record that was read, so that until a record from there has come, its
    /// position is one too far: committing it would lose that record.
    doubtful: Offset,
    /// Bytes of a record, as they were lately; 0 before the first one.
    typical_bytes: u64,
    /// Nothing is read while it is found out where to go on after a gap, or it is decided not to.
    pub(super) halted: bool,
}

/// What stopped a read before the capacity was used.
enum Stopped {
    /// Nothing.
    No,
    /// The next record does not fit.
    TooLarge(u64),
    /// The partition's offset is not in the log.
    Gap(Offset, Cause),
    /// Another error of the partition.
    Error(Code, String),
}

impl Reader {
    pub(super) fn new(
        name: TopicPartition,
        queue: PartitionQueue,
        position: Offset,
        leader_epoch: i32,
    ) -> Self {
        Self {
            name,
            queue,
            position,
            leader_epoch,
            doubtful: Offset(-1),
            typical_bytes: 0,
            halted: false,
        }
    }

    pub(super) fn name(&self) -> &TopicPartition {
        &self.name
    }

    pub(super) fn position(&self) -> Offset {
        self.position
    }

    fn moved_to(&mut self, position: Offset, leader_epoch: i32) {
        if position > self.position {
            (self.position, self.leader_epoch) = (position, leader_epoch);
        }
    }

    /// Whether the client has a message for it, outdated ones included.
    pub(super) fn has_messages(&self) -> bool {
        self.queue.length() > 0
    }

    pub(super) fn may_have_records(&self) -> bool {
        !self.halted && self.queue.may_have_messages()
    }

    /// Takes from the client as many messages as probably fit. Sizes are not known before
    /// reading: read one, then estimate. What does not fit after all waits in the queue's front.
    fn fill(&mut self, capacity: Capacity) -> bool {
        if self.queue.front().is_some() {
            return true;
        }
        let fitting = match self.typical_bytes {
            0 => 1,
            typical => (capacity.bytes / typical).max(1),
        };
        let max = u64::from(capacity.records).min(fitting);
        self.queue.fill(usize::try_from(max).unwrap_or(usize::MAX))
    }

    fn take(&mut self, capacity: Capacity, out: &mut Vec<Arc<Batch>>) -> Stopped {
        let (mut records, mut bytes) = (0u32, 0u64);
        let mut builder: Option<BatchBuilder> = None;
        let stopped = loop {
            let Some(message) = self.queue.front() else { break Stopped::No };
            if let Some((code, text)) = message.error() {
                let offset = message.offset();
                self.doubtful = self.doubtful.max(offset);
                self.queue.pop();
                match code {
                    Code::PartitionEOF => {
                        self.moved_to(offset, -1);
                        continue;
                    }
                    Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => {
                        break Stopped::Gap(offset, Cause::of(&text));
                    }
                    code => break Stopped::Error(code, text),
                }
            }
            if records >= capacity.records {
                break Stopped::No;
            }
            // Once: librdkafka parses them at each call as long as there are none.
            let headers = message.headers();
            let size = (message.bytes() + headers.bytes()) as u64;
            let most = if records == 0 { capacity.first } else { capacity.bytes };
            if bytes + size > most {
                break match records {
                    0 => Stopped::TooLarge(size),
                    _ => Stopped::No,
                };
            }
            if let Some(full) = builder.take_if(|builder| builder.is_full(size as usize)) {
                out.push(full.finish());
            }
            let batch = builder.get_or_insert_with(|| {
                let mut builder = BatchBuilder::new(self.name.clone());
                let waiting = self.queue.len();
                let (size, most) = (size as usize, 64 << 10);
                builder.reserve(waiting, (waiting * size).min(most).max(size));
                builder
            });
            let parts = message.parts();
            (self.position, self.leader_epoch) = (parts.offset.next(), parts.leader_epoch);
            batch.push(parts, headers);
            records += 1;
            bytes += size;
            self.queue.pop();
        };
        if let Some(builder) = builder {
            out.push(builder.finish());
        }
        if records > 0 {
            let mean = bytes / u64::from(records);
            self.typical_bytes = match self.typical_bytes {
                0 => mean.max(1),
                before => ((before * 7 + mean) / 8).max(1),
            };
        }
        stopped
    }
}

impl KafkaSource {
    pub(super) fn read_partition(
        &mut self,
        id: PartitionId,
        capacity: Capacity,
        out: &mut Vec<Arc<Batch>>,
    ) -> Read {
        let nothing = Read { position: None, next: NextRead::Empty };
        let Some(Some(reader)) = self.readers.get_mut(id.index()) else { return nothing };
        if reader.halted {
            return nothing;
        }
        let before = out.len();
        let more = reader.fill(capacity);
        let stopped = reader.take(capacity, out);
        // When the client's queue is empty, its position may be further on than the last record:
        // transaction markers yield none.
        if !more && reader.queue.front().is_none() && reader.position > reader.doubtful {
            let position = self.client.as_ref().and_then(|c| c.position(&reader.name));
            if let Some((offset, leader_epoch)) = position {
                reader.moved_to(offset, leader_epoch);
            }
        }
        let position =
            Some(Position { offset: reader.position, leader_epoch: reader.leader_epoch });
        let next = match stopped {
            Stopped::TooLarge(bytes) => NextRead::TooLarge(bytes),
            _ if more || reader.queue.front().is_some() => NextRead::More,
            _ => NextRead::Empty,
        };
        let name = reader.name.clone();
        if out.len() > before {
            self.recovered_by_records();
        }
        match stopped {
            Stopped::Gap(offset, cause) => self.begin_gap(id, offset, cause),
            Stopped::Error(code, text) => self.partition_error(&name, code, &text),
            Stopped::No | Stopped::TooLarge(_) => {}
        }
        Read { position, next }
    }

    fn partition_error(&mut self, name: &TopicPartition, code: Code, text: &str) {
        let error = match trouble::explain(&self.settings, code, text, Some(&name.topic)) {
            SourceError::Other(detail) => SourceError::Other(format!("{name}: {detail}")),
            error => error,
        };
        self.trouble(error);
    }
}
