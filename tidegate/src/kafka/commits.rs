//! Commits and their answers.

use std::collections::HashMap;

use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_engine::{CommitPoint, Offset, PartitionId};
use tidegate_runtime::{SourceError, SourceEvent, TopicPartition};

use super::native::{Answer, OffsetPoint};
use super::source::KafkaSource;

/// Commits that were sent and not answered, each by its number, which librdkafka gives back with
/// the answer.
///
/// The story of why: a commit hangs at a broker that is gone, the assignment is lost, the partition
/// comes back and is committed anew. The answer to the first one, usually a failure, must not be
/// taken for one to the second. So a partition that is released is taken out of all of them.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    sent: usize,
    unanswered: HashMap<usize, Vec<Sent>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    name: TopicPartition,
    partition: PartitionId,
    offset: Offset,
}

impl Commits {
    /// A number for the next commit. 0 is none: see [`NativeClient::wake`].
    ///
    /// [`NativeClient::wake`]: super::native::NativeClient::wake
    fn next(&mut self) -> usize {
        self.sent += 1;
        self.sent
    }

    /// Answers to what was sent of this partition are of no interest any more.
    pub(crate) fn forget(&mut self, partition: PartitionId) {
        self.unanswered.retain(|_, sent| {
            sent.retain(|one| one.partition != partition);
            !sent.is_empty()
        });
    }

    /// What the answer to this commit means for each of its partitions.
    fn answered(
        &mut self,
        number: usize,
        error: Option<Code>,
        answers: &[Answer],
    ) -> Vec<SourceEvent> {
        let sent = self.unanswered.remove(&number).unwrap_or_default();
        let event = |Sent { name, partition, offset }: Sent| {
            let own = answers.iter().find(|answer| answer.partition == name);
            let missing = own.is_none().then_some(Code::Unknown);
            match error.or(own.and_then(|answer| answer.error)).or(missing) {
                None => SourceEvent::Committed { partition, offset, result: Ok(()) },
                Some(code) => refused(partition, offset, code.to_string()),
            }
        };
        sent.into_iter().map(event).collect()
    }
}

impl KafkaSource {
    pub(super) fn send_commits(&mut self, points: &[CommitPoint]) {
        let mut sent: Vec<Sent> = Vec::with_capacity(points.len());
        let mut named: Vec<&CommitPoint> = Vec::with_capacity(points.len());
        for point in points {
            let CommitPoint { partition, offset, .. } = *point;
            match self.reader(partition).map(|reader| reader.name().clone()) {
                Some(name) => {
                    sent.push(Sent { name, partition, offset });
                    named.push(point);
                }
                // Every commit is answered.
                None => self.tell(refused(partition, offset, Code::State.to_string())),
            }
        }
        let number = self.commits.next();
        let list: Vec<_> = sent
            .iter()
            .zip(named)
            .map(|(sent, point)| OffsetPoint {
                partition: &sent.name,
                offset: point.offset.0,
                leader_epoch: self.epoch_of(point),
                metadata: &point.metadata,
            })
            .collect();
        let result = match &self.client {
            Some(client) if !list.is_empty() => client.commit(number, &list),
            _ => return,
        };
        match result {
            Ok(()) => _ = self.commits.unanswered.insert(number, sent),
            Err(error) => {
                for Sent { partition, offset, .. } in sent {
                    self.tell(refused(partition, offset, error.to_string()));
                }
            }
        }
    }

    /// The leader epoch of the last record below a commit, or of a marker behind it; -1 if the
    /// brokers do not tell epochs.
    fn epoch_of(&self, point: &CommitPoint) -> i32 {
        let at = self.reader(point.partition).and_then(|reader| reader.epoch_at(point.offset));
        point.leader_epoch.max(at.unwrap_or(-1))
    }

    pub(super) fn committed(&mut self, number: usize, error: Option<Code>, answers: &[Answer]) {
        if error.is_none() {
            self.recovered("it took a commit");
        }
        let told = self.commits.answered(number, error, answers);
        self.events.extend(told);
    }
}

fn refused(partition: PartitionId, offset: Offset, detail: String) -> SourceEvent {
    let result = Err(SourceError::CommitRefused { detail });
    SourceEvent::Committed { partition, offset, result }
}

#[cfg(test)]
mod tests {
    use super::super::settings::KafkaSettings;
    use super::*;

    fn sent(partition: u32, offset: i64) -> Sent {
        let name = TopicPartition::new("t", partition as i32);
        Sent { name, partition: PartitionId(partition), offset: Offset(offset) }
    }

    fn answer(partition: i32, error: Option<Code>) -> Answer {
        let partition = TopicPartition::new("t", partition);
        Answer { partition, offset: 7, leader_epoch: -1, metadata: String::new(), error }
    }

    fn told(events: &[SourceEvent]) -> Vec<(u32, i64, bool)> {
        let told = |event: &SourceEvent| match event {
            SourceEvent::Committed { partition, offset, result } => {
                (partition.0, offset.0, result.is_ok())
            }
            other => panic!("{other:?}"),
        };
        events.iter().map(told).collect()
    }

    #[test]
    fn an_answer_belongs_to_the_commit_with_its_number() {
        let mut commits = Commits::default();
        let (first, second) = (commits.next(), commits.next());
        commits.unanswered.insert(first, vec![sent(0, 5), sent(1, 50)]);
        // Partition 0 is lost, comes back, and is committed again.
        commits.forget(PartitionId(0));
        commits.unanswered.insert(second, vec![sent(0, 6)]);
        let failed = commits.answered(first, Some(Code::IllegalGeneration), &[]);
        assert_eq!(told(&failed), [(1, 50, false)]);
        let taken = commits.answered(second, None, &[answer(0, None)]);
        assert_eq!(told(&taken), [(0, 6, true)]);
        assert!(commits.answered(second, None, &[answer(0, None)]).is_empty(), "answered once");
        assert!(commits.answered(0, Some(Code::NoOffset), &[]).is_empty(), "a wake-up");
    }

    #[test]
    fn each_partition_is_answered_for_itself() {
        let mut commits = Commits::default();
        let number = commits.next();
        commits.unanswered.insert(number, vec![sent(0, 5), sent(1, 50), sent(2, 9)]);
        let refused = Some(Code::UnknownTopicOrPartition);
        let events = commits.answered(number, None, &[answer(0, None), answer(1, refused)]);
        assert_eq!(told(&events), [(0, 5, true), (1, 50, false), (2, 9, false)]);
    }

    #[test]
    fn a_commit_of_a_partition_without_a_reader_is_answered() {
        let settings = KafkaSettings::new("127.0.0.1:1", "g", ["t"]);
        let mut source = KafkaSource::new(settings).unwrap();
        let (partition, offset) = (PartitionId(3), Offset(8));
        let point = CommitPoint { partition, offset, leader_epoch: -1, metadata: String::new() };
        source.send_commits(&[point]);
        let events: Vec<_> = source.events.drain(..).collect();
        assert_eq!(told(&events), [(3, 8, false)]);
    }
}
