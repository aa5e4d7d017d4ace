//! What the runtime costs, without Kafka: an in-memory log in front, a handler of a given length
//! behind, keys on a Zipf distribution.
//!
//! ```sh
//! cargo run --release -p tidegate-runtime --example throughput
//! cargo run --release -p tidegate-runtime --example throughput -- --partitions 1 --keys 1
//! cargo run --release -p tidegate-runtime --example throughput -- \
//!     --records 100000 --work-us 1000 --hot 10 --concurrency 100
//! ```
//! `--hot N` gives every Nth record one key instead of a Zipf distribution. With work, the last
//! line compares with the hottest key's own chain: its records one after another, each as long as
//! one such sleep takes on this machine, which no order-keeping consumer can beat.

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

use tidegate_engine::{Config, Ordering};
use tidegate_runtime::memory::MemoryLog;
use tidegate_runtime::{Consumer, Record, Settings};
use tokio::time::sleep;

struct Arguments {
    records: usize,
    partitions: i32,
    keys: usize,
    hot: usize,
    ordering: Ordering,
    work: Duration,
    concurrency: u32,
    workers: Option<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let keys = arguments.draw_keys();
    let mut counts: HashMap<u64, usize> = HashMap::new();
    keys.iter().for_each(|key| *counts.entry(*key).or_default() += 1);
    let hottest = counts.values().copied().max().unwrap_or(0);

    let log = MemoryLog::new();
    log.create_topic("bench", arguments.partitions)?;
    log.produce_many("bench", keys.iter().map(|key| (Some(key.to_be_bytes()), [7; 92])))?;

    let engine = Config {
        ordering: arguments.ordering,
        max_in_flight: arguments.concurrency,
        ..Config::default()
    };
    let workers = arguments.workers;
    let settings = Settings { engine, until_end: true, workers, ..Settings::default() };
    let consumer = Consumer::new(log.source("bench", ["bench"]), settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let work = arguments.work;
    let before = cpu();
    let begun = Instant::now();
    let summary = runtime.block_on(async {
        if work.is_zero() {
            consumer.run(|record: Record| async move { drop(record) }).await
        } else {
            consumer.run(move |_: Record| sleep(work)).await
        }
    })?;
    let wall = begun.elapsed();

    let records = summary.finished();
    println!("{records} records in {wall:.2?}: {:.0}/s", records as f64 / wall.as_secs_f64());
    if let (Some(before), Some(after)) = (before, cpu()) {
        let each = (after - before).as_nanos() as f64 / records.max(1) as f64;
        println!("{each:.0} ns of CPU for each, the log included");
    }
    if !work.is_zero() && arguments.ordering == Ordering::Key {
        let one = runtime.block_on(runtime.spawn(length_of_a_sleep(work)))?;
        let chain = one * u32::try_from(hottest)?;
        let over = (wall.as_secs_f64() / chain.as_secs_f64() - 1.0) * 100.0;
        println!("the hottest key's chain: {hottest} x {one:.2?} = {chain:.2?}; {over:+.1} %");
    }
    Ok(())
}

/// How long a sleep takes here, one after another.
async fn length_of_a_sleep(work: Duration) -> Duration {
    const TIMES: u32 = 500;
    let begun = Instant::now();
    for _ in 0..TIMES {
        sleep(work).await;
    }
    begun.elapsed() / TIMES
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut parsed = Self {
            records: 2_000_000,
            partitions: 12,
            keys: 10_000,
            hot: 0,
            ordering: Ordering::Key,
            work: Duration::ZERO,
            concurrency: 100,
            workers: None,
        };
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--records" => parsed.records = value.parse()?,
                "--partitions" => parsed.partitions = value.parse()?,
                "--keys" => parsed.keys = value.parse()?,
                "--hot" => parsed.hot = value.parse()?,
                "--work-us" => parsed.work = Duration::from_micros(value.parse()?),
                "--concurrency" => parsed.concurrency = value.parse()?,
                "--workers" => parsed.workers = Some(value.parse()?),
                "--ordering" => {
                    parsed.ordering = match value.as_str() {
                        "key" => Ordering::Key,
                        "partition" => Ordering::Partition,
                        "none" => Ordering::None,
                        _ => return Err(format!("no such ordering: {value}").into()),
                    }
                }
                _ => return Err(format!("no such argument: {name}").into()),
            }
        }
        Ok(parsed)
    }

    /// The key of each record.
    fn draw_keys(&self) -> Vec<u64> {
        let mut sum = 0.0;
        let mut add = |rank: usize| {
            sum += 1.0 / rank as f64;
            sum
        };
        let cumulated: Vec<f64> = (1..=self.keys.max(1)).map(&mut add).collect();
        let total = cumulated.last().copied().unwrap_or(1.0);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut key = |index: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if self.hot > 0 {
                let is_hot = index.is_multiple_of(self.hot);
                return if is_hot { 0 } else { 1 + (state >> 33) % self.keys.max(1) as u64 };
            }
            let drawn = (state >> 11) as f64 / (1_u64 << 53) as f64 * total;
            cumulated.partition_point(|below| *below < drawn) as u64
        };
        (0..self.records).map(&mut key).collect()
    }
}

/// CPU time of this process so far, where `/proc` says so; in steps of 10 ms.
fn cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}
