//! Where a group begins in a log, and logs that change: gaps, markers, new and recreated topics.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Recorder, Running, builder, filled, on_both_protocols, wait_for};
use tidegate::{Metadata, Offset, OnGap, Record, StartFrom};
use tidegate_testkit::judge::Judge;
use tidegate_testkit::kafka::{Broker, Fill, NewRecord, NewTopic, offsets, produce};

fn committed(broker: &Broker, name: &str) -> i64 {
    offsets::committed_sum(&broker.properties(), name, name)
}

async fn nothing(_: Record) {}

#[test]
fn compacted_and_transactional_topics_reach_their_end() {
    let broker = Broker::shared();
    let name = "transactional";
    broker.admin().create_topic(NewTopic::new(name).partitions(1));
    let some = |n: usize| (0..n).map(|i| NewRecord::to(0).key(format!("k{i}")).value("x"));
    use produce::End;
    let sent = produce::send_in_transaction(&broker.properties(), name, some(10), End::Commit);
    let _ = produce::send_in_transaction(&broker.properties(), name, some(10), End::Abort);
    let recorder = Recorder::new();
    let running =
        Running::start(builder(broker, name).until_end(true), &recorder.member("a"), nothing);
    assert_eq!(running.join().unwrap().finished(), 10, "aborted records are not seen");
    let end = offsets::watermarks(&broker.properties(), name)[&(name.to_owned(), 0)].end;
    assert_eq!((committed(broker, name), end), (22, 22), "markers are passed over");
    Judge::expecting_written(&sent).check(&recorder.history()).assert_ok();

    let name = "compacted";
    let topic = NewTopic::new(name).partitions(1).compacted();
    broker
        .admin()
        .create_topic(topic.config("segment.ms", 200).config("min.cleanable.dirty.ratio", "0.01"));
    for round in 0..3 {
        let _ = produce::send(&broker.properties(), name, some(50));
        std::thread::sleep(Duration::from_millis(300));
        if round == 2 {
            let _ = produce::send(&broker.properties(), name, some(1));
        }
    }
    let compacted = || {
        use tidegate_testkit::kafka::{Isolation, read_topic};
        read_topic(&broker.properties(), name, Isolation::Committed).len() < 151
    };
    wait_for("compaction", compacted);
    let recorder = Recorder::new();
    let running =
        Running::start(builder(broker, name).until_end(true), &recorder.member("a"), nothing);
    let summary = running.join().unwrap();
    assert!(summary.finished() < 151);
    assert_eq!(committed(broker, name), 151);
}

/// A leader epoch ends where the next one begins. The marker of a transaction may be the first of
/// the next one, and what is committed then lies behind it: with the epoch of the last record, the
/// committed offset would be one that this epoch never had, which is how a truncated log looks.
#[test]
fn a_transaction_that_ends_under_a_later_leader_is_no_truncation() {
    let mut broker = Broker::start();
    let name = "later-leader";
    broker.admin().create_topic(NewTopic::new(name).partitions(1));
    let properties = broker.properties();
    let some = |n: usize| (0..n).map(|i| NewRecord::to(0).key(format!("k{i}")).value("x"));
    let end = produce::End::Commit;
    let restart = || broker.restart();
    let _ = produce::send_in_transaction_and(&properties, name, some(10), end, restart);
    let recorder = Recorder::new();
    let begin = |broker: &Broker, until_end, who: &str| {
        let builder = builder(broker, name).on_gap(OnGap::Stop).until_end(until_end);
        Running::start(builder, &recorder.member(who), nothing)
    };
    assert_eq!(begin(&broker, true, "a").join().unwrap().finished(), 10);
    assert_eq!(committed(&broker, name), 11, "behind the marker");

    // The client compares with the leader's epochs whenever there is another leader.
    let running = begin(&broker, false, "b");
    running.wait_told("assigned");
    broker.restart();
    let _ = produce::send(&properties, name, some(3));
    running.wait_done(3);
    assert!(running.stop().stopped.is_empty());
}

#[test]
fn where_a_new_group_begins() {
    let (broker, _) = filled("begin", 1, 0);
    // Not too old, or retention takes them.
    let base = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64 - 60_000;
    let at = |second: i64| NewRecord::to(0).value("x").timestamp(base + second * 1_000);
    let _ = produce::send(&broker.properties(), "begin", (1..=10).map(at));
    let recorder = Recorder::new();
    let run = |group: &str, from| {
        let builder = builder(broker, "begin").group(group).from(from).until_end(true);
        Running::start(builder, &recorder.member(group), nothing).join().unwrap().finished()
    };
    assert_eq!(run("begin-earliest", StartFrom::Earliest), 10);
    assert_eq!(run("begin-time", StartFrom::Timestamp(base + 6_500)), 4);
    assert_eq!(run("begin-future", StartFrom::Timestamp(base + 99_000)), 0);
    assert_eq!(run("begin-latest", StartFrom::Latest), 0);
    // The start was committed, so that a restart goes on from it.
    let _ = produce::send(&broker.properties(), "begin", [at(11)]);
    assert_eq!(run("begin-latest", StartFrom::Latest), 1);
}

#[test]
fn an_offset_below_the_log_start_is_never_reset_silently() {
    on_both_protocols(|protocol| offset_below_the_log_start(protocol, &format!("gap-{protocol}")));
}

fn offset_below_the_log_start(protocol: &str, name: &str) {
    let builder = |broker: &Broker, group: &str| {
        builder(broker, name).group(group).property("group.protocol", protocol)
    };
    let (broker, _) = filled(name, 1, 100);
    let recorder = Recorder::new();
    let take = builder(broker, name).max_records(10);
    Running::start(take, &recorder.member("a"), nothing).join().unwrap();
    assert_eq!(committed(broker, name), 10);
    broker.admin().delete_records(name, 0, 50);

    let stop = builder(broker, name).until_end(true);
    let summary = Running::start(stop, &recorder.member("b"), nothing).join().unwrap();
    let [stopped] = &summary.stopped[..] else { panic!("{summary}") };
    let of_partition = format!("{name}/0");
    for part in [&*of_partition, "10", "50", "100"] {
        assert!(stopped.reason.contains(part), "{part}: {}", stopped.reason);
    }
    assert_eq!((summary.finished(), committed(broker, name)), (0, 10));

    let latest = format!("{name}-latest");
    commit(broker, &latest, name, 10);
    let go_on = builder(broker, &latest).on_gap(OnGap::Latest).until_end(true);
    let running = Running::start(go_on, &recorder.member("latest"), nothing);
    running.wait_told("going on at 100");
    assert_eq!(running.join().unwrap().finished(), 0);
    assert_eq!(named(broker, &latest, name), (100, true), "with the topic's id");

    let go_on = builder(broker, name).on_gap(OnGap::Earliest).until_end(true);
    let running = Running::start(go_on, &recorder.member("c"), nothing);
    running.wait_told("not in the log");
    assert_eq!(running.join().unwrap().finished(), 50);
    assert_eq!(named(broker, name, name), (100, true), "with the topic's id");
}

/// Commits by another client, to a group without members.
fn commit(broker: &Broker, group: &str, topic: &str, offset: i64) {
    use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap()).set("group.id", group);
    let client: BaseConsumer = config.create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(topic, 0, rdkafka::Offset::Offset(offset)).unwrap();
    client.commit(&list, CommitMode::Sync).unwrap();
}

/// What partition 0 has committed, and whether the commit names the topic's id.
fn named(broker: &Broker, group: &str, topic: &str) -> (i64, bool) {
    let commits = offsets::committed(&broker.properties(), group, topic);
    let commit = &commits[&(topic.to_owned(), 0)];
    let metadata = Metadata::decode(&commit.metadata, Offset(commit.offset));
    (commit.offset, metadata.is_ok_and(|metadata| metadata.incarnation != 0))
}

#[test]
fn an_offset_beyond_the_log_end_stops_or_goes_on_as_told() {
    on_both_protocols(|protocol| {
        let name = &*format!("beyond-{protocol}");
        let (broker, _) = filled(name, 1, 100);
        let recorder = Recorder::new();
        let begin = |life: &str, on_gap| {
            let group = format!("{name}-{life}");
            commit(broker, &group, name, 500);
            let builder = builder(broker, name)
                .group(&group)
                .property("group.protocol", protocol)
                .on_gap(on_gap)
                .until_end(true);
            let running = Running::start(builder, &recorder.member(life), nothing);
            (running, group)
        };
        let (stopping, group) = begin("stop", OnGap::Stop);
        let summary = stopping.join().unwrap();
        let [stopped] = &summary.stopped[..] else { panic!("{summary}") };
        assert!(stopped.reason.contains("offset 500"), "{}", stopped.reason);
        assert!(stopped.reason.contains("0 to 100"), "{}", stopped.reason);
        assert_eq!((summary.finished(), named(broker, &group, name).0), (0, 500));

        let (earliest, group) = begin("earliest", OnGap::Earliest);
        earliest.wait_told("going on at 0");
        assert_eq!(earliest.join().unwrap().finished(), 100);
        assert_eq!(named(broker, &group, name), (100, true));

        let (latest, group) = begin("latest", OnGap::Latest);
        latest.wait_told("going on at 100");
        assert_eq!(latest.join().unwrap().finished(), 0);
        assert_eq!(named(broker, &group, name), (100, true));
    });
}

#[test]
fn a_recreated_topic_is_not_read_from_the_old_offset() {
    let name = "recreated";
    let (broker, _) = filled(name, 1, 100);
    let recorder = Recorder::new();
    let fast =
        |builder: tidegate::Builder| builder.property("topic.metadata.refresh.interval.ms", "500");
    let running = Running::start(fast(builder(broker, name)), &recorder.member("a"), nothing);
    running.wait_done(100);
    broker.admin().delete_topic(name);
    running.wait_told("does not exist");
    broker.admin().create_topic(NewTopic::new(name).partitions(1));
    let sent = broker.fill(&Fill::new(name).records(40).keys(5));
    running.wait_done(140);
    running.stop();
    assert_eq!(committed(broker, name), 40);
    assert_eq!(sent.len(), 40);
}

#[test]
fn partitions_that_are_added_are_consumed() {
    on_both_protocols(|protocol| added_partitions(protocol, &format!("growing-{protocol}")));
}

fn added_partitions(protocol: &str, name: &str) {
    let (broker, first) = filled(name, 1, 100);
    let recorder = Recorder::new();
    let grow = builder(broker, name)
        .property("group.protocol", protocol)
        .property("topic.metadata.refresh.interval.ms", "500");
    let running = Running::start(grow, &recorder.member("a"), nothing);
    running.wait_done(100);
    broker.admin().create_partitions(name, 4);
    let more = broker.fill(&Fill::new(name).records(400).keys(0).round_robin(4).first(100));
    running.wait_done(500);
    running.stop();
    let written: Vec<_> = first.into_iter().chain(more).collect();
    Judge::expecting_written(&written).check(&recorder.history()).assert_ok();
    assert_eq!(committed(broker, name), 500);
}

#[test]
fn a_regular_expression_finds_topics() {
    let (broker, _) = filled("pattern-a", 1, 10);
    filled("pattern-b", 2, 10);
    let recorder = Recorder::new();
    let found = tidegate::Consumer::builder()
        .brokers(broker.bootstrap())
        .group("pattern")
        .topic("^pattern-[ab]$")
        .until_end(true);
    assert_eq!(
        Running::start(found, &recorder.member("a"), nothing).join().unwrap().finished(),
        20
    );
}
