//! `tidegate produce`.

use std::time::Duration;

use nix::sys::signal::Signal;
use tidegate_testkit::kafka::{Broker, Isolation, NewTopic, ReadBack, read_topic};

use crate::process::{Call, eventually};

fn topic(name: &str, partitions: i32) -> &'static Broker {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new(name).partitions(partitions));
    broker
}

fn produce(topic: &str, more: &[&str]) -> Call {
    let args = ["produce", "-b", Broker::shared().bootstrap(), "-t", topic];
    Call::new(&[&args[..], more].concat())
}

fn read(topic: &str) -> Vec<ReadBack> {
    read_topic(&Broker::shared().properties(), topic, Isolation::Committed)
}

fn numbers(count: u64) -> Vec<u8> {
    (1..=count).flat_map(|n| format!("key{}:{n}\n", n % 7).into_bytes()).collect()
}

#[test]
fn lines_become_records_in_order_and_are_counted() {
    topic("produce-lines", 3);
    let ended =
        produce("produce-lines", &["-K", ":", "-H", "a=b"]).stdin(&numbers(5_000)).succeed();
    let summary = &ended.events("summary")[0];
    assert_eq!((&summary["read"], &summary["delivered"]), (&5_000.into(), &5_000.into()));
    assert_eq!(ended.events("gate-open").len(), 1, "it says that the gate is open");
    let records = read("produce-lines");
    assert_eq!(records.len(), 5_000);
    let mut last = std::collections::HashMap::new();
    for record in records {
        assert_eq!(record.headers, [("a".to_owned(), Some(b"b".to_vec()))]);
        let number: u64 = String::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
        let before = last.insert(record.key, number);
        assert!(before.is_none_or(|before| before < number));
    }
}

#[test]
fn what_run_writes_can_be_produced_again() {
    topic("produce-again", 2);
    let lines = concat!(
        r#"{"key":"k","value":"v","headers":[["h",null]],"partition":1}"#,
        "\n",
        r#"{"key":"/w==","key_encoding":"base64","value":null,"partition":0}"#,
        "\n",
    );
    produce("produce-again", &["--json"]).stdin(lines.as_bytes()).succeed();
    let run = Call::run("produce-again", "produce-again", "stdout", &["--until-end"]).succeed();
    topic("produce-copy", 2);
    let copy = produce("produce-copy", &["--json"]).stdin(run.stdout.as_bytes()).succeed();
    assert_eq!(copy.events("summary")[0]["delivered"], 2);
    let form = |topic: &str| {
        let mut records = read(topic);
        records.sort_by_key(|record| record.partition);
        let form = |r: ReadBack| (r.partition, r.key, r.value, r.headers, r.timestamp);
        records.into_iter().map(form).collect::<Vec<_>>()
    };
    assert_eq!(form("produce-again"), form("produce-copy"));
}

#[test]
fn a_line_that_is_no_record_ends_it_and_is_named() {
    topic("produce-bad", 1);
    let call = produce("produce-bad", &["--json"]).stdin(b"{\"value\":\"1\"}\n{oops\n{}\n");
    let ended = call.fail(1, "line 2 is not a record");
    assert_eq!(ended.events("summary")[0]["resume_from_line"], 2);
    assert_eq!(read("produce-bad").len(), 1);
}

#[test]
fn a_shut_gate_stops_the_reading_and_a_signal_says_where_to_resume() {
    topic("produce-shut", 1);
    let flags = ["-K", ":", "--follow", "nobody-there", "--floor-rate", "0"];
    let mut running = produce("produce-shut", &flags).stdin(&numbers(3_000)).spawn();
    eventually("the initial window is sent", || read("produce-shut").len() == 1_000);
    std::thread::sleep(Duration::from_secs(1));
    assert!(running.runs());
    assert_eq!(read("produce-shut").len(), 1_000, "and no more");
    running.signal(Signal::SIGTERM);
    let ended = running.wait(Duration::from_secs(20));
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("resume from line 1001"), "{ended:?}");
    let summary = &ended.events("summary")[0];
    assert_eq!(
        (&summary["delivered"], &summary["resume_from_line"]),
        (&1_000.into(), &1_001.into())
    );
}

#[test]
fn with_a_consumer_that_keeps_up_everything_goes_through() {
    topic("produce-follow", 4);
    let mut consumer =
        Call::run("produce-follow", "produce-follow", "null", &["--max-records", "20000"]).spawn();
    let flags = ["-K", ":", "--follow", "produce-follow"];
    let ended = produce("produce-follow", &flags).stdin(&numbers(20_000)).succeed();
    assert_eq!(ended.events("summary")[0]["delivered"], 20_000);
    eventually("the consumer is done", || !consumer.runs());
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let mut running = produce("produce-missing", &[]).stdin(b"x\n").spawn();
    running.until("it is named", |running| {
        let said = running.stderr();
        said.contains("probe-failed") && said.contains("produce-missing")
    });
    running.signal(Signal::SIGTERM);
    let ended = running.wait(Duration::from_secs(20));
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("resume from line 1"), "{ended:?}");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for (flags, named) in [
        (["--rate", "0"], "--rate"),
        (["--target", "1ms"], "--target"),
        (["--floor-rate", "-1"], "--floor-rate"),
        (["--fixed-window", "0"], "--fixed-window"),
        (["--header", "novalue"], "--header"),
        (["--partition", "-1"], "--partition"),
        (["--follow", ""], "--follow"),
    ] {
        Call::new(&[&["produce", "-b", "127.0.0.1:1", "-t", "t"][..], &flags].concat())
            .fail(2, named);
    }
    let args = ["produce", "-b", "127.0.0.1:1", "-t", "t", "-X", "acks=0"];
    Call::new(&args).fail(78, "acks");
}
