//! The binary as a user runs it, on real brokers.
//!
//! All in one test binary, so that its tests share a broker: `help`, `usage`, `config` and `lab` (no broker),
//! `stdout`, `exec`, `http`, `ends` (how a run ends), `trouble`, `secure`,
//! `produce`, `ingest`, `redrive`, `lag`, `check`, `bench` and `admin` (the port for metrics and probes).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod bench;
mod check;
mod config;
mod ends;
mod exec;
mod help;
mod http;
mod ingest;
mod lab;
mod lag;
mod process;
mod produce;
mod redrive;
mod secure;
mod stdout;
mod trouble;
mod usage;

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_testkit::kafka::{Broker, Fill, NewTopic, offsets};

/// A topic with so many records, all with keys.
fn filled(topic: &str, partitions: i32, records: u64) {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new(topic).partitions(partitions));
    let written = broker.fill(&Fill::new(topic).records(records).keys(50));
    assert_eq!(written.len() as u64, records);
}

/// What `group` has committed in `topic`, summed over its partitions.
fn committed_sum(group: &str, topic: &str) -> i64 {
    offsets::committed_sum(&Broker::shared().properties(), group, topic)
}

/// How often each record is among these lines, by partition and offset.
fn seen(lines: &[Value]) -> BTreeMap<(i64, i64), u32> {
    let mut seen = BTreeMap::new();
    for line in lines {
        let at = (line["partition"].as_i64().unwrap(), line["offset"].as_i64().unwrap());
        *seen.entry(at).or_default() += 1;
    }
    seen
}
