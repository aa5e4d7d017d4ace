//! The consumers: Tidegate's, with handlers that sleep, and a plain one that commits by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tidegate::{Consumer, Record, RunError, Summary};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

pub const PARTITIONS: usize = 12;
/// The value of a record whose handler never ends.
pub const POISON: &str = "poison";

/// What was handled, over all lives of the consumers of a topic.
#[derive(Debug, Default)]
pub struct Work {
    /// Records, by partition.
    handled: [AtomicU64; PARTITIONS],
    /// Microseconds that handlers took, all together.
    busy: AtomicU64,
    /// How long a handler sleeps, in microseconds.
    sleep: AtomicU64,
}

impl Work {
    pub fn handled(&self) -> [u64; PARTITIONS] {
        self.handled.each_ref().map(|records| records.load(Ordering::Relaxed))
    }

    pub fn sum(&self) -> u64 {
        self.handled().iter().sum()
    }

    /// Seconds that handlers took.
    pub fn busy(&self) -> f64 {
        self.busy.load(Ordering::Relaxed) as f64 / 1e6
    }

    /// Handlers that begin from now on sleep for so long.
    pub fn set_sleep(&self, sleep: Duration) {
        self.sleep.store(sleep.as_micros() as u64, Ordering::Relaxed);
    }

    fn finished(&self, partition: i32, took: Duration) {
        self.busy.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        self.handled[partition as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Something that consumes and can be stopped.
pub trait Consuming {
    /// Stops it in an orderly way and waits for its end.
    fn stop(self: Box<Self>);
}

/// A `tidegate::Consumer` with so many handlers at once.
pub struct Worker {
    runtime: Runtime,
    stop: oneshot::Sender<()>,
    run: tokio::task::JoinHandle<Result<Summary, RunError>>,
}

impl Worker {
    pub fn start(
        bootstrap: &str,
        topic: &str,
        ordering: tidegate::Ordering,
        permits: u32,
        work: &Arc<Work>,
    ) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let consumer = Consumer::builder()
            .brokers(bootstrap)
            .group(topic)
            .topic(topic)
            .ordering(ordering)
            .max_in_flight(permits)
            .shutdown_timeout(Duration::from_secs(2))
            .build()
            .unwrap();
        let work = Arc::clone(work);
        let handler = move |record: Record| {
            let (work, begun) = (Arc::clone(&work), Instant::now());
            async move {
                if record.value() == Some(POISON.as_bytes()) {
                    std::future::pending::<()>().await;
                }
                let sleep = work.sleep.load(Ordering::Relaxed);
                tokio::time::sleep(Duration::from_micros(sleep)).await;
                work.finished(record.partition(), begun.elapsed());
            }
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let run = consumer.run(handler).with_graceful_shutdown(async move {
            let _ = stopped.await;
        });
        let run = runtime.spawn(run.into_future());
        Self { runtime, stop, run }
    }
}

impl Consuming for Worker {
    fn stop(self: Box<Self>) {
        let _ = self.stop.send(());
        let ended = self.runtime.block_on(self.run).unwrap();
        println!("{}", ended.unwrap());
    }
}

/// A bare consumer as many are written: the client commits every 5 s what was taken from it.
pub struct Plain {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Plain {
    /// Takes so many records a second at most.
    pub fn start(bootstrap: &str, topic: &str, rate: f64, work: &Arc<Work>) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", topic)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "5000")
            .create()
            .unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (work, stopped) = (Arc::clone(work), Arc::clone(&stop));
        let thread = thread::spawn(move || consume(&consumer, rate, &work, &stopped));
        Self { stop, thread }
    }
}

impl Consuming for Plain {
    fn stop(self: Box<Self>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn consume(consumer: &BaseConsumer, rate: f64, work: &Work, stop: &AtomicBool) {
    let (mut last, mut credit) = (Instant::now(), 0.0);
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        credit += rate * (now - last).as_secs_f64();
        last = now;
        while credit >= 1.0 {
            let Some(message) = consumer.poll(Duration::from_millis(1)) else { break };
            work.finished(message.unwrap().partition(), Duration::ZERO);
            credit -= 1.0;
        }
        // What could not be used is lost, but for what a late wake-up cost: an idle consumer does
        // not catch up later.
        credit = credit.min(rate * 0.05);
        thread::sleep(Duration::from_millis(2));
    }
}
