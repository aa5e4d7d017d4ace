//! The broker itself: life and death, data over a crash, logins and permissions.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use tidegate_testkit::kafka::{
    Broker, Committed, Fill, Isolation, NewRecord, NewTopic, Properties, User, Watermarks, offsets,
    produce::{End, send, send_in_transaction},
    read_topic,
};

#[test]
fn data_survives_kill_9_and_a_pause() {
    let mut broker = Broker::start();
    broker.admin().create_topic(NewTopic::new("crash").partitions(3));
    let before = broker.fill(&Fill::new("crash").records(300).keys(10));
    assert_eq!(before.len(), 300);

    broker.kill();
    broker.restart();
    let after = broker.fill(&Fill::new("crash").first(300).records(100).keys(10));
    broker.pause();
    thread::sleep(Duration::from_millis(200));
    broker.resume();

    let read = read_topic(&broker.properties(), "crash", Isolation::Committed);
    let mut written: Vec<_> =
        before.iter().chain(&after).map(|w| (w.partition, w.offset)).collect();
    written.sort_unstable();
    let read: Vec<_> = read.iter().map(|record| (record.partition, record.offset)).collect();
    assert_eq!(read, written, "every acknowledged record, once");

    broker.stop();
    broker.restart();
    assert_eq!(broker.admin().partitions("crash"), 3);
}

#[test]
fn a_broker_that_does_not_start_says_why() {
    let start = || Broker::builder().property("metric.reporters", "no.such.Reporter").start();
    let reason = std::panic::catch_unwind(start).expect_err("it cannot start");
    let reason = reason.downcast_ref::<String>().expect("a text");
    assert!(reason.contains("the end of server.log") && reason.contains("no.such.Reporter"));
}

#[test]
fn records_are_read_back_as_they_were_written() {
    let broker = Broker::shared();
    let properties = broker.properties();
    broker.admin().create_topic(NewTopic::new("shapes").partitions(2));
    let records = [
        NewRecord::to(1).key("k").value("v").header("h", "1").header("h", [0xff]).null_header("n"),
        NewRecord::to(1).value("").timestamp(1_000),
        NewRecord::to(1).key("").timestamp(2_000),
        NewRecord::to(0).key("big").value(vec![b'x'; 1_000_000]),
    ];
    let written = send(&properties, "shapes", records.clone());
    let places: Vec<_> = written.iter().map(|w| (w.partition, w.offset)).collect();
    assert_eq!(places, [(1, 0), (1, 1), (1, 2), (0, 0)]);

    let read = read_topic(&properties, "shapes", Isolation::Committed);
    assert_eq!(read[0].value.as_ref().map(Vec::len), Some(1_000_000));
    assert_eq!(read[1].headers.len(), 3);
    assert_eq!(read[1].headers[1], ("h".into(), Some(vec![0xff])));
    assert_eq!(read[1].headers[2], ("n".into(), None));
    assert_eq!((&read[2].key, &read[2].value), (&None, &Some(Vec::new())));
    assert_eq!((&read[3].key, &read[3].value), (&Some(Vec::new()), &None));
    assert_eq!(read[3].timestamp, Some(2_000));
}

#[test]
fn aborted_records_are_in_the_log_and_not_read() {
    let broker = Broker::shared();
    let properties = broker.properties();
    broker.admin().create_topic(NewTopic::new("transactions"));
    let three = || (0..3).map(|n| NewRecord::to(0).key(format!("{n}")).value("v"));
    let aborted = send_in_transaction(&properties, "transactions", three(), End::Abort);
    let committed = send_in_transaction(&properties, "transactions", three(), End::Commit);
    assert_eq!((aborted[0].offset, committed[0].offset), (0, 4), "a marker lies between");

    let read = |isolation| read_topic(&properties, "transactions", isolation).len();
    assert_eq!((read(Isolation::Committed), read(Isolation::Uncommitted)), (3, 6));
}

#[test]
fn the_administrator_changes_what_it_says() {
    let broker = Broker::shared();
    let (admin, properties) = (broker.admin(), broker.properties());
    admin.create_topic(NewTopic::new("admin").config("retention.ms", -1));
    let _ = broker.fill(&Fill::new("admin").records(10));
    admin.delete_records("admin", 0, 4);
    admin.create_partitions("admin", 2);
    admin.set_topic_configs("admin", &[("retention.ms", "1000000")]);
    let watermarks = offsets::watermarks(&properties, "admin");
    assert_eq!(watermarks[&("admin".into(), 0)], Watermarks { begin: 4, end: 10 });
    assert_eq!(watermarks[&("admin".into(), 1)], Watermarks { begin: 0, end: 0 });

    assert!(offsets::committed(&properties, "admins", "admin").is_empty());
    commit(&properties, "admins", "admin", 7, "a note");
    let expected = Committed { offset: 7, metadata: "a note".into() };
    assert_eq!(offsets::committed(&properties, "admins", "admin")[&("admin".into(), 0)], expected);
    assert_eq!(offsets::committed_sum(&properties, "admins", "admin"), 7);
    admin.delete_group("admins");
    assert!(offsets::committed(&properties, "admins", "admin").is_empty());
    admin.delete_topic("admin");
    assert_eq!(admin.partitions("admin"), 0);
}

#[test]
fn compaction_happens_within_seconds() {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new("compacted").compacted());
    let written = broker.fill(&Fill::new("compacted").records(1_000).keys(10));
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut number = 1_000;
    loop {
        // Only a new record closes a segment that is older than `segment.ms`.
        thread::sleep(Duration::from_millis(600));
        let _ = broker.fill(&Fill::new("compacted").first(number).records(1).keys(10));
        number += 1;
        let left = read_topic(&broker.properties(), "compacted", Isolation::Committed).len();
        if left < written.len() / 2 {
            break;
        }
        assert!(Instant::now() < deadline, "{left} records are still there");
    }
}

#[test]
fn logins_and_permissions() {
    let broker = Broker::shared_sasl_tls();
    broker.admin().create_topic(NewTopic::new("secret"));
    for user in User::ALL {
        let mut properties = broker.client_properties(user);
        let sees = topics(&properties).unwrap_or_else(|error| panic!("{user:?}: {error}"));
        assert_eq!(sees, usize::from(user == User::Admin), "{user:?} sees only what it may");

        properties.retain(|(name, _)| name != "sasl.password");
        properties.push(("sasl.password".into(), "wrong".into()));
        assert!(topics(&properties).is_err(), "{user:?} with a wrong password");
    }

    // TLS without a login, with and without the authority.
    let mut tls: Properties = vec![
        ("bootstrap.servers".into(), broker.bootstrap_tls().into()),
        ("security.protocol".into(), "SSL".into()),
    ];
    assert!(topics(&tls).is_err(), "an unknown authority");
    tls.push(("ssl.ca.location".into(), broker.authority().display().to_string()));
    assert_eq!(topics(&tls).unwrap(), 1);

    let reader = broker.client_properties(User::Scram256);
    assert_eq!(describe(&reader, "secret"), Err(RDKafkaErrorCode::TopicAuthorizationFailed));
    broker.allow(&User::Scram256.principal(), &["Describe", "Read"], "--topic", "secret");
    let deadline = Instant::now() + Duration::from_secs(10);
    while describe(&reader, "secret").is_err() {
        assert!(Instant::now() < deadline, "the permission does not arrive");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_broker_and_its_folder_die_with_a_parent_that_is_killed() {
    // The parent holds its broker in a static, so this is also the case of a test binary's end.
    let mut parent = Command::new(env!("CARGO_BIN_EXE_testkit-hold-broker"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the parent");
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut fields = line.trim_end().split('\t');
    let broker = format!("/proc/{}", fields.next().expect("a process id"));
    let folder = Path::new(fields.next().expect("a folder"));
    assert!(Path::new(&broker).exists() && folder.is_dir(), "the broker runs: {line}");

    parent.kill().unwrap();
    parent.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    // A killed orphan that nobody waits for stays as a zombie: as good as gone.
    let runs = || {
        std::fs::read_to_string(format!("{broker}/status")).is_ok_and(|s| !s.contains("State:\tZ"))
    };
    while runs() || folder.exists() {
        assert!(Instant::now() < deadline, "left: {broker} {} {folder:?}", runs());
        thread::sleep(Duration::from_millis(50));
    }
}

fn consumer(properties: &Properties, group: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("group.id", group).set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
    for (name, value) in properties {
        config.set(name, value);
    }
    config.create().expect("a consumer")
}

/// How many topics (internal ones aside) this client sees.
fn topics(properties: &Properties) -> Result<usize, KafkaError> {
    let metadata = consumer(properties, "none").fetch_metadata(None, Duration::from_secs(4))?;
    Ok(metadata.topics().iter().filter(|topic| !topic.name().starts_with("__")).count())
}

fn describe(properties: &Properties, topic: &str) -> Result<(), RDKafkaErrorCode> {
    let consumer = consumer(properties, "none");
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(5)).unwrap();
    metadata.topics()[0].error().map_or(Ok(()), |error| Err(error.into()))
}

fn commit(properties: &Properties, group: &str, topic: &str, offset: i64, metadata: &str) {
    let mut list = rdkafka::TopicPartitionList::new();
    let mut element = list.add_partition(topic, 0);
    element.set_offset(rdkafka::Offset::Offset(offset)).unwrap();
    element.set_metadata(metadata);
    consumer(properties, group).commit(&list, CommitMode::Sync).unwrap();
}
