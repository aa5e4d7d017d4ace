//! Partitions that come and go: what the group's events ask for, and their acknowledgement.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_engine::PartitionId;
use tidegate_runtime::{Assignment, SourceError, SourceEvent, TopicPartition};
use tokio::time::Instant;

use super::assign::{Beginning, Lookup};
use super::native::{AdminAnswer, NativeClient};
use super::read::Reader;
use super::source::KafkaSource;
use super::trouble;

/// A question that was answered with an error is asked again after so long.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// A member that joins a cooperative group has nothing at first, and gets its share when the others
/// have given it up. After so long nothing more is expected.
const EMPTY_IS_FINAL: Duration = Duration::from_secs(15);

/// A rebalance event that is not acknowledged yet.
pub(super) enum Pending {
    Assign(Lookup),
    Revoke { all: Vec<TopicPartition>, waiting: HashSet<PartitionId>, lost: bool },
}

impl KafkaSource {
    pub(super) fn begin_assign(&mut self, names: Vec<TopicPartition>) {
        let mut lookup = Lookup::new(names, &self.settings);
        if lookup.is_empty() || self.closing {
            return self.finish_assign(Vec::new());
        }
        if let Some(client) = &self.client {
            lookup.ask(client, &self.settings, &mut self.requests);
        }
        self.rebalance = Some(Pending::Assign(lookup));
    }

    pub(super) fn answered(&mut self, request: usize, result: Result<AdminAnswer, (Code, String)>) {
        if let Some(index) = self.gaps.iter().position(|gap| gap.waits_for(request)) {
            return self.gap_answered(index, request, result);
        }
        let Some(Pending::Assign(lookup)) = &mut self.rebalance else { return };
        if let Err((code, text)) = lookup.take(request, result) {
            let error = trouble::explain(&self.settings, code, &text, None);
            self.trouble(error);
            return self.ask_again();
        }
        self.go_on_assigning();
    }

    pub(super) fn ask_again(&mut self) {
        self.ask_at = Some(Instant::now() + ASK_AGAIN);
        self.wake_after(ASK_AGAIN);
    }

    pub(super) fn go_on_assigning(&mut self) {
        let Some(Pending::Assign(lookup)) = &mut self.rebalance else { return };
        let Some(client) = &self.client else { return };
        lookup.ask(client, &self.settings, &mut self.requests);
        if let Some(beginnings) = lookup.result() {
            self.rebalance = None;
            self.finish_assign(beginnings);
        }
    }

    /// Splits the queues, acknowledges, and only then tells the runtime.
    pub(super) fn finish_assign(&mut self, beginnings: Vec<Beginning>) {
        let (Some(client), Some(waker)) = (&self.client, &self.waker) else { return };
        let mut queues = Vec::with_capacity(beginnings.len());
        for beginning in &beginnings {
            queues.push(client.split(&beginning.name, waker.clone()));
        }
        let points: Vec<_> = beginnings.iter().map(Beginning::start_point).collect();
        if let Err(error) = client.assign(&points) {
            let text = format!("the assignment could not be taken: {error}");
            return self.tell(SourceEvent::Failed(SourceError::Other(text)));
        }
        self.recovered("it gave an assignment");
        for (beginning, queue) in beginnings.into_iter().zip(queues) {
            let id = self.id(&beginning.name);
            let Some(queue) = queue else {
                let text = format!("{}: the client gave no queue for it", beginning.name);
                self.tell(SourceEvent::PartitionFailed {
                    partition: id,
                    error: SourceError::Other(text),
                });
                continue;
            };
            let Beginning { name, start, leader_epoch, .. } = &beginning;
            let reader = Reader::new(name.clone(), queue, *start, *leader_epoch);
            self.readers[id.index()] = Some(reader);
            self.hold_until_checked(id, &beginning);
            if let Some(offset) = beginning.of_earlier_topic {
                self.tell(SourceEvent::Trouble(SourceError::Other(format!(
                    "{name}: the committed offset {offset} is of an earlier topic of this name, \
                     which was deleted; beginning at {start}"
                ))));
            }
            self.incarnations.insert(beginning.name.topic.clone(), beginning.incarnation);
            self.tell_assigned(id, beginning);
        }
        self.check_truncation();
        if self.readers.iter().any(Option::is_some) {
            self.settle_at = None;
            self.tell(SourceEvent::Settled);
        } else {
            self.settle_at = Some(Instant::now() + EMPTY_IS_FINAL);
            self.wake_after(EMPTY_IS_FINAL);
        }
    }

    pub(super) fn tell_assigned(&mut self, id: PartitionId, beginning: Beginning) {
        let Beginning { name, committed, metadata, incarnation, end, .. } = beginning;
        let assignment = Assignment { id, name, committed, metadata, incarnation, end };
        self.tell(SourceEvent::Assigned(assignment));
    }

    pub(super) fn begin_revoke(&mut self, names: Vec<TopicPartition>) {
        let lost = self.client.as_ref().is_some_and(NativeClient::assignment_lost);
        let ids: Vec<_> = names.iter().map(|name| self.id(name)).collect();
        let held: HashSet<_> = ids.into_iter().filter(|id| self.reader(*id).is_some()).collect();
        let waiting: Vec<_> = held.iter().copied().collect();
        self.rebalance = Some(Pending::Revoke { all: names, waiting: held, lost });
        if waiting.is_empty() {
            return self.end_revoke();
        }
        self.tell(match lost {
            true => SourceEvent::Lost(waiting),
            false => SourceEvent::Revoking(waiting),
        });
    }

    /// While the runtime drains, the group may run out of patience: then nothing that is still
    /// drained can be committed any more.
    pub(super) fn check_lost(&mut self) {
        let Some(Pending::Revoke { waiting, lost: lost @ false, .. }) = &mut self.rebalance else {
            return;
        };
        if self.client.as_ref().is_some_and(NativeClient::assignment_lost) {
            *lost = true;
            let waiting = waiting.iter().copied().collect();
            self.events.push_back(SourceEvent::Lost(waiting));
        }
    }

    pub(super) fn end_revoke(&mut self) {
        let Some(Pending::Revoke { all, .. }) = self.rebalance.take() else { return };
        if let Some(client) = &self.client
            && let Err(error) = client.unassign(all.iter())
        {
            let text = format!("the client refused to give partitions back: {error}");
            self.trouble(SourceError::Other(text));
        }
    }
}
