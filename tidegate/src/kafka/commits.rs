//! Commits and their answers.

use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_engine::{CommitPoint, Offset, PartitionId};
use tidegate_runtime::{SourceError, SourceEvent, TopicPartition};

use super::native::{Answer, OffsetPoint};
use super::source::KafkaSource;

impl KafkaSource {
    pub(super) fn send_commits(&mut self, points: &[CommitPoint]) {
        let mut named: Vec<(TopicPartition, &CommitPoint)> = Vec::with_capacity(points.len());
        for point in points {
            match self.reader(point.partition).map(|reader| reader.name().clone()) {
                Some(name) => named.push((name, point)),
                // Every commit is answered.
                None => self.tell(refused(point.partition, point.offset, Code::State)),
            }
        }
        let list: Vec<_> = named
            .iter()
            .map(|(partition, point)| OffsetPoint {
                partition,
                offset: point.offset.0,
                leader_epoch: point.leader_epoch,
                metadata: &point.metadata,
            })
            .collect();
        let result = match &self.client {
            Some(client) if !list.is_empty() => client.commit(&list),
            _ => Ok(()),
        };
        match result {
            Ok(()) => self.committing.extend(named.iter().map(|(_, point)| point.partition)),
            Err(error) => {
                for (_, point) in named {
                    let detail = error.to_string();
                    let result = Err(SourceError::CommitRefused { detail });
                    let (partition, offset) = (point.partition, point.offset);
                    self.tell(SourceEvent::Committed { partition, offset, result });
                }
            }
        }
    }

    pub(super) fn committed(&mut self, error: Option<Code>, answers: Vec<Answer>) {
        if answers.is_empty() {
            let all: Vec<_> = self.committing.drain().collect();
            let code = error.unwrap_or(Code::Unknown);
            for id in all {
                self.tell(refused(id, Offset(0), code));
            }
            return;
        }
        if error.is_none() {
            self.recovered("it took a commit");
        }
        for answer in answers {
            let id = self.id(&answer.partition);
            self.committing.remove(&id);
            let offset = Offset(answer.offset);
            self.tell(match error.or(answer.error) {
                None => SourceEvent::Committed { partition: id, offset, result: Ok(()) },
                Some(code) => refused(id, offset, code),
            });
        }
    }
}

fn refused(partition: PartitionId, offset: Offset, code: Code) -> SourceEvent {
    let result = Err(SourceError::CommitRefused { detail: code.to_string() });
    SourceEvent::Committed { partition, offset, result }
}
