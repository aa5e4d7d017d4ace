//! The calls.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tidegate_engine::gate::{Answer, Credit, Gate, GateChange, WhenShut};
use tidegate_engine::{ConfigError, Instant};
use tokio::sync::futures::Notified;

use super::builder::ProducerBuilder;
use super::client::Client;
use super::delivery::Delivery;
use super::error::{NotSent, SendError, Undelivered};
use super::event::ProducerEvent;
use super::on_their_way::{Flight, OnTheirWay};
use super::record::ProducerRecord;
use super::reports::Settling;
use super::room::{Place, Room};
use super::topic::{Listener, Topic, TopicSnapshot};
use crate::clock;
use crate::kafka::probe::Probe;

/// When the client's own queue is full, which its settings should prevent, it is tried again.
const CLIENT_FULL: Duration = Duration::from_millis(5);
/// For how long the reports of what was given up are waited for.
const REPORTS: Duration = Duration::from_secs(2);

/// Sends records to topics, each through its [`Gate`](tidegate_engine::gate::Gate): as long as the
/// groups that it follows keep up, records go out as fast as they come; when their drain time
/// exceeds the target, a send waits or is refused.
///
/// It is an idempotent producer: what is tried again is not written twice, and of one key the order
/// is kept (for records that are sent one after another; between tasks that send at the same time
/// there is no order). Cloning it is cheap, and all clones are the same producer. When the last one
/// is dropped without [`close`](Self::close), what is on its way is given up.
///
/// ```no_run
/// use tidegate::{Producer, ProducerRecord, TopicGate};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let producer = Producer::builder()
///     .brokers("localhost:9092")
///     .topic(TopicGate::new("orders").follow("billing"))
///     .build()?;
/// let record = ProducerRecord::to("orders").with_key("customer 17").with_value("42");
/// let delivery = producer.send(record).await?;
/// println!("{:?}", delivery.await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    /// Its topics are sorted by name.
    pub(super) settling: Arc<Settling>,
    pub(super) client: Client,
    pub(super) listener: Listener,
    /// Asks for the gates of this producer as long as it lives.
    pub(super) probe: Probe,
}

impl Inner {
    fn topics(&self) -> &[Arc<Topic>] {
        &self.settling.topics
    }

    fn room(&self) -> &Room {
        &self.settling.room
    }

    fn on_their_way(&self) -> &Arc<OnTheirWay> {
        &self.settling.on_their_way
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.topics().binary_search_by(|topic| topic.name.as_str().cmp(name)).ok()
    }

    fn topic(&self, name: &str) -> Option<&Topic> {
        self.index(name).map(|index| &*self.topics()[index])
    }
}

impl Producer {
    #[cfg(test)]
    pub(super) fn client(&self) -> &Client {
        &self.inner.client
    }

    /// What it needs, one by one.
    pub fn builder() -> ProducerBuilder {
        ProducerBuilder::new()
    }

    pub(super) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The probe, to be shared with another producer of the same cluster.
    pub fn probe(&self) -> &Probe {
        &self.inner.probe
    }

    /// Sends a record once there is room and its topic's gate lets it through. Await the
    /// [`Delivery`] to learn what became of it, or drop it.
    ///
    /// While the gate is shut it waits, at most for what the topic's policy allows, or is refused at
    /// once, see [`WhenShut`](tidegate_engine::gate::WhenShut).
    ///
    /// # Errors
    /// When it is refused, with the record: see [`NotSent`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it sent nothing and holds neither credit nor room. Credit is
    /// taken and the record handed to the client in one step, without a wait in between. The record
    /// is dropped with it: keep a clone if it is to be sent later.
    ///
    /// # Fairness
    /// Room is given first come, first served. When a gate lets records through again, all sends that
    /// wait for it try, in no particular order.
    #[allow(clippy::result_large_err, reason = "a refused record comes back by value")]
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery, SendError> {
        match self.wait_and_send(&record).await {
            Ok(delivery) => Ok(delivery),
            Err(cause) => Err(SendError { record, cause }),
        }
    }

    /// Sends a record if that is possible now.
    ///
    /// # Errors
    /// When it is not, with the record, the reason, and when to try again.
    #[allow(clippy::result_large_err, reason = "a refused record comes back by value")]
    pub fn try_send(&self, record: ProducerRecord) -> Result<Delivery, SendError> {
        match self.send_now(&record) {
            Ok(delivery) => Ok(delivery),
            Err(cause) => Err(SendError { record, cause }),
        }
    }

    /// Waits until the gate would let a record with this topic, key and partition through, as long as
    /// the topic's policy allows, and takes nothing: for those who want to know before they have its
    /// value. What would be let through now may be refused a moment later.
    ///
    /// # Errors
    /// When it would be refused: see [`NotSent`]. Whether there is room is not looked at.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn ready(&self, record: &ProducerRecord) -> Result<(), NotSent> {
        let (_, topic) = self.topic(record)?;
        let since = clock::now();
        let mut changed = None;
        loop {
            if self.inner.room().is_closed() {
                return Err(NotSent::Closed);
            }
            let Some(until) = check(topic, record, since)? else { return Ok(()) };
            changed = Some(wait_or_listen(topic, changed, until).await);
        }
    }

    /// Waits until nothing is on its way to the broker, at most for so long. Records that are sent
    /// meanwhile count as well.
    ///
    /// # Errors
    /// How many records of which topic are still on their way. They are tried further.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn flush(&self, deadline: Duration) -> Result<(), Undelivered> {
        // A time-out is seen by what is left.
        let _ = tokio::time::timeout(deadline, self.inner.on_their_way().is_empty()).await;
        self.left()
    }

    /// Sends nothing more, waits until nothing is on its way, at most for so long, and gives the
    /// rest up. Sends that wait are refused with [`NotSent::Closed`].
    ///
    /// # Errors
    /// How many records of which topic were not acknowledged. The [`Delivery`] of each says whether
    /// it may be in the log.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the producer closed and what is on its way to be tried further. It can be
    /// called again.
    pub async fn close(&self, deadline: Duration) -> Result<(), Undelivered> {
        self.inner.room().close();
        for topic in self.inner.topics() {
            topic.changed.notify_waiters();
        }
        let result = self.flush(deadline).await;
        if result.is_err() {
            self.inner.client.purge();
            // The reports come from the client's thread.
            let _ = tokio::time::timeout(REPORTS, self.inner.on_their_way().is_empty()).await;
        }
        result
    }

    /// Whether it was built for this topic.
    pub fn has_topic(&self, topic: &str) -> bool {
        self.inner.topic(topic).is_some()
    }

    /// How many partitions a topic has; 0 while that is not known.
    pub fn partitions(&self, topic: &str) -> u32 {
        self.inner.topic(topic).map_or(0, |topic| topic.gate().partitions())
    }

    /// Records on their way to the broker.
    pub fn on_their_way(&self) -> u64 {
        self.inner.on_their_way().count()
    }

    /// The gates, with the names of topics and groups, sorted by topic.
    pub fn snapshot(&self) -> Vec<TopicSnapshot> {
        let topics = self.inner.topics().iter().enumerate();
        topics.map(|(at, topic)| topic.snapshot(self.inner.on_their_way().of_topic(at))).collect()
    }

    /// Changes a topic's absolute rate, in records a second; `None` for none. Of a topic that the
    /// producer was not built for, nothing happens.
    ///
    /// # Errors
    /// When it is outside the range of [`GateConfig::rate`](tidegate_engine::gate::GateConfig::rate).
    pub fn set_rate(&self, topic: &str, rate: Option<u32>) -> Result<(), ConfigError> {
        self.change_gate(topic, &GateChange { rate: Some(rate), ..GateChange::default() })
    }

    /// Changes settings of a topic's gate, all of them or none, from now on. Where its window shrinks
    /// below what is outstanding, nothing is sent until less is. Of a topic that the producer was not
    /// built for, nothing happens.
    ///
    /// # Errors
    /// When a setting would be outside its range.
    pub fn change_gate(&self, topic: &str, change: &GateChange) -> Result<(), ConfigError> {
        let Some(topic) = self.inner.topic(topic) else { return Ok(()) };
        topic.gate().change_config(change, clock::now())?;
        topic.changed.notify_waiters();
        Ok(())
    }

    fn left(&self) -> Result<(), Undelivered> {
        let of = |(at, topic): (usize, &Arc<Topic>)| {
            let records = self.inner.on_their_way().of_topic(at);
            (records > 0).then(|| (topic.name.clone(), records))
        };
        let topics: Vec<_> = self.inner.topics().iter().enumerate().filter_map(of).collect();
        if topics.is_empty() { Ok(()) } else { Err(Undelivered { topics }) }
    }

    /// The record's topic, by number and as it is.
    fn topic(&self, record: &ProducerRecord) -> Result<(usize, &Topic), NotSent> {
        let unknown = || NotSent::UnknownTopic { topic: record.topic.to_string() };
        let index = self.inner.index(&record.topic).ok_or_else(unknown)?;
        Ok((index, &self.inner.topics()[index]))
    }

    async fn wait_and_send(&self, record: &ProducerRecord) -> Result<Delivery, NotSent> {
        let topic = self.topic(record)?;
        let (room, bytes) = (self.inner.room(), record.bytes());
        let since = clock::now();
        let (mut now, mut changed) = (since, None);
        loop {
            // Not held while the gate is waited for: other topics need it.
            let place = match room.try_take(bytes) {
                Some(place) => place,
                None => {
                    let place = room.take(bytes).await.ok_or(NotSent::Closed)?;
                    now = clock::now();
                    place
                }
            };
            let until = match acquire(topic.1, record, since, now)? {
                Answer::Go(credit) => match self.enqueue(topic, record, credit, place) {
                    Ok(delivery) => return Ok(delivery),
                    Err(NotSent::Full) => clock::now() + CLIENT_FULL,
                    Err(cause) => return Err(cause),
                },
                Answer::Wait { until } => {
                    drop(place);
                    until
                }
                Answer::Refused(refusal) => return Err(topic.1.shut(&refusal)),
            };
            changed = Some(wait_or_listen(topic.1, changed, until).await);
            now = clock::now();
        }
    }

    fn send_now(&self, record: &ProducerRecord) -> Result<Delivery, NotSent> {
        let topic = self.topic(record)?;
        if self.inner.room().is_closed() {
            return Err(NotSent::Closed);
        }
        let place = self.inner.room().try_take(record.bytes()).ok_or(NotSent::Full)?;
        let now = clock::now();
        let mut gate = topic.1.gate();
        let partition = pick(topic.1, &mut gate, record, now)?;
        let credit = gate.try_acquire(partition, now);
        drop(gate);
        let credit = credit.map_err(|refusal| topic.1.shut(&refusal))?;
        self.enqueue(topic, record, credit, place)
    }

    /// Hands a record to the client; its credit and its place go with it, or back.
    fn enqueue(
        &self,
        (index, topic): (usize, &Topic),
        record: &ProducerRecord,
        credit: Credit,
        place: Place<'_>,
    ) -> Result<Delivery, NotSent> {
        let on_their_way = self.inner.on_their_way();
        let (partition, bytes) = (credit.partition(), place.keep());
        let flight = Flight { topic: index as u32, credit, bytes };
        let begin = |client| on_their_way.begin(flight, client);
        match self.inner.client.enqueue(record, partition, begin) {
            Ok(slot) => {
                let on_their_way = Arc::clone(on_their_way);
                Ok(Delivery { on_their_way, slot: Some(slot), partition })
            }
            Err((error, slot)) => {
                if let Some(Flight { credit, .. }) = on_their_way.abort(slot) {
                    topic.gate().cancel(credit, clock::now());
                }
                self.inner.room().give_back(bytes as usize);
                topic.changed.notify_waiters();
                if error.rdkafka_error_code() == Some(Code::Fatal)
                    && let Some(detail) = self.inner.client.mend()
                {
                    (self.inner.listener)(&ProducerEvent::Rebuilt { detail });
                }
                Err(refused(&error, topic))
            }
        }
    }
}

fn acquire(
    topic: &Topic,
    record: &ProducerRecord,
    since: Instant,
    now: Instant,
) -> Result<Answer, NotSent> {
    let mut gate = topic.gate();
    let partition = pick(topic, &mut gate, record, now)?;
    Ok(gate.acquire(partition, since, now))
}

/// Waits for a change that is listened to, or until then; whichever comes first, it is asked again.
/// The first time it only begins to listen, and asks once more: what changed between the question and
/// the listening would be missed otherwise.
async fn wait_or_listen<'a>(
    topic: &'a Topic,
    listening: Option<Pin<Box<Notified<'a>>>>,
    until: Instant,
) -> Pin<Box<Notified<'a>>> {
    if let Some(changed) = listening {
        let _ = tokio::time::timeout_at(clock::to_tokio(until), changed).await;
    }
    let mut listening = Box::pin(topic.changed.notified());
    listening.as_mut().enable();
    listening
}

/// Until when to wait, if at all, by the gate's policy.
fn check(
    topic: &Topic,
    record: &ProducerRecord,
    since: Instant,
) -> Result<Option<Instant>, NotSent> {
    let now = clock::now();
    let mut gate = topic.gate();
    let partition = pick(topic, &mut gate, record, now)?;
    match (gate.check(partition, now), gate.config().when_shut) {
        (Ok(()), _) => Ok(None),
        (Err(refusal), WhenShut::Wait { max }) if now < since + max => {
            Ok(Some((now + refusal.retry_after).min(since + max)))
        }
        (Err(refusal), _) => Err(topic.shut(&refusal)),
    }
}

/// Where a record goes. One that names a partition which the topic does not have is told so, once it
/// is known how many there are: it would wait in vain.
fn pick(
    topic: &Topic,
    gate: &mut Gate,
    record: &ProducerRecord,
    now: Instant,
) -> Result<u32, NotSent> {
    let partitions = gate.partitions();
    match record.partition {
        None => Ok(gate.pick_partition(record.key.as_deref(), now)),
        Some(partition) if partition < partitions || partitions == 0 => Ok(partition),
        Some(partition) => {
            let topic = topic.name.clone();
            Err(NotSent::UnknownPartition { topic, partition, partitions })
        }
    }
}

fn refused(error: &KafkaError, topic: &Topic) -> NotSent {
    match error.rdkafka_error_code() {
        // After a fatal error the next attempt finds a new client.
        Some(Code::QueueFull | Code::Fatal) => NotSent::Full,
        _ => NotSent::Refused { topic: topic.name.clone(), detail: error.to_string() },
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.inner.topics().iter().map(|topic| &topic.name).collect();
        f.debug_struct("Producer").field("topics", &topics).finish_non_exhaustive()
    }
}
