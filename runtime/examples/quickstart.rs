//! A fast producer, a log, and a slow consumer that keeps its head: see where the records are.
//!
//! ```sh
//! cargo run --release -p tidegate-runtime --example quickstart
//! ```
//!
//! The producer writes four times as fast as the handler works. What does not fit waits in the
//! log, where it costs nothing; the process holds a bounded number of records, handles those of
//! one key in order, and commits what is finished. It takes about five seconds.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate_engine::Config;
use tidegate_runtime::memory::{MemoryLog, NewRecord};
use tidegate_runtime::{Consumer, Monitor, Record, Settings};
use tokio::time::{interval, sleep};

const RECORDS: u64 = 6_000;
const PER_SECOND: u64 = 5_000;
const KEYS: u64 = 500;
const WORK: Duration = Duration::from_millis(15);
const IN_FLIGHT: u32 = 20;
const QUEUED: u32 = 200;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let log = MemoryLog::new();
    log.create_topic("orders", 6)?;

    let engine = Config { max_in_flight: IN_FLIGHT, max_queued: QUEUED, ..Config::default() };
    let settings = Settings { engine, max_records: Some(RECORDS), ..Settings::default() };
    let consumer = Consumer::new(log.source("billing", ["orders"]), settings)?;

    println!("A producer writes {PER_SECOND} records/s over {KEYS} keys. A handler needs {WORK:?}");
    println!("for each; at most {IN_FLIGHT} run at once and {QUEUED} wait in this process.\n");
    println!(" time   in the log                               queued   in flight     done");

    let begun = Instant::now();
    let producer = tokio::spawn(produce(log.clone()));
    let screen = tokio::spawn(show(log.clone(), consumer.monitor(), begun));
    let witness = Arc::new(Witness::default());
    let seen = Arc::clone(&witness);
    let summary = consumer
        .run(move |record: Record| {
            let seen = Arc::clone(&seen);
            async move {
                seen.begins(&record);
                sleep(WORK).await;
                seen.ends();
            }
        })
        .await?;
    screen.abort();
    producer.await??;

    let seconds = begun.elapsed().as_secs_f64();
    let most = witness.most.load(Ordering::Relaxed);
    let breaks = witness.order_breaks.load(Ordering::Relaxed);
    let repeats = witness.repeats.load(Ordering::Relaxed);
    println!(
        "\n{} records handled in {seconds:.1} s, {repeats} of them twice.",
        summary.finished()
    );
    println!("Never more than {most} in flight. {breaks} out of order within their key.");
    println!("Not committed: {} of them.", log.lag("billing", "orders")?);
    Ok(())
}

/// Writes a numbered record to one key after another, faster than they are handled.
async fn produce(log: MemoryLog) -> Result<(), tidegate_runtime::memory::MemoryError> {
    const TICKS: u64 = 100;
    let mut ticks = interval(Duration::from_millis(1_000 / TICKS));
    let mut written = 0;
    while written < RECORDS {
        ticks.tick().await;
        for _ in 0..(PER_SECOND / TICKS).min(RECORDS - written) {
            let key = format!("customer-{}", written % KEYS);
            log.produce("orders", NewRecord::value(written.to_string()).key(key))?;
            written += 1;
        }
    }
    Ok(())
}

/// Prints five times a second where the records are.
async fn show(log: MemoryLog, monitor: Monitor, begun: Instant) {
    const WIDTH: u64 = 30;
    let mut ticks = interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        let now = monitor.snapshot().engine;
        let waiting = backlog(&log, now.counters.admitted);
        let bar = "█".repeat((waiting * WIDTH).div_ceil(RECORDS) as usize);
        println!(
            "{:4.1} s  {bar:·<30} {waiting:>6} {:>8} {:>11} {:>8}",
            begun.elapsed().as_secs_f64(),
            now.queued,
            now.in_flight,
            now.counters.done,
        );
    }
}

/// Records in the log that were not read yet.
fn backlog(log: &MemoryLog, admitted: u64) -> u64 {
    let ends = (0..6).filter_map(|partition| log.end_offset("orders", partition).ok());
    let written: u64 = ends.map(|end| end.0.unsigned_abs()).sum();
    written.saturating_sub(admitted)
}

/// Sees what the handlers see, to check what is claimed.
#[derive(Default)]
struct Witness {
    in_flight: AtomicU64,
    most: AtomicU64,
    order_breaks: AtomicU64,
    repeats: AtomicU64,
    last_of_key: Mutex<HashMap<Vec<u8>, i64>>,
}

impl Witness {
    fn begins(&self, record: &Record) {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        let key = record.key().unwrap_or_default().to_vec();
        let mut last = self.last_of_key.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.insert(key, record.offset());
        self.order_breaks.fetch_add(u64::from(before > Some(record.offset())), Ordering::Relaxed);
        self.repeats.fetch_add(u64::from(before == Some(record.offset())), Ordering::Relaxed);
    }

    fn ends(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
