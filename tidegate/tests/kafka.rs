//! The consumer on a real broker, without faults of the broker.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Recorder, Running, builder, filled, on_both_protocols, wait_for};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tidegate::{AfterLastAttempt, Backoff, Metadata, Offset, Outcome, Record};
use tidegate_testkit::history::Happened;
use tidegate_testkit::judge::{Judge, Ordering as Order};
use tidegate_testkit::kafka::{Broker, Fill, NewRecord, offsets, produce};

fn quick() -> Backoff {
    Backoff { initial: Duration::from_millis(5), max: Duration::from_millis(20) }
}

fn committed(broker: &Broker, name: &str) -> i64 {
    offsets::committed_sum(&broker.properties(), name, name)
}

async fn nothing(_: Record) {}

/// A little work that takes its turn.
async fn some(_: Record) {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[test]
fn everything_is_handled_once_in_key_order_and_committed() {
    on_both_protocols(|protocol| {
        for partitions in [1, 12, 64] {
            handled_once_in_key_order_and_committed(protocol, partitions);
        }
    });
}

fn handled_once_in_key_order_and_committed(protocol: &str, partitions: i32) {
    {
        let name = format!("clean-{protocol}-{partitions}");
        let (broker, written) = filled(&name, partitions, 5_000);
        let recorder = Recorder::new();
        let builder = builder(broker, &name)
            .property("group.protocol", protocol)
            .max_in_flight(10)
            .until_end(true);
        let summary = Running::start(builder, &recorder.member("a"), some).join().unwrap();
        let ends = offsets::watermarks(&broker.properties(), &name);
        assert_eq!(ends.values().map(|w| w.end).sum::<i64>(), 5_000, "{name}");
        Judge::expecting_written(&written).check(&recorder.history()).assert_ok();
        assert_eq!(summary.finished(), 5_000, "{name}");
        assert_eq!((summary.unfinished, summary.uncommitted), (0, 0));
        Judge::expecting_written(&written)
            .ordering(Order::Key)
            .limit(10)
            .check(&recorder.history())
            .assert_ok();
        assert_eq!(committed(broker, &name), 5_000);
    }
}

#[test]
fn a_member_without_partitions_leaves_its_group() {
    let (broker, _) = filled("idle", 1, 10);
    let observer: BaseConsumer =
        broker.properties().into_iter().collect::<ClientConfig>().create().unwrap();
    let members = || {
        let groups = observer.fetch_group_list(Some("idle"), Duration::from_secs(10)).unwrap();
        groups.groups().first().map_or(0, |group| group.members().len())
    };
    let recorder = Recorder::new();
    let first = Running::start(builder(broker, "idle"), &recorder.member("a"), nothing);
    first.wait_done(10);
    let second = Running::start(builder(broker, "idle"), &recorder.member("b"), nothing);
    wait_for("two members", || members() == 2);
    second.stop();
    let stopped = Instant::now();
    wait_for("one member", || members() == 1);
    assert!(stopped.elapsed() < Duration::from_secs(5), "that was its session's end");
    first.stop();
}

#[test]
fn partition_order_and_no_order() {
    for (ordering, order) in
        [(tidegate::Ordering::Partition, Order::Partition), (tidegate::Ordering::None, Order::None)]
    {
        let name = format!("ordering-{ordering:?}");
        let (broker, written) = filled(&name, 3, 600);
        let recorder = Recorder::new();
        let builder = builder(broker, &name).ordering(ordering).until_end(true);
        Running::start(builder, &recorder.member("a"), some).join().unwrap();
        let judge = Judge::expecting_written(&written).ordering(order);
        judge.check(&recorder.history()).assert_ok();
    }
}

#[test]
fn keys_values_and_headers_arrive_as_they_were_sent() {
    let (broker, _) = filled("content", 1, 0);
    let large = vec![7u8; 900_000];
    let records = [
        NewRecord::to(0).key("k").value("v"),
        NewRecord::to(0).key("").value("").header("behind", "nothing"),
        NewRecord::to(0).value("no key"),
        NewRecord::to(0).key("tombstone").header("behind", "null"),
        NewRecord::to(0).key([0xff, 0x00]).value([0xfe]).timestamp(1_234),
        NewRecord::to(0)
            .value("h")
            .header("twice", "1")
            .header("twice", [0xff, 0x00])
            .null_header("null")
            .header("empty", ""),
        NewRecord::to(0).key("large").value(large.clone()),
    ];
    let _ = produce::send(&broker.properties(), "content", records);
    type Seen = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, i64);
    let seen: Arc<Mutex<BTreeMap<i64, Seen>>> = Arc::default();
    let handler = {
        let seen = Arc::clone(&seen);
        move |record: Record| {
            let headers = record
                .headers()
                .map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec)))
                .collect();
            let key = record.key().map(<[u8]>::to_vec);
            let value = record.value().map(<[u8]>::to_vec);
            let timestamp = record.timestamp().map_or(-1, |t| t.millis());
            seen.lock().unwrap().insert(record.offset(), (key, value, headers, timestamp));
            std::future::ready(())
        }
    };
    let builder = builder(broker, "content").until_end(true).max_bytes(1_024);
    let recorder = Recorder::new();
    Running::start(builder, &recorder.member("a"), handler).join().unwrap();
    let seen = seen.lock().unwrap();
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(seen.len(), 7);
    assert_eq!((&seen[&0].0, &seen[&0].1), (&bytes("k"), &bytes("v")));
    assert_eq!((&seen[&1].0, &seen[&1].1), (&bytes(""), &bytes("")));
    assert_eq!((&seen[&2].0, &seen[&2].1), (&None, &bytes("no key")));
    assert_eq!((&seen[&3].0, &seen[&3].1), (&bytes("tombstone"), &None));
    assert_eq!((&seen[&4].0, &seen[&4].3), (&Some(vec![0xff, 0]), &1_234));
    for (offset, value) in [(1, "nothing"), (3, "null")] {
        assert_eq!(seen[&offset].2, [("behind".to_owned(), bytes(value))], "{value}");
    }
    let headers: Vec<_> = seen[&5].2.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    assert_eq!(
        headers,
        [
            ("twice", bytes("1")),
            ("twice", Some(vec![0xff, 0])),
            ("null", None),
            ("empty", bytes("")),
        ]
    );
    assert_eq!(seen[&6].1.as_ref(), Some(&large), "above the byte budget, and alone");
}

#[test]
fn finished_ranges_are_committed_and_skipped_after_a_restart() {
    let (broker, written) = filled("ranges", 1, 200);
    let recorder = Recorder::new();
    // The first record hangs; what other keys have behind it finishes.
    let held = |record: Record| async move {
        if record.offset() == 0 {
            std::future::pending::<()>().await;
        }
    };
    let builder = || {
        builder(broker, "ranges")
            .ordering(tidegate::Ordering::None)
            .shutdown_timeout(Duration::from_secs(2))
    };
    let running = Running::start(builder(), &recorder.member("a"), held);
    running.wait_done(199);
    let read = || offsets::committed(&broker.properties(), "ranges", "ranges");
    let at_zero = || {
        let commits = read();
        let Some(commit) = commits.get(&("ranges".to_owned(), 0)) else { return false };
        let Ok(metadata) = Metadata::decode(&commit.metadata, Offset(commit.offset)) else {
            return false;
        };
        let ranges: Vec<_> = metadata.finished.iter().map(|r| (r.start.0, r.end.0)).collect();
        commit.offset == 0 && ranges == [(1, 200)]
    };
    wait_for("the ranges in the commit", at_zero);
    let summary = running.stop();
    assert_eq!(summary.unfinished, 1);

    let again = Running::start(builder().until_end(true), &recorder.member("b"), nothing);
    let summary = again.join().unwrap();
    assert_eq!(summary.finished(), 1, "the others were finished");
    assert_eq!(summary.counters.already_finished, 199);
    let judge = Judge::expecting_written(&written).ordering(Order::None);
    judge.check(&recorder.history()).assert_ok();
    assert_eq!(committed(broker, "ranges"), 200);
}

#[test]
fn a_key_that_fails_waits_and_others_flow() {
    let (broker, written) = filled("failing-key", 4, 2_000);
    let recorder = Recorder::new();
    let failing = written[100].key_hash;
    let handler = move |record: Record| async move {
        let hash = record.key().map(tidegate_testkit::history::key_hash);
        match hash == failing && record.attempt() < 3 {
            true => Err("not yet"),
            false => Ok(()),
        }
    };
    let builder = builder(broker, "failing-key").backoff(quick()).until_end(true);
    let summary = Running::start(builder, &recorder.member("a"), handler).join().unwrap();
    assert_eq!(summary.finished(), 2_000);
    assert!(summary.counters.failed > 0);
    let judge = Judge::expecting_written(&written).ordering(Order::Key);
    judge.check(&recorder.history()).assert_ok();
}

#[test]
fn a_panic_and_a_hang_are_failed_attempts() {
    let (broker, written) = filled("panic-hang", 2, 500);
    let recorder = Recorder::new();
    let handler = |record: Record| async move {
        if record.attempt() == 1 && record.offset() % 50 == 10 {
            panic!("planted");
        }
        if record.attempt() == 1 && record.offset() % 50 == 20 {
            std::future::pending::<()>().await;
        }
    };
    let builder = builder(broker, "panic-hang")
        .handler_timeout(Duration::from_millis(200))
        .backoff(quick())
        .until_end(true);
    let summary = Running::start(builder, &recorder.member("a"), handler).join().unwrap();
    assert_eq!(summary.finished(), 500);
    assert!(summary.panics > 0 && summary.counters.timed_out > 0, "{summary:?}");
    let judge = Judge::expecting_written(&written).ordering(Order::Key);
    judge.check(&recorder.history()).assert_ok();
}

#[test]
fn after_the_last_attempt_the_partition_stops_or_the_record_is_skipped() {
    let (broker, written) = filled("last-attempt", 3, 900);
    let poison = written.iter().find(|w| w.partition == 1 && w.offset == 50).unwrap().key_hash;
    let handler = move |record: Record| async move {
        let hash = record.key().map(tidegate_testkit::history::key_hash);
        if hash == poison && record.partition() == 1 { Err("poison") } else { Ok(()) }
    };
    let base = |group: &str| {
        builder(broker, "last-attempt")
            .group(group)
            .max_attempts(2)
            .backoff(quick())
            .until_end(true)
    };
    let recorder = Recorder::new();
    let stopping = Running::start(base("last-stop"), &recorder.member("a"), handler);
    let summary = stopping.join().unwrap();
    let [stopped] = &summary.stopped[..] else { panic!("{summary}") };
    assert_eq!(stopped.partition.partition, 1);
    let at = stopped.offset.unwrap().0;
    let commits = offsets::committed(&broker.properties(), "last-stop", "last-attempt");
    assert!(commits[&("last-attempt".to_owned(), 1)].offset <= at, "not behind the poison");
    for partition in [0, 2] {
        let end = written.iter().filter(|w| w.partition == partition).count() as i64;
        assert_eq!(commits[&("last-attempt".to_owned(), partition)].offset, end);
    }

    let skipping = base("last-skip").after_last_attempt(AfterLastAttempt::Skip);
    let summary = Running::start(skipping, &recorder.member("b"), handler).join().unwrap();
    assert!(summary.counters.given_up > 0);
    assert_eq!(summary.finished(), 900);
}

#[test]
fn overload_costs_no_attempt() {
    let (broker, _) = filled("overload", 1, 20);
    let answers = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&answers);
    let handler = move |_: Record| {
        let overloaded = counted.fetch_add(1, Ordering::SeqCst) < 100;
        let retry_after = Some(Duration::from_millis(2));
        std::future::ready(match overloaded {
            true => Outcome::overloaded(retry_after, "busy"),
            false => Outcome::Done,
        })
    };
    let builder = builder(broker, "overload").max_attempts(1).max_in_flight(4).until_end(true);
    let recorder = Recorder::new();
    let summary = Running::start(builder, &recorder.member("a"), handler).join().unwrap();
    assert_eq!((summary.finished(), summary.counters.failed), (20, 0));
}

#[test]
fn a_run_that_is_dropped_loses_nothing_and_commits_nothing_unfinished() {
    let name = "dropped";
    let (broker, written) = filled(name, 3, 3_000);
    let recorder = Recorder::new();
    let dropped = Running::start(
        builder(broker, name).max_in_flight(10),
        &recorder.member("a"),
        |_: Record| tokio::time::sleep(Duration::from_millis(5)),
    );
    dropped.wait_done(300);
    dropped.abort();
    let history = recorder.history();
    let finished: std::collections::HashSet<_> = history
        .events()
        .iter()
        .filter_map(|event| match &event.happened {
            Happened::End { record, ending, .. } if ending.finishes() => {
                Some((record.partition, record.offset))
            }
            _ => None,
        })
        .collect();
    for ((_, partition), commit) in offsets::committed(&broker.properties(), name, name) {
        let unfinished =
            (0..commit.offset).find(|offset| !finished.contains(&(partition, *offset)));
        assert_eq!(unfinished, None, "of partition {partition}, committed {}", commit.offset);
    }
    let next = Running::start(builder(broker, name).until_end(true), &recorder.member("b"), some);
    next.join().unwrap();
    assert_eq!(committed(broker, name), 3_000);
    Judge::expecting_written(&written)
        .max_repeats(finished.len() as u64)
        .extra_crashes(1)
        .check(&recorder.history())
        .assert_ok();
}

#[test]
fn two_members_join_and_leave_without_loss_or_repeat() {
    on_both_protocols(|protocol| {
        let name = &*format!("members-{protocol}");
        let (broker, written) = filled(name, 8, 12_000);
        let recorder = Recorder::new();
        let member = |life: &str| {
            let mut builder =
                builder(broker, name).max_in_flight(20).property("group.protocol", protocol);
            if protocol == "classic" {
                builder = builder.property("heartbeat.interval.ms", "300");
            }
            Running::start(builder, &recorder.member(life), |_: Record| async {
                tokio::time::sleep(Duration::from_millis(20)).await;
            })
        };
        let a = member("a");
        a.wait_done(200);
        let b = member("b");
        b.wait_done(200);
        a.stop();
        let c = member("c");
        c.wait_done(200);
        wait_for("everything to be committed", || committed(broker, name) == 12_000);
        b.stop();
        c.stop();
        Judge::expecting_written(&written)
            .ordering(Order::Key)
            .limit(20)
            .max_repeats(0)
            .check(&recorder.history())
            .assert_ok();
    });
}

#[test]
fn a_handler_in_flight_is_finished_before_its_partition_goes() {
    on_both_protocols(|protocol| drained(protocol, &format!("drain-{protocol}")));
}

fn drained(protocol: &str, name: &str) {
    let (broker, written) = filled(name, 2, 20);
    let recorder = Recorder::new();
    let slow = |_: Record| tokio::time::sleep(Duration::from_millis(1_500));
    let one = || builder(broker, name).property("group.protocol", protocol).max_in_flight(4);
    let a = Running::start(one(), &recorder.member("a"), slow);
    wait_for("a start", || a.monitor.snapshot().engine.in_flight > 0);
    let b = Running::start(one(), &recorder.member("b"), slow);
    wait_for("everything to be committed", || committed(broker, name) == 20);
    a.stop();
    b.stop();
    let judge = Judge::expecting_written(&written).ordering(Order::Key).max_repeats(0);
    judge.check(&recorder.history()).assert_ok();
}

#[test]
fn static_membership_survives_a_restart() {
    on_both_protocols(|protocol| static_restart(protocol, &format!("static-{protocol}")));
}

fn static_restart(protocol: &str, name: &str) {
    let (broker, mut written) = filled(name, 4, 400);
    let recorder = Recorder::new();
    let member = |id: &str| {
        builder(broker, name)
            .property("group.protocol", protocol)
            .group_instance_id(id)
            .max_in_flight(5)
    };
    let a = Running::start(member("one"), &recorder.member("a"), some);
    a.wait_done(50);
    let other = Running::start(member("two"), &recorder.member("other"), some);
    let assigned = || other.told().iter().filter(|line| line.contains(" assigned")).count();
    wait_for("its share", || assigned() == 2);
    wait_for("everything to be committed", || committed(broker, name) == 400);
    a.stop();
    let b = Running::start(member("one"), &recorder.member("b"), some);
    b.wait_told(" assigned");
    let more = broker.fill(&Fill::new(name).records(400).keys(200).first(400));
    written.extend(more);
    wait_for("everything to be committed", || committed(broker, name) == 800);
    assert_eq!(assigned(), 2, "{:#?}", other.told());
    let moved = |line: &String| line.contains("revoked") || line.contains("lost");
    assert!(!other.told().iter().any(moved), "no rebalance: {:#?}", other.told());
    b.stop();
    other.stop();
    let judge = Judge::expecting_written(&written).ordering(Order::Key).max_repeats(0);
    judge.check(&recorder.history()).assert_ok();
}

#[test]
fn a_run_until_the_end_waits_for_its_share() {
    on_both_protocols(|protocol| {
        let name = &*format!("share-{protocol}");
        let (broker, written) = filled(name, 1, 100);
        let recorder = Recorder::new();
        let member = || {
            let builder = builder(broker, name).property("group.protocol", protocol);
            match protocol {
                "classic" => builder.property("heartbeat.interval.ms", "300"),
                _ => builder,
            }
        };
        let a = Running::start(member(), &recorder.member("a"), nothing);
        a.wait_done(100);
        let b = Running::start(member().until_end(true), &recorder.member("b"), nothing);
        // It is given nothing as long as the other one has the only partition.
        std::thread::sleep(Duration::from_secs(5));
        assert!(!b.has_ended(), "nothing is not what the group has to give");
        a.stop();
        assert_eq!(b.join().unwrap().finished(), 0);
        assert_eq!(committed(broker, name), 100);
        let judge = Judge::expecting_written(&written).ordering(Order::Key).max_repeats(0);
        judge.check(&recorder.history()).assert_ok();
    });
}

#[test]
fn a_group_with_eager_members_is_explained() {
    let name = "eager";
    let (broker, _) = filled(name, 2, 100);
    let recorder = Recorder::new();
    let eager = builder(broker, name).property("partition.assignment.strategy", "range");
    let a = Running::start(eager, &recorder.member("a"), nothing);
    a.wait_done(100);
    let b = Running::start(builder(broker, name), &recorder.member("b"), nothing);
    let refused = b.join().unwrap_err().to_string();
    for words in [name, "cooperative-sticky", "range"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    a.stop();
}

#[test]
fn an_unknown_topic_is_named() {
    let broker = Broker::shared();
    let recorder = Recorder::new();
    let missing = builder(broker, "no-such-topic");
    let running = Running::start(missing.clone(), &recorder.member("a"), nothing);
    running.wait_told("topic no-such-topic does not exist");
    running.stop();
    let failed = Running::start(missing.fail_fast(true), &recorder.member("b"), nothing).join();
    assert!(failed.unwrap_err().to_string().contains("no-such-topic"));
}
