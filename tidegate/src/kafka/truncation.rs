//! Whether a log was truncated below the offset that a partition begins at.
//!
//! The offset was committed with a leader epoch. After an unclean election the log may have lost
//! what was there and have grown past it again: the offset is valid, and what lies below it was
//! read by nobody. The client asks the partition's leader where the epoch ends, and if that is
//! below the offset, the partition's next message is an error that says so ([`Cause`]).
//!
//! [`Cause`]: super::gap::Cause

use tidegate_engine::{Offset, PartitionId};
use tidegate_runtime::{SourceError, SourceEvent};

use super::assign::Beginning;
use super::native::{OffsetPoint, Sought};
use super::source::{KafkaSource, LOOK_AGAIN};

/// A partition that begins at a committed offset, and is not read before the client was told to
/// check that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unchecked {
    pub(super) partition: PartitionId,
    offset: Offset,
    leader_epoch: i32,
}

impl KafkaSource {
    /// A commit without an epoch (of another client, or of an old broker) says nothing about the
    /// log that it was made in.
    pub(super) fn hold_until_checked(&mut self, partition: PartitionId, beginning: &Beginning) {
        let Beginning { start: offset, leader_epoch, .. } = *beginning;
        if leader_epoch < 0 || offset.0 <= 0 {
            return;
        }
        if let Some(Some(reader)) = self.readers.get_mut(partition.index()) {
            reader.halted = true;
            self.unchecked.push(Unchecked { partition, offset, leader_epoch });
        }
    }

    /// Tells the client to check, as far as it takes that yet.
    pub(super) fn check_truncation(&mut self) {
        for unchecked in std::mem::take(&mut self.unchecked) {
            let Unchecked { partition, offset, leader_epoch } = unchecked;
            let (Some(client), Some(Some(reader))) =
                (&self.client, self.readers.get_mut(partition.index()))
            else {
                continue;
            };
            let name = reader.name().clone();
            let point =
                OffsetPoint { partition: &name, offset: offset.0, leader_epoch, metadata: "" };
            // Before the seek: a message that is there then is from before it, too.
            let had_begun = reader.has_messages();
            match client.seek(&point) {
                Sought::Begun => reader.halted = false,
                // It had begun, and is over: the first fetch found that the offset is not in the
                // log. That is what the message says.
                Sought::NotFetching if had_begun => reader.halted = false,
                // The client's own thread has not begun with the assignment yet.
                Sought::NotFetching => self.unchecked.push(unchecked),
                Sought::Refused(error) => {
                    let text = format!(
                        "{name}: whether the log was truncated below the committed offset \
                         {offset} could not be checked: {error}; restart this member"
                    );
                    let error = SourceError::Other(text);
                    self.tell(SourceEvent::PartitionFailed { partition, error });
                }
            }
        }
        if !self.unchecked.is_empty() {
            self.wake_after(LOOK_AGAIN);
        }
    }
}
