//! Dead letters on a real broker.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Recorder, Running, builder};
use tidegate::{Outcome, Record};
use tidegate_testkit::kafka::{
    Broker, Isolation, NewRecord, NewTopic, ReadBack, offsets, produce, read_topic,
};

/// A topic with these records, and the name of its dead-letter topic, which does not exist yet.
fn topic(name: &str, records: Vec<NewRecord>) -> (&'static Broker, String) {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new(name));
    let _ = produce::send(&broker.properties(), name, records);
    (broker, format!("{name}-dead"))
}

fn letters(broker: &Broker, dead: &str) -> Vec<ReadBack> {
    read_topic(&broker.properties(), dead, Isolation::Committed)
}

fn committed(broker: &Broker, name: &str) -> i64 {
    offsets::committed_sum(&broker.properties(), name, name)
}

/// Refuses records whose value begins with "bad".
async fn choosy(record: Record) -> Outcome {
    match record.value() {
        Some(value) if value.starts_with(b"bad") => Outcome::dead_letter("it begins with bad"),
        _ => Outcome::Done,
    }
}

#[test]
fn a_letter_has_the_record_and_says_where_it_comes_from() {
    let bad = NewRecord::new()
        .key(vec![0, 255])
        .value("bad one")
        .header("h", vec![1, 255])
        .null_header("h")
        .timestamp(1_000);
    let name = "letters";
    let (broker, dead) = topic(name, vec![NewRecord::new().value("good"), bad]);
    broker.admin().create_topic(NewTopic::new(&dead));
    let builder = builder(broker, name).dead_letter_topic(&dead).until_end(true);
    let summary = Running::start(builder, &Recorder::new().member("a"), choosy).join().unwrap();
    assert_eq!((summary.counters.dead_lettered, summary.finished()), (1, 2));
    assert_eq!(committed(broker, name), 2);

    let letters = letters(broker, &dead);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(letter.key.as_deref(), Some(&[0, 255][..]));
    assert_eq!(letter.value.as_deref(), Some(&b"bad one"[..]));
    assert_eq!(letter.headers[0], ("h".to_owned(), Some(vec![1, 255])));
    assert_eq!(letter.headers[1], ("h".to_owned(), None));
    assert!(letter.timestamp.unwrap() > 1_700_000_000_000, "retention would delete it at once");
    let header = |name: &str| {
        let found = letter.headers.iter().find(|(n, _)| n == name);
        found.and_then(|(_, value)| value.clone()).unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(header("__connect.errors.topic"), name.as_bytes());
    assert_eq!(header("__connect.errors.partition"), b"0");
    assert_eq!(header("__connect.errors.offset"), b"1");
    assert_eq!(header("__connect.errors.exception.message"), b"it begins with bad");
    assert_eq!(header("kafka_dlt-original-topic"), name.as_bytes());
    assert_eq!(header("kafka_dlt-original-partition"), 0i32.to_be_bytes());
    assert_eq!(header("kafka_dlt-original-offset"), 1i64.to_be_bytes());
    assert_eq!(header("kafka_dlt-original-timestamp"), 1_000i64.to_be_bytes());
    assert_eq!(header("kafka_dlt-original-consumer-group"), name.as_bytes());
}

#[test]
fn a_letter_that_is_too_large_drops_the_added_headers_and_then_stops_the_partition() {
    let value = |bytes: usize| {
        let mut value = b"bad".to_vec();
        // Not to be compressed away.
        value.resize(bytes, 0);
        NewRecord::new().value(value)
    };
    let name = "letters-large";
    let (broker, dead) = topic(name, vec![value(1_000), value(3_000), NewRecord::new().value("x")]);
    broker.admin().create_topic(NewTopic::new(&dead).config("max.message.bytes", 1_200));
    let builder = builder(broker, name).dead_letter_topic(&dead).until_end(true);
    let summary = Running::start(builder, &Recorder::new().member("a"), choosy).join().unwrap();
    let letters = letters(broker, &dead);
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].value.as_ref().unwrap().len(), letters[0].headers.len()), (1_000, 0));
    let [stopped] = &summary.stopped[..] else { panic!("{summary}") };
    assert_eq!(stopped.offset.unwrap().0, 1);
    assert!(stopped.reason.contains(&dead) && stopped.reason.contains("max.message.bytes"));
    assert_eq!(committed(broker, name), 1, "nothing behind the stopped record");
}

#[test]
fn a_dead_letter_topic_that_is_not_there_is_named_and_holds_the_record() {
    let keyed = |value: &str| NewRecord::new().key("k").value(value);
    let name = "letters-missing";
    let (broker, dead) = topic(name, vec![keyed("bad"), keyed("good")]);
    let builder = builder(broker, name).dead_letter_topic(&dead).until_end(true);
    let running = Running::start(builder, &Recorder::new().member("a"), choosy);
    running.wait_told(&format!("{dead} does not exist"));
    assert_eq!((running.done(), committed(broker, name)), (0, 0), "its key went on");
    broker.admin().create_topic(NewTopic::new(&dead));
    let summary = running.join().unwrap();
    assert_eq!((summary.counters.dead_lettered, summary.counters.done), (1, 1));
    assert_eq!((letters(broker, &dead).len(), committed(broker, name)), (1, 2));
}

#[test]
fn a_topic_cannot_be_its_own_dead_letter_topic() {
    let builder = builder(Broker::shared(), "loop").dead_letter_topic("loop");
    let refused = builder.build().unwrap_err().to_string();
    assert!(refused.contains("loop") && refused.contains("dead-letter"), "{refused}");
}

#[test]
fn a_dead_letter_topic_that_a_pattern_subscribes_is_no_loop() {
    let (broker, dead) = topic("pattern-letters", vec![NewRecord::new().value("bad")]);
    broker.admin().create_topic(NewTopic::new(&dead));
    let builder = tidegate::Consumer::builder()
        .brokers(broker.bootstrap())
        .group("pattern-letters")
        .topic("^pattern-letters.*")
        .dead_letter_topic(&dead);
    let running = Running::start(builder, &Recorder::new().member("a"), choosy);
    running.wait_told("is its own dead-letter topic");
    let summary = running.stop();
    assert_eq!((letters(broker, &dead).len(), summary.counters.dead_lettered), (1, 1));
    assert_eq!(&*summary.stopped[0].partition.topic, dead);
}

#[test]
fn a_letter_that_its_topic_never_takes_stops_the_partition() {
    let name = "letters-keyless";
    let (broker, dead) = topic(name, vec![NewRecord::new().value("bad")]);
    broker.admin().create_topic(NewTopic::new(&dead).compacted());
    let builder = builder(broker, name).dead_letter_topic(&dead).until_end(true);
    let summary = Running::start(builder, &Recorder::new().member("a"), choosy).join().unwrap();
    let [stopped] = &summary.stopped[..] else { panic!("{summary}") };
    assert!(stopped.reason.contains("compacted"), "{}", stopped.reason);
    assert_eq!(committed(broker, name), 0);
}
