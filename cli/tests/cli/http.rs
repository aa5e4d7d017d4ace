//! `--to http://...`: `requests` (what arrives), `contract` (what answers mean), `pressure`
//! (overloaded, down, at fault), `hostile`, `tls`, `languages` (real servers); `target` is the server of all others.

mod contract;
mod hostile;
mod languages;
mod pressure;
mod requests;
mod target;
mod tls;

use std::collections::BTreeMap;

use tidegate_testkit::kafka::{
    Broker, Isolation, NewRecord, NewTopic, ReadBack, produce, read_topic,
};

use self::target::Request;
use crate::process::{Call, Ended};

/// A topic with these records.
fn topic(name: &str, records: impl IntoIterator<Item = NewRecord>) {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new(name));
    let _ = produce::send(&broker.properties(), name, records);
}

/// So many records of so many keys.
fn numbered(records: usize, keys: usize) -> impl Iterator<Item = NewRecord> {
    (0..records)
        .map(move |n| NewRecord::new().key(format!("key-{}", n % keys)).value(format!("value-{n}")))
}

/// What is in a dead-letter topic.
fn letters(topic: &str) -> Vec<ReadBack> {
    read_topic(&Broker::shared().properties(), topic, Isolation::Committed)
}

/// A run to the end of the topic.
fn call(topic: &str, to: &str, more: &[&str]) -> Call {
    let more = [&["--until-end", "--backoff", "20ms"], more].concat();
    Call::run(topic, topic, to, &more)
}

fn until_end(topic: &str, to: &str, more: &[&str]) -> Ended {
    call(topic, to, more).succeed()
}

/// Of each key, the offsets of the requests in the order in which they came, each one once.
fn orders(seen: &[Request]) -> BTreeMap<String, Vec<i64>> {
    let mut orders: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for request in seen {
        let order = orders.entry(request.header("x-tidegate-key").to_owned()).or_default();
        let offset = request.place().1;
        if order.last() != Some(&offset) {
            order.push(offset);
        }
    }
    orders
}

/// Every record came, and none of a key before the one before it was done.
fn assert_ordered(seen: &[Request], records: usize) {
    let orders = orders(seen);
    for (key, order) in &orders {
        assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "{key}: {order:?}");
    }
    assert_eq!(orders.values().map(Vec::len).sum::<usize>(), records);
}
