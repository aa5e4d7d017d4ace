//! `tidegate lab --live` beside the simulation. In a test binary of its own, because it measures: with
//! a broker and a machine that other tests do not use meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "cli/process.rs"]
#[allow(dead_code, reason = "the other test binary needs more of it")]
mod process;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tidegate_testkit::kafka::Broker;

use process::Call;

/// One measurement at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// 16 s of a run and 12 s until its backlog is handled, three times as long on a busy machine.
const LONGEST: Duration = Duration::from_secs(90);

fn json(more: &[&str]) -> Value {
    let args = [&["lab", "--output", "json"], more].concat();
    let ended = Call::new(&args).spawn().wait(LONGEST);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// The incident at a tenth, for a shared machine.
const SMALL: [&str; 14] = [
    "--set",
    "producers.rate=1000/s",
    "--set",
    "producers.channel=1000",
    "--set",
    "topic.quota=1000",
    "--set",
    "downstream.servers=50",
    "--set",
    "consumers.max_queued=400",
    "--set",
    "topic.partitions=4",
    "--duration",
    "16s",
];

/// The simulated and the real run agree, within 10 %: once in three times, since other tests may use
/// the machine meanwhile.
fn agree(strategy: &str, live: &[&str]) {
    let mut apart = Vec::new();
    for _ in 0..3 {
        let found = differences(strategy, live);
        if found.is_empty() {
            return;
        }
        apart.push(found);
    }
    panic!("{strategy}: {apart:?}");
}

/// What is more than 10 % apart.
fn differences(strategy: &str, live: &[&str]) -> Vec<String> {
    let scenario = [&SMALL[..], &["--strategy", strategy]].concat();
    let simulated = json(&scenario);
    let real = json(&[&scenario[..], &["--live"], live].concat());
    let (simulated, real) = (&simulated["strategies"][0], &real["strategies"][0]);
    assert_eq!((&real["lost"], &real["repeated"]), (&0.into(), &0.into()));
    assert!(real["drain_s"].is_number(), "not everything was handled");
    let mut apart = Vec::new();
    for path in ["/throughput_per_s", "/peak/total", "/peak/bytes"] {
        let value = |results: &Value| results.pointer(path).and_then(Value::as_f64).unwrap();
        let (seen, said) = (value(real), value(simulated));
        if (seen / said - 1.0).abs() >= 0.1 {
            apart.push(format!("{path} is {seen}, and {said} simulated"));
        }
    }
    apart
}

#[test]
fn simulated_and_real_agree_in_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    agree("bounded:20", &[]);
    agree("closed-loop:60", &[]);
}

#[test]
fn simulated_and_real_agree_on_a_cluster_where_nothing_is_left() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let brokers = Broker::shared().bootstrap();
    agree("bounded:20", &["-b", brokers]);
    agree("closed-loop:60", &["-b", brokers]);
    let topics = topics(brokers);
    assert!(!topics.iter().any(|topic| topic.starts_with("tidegate-lab")), "{topics:?}");
}

/// The names of all topics.
fn topics(brokers: &str) -> Vec<String> {
    use rdkafka::consumer::Consumer as _;
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    let client: rdkafka::consumer::BaseConsumer = config.create().unwrap();
    let metadata = client.fetch_metadata(None, std::time::Duration::from_secs(15)).unwrap();
    metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
}
