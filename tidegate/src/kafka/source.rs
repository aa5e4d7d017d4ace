//! The life of the consumer and of its partitions.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::{ClientConfig, ClientContext as _};
use tidegate_engine::{Capacity, CommitPoint, Offset, PartitionId};
use tidegate_runtime::{
    Batch, Read, Source, SourceError, SourceEvent, SourceWaker, TopicPartition,
};
use tokio::time::Instant;

use super::commits::Commits;
use super::context::{Context, log_level};
use super::gap::{Cause, Gap};
use super::native::{NativeClient, NativeEvent, Rebalance};
use super::read::Reader;
use super::rebalance::Pending;
use super::settings::{KafkaSettings, SettingsError};
use super::trouble::{self, Troubles};
use super::truncation::Unchecked;

/// Between looks at whether the client has left the group, or has begun with an assignment.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How often the client's own thread is woken. Not more often than the runtime polls when nothing
/// happens, which is once a second.
const WAKE_EVERY: Duration = Duration::from_secs(1);
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
    pub(super) waker: Option<SourceWaker>,
    ids: HashMap<TopicPartition, PartitionId>,
    /// By id; dropped before the client.
    pub(super) readers: Vec<Option<Reader>>,
    pub(super) events: VecDeque<SourceEvent>,
    pub(super) rebalance: Option<Pending>,
    pub(super) gaps: Vec<Gap>,
    /// Gaps whose question was answered with an error.
    pub(super) gaps_to_ask: Vec<(PartitionId, Offset, Cause)>,
    /// Assigned, and not read before they are checked.
    pub(super) unchecked: Vec<Unchecked>,
    pub(super) commits: Commits,
    /// Of assigned topics, as their commits carry it.
    pub(super) incarnations: HashMap<Arc<str>, u64>,
    troubles: Troubles,
    pub(super) requests: usize,
    pub(super) ask_at: Option<Instant>,
    /// When an empty assignment counts as what the group has to give.
    pub(super) settle_at: Option<Instant>,
    /// When the client's own thread was woken last.
    woken_at: Instant,
    pub(super) closing: bool,
    closed: bool,
    pub(super) client: Option<NativeClient>,
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
            unchecked: Vec::new(),
            commits: Commits::default(),
            incarnations: HashMap::new(),
            troubles: Troubles::default(),
            requests: 0,
            ask_at: None,
            settle_at: None,
            woken_at: Instant::now(),
            closing: false,
            closed: false,
            client: None,
        })
    }

    pub(super) fn id(&mut self, name: &TopicPartition) -> PartitionId {
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
    pub(super) fn wake_after(&self, delay: Duration) {
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
        if self.troubles.is_new(&error, Instant::now()) {
            self.tell(match self.settings.fail_fast {
                true => SourceEvent::Failed(error),
                false => SourceEvent::Trouble(error),
            });
        }
    }

    /// Something worked again.
    pub(super) fn recovered(&mut self, what: &str) {
        if self.troubles.are_over() {
            self.tell_recovered(what);
        }
    }

    /// Records were read.
    pub(super) fn recovered_by_records(&mut self) {
        if self.troubles.are_over_by_records(Instant::now()) {
            self.tell_recovered("records come");
        }
    }

    fn tell_recovered(&mut self, what: &str) {
        let text = format!("{} can be reached again: {what}", self.settings.brokers);
        self.tell(SourceEvent::Recovered(text));
    }

    /// Has the client's own thread look at the time now and then: see [`NativeClient::wake`].
    fn keep_awake(&mut self) {
        // A commit among the client's last steps may come between its decision to end and its end,
        // which it takes for a fault in itself and aborts the process.
        if self.closing {
            return;
        }
        let now = Instant::now();
        if now.duration_since(self.woken_at) >= WAKE_EVERY
            && let Some(client) = &self.client
        {
            self.woken_at = now;
            client.wake();
        }
    }

    fn serve(&mut self, event: NativeEvent) {
        match event {
            NativeEvent::Rebalance(Rebalance::Assign, names) => self.begin_assign(names),
            NativeEvent::Rebalance(Rebalance::Revoke, names) => self.begin_revoke(names),
            NativeEvent::Commit { number, error, answers } => {
                self.committed(number, error, &answers);
            }
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

impl Source for KafkaSource {
    const NEEDS_THREAD: bool = true;

    fn start(&mut self, waker: SourceWaker) -> Result<(), SourceError> {
        let wake = {
            let waker = waker.clone();
            move || waker.wake()
        };
        let client = NativeClient::new(&self.config, Context, wake)
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
        self.keep_awake();
        if self.ask_at.is_some_and(|at| at <= Instant::now()) {
            self.ask_at = None;
            self.go_on_assigning();
            for (id, offset, cause) in std::mem::take(&mut self.gaps_to_ask) {
                self.begin_gap(id, offset, cause);
            }
        }
        if self.settle_at.take_if(|at| *at <= Instant::now()).is_some() {
            self.tell(SourceEvent::Settled);
        }
        self.check_lost();
        self.check_truncation();
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
        self.send_commits(points);
    }

    fn release(&mut self, partitions: &[PartitionId]) {
        for id in partitions {
            if let Some(reader) = self.readers.get_mut(id.index()) {
                *reader = None;
            }
            self.commits.forget(*id);
            self.unchecked.retain(|unchecked| unchecked.partition != *id);
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
