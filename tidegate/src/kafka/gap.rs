//! An offset that is not in the log: what there is instead is asked, and `on_gap` decides.

use std::collections::HashMap;

use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_engine::{Offset, PartitionId};
use tidegate_runtime::{SourceError, SourceEvent, TopicPartition};

use super::assign::{Beginning, topic_ids};
use super::native::{AdminAnswer, NativeClient, OffsetPoint};
use super::read::Reader;
use super::settings::OnGap;
use super::source::KafkaSource;
use super::trouble;

/// Why an offset cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It is below the start of the log or beyond its end.
    OutOfRange,
    /// The log was truncated below it, up to this offset, if it is known, and may have grown past
    /// it again with other records.
    Truncated(Option<Offset>),
}

impl Cause {
    /// From the client's words: its error code is the same for both.
    pub(super) fn of(text: &str) -> Self {
        if !text.contains("log truncation") {
            return Self::OutOfRange;
        }
        let rest = text.split("broker end offset is ").nth(1).unwrap_or_default();
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        Self::Truncated(digits.parse().ok().map(Offset))
    }
}

/// A partition whose offset is not in the log.
#[derive(Debug)]
pub(crate) struct Gap {
    partition: PartitionId,
    offset: Offset,
    cause: Cause,
    start_request: usize,
    end_request: usize,
    topic_request: usize,
    log_start: Option<Offset>,
    log_end: Option<Offset>,
    /// Of the topic as it is now, 0 if it cannot be known.
    incarnation: Option<u64>,
    /// The runtime was told to let go of the partition; it begins again here once it did.
    again: Option<Beginning>,
}

impl Gap {
    pub(super) fn waits_for(&self, request: usize) -> bool {
        [self.start_request, self.end_request, self.topic_request].contains(&request)
    }
}

impl KafkaSource {
    /// The log has no `offset` (or not yet): halts the partition and asks what it has.
    pub(super) fn begin_gap(&mut self, id: PartitionId, offset: Offset, cause: Cause) {
        let Some(Some(reader)) = self.readers.get_mut(id.index()) else { return };
        reader.halted = true;
        let offset = if offset.0 < 0 { reader.position() } else { offset };
        let names = [reader.name().clone()];
        let next = self.requests + 1;
        let (start_request, end_request, topic_request) = (next, next + 1, next + 2);
        self.requests += 3;
        if let Some(client) = &self.client {
            let committed = self.settings.read_committed();
            client.ask_offsets(start_request, &names, NativeClient::LOG_START, false);
            client.ask_offsets(end_request, &names, NativeClient::LOG_END, committed);
            client.ask_topics(topic_request, &[&names[0].topic]);
        }
        self.gaps.retain(|gap| gap.partition != id);
        self.gaps.push(Gap {
            partition: id,
            offset,
            cause,
            start_request,
            end_request,
            topic_request,
            log_start: None,
            log_end: None,
            incarnation: None,
            again: None,
        });
    }

    pub(super) fn gap_answered(
        &mut self,
        index: usize,
        request: usize,
        result: Result<AdminAnswer, (Code, String)>,
    ) {
        let gap = &mut self.gaps[index];
        let (id, offset, cause) = (gap.partition, gap.offset, gap.cause);
        let taken = match result {
            result if request == gap.topic_request => {
                topic_ids(result).map(|ids| gap.incarnation = Some(first_id(&ids)))
            }
            Ok(AdminAnswer::Offsets(answers)) => match answers.first() {
                Some(answer) if answer.error.is_none() => {
                    let found = Some(Offset(answer.offset));
                    match gap.start_request == request {
                        true => gap.log_start = found,
                        false => gap.log_end = found,
                    }
                    Ok(())
                }
                Some(answer) => Err((answer.error.unwrap_or(Code::Unknown), String::new())),
                None => Err((Code::Unknown, String::new())),
            },
            Ok(_) => Err((Code::Unknown, String::new())),
            Err(error) => Err(error),
        };
        if let Err((code, text)) = taken {
            let topic = self.reader(id).map(|reader| reader.name().topic.to_string());
            let error = trouble::explain(&self.settings, code, &text, topic.as_deref());
            self.trouble(error);
            self.gaps.remove(index);
            self.gaps_to_ask.push((id, offset, cause));
            return self.ask_again();
        }
        if let Gap { log_start: Some(start), log_end: Some(end), incarnation: Some(of), .. } = *gap
        {
            self.decide_gap(index, start, end, of);
        }
    }

    fn decide_gap(&mut self, index: usize, log_start: Offset, log_end: Offset, incarnation: u64) {
        let Gap { partition, offset, cause, .. } = self.gaps[index];
        let Some(Some(reader)) = self.readers.get_mut(partition.index()) else { return };
        let name = reader.name().clone();
        let to = match self.settings.on_gap {
            OnGap::Stop => {
                self.gaps.remove(index);
                let error = match cause {
                    Cause::OutOfRange => {
                        SourceError::OutOfRange { partition: name, offset, log_start, log_end }
                    }
                    Cause::Truncated(kept_until) => SourceError::Truncated {
                        partition: name,
                        offset,
                        kept_until,
                        log_start,
                        log_end,
                    },
                };
                return self.tell(SourceEvent::PartitionFailed { partition, error });
            }
            OnGap::Earliest => log_start,
            OnGap::Latest => log_end,
        };
        let why = match cause {
            Cause::OutOfRange => format!("offset {offset} is not in the log"),
            Cause::Truncated(_) => {
                format!("an unclean leader election truncated the log below offset {offset}")
            }
        };
        let text = format!(
            "{name}: {why}; the log has {log_start} to {log_end}; going on at {to}, as on-gap says"
        );
        let forward = to >= reader.position();
        let before = self.incarnations.get(&name.topic).copied().unwrap_or(0);
        let same_topic = incarnation == before || incarnation == 0;
        self.tell(SourceEvent::Trouble(SourceError::Other(text)));
        if forward && same_topic {
            self.gaps.remove(index);
            return self.restart(partition, &name, to);
        }
        // Offsets only grow within one assignment, and it is of one topic: else it is a new one.
        self.incarnations.insert(name.topic.clone(), incarnation);
        self.gaps[index].again = Some(Beginning {
            name,
            committed: None,
            leader_epoch: -1,
            metadata: String::new(),
            start: to,
            incarnation,
            end: self.settings.until_end.then_some(log_end),
            of_earlier_topic: None,
        });
        self.tell(SourceEvent::Lost(vec![partition]));
    }

    /// Goes on with an assigned partition at another offset. (A seek is refused by the client for
    /// a partition whose offset was not in the log.)
    fn restart(&mut self, id: PartitionId, name: &TopicPartition, to: Offset) {
        self.readers[id.index()] = None;
        let (Some(client), Some(waker)) = (&self.client, self.waker()) else { return };
        let start = OffsetPoint { partition: name, offset: to.0, leader_epoch: -1, metadata: "" };
        let restarted = client
            .unassign_one(name)
            .map(|()| client.split(name, waker))
            .and_then(|queue| client.assign_more(&[start]).map(|()| queue));
        match restarted {
            Ok(Some(queue)) => {
                self.readers[id.index()] = Some(Reader::new(name.clone(), queue, to, -1));
            }
            Ok(None) => {
                let text = format!("{name}: the client gave no queue for it");
                let error = SourceError::Other(text);
                self.tell(SourceEvent::PartitionFailed { partition: id, error });
            }
            Err(error) => {
                let text = format!("{name}: going on at offset {to}: {error}");
                let error = SourceError::Other(text);
                self.tell(SourceEvent::PartitionFailed { partition: id, error });
            }
        }
    }

    /// The runtime let go of a partition; if that was for a step back, it begins again.
    pub(super) fn restart_released(&mut self, id: PartitionId) {
        let Some(index) = self.gaps.iter().position(|gap| gap.partition == id) else { return };
        let Some(again) = self.gaps.remove(index).again else { return };
        self.restart(id, &again.name, again.start);
        self.tell_assigned(id, again);
    }
}

/// Of the one topic that was asked for; 0 if its id cannot be known.
fn first_id(ids: &HashMap<String, u64>) -> u64 {
    ids.values().next().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncation_is_told_from_the_clients_words() {
        let truncated = "Partition log truncation detected at offset 500 (leader epoch 0): broker \
                         end offset is 200 (offset leader epoch 0). Reset to INVALID.: Local: \
                         Partition log truncation detected (broker 2)";
        assert_eq!(Cause::of(truncated), Cause::Truncated(Some(Offset(200))));
        let none = "No epoch found less or equal to offset 5 (leader epoch 7): broker end offset \
                    is -1 (offset leader epoch -1).: Local: Partition log truncation detected";
        assert_eq!(Cause::of(none), Cause::Truncated(None));
        let out_of_range = "fetch failed due to requested offset not available on the broker: \
                            Broker: Offset out of range (broker 1)";
        assert_eq!(Cause::of(out_of_range), Cause::OutOfRange);
    }
}
