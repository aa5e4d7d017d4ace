//! `tidegate bench`.

use serde_json::Value;
use tidegate_testkit::kafka::{Broker, Isolation, read_topic};

use crate::committed_sum;
use crate::process::{Call, Ended};

fn bench(args: &[&str]) -> Ended {
    let broker = Broker::shared().bootstrap();
    Call::new(&[&["bench", args[0], "-b", broker], &args[1..], &["--output", "json"]].concat())
        .succeed()
}

fn load(topic: &str, more: &[&str]) -> Value {
    let args = ["load", "-t", topic, "--partitions", "4", "--records", "5000"];
    bench(&[&args[..], more].concat()).lines().remove(0)
}

const FIELDS: [&str; 12] = [
    "peer",
    "topic",
    "ordering",
    "concurrency",
    "work_us",
    "records",
    "wall_s",
    "records_per_s",
    "cpu_s",
    "max_rss_mb",
    "peak_in_flight",
    "committed",
];

/// The only line, with its fields in order.
fn line(ended: &Ended) -> Value {
    let lines = ended.lines();
    assert_eq!(lines.len(), 1, "{}", ended.stdout);
    let fields: Vec<_> = lines[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, FIELDS);
    lines[0].clone()
}

#[test]
fn the_same_numbers_load_the_same_records() {
    let contents = |topic| {
        let records = read_topic(&Broker::shared().properties(), topic, Isolation::Committed);
        records.into_iter().map(|r| (r.partition, r.offset, r.key, r.value)).collect::<Vec<_>>()
    };
    let more = ["--keys", "100", "--zipf", "1", "--seed", "7", "--value-bytes", "33"];
    load("load-one", &more);
    let loaded = load("load-two", &more);
    assert_eq!((&loaded["records"], &loaded["partitions"]), (&5_000.into(), &4.into()));
    let (one, two) = (contents("load-one"), contents("load-two"));
    assert_eq!(one.len(), 5_000);
    assert!(one == two, "the same numbers give the same records");
    assert!(one.iter().all(|(.., value)| value.as_ref().is_some_and(|value| value.len() == 33)));
    let hottest = one.iter().filter(|(_, _, key, _)| key.as_deref() == Some(b"key-0")).count();
    // The harmonic number of 100 is 5.19.
    assert!((850..1_080).contains(&hottest), "{hottest}");

    load("load-one", &["--keys", "0", "--replace"]);
    let replaced = contents("load-one");
    assert_eq!(replaced.len(), 5_000);
    assert!(replaced.iter().all(|(_, _, key, _)| key.is_none()));
    let broker = Broker::shared().bootstrap();
    let args = ["bench", "load", "-b", broker, "-t", "load-one", "--partitions", "5"];
    Call::new(&args).fail(1, "--replace");
}

#[test]
fn consume_prints_one_line() {
    load("bench-consume", &[]);
    let args = ["consume", "-t", "bench-consume", "--ordering", "key", "--concurrency", "10"];
    let idle = line(&bench(&args));
    assert_eq!((&idle["peer"], &idle["ordering"]), (&"tidegate".into(), &"key".into()));
    assert_eq!((&idle["records"], &idle["committed"]), (&5_000.into(), &5_000.into()));
    assert_eq!((&idle["concurrency"], &idle["work_us"]), (&10.into(), &0.into()));
    assert!(idle["records_per_s"].as_f64().unwrap() > 0.0);
    assert!(idle["max_rss_mb"].as_f64().unwrap() > 1.0);

    let more = ["-G", "bench-group", "--work", "1ms", "--max-records", "1000"];
    let sleeping = line(&bench(&[&args[..], &more].concat()));
    assert_eq!((&sleeping["records"], &sleeping["work_us"]), (&1_000.into(), &1_000.into()));
    let peak = sleeping["peak_in_flight"].as_u64().unwrap();
    assert!((2..=10).contains(&peak), "{peak}");
    assert!(sleeping["wall_s"].as_f64().unwrap() > 0.1);
    let committed = committed_sum("bench-group", "bench-consume");
    assert_eq!(sleeping["committed"], committed);
}

#[test]
fn raw_prints_the_same_line() {
    load("bench-raw", &[]);
    let all = line(&bench(&["raw", "-t", "bench-raw"]));
    assert_eq!(all["peer"], "librdkafka-batch");
    assert_eq!((&all["records"], &all["committed"]), (&5_000.into(), &5_000.into()));
    let some = line(&bench(&["raw", "-t", "bench-raw", "--max-records", "100"]));
    assert!((100..=5_000).contains(&some["records"].as_u64().unwrap()));
}

#[test]
fn produce_writes_the_same_records_with_and_without_a_gate() {
    let contents = |topic| {
        let records = read_topic(&Broker::shared().properties(), topic, Isolation::Committed);
        records.into_iter().map(|r| (r.partition, r.offset, r.key, r.value)).collect::<Vec<_>>()
    };
    let produce = |topic, more: &[&str]| {
        let args = ["produce", "-t", topic, "--partitions", "4", "--records", "5000"];
        line(&bench(&[&args[..], more].concat()))
    };
    let (gated, bare) = (produce("bench-gated", &[]), produce("bench-bare", &["--bare"]));
    assert_eq!(
        (&gated["peer"], &bare["peer"]),
        (&"tidegate".into(), &"librdkafka-producer".into())
    );
    for line in [&gated, &bare] {
        assert_eq!((&line["records"], &line["committed"]), (&5_000.into(), &5_000.into()));
        assert!(line["records_per_s"].as_f64().unwrap() > 0.0, "{line}");
    }
    assert_eq!(contents("bench-gated").len(), 5_000);
    assert!(contents("bench-gated") == contents("bench-bare"), "and each where Java puts it");
    assert_eq!(produce("bench-gated", &[])["committed"], 10_000);
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let broker = Broker::shared().bootstrap();
    for peer in ["consume", "raw"] {
        Call::new(&["bench", peer, "-b", broker, "-t", "no-bench"]).fail(1, "no-bench");
    }
}
