//! From produce to the start of the handler, beside a bare `StreamConsumer` in the same process.
//!
//! ```sh
//! cargo run --release -p tidegate --example latency -- localhost:9092
//! ```
//!
//! One producer sends 1,000 records a second to a topic of its own; the two consumers take turns
//! (A B A B ...) with the same client settings. Printed are the medians over the rounds.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{ClientConfig, Message as _};
use tidegate::{Consumer, Record, StartFrom};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_secs(2);
const PARTITIONS: i32 = 12;

fn main() -> Result<(), Box<dyn Error>> {
    let brokers = std::env::args().nth(1).ok_or("usage: latency HOST:PORT")?;
    let topic = format!("tidegate-latency-{}", std::process::id());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &brokers).create()?;
    let new = NewTopic::new(&topic, PARTITIONS, TopicReplication::Fixed(1));
    for created in runtime.block_on(admin.create_topics([&new], &AdminOptions::new()))? {
        created.map_err(|(topic, error)| format!("creating {topic}: {error}"))?;
    }

    let origin = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let producing = {
        let (brokers, topic, stop) = (brokers.clone(), topic.clone(), Arc::clone(&stop));
        std::thread::spawn(move || produce(&brokers, &topic, origin, &stop))
    };
    let mut results = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let group = format!("{topic}-{round}");
        let bare = runtime.block_on(stream_consumer(&brokers, &group, &topic, origin))?;
        results[0].push(percentiles(bare));
        let ours = runtime.block_on(tidegate_consumer(&brokers, &group, &topic, origin))?;
        results[1].push(percentiles(ours));
    }
    stop.store(true, Ordering::Relaxed);
    let _ = producing.join();
    let _ = runtime.block_on(admin.delete_topics(&[&topic], &AdminOptions::new()));

    for (name, rounds) in ["StreamConsumer", "tidegate"].iter().zip(&results) {
        let [p50, p99] = [0, 1].map(|which| median(rounds.iter().map(|r| r[which]).collect()));
        println!("{name:<15} p50 {:.2} ms, p99 {:.2} ms", p50 as f64 / 1e6, p99 as f64 / 1e6);
    }
    Ok(())
}

fn produce(brokers: &str, topic: &str, origin: Instant, stop: &AtomicBool) {
    let producer: Result<ThreadedProducer<DefaultProducerContext>, _> =
        ClientConfig::new().set("bootstrap.servers", brokers).set("linger.ms", "0").create();
    let Ok(producer) = producer else { return };
    let mut next = Instant::now();
    let mut count = 0u64;
    while !stop.load(Ordering::Relaxed) {
        next += Duration::from_millis(1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        let sent = (origin.elapsed().as_nanos() as u64).to_be_bytes();
        let key = count.to_be_bytes();
        let _ = producer.send(BaseRecord::to(topic).key(&key).payload(&sent));
        count += 1;
    }
    let _ = producer.flush(Duration::from_secs(5));
}

fn latency(value: Option<&[u8]>, origin: Instant) -> Option<u64> {
    let sent = u64::from_be_bytes(value?.try_into().ok()?);
    Some((origin.elapsed().as_nanos() as u64).saturating_sub(sent))
}

async fn stream_consumer(
    brokers: &str,
    group: &str,
    topic: &str,
    origin: Instant,
) -> Result<Vec<u64>, Box<dyn Error>> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{group}-stream"))
        .set("auto.offset.reset", "latest")
        .set("fetch.wait.max.ms", "10")
        .create()?;
    consumer.subscribe(&[topic])?;
    let begun = Instant::now();
    let mut seen = Vec::new();
    while begun.elapsed() < WARM_UP + ROUND {
        let message = consumer.recv().await?;
        let found = latency(message.payload(), origin);
        if begun.elapsed() > WARM_UP {
            seen.extend(found);
        }
    }
    Ok(seen)
}

async fn tidegate_consumer(
    brokers: &str,
    group: &str,
    topic: &str,
    origin: Instant,
) -> Result<Vec<u64>, Box<dyn Error>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let begun = Instant::now();
    let handler = {
        let seen = Arc::clone(&seen);
        move |record: Record| {
            let found = latency(record.value(), origin);
            if begun.elapsed() > WARM_UP
                && let Ok(mut seen) = seen.lock()
            {
                seen.extend(found);
            }
            std::future::ready(())
        }
    };
    Consumer::builder()
        .brokers(brokers)
        .group(format!("{group}-tidegate"))
        .topic(topic)
        .from(StartFrom::Latest)
        .build()?
        .run(handler)
        .with_graceful_shutdown(tokio::time::sleep(WARM_UP + ROUND))
        .await?;
    let seen = seen.lock().map_err(|_| "a handler panicked")?.clone();
    Ok(seen)
}

fn percentiles(mut seen: Vec<u64>) -> [u64; 2] {
    seen.sort_unstable();
    let at = |percent: usize| seen.get(seen.len() * percent / 100).copied().unwrap_or(0);
    [at(50), at(99)]
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
