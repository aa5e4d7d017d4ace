//! What the tests share: a log with records, a history that handlers write, and its judges.

#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod judge;
pub mod watched;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_engine::{Config, Offset};
use tidegate_runtime::memory::{MemoryLog, NewRecord};
use tidegate_runtime::{Consumer, Event, Record, Settings, Summary};

pub const TOPIC: &str = "t";
pub const GROUP: &str = "g";

/// A handler's future.
pub type Handled = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a record is.
pub type At = (i32, i64);

/// A log with one topic.
pub fn log(partitions: i32) -> MemoryLog {
    let log = MemoryLog::new();
    log.create_topic(TOPIC, partitions).unwrap();
    log
}

/// The keys of all records, by where they are.
pub type Produced = BTreeMap<At, Option<Vec<u8>>>;

pub fn put(log: &MemoryLog, record: NewRecord) -> At {
    let (partition, offset) = log.produce(TOPIC, record).unwrap();
    (partition, offset.0)
}

/// `records` records that take turns on `keys` keys.
pub fn fill(log: &MemoryLog, records: usize, keys: usize) -> Produced {
    let record = |index: usize| {
        let key = format!("key-{}", index % keys).into_bytes();
        let record = NewRecord::value(index.to_string()).key(key.clone());
        (put(log, record), Some(key))
    };
    (0..records).map(record).collect()
}

/// `records` records without a key in one partition.
pub fn fill_partition(log: &MemoryLog, partition: i32, records: usize) -> Produced {
    let record = |_| (put(log, NewRecord::value("x").partition(partition)), None);
    (0..records).map(record).collect()
}

/// Until the end, with three workers, quick backoff.
pub fn settings(engine: Config) -> Settings {
    let initial = Duration::from_millis(10);
    let backoff = tidegate_engine::Backoff { initial, max: Duration::from_secs(1) };
    let engine = Config { backoff, ..engine };
    Settings { engine, until_end: true, workers: Some(3), ..Settings::default() }
}

pub fn consumer(
    log: &MemoryLog,
    settings: Settings,
) -> Consumer<tidegate_runtime::memory::MemorySource> {
    Consumer::new(log.source(GROUP, [TOPIC]), settings).unwrap()
}

/// Runs to the end with this handler's future for each record.
pub async fn run<F, O>(
    log: &MemoryLog,
    settings: Settings,
    handler: impl Fn(Record) -> F + Send + Sync + 'static,
) -> Summary
where
    F: Future<Output = O> + Send + 'static,
    O: tidegate_runtime::IntoOutcome + 'static,
{
    let run = consumer(log, settings).run(handler);
    let day = Duration::from_secs(24 * 3_600);
    tokio::time::timeout(day, async { run.await }).await.expect("the run did not end").unwrap()
}

pub fn committed(log: &MemoryLog, partition: i32) -> Option<i64> {
    log.committed(GROUP, TOPIC, partition).map(|(offset, _)| offset.0)
}

/// Asserts that a group has committed all of every partition.
pub fn assert_all_committed(log: &MemoryLog, partitions: i32) {
    for partition in 0..partitions {
        let Offset(end) = log.end_offset(TOPIC, partition).unwrap();
        assert_eq!(committed(log, partition), Some(end), "of partition {partition}");
    }
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub async fn sleep_ms(millis: u64) {
    tokio::time::sleep(ms(millis)).await;
}

pub fn at(record: &Record) -> At {
    (record.partition(), record.offset())
}

/// Collects events.
#[derive(Clone, Default)]
pub struct EventLog(Arc<Mutex<Vec<Event>>>);

impl EventLog {
    pub fn listener(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let events = Arc::clone(&self.0);
        move |event| events.lock().unwrap().push(event.clone())
    }

    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| wanted(event)).count()
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(ToString::to_string).collect()
    }
}

/// A small generator (SplitMix64), so that a seed is a test.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
