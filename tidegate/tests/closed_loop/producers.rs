//! Producers that want more than they get, each a client of its own with a probe of its own.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use tidegate::gate::{GateSnapshot, Reason, WhenShut};
use tidegate::{NotSent, Producer, ProducerRecord, TopicGate};
use tokio::runtime::Handle;

const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 100;
/// How much a producer catches up that was late, in seconds: what a shut gate cost is not sent later.
const CATCH_UP: f64 = 0.05;

/// What becomes of a record that is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `send` waits for credit.
    Wait,
    /// Records of a partition that is held back are shed, as by a service that answers 429; for
    /// the window is waited.
    ShedByPartition,
}

/// A producer and the task that sends with it.
#[derive(Clone)]
pub struct Sender {
    inner: Arc<Inner>,
}

struct Inner {
    producer: Producer,
    topic: Arc<str>,
    /// The number of its first key.
    first: u64,
    policy: Policy,
    /// Records a second.
    wants: AtomicU64,
    shed: AtomicU64,
    stop: AtomicBool,
    /// Since when it wants so much, and the beginning of the first send that waited since then.
    waited: Mutex<(Instant, Option<Instant>)>,
}

impl Sender {
    /// The producer, which sends nothing before it wants something.
    pub fn start(
        runtime: &Handle,
        bootstrap: &str,
        topic: &str,
        number: u64,
        policy: Policy,
    ) -> Self {
        let gate = TopicGate::new(topic).follow(topic);
        let gate = match policy {
            Policy::Wait => gate,
            Policy::ShedByPartition => gate.when_shut(WhenShut::Refuse),
        };
        let told = move |event: &tidegate::ProducerEvent| println!("producer {number}: {event}");
        let producer = Producer::builder().brokers(bootstrap).topic(gate).on_event(told);
        let inner = Arc::new(Inner {
            producer: producer.build().unwrap(),
            topic: topic.into(),
            first: number * 7_919,
            policy,
            wants: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            waited: Mutex::new((Instant::now(), None)),
        });
        let task = Arc::clone(&inner);
        runtime.spawn(async move { task.send_until_stopped().await });
        Self { inner }
    }

    /// So many records a second from now on.
    pub fn want(&self, rate: u64) {
        *self.inner.waited.lock().unwrap() = (Instant::now(), None);
        self.inner.wants.store(rate, Ordering::Relaxed);
    }

    /// Seconds from the last [`want`](Self::want) to the first send that waited.
    pub fn first_wait(&self) -> Option<f64> {
        let (since, waited) = *self.inner.waited.lock().unwrap();
        waited.map(|waited| waited.saturating_duration_since(since).as_secs_f64())
    }

    pub fn gate(&self) -> GateSnapshot {
        self.inner.producer.snapshot().remove(0).gate
    }

    pub fn shed(&self) -> u64 {
        self.inner.shed.load(Ordering::Relaxed)
    }

    /// Sends nothing more, closes the producer and says how many records it delivered.
    pub fn stop(self, runtime: &Handle) -> u64 {
        self.inner.stop.store(true, Ordering::Relaxed);
        runtime.block_on(self.inner.producer.close(Duration::from_secs(10))).unwrap();
        let counters = self.gate().counters;
        assert_eq!((counters.failed, counters.untracked), (0, 0), "{counters:?}");
        counters.delivered
    }
}

impl Inner {
    async fn send_until_stopped(&self) {
        let (mut last, mut credit) = (Instant::now(), 0.0);
        for number in self.first.. {
            loop {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                let (now, wants) = (Instant::now(), self.wants.load(Ordering::Relaxed) as f64);
                credit += wants * (now - last).as_secs_f64();
                credit = f64::min(credit, (wants * CATCH_UP).max(1.0));
                last = now;
                if credit >= 1.0 && wants > 0.0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            credit -= 1.0;
            let key = format!("key-{}", number % KEYS);
            let record = ProducerRecord::to(Arc::clone(&self.topic));
            let record = record.with_key(key).with_value(vec![b'x'; VALUE_BYTES]);
            if !self.send(record).await {
                return;
            }
        }
    }

    /// Whether there is a reason to go on.
    async fn send(&self, mut record: ProducerRecord) -> bool {
        if self.policy == Policy::Wait {
            let mut send = pin!(self.producer.send(record));
            let at_once = poll_fn(|cx| Poll::Ready(send.as_mut().poll(cx))).await;
            let result = match at_once {
                Poll::Ready(result) => result,
                Poll::Pending => {
                    self.notice_wait();
                    send.await
                }
            };
            return match result {
                Ok(_) => true,
                // A consumer that is stopped for good: nothing came for a minute.
                Err(error) => matches!(error.cause, NotSent::Shut { .. }),
            };
        }
        loop {
            let Err(error) = self.producer.try_send(record) else { return true };
            match error.cause {
                NotSent::Shut { reason: Reason::PartitionCap | Reason::PartitionStuck, .. } => {
                    self.shed.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                NotSent::Shut { .. } | NotSent::Full => {}
                _ => return false,
            }
            record = error.record;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn notice_wait(&self) {
        self.waited.lock().unwrap().1.get_or_insert_with(Instant::now);
    }
}
