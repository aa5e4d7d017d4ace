//! The life of the consumer and of its partitions.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, ClientContext as _};
use tidegate_engine::{Capacity, CommitPoint, Offset, PartitionId};
use tidegate_runtime::{
    Assignment, Batch, Read, Source, SourceError, SourceEvent, SourceWaker, TopicPartition,
};
use tokio::time::Instant;

use super::assign::{Beginning, Lookup};
use super::context::Context;
use super::gap::Gap;
use super::native::{AdminAnswer, Answer, NativeClient, NativeEvent, OffsetPoint, Rebalance};
use super::read::Reader;
use super::settings::{KafkaSettings, SettingsError};
use super::trouble;

/// The same trouble is told again after so long.
const TELL_AGAIN: Duration = Duration::from_secs(30);
/// So many troubles are remembered.
const TROUBLES_KEPT: usize = 16;
/// A question that was answered with an error is asked again after so long.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// A member that joins a cooperative group has nothing at first, and gets its share when the others
/// have given it up. After so long nothing more is expected.
const EMPTY_IS_FINAL: Duration = Duration::from_secs(15);
/// Between looks at whether the client has left the group.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Events served in one call, so that records get their turn.
const EVENTS_AT_ONCE: usize = 64;

/// A group consumer of Kafka topics as a [`Source`].
///
/// Backpressure is not reading: a partition without capacity keeps its small prefetch, and the
/// client stops fetching it. Nothing is paused, because pausing purges the prefetch.
///
/// It needs an OS thread of its own, since librdkafka's calls may take a lock for a moment.
pub struct KafkaSource {
    pub(super) settings: KafkaSettings,
    config: ClientConfig,
    waker: Option<SourceWaker>,
    ids: HashMap<TopicPartition, PartitionId>,
    /// By id; dropped before the client.
    pub(super) readers: Vec<Option<Reader>>,
    events: VecDeque<SourceEvent>,
    rebalance: Option<Pending>,
    pub(super) gaps: Vec<Gap>,
    /// Gaps whose question was answered with an error.
    pub(super) gaps_to_ask: Vec<(PartitionId, Offset)>,
    /// Partitions with a commit that was not answered.
    committing: HashSet<PartitionId>,
    /// What was told lately.
    troubles: Vec<(SourceError, Instant)>,
    is_unreachable: bool,
    pub(super) requests: usize,
    ask_at: Option<Instant>,
    /// When an empty assignment counts as what the group has to give.
    settle_at: Option<Instant>,
    closing: bool,
    closed: bool,
    pub(super) client: Option<NativeClient>,
}

/// A rebalance event that is not acknowledged yet.
enum Pending {
    Assign(Lookup),
    Revoke { all: Vec<TopicPartition>, waiting: HashSet<PartitionId>, lost: bool },
}

impl KafkaSource {
    /// A source that is not connected yet.
    ///
    /// # Errors
    /// When a setting is missing or librdkafka does not accept it.
    pub fn new(settings: KafkaSettings) -> Result<Self, SettingsError> {
        Ok(Self {
            config: settings.to_client_config()?,
            settings,
            waker: None,
            ids: HashMap::new(),
            readers: Vec::new(),
            events: VecDeque::new(),
            rebalance: None,
            gaps: Vec::new(),
            gaps_to_ask: Vec::new(),
            committing: HashSet::new(),
            troubles: Vec::new(),
            is_unreachable: false,
            requests: 0,
            ask_at: None,
            settle_at: None,
            closing: false,
            closed: false,
            client: None,
        })
    }

    fn id(&mut self, name: &TopicPartition) -> PartitionId {
        let next = PartitionId(self.ids.len() as u32);
        let id = *self.ids.entry(name.clone()).or_insert(next);
        if self.readers.len() <= id.index() {
            self.readers.resize_with(id.index() + 1, || None);
        }
        id
    }

    pub(super) fn reader(&self, id: PartitionId) -> Option<&Reader> {
        self.readers.get(id.index())?.as_ref()
    }

    pub(super) fn waker(&self) -> Option<SourceWaker> {
        self.waker.clone()
    }

    /// Asks to be looked at again after a while.
    fn wake_after(&self, delay: Duration) {
        if let Some(waker) = self.waker.clone() {
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                waker.wake();
            });
        }
    }

    pub(super) fn tell(&mut self, event: SourceEvent) {
        self.events.push_back(event);
    }

    /// Tells of a trouble, the same one not too often; with `fail_fast` it is the end.
    pub(super) fn trouble(&mut self, error: SourceError) {
        let now = Instant::now();
        self.troubles.retain(|(_, told)| now.duration_since(*told) < TELL_AGAIN);
        let unreachable = |e: &SourceError| matches!(e, SourceError::Unreachable { .. });
        let same = |(told, _): &(SourceError, Instant)| {
            *told == error || (unreachable(told) && unreachable(&error))
        };
        if self.troubles.iter().any(same) {
            return;
        }
        // With many different ones the oldest may be told again early.
        if self.troubles.len() >= TROUBLES_KEPT {
            self.troubles.remove(0);
        }
        self.is_unreachable |= unreachable(&error);
        self.troubles.push((error.clone(), now));
        let event = match self.settings.fail_fast {
            true => SourceEvent::Failed(error),
            false => SourceEvent::Trouble(error),
        };
        self.tell(event);
    }

    /// Something worked again.
    pub(super) fn recovered(&mut self, what: &str) {
        if std::mem::take(&mut self.is_unreachable) {
            self.troubles.clear();
            let text = format!("{} can be reached again: {what}", self.settings.brokers);
            self.tell(SourceEvent::Recovered(text));
        }
    }

    fn serve(&mut self, event: NativeEvent) {
        match event {
            NativeEvent::Rebalance(Rebalance::Assign, names) => self.begin_assign(names),
            NativeEvent::Rebalance(Rebalance::Revoke, names) => self.begin_revoke(names),
            NativeEvent::Commit(error, answers) => self.committed(error, answers),
            NativeEvent::Error { code, text, fatal, topic } => {
                let error = trouble::explain(&self.settings, code, &text, topic.as_deref());
                match fatal || matches!(error, SourceError::Refused { .. }) {
                    true => self.tell(SourceEvent::Failed(error)),
                    false => self.trouble(error),
                }
            }
            NativeEvent::Admin { request, result } => self.answered(request, result),
            NativeEvent::Log { level, facility, text } => {
                Context.log(log_level(level), &facility, &text);
            }
            NativeEvent::Other => {}
        }
    }

    fn begin_assign(&mut self, names: Vec<TopicPartition>) {
        let mut lookup = Lookup::new(names, &self.settings);
        if lookup.is_empty() || self.closing {
            return self.finish_assign(Vec::new());
        }
        if let Some(client) = &self.client {
            lookup.ask(client, &self.settings, &mut self.requests);
        }
        self.rebalance = Some(Pending::Assign(lookup));
    }

    fn answered(&mut self, request: usize, result: Result<AdminAnswer, (Code, String)>) {
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

    fn go_on_assigning(&mut self) {
        let Some(Pending::Assign(lookup)) = &mut self.rebalance else { return };
        let Some(client) = &self.client else { return };
        lookup.ask(client, &self.settings, &mut self.requests);
        if let Some(beginnings) = lookup.result() {
            self.rebalance = None;
            self.finish_assign(beginnings);
        }
    }

    /// Splits the queues, acknowledges, and only then tells the runtime.
    fn finish_assign(&mut self, beginnings: Vec<Beginning>) {
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
            self.readers[id.index()] =
                Some(Reader::new(beginning.name.clone(), queue, beginning.start));
            if let Some(offset) = beginning.of_earlier_topic {
                let Beginning { name, start, .. } = &beginning;
                self.tell(SourceEvent::Trouble(SourceError::Other(format!(
                    "{name}: the committed offset {offset} is of an earlier topic of this name, \
                     which was deleted; beginning at {start}"
                ))));
            }
            self.tell_assigned(id, beginning);
        }
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

    fn begin_revoke(&mut self, names: Vec<TopicPartition>) {
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
    fn check_lost(&mut self) {
        let Some(Pending::Revoke { waiting, lost: lost @ false, .. }) = &mut self.rebalance else {
            return;
        };
        if self.client.as_ref().is_some_and(NativeClient::assignment_lost) {
            *lost = true;
            let waiting = waiting.iter().copied().collect();
            self.events.push_back(SourceEvent::Lost(waiting));
        }
    }

    fn end_revoke(&mut self) {
        let Some(Pending::Revoke { all, .. }) = self.rebalance.take() else { return };
        if let Some(client) = &self.client
            && let Err(error) = client.unassign(all.iter())
        {
            let text = format!("the client refused to give partitions back: {error}");
            self.trouble(SourceError::Other(text));
        }
    }

    fn committed(&mut self, error: Option<Code>, answers: Vec<Answer>) {
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

/// Dropping a client waits until it has left its group, and with a broker that is gone that may be
/// for ever: whoever waits for the run's end must not wait for that.
impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.readers.clear();
        if let Some(client) = self.client.take()
            && !client.is_closed()
        {
            let leaving = std::thread::Builder::new().name("tidegate-leaving".to_owned());
            // Without a thread it is dropped here, after all.
            let _ = leaving.spawn(move || drop(client));
        }
    }
}

/// librdkafka's levels are syslog's.
fn log_level(level: i32) -> RDKafkaLogLevel {
    match level {
        i32::MIN..=3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 | 6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

fn refused(partition: PartitionId, offset: Offset, code: Code) -> SourceEvent {
    let result = Err(SourceError::CommitRefused { detail: code.to_string() });
    SourceEvent::Committed { partition, offset, result }
}

impl Source for KafkaSource {
    const NEEDS_THREAD: bool = true;

    fn start(&mut self, waker: SourceWaker) -> Result<(), SourceError> {
        let client = NativeClient::new(&self.config, Context, waker.clone())
            .map_err(|error| SourceError::Other(format!("the Kafka client: {error}")))?;
        let topics: Vec<&str> = self.settings.topics.iter().map(String::as_str).collect();
        client
            .subscribe(&topics)
            .map_err(|error| SourceError::Other(format!("subscribing: {error}")))?;
        self.client = Some(client);
        self.waker = Some(waker);
        Ok(())
    }

    fn poll_event(&mut self) -> Option<SourceEvent> {
        if self.ask_at.is_some_and(|at| at <= Instant::now()) {
            self.ask_at = None;
            self.go_on_assigning();
            for (id, offset) in std::mem::take(&mut self.gaps_to_ask) {
                self.begin_gap(id, offset);
            }
        }
        if self.settle_at.take_if(|at| *at <= Instant::now()).is_some() {
            self.tell(SourceEvent::Settled);
        }
        self.check_lost();
        for _ in 0..EVENTS_AT_ONCE {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let Some(event) = self.client.as_ref().and_then(NativeClient::poll_event) else {
                break;
            };
            self.serve(event);
        }
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if self.closing && !self.closed {
            if self.client.as_ref().is_none_or(NativeClient::is_closed) {
                self.closed = true;
                return Some(SourceEvent::Closed);
            }
            self.wake_after(LOOK_AGAIN);
        }
        None
    }

    fn has_records(&self, partition: PartitionId) -> bool {
        self.reader(partition).is_some_and(Reader::may_have_records)
    }

    fn read(
        &mut self,
        partition: PartitionId,
        capacity: Capacity,
        out: &mut Vec<Arc<Batch>>,
    ) -> Read {
        self.read_partition(partition, capacity, out)
    }

    fn commit(&mut self, points: &[CommitPoint]) {
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

    fn release(&mut self, partitions: &[PartitionId]) {
        for id in partitions {
            if let Some(reader) = self.readers.get_mut(id.index()) {
                *reader = None;
            }
            self.restart_released(*id);
        }
        if let Some(Pending::Revoke { waiting, .. }) = &mut self.rebalance {
            for id in partitions {
                waiting.remove(id);
            }
            if waiting.is_empty() {
                self.end_revoke();
            }
        }
    }

    fn close(&mut self) {
        self.closing = true;
        // An assignment that was not taken yet is not taken any more.
        if let Some(Pending::Assign(_)) = self.rebalance {
            self.rebalance = None;
            self.finish_assign(Vec::new());
        }
        if let Some(client) = &self.client
            && let Err(error) = client.close()
        {
            self.tell(SourceEvent::Trouble(SourceError::Other(format!("leaving: {error}"))));
        }
        self.wake_after(LOOK_AGAIN);
    }
}
