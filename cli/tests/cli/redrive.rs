//! `tidegate redrive`: `moves` (what arrives), `passes` (filters, and what a second call does),
//! `ends` (signals, kills, targets that fail).

mod ends;
mod moves;
mod passes;

use serde_json::Value;
use tidegate_testkit::kafka::{
    Broker, Isolation, NewRecord, NewTopic, ReadBack, produce, read_topic,
};

use crate::process::{Call, Ended};

fn topic(name: &str, partitions: i32) {
    Broker::shared().admin().create_topic(NewTopic::new(name).partitions(partitions));
}

fn send(topic: &str, records: impl IntoIterator<Item = NewRecord>) {
    let _ = produce::send(&Broker::shared().properties(), topic, records);
}

fn read(topic: &str) -> Vec<ReadBack> {
    read_topic(&Broker::shared().properties(), topic, Isolation::Committed)
}

fn values(topic: &str) -> Vec<String> {
    let text = |record: ReadBack| String::from_utf8(record.value.unwrap_or_default()).unwrap();
    let mut values: Vec<_> = read(topic).into_iter().map(text).collect();
    values.sort_unstable();
    values
}

fn redrive(topic: &str, more: &[&str]) -> Call {
    let args = ["redrive", "-b", Broker::shared().bootstrap(), "-t", topic];
    Call::new(&[&args[..], more].concat())
}

/// A letter as dead-lettering writes it, of this topic.
fn letter(origin: &str, value: &str, reason: &str) -> NewRecord {
    NewRecord::new()
        .key(value)
        .value(value)
        .header("own", "1")
        .header("__connect.errors.topic", origin)
        .header("kafka_dlt-original-topic", origin)
        .header("kafka_dlt-exception-message", reason)
}

/// The last line of the table, which says what the call does.
fn plan(ended: &Ended) -> Value {
    ended.lines().pop().unwrap()
}

/// How many the call moved.
fn moved(ended: &Ended) -> u64 {
    ended.events("summary").first().map_or(0, |line| line["moved"].as_u64().unwrap())
}
