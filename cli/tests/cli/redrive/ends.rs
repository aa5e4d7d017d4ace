//! Signals, kills, and targets that fail.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use tidegate_testkit::kafka::{Broker, NewTopic};

use super::{letter, moved, read, redrive, send, topic, values};

const LETTERS: usize = 400;
const SHORT: [&str; 3] = ["--yes", "-X", "session.timeout.ms=6000"];

fn filled(name: &str) -> String {
    let dead = format!("{name}-dead");
    topic(name, 2);
    topic(&dead, 2);
    send(&dead, (0..LETTERS).map(|n| letter(name, &format!("{n:03}"), "r")));
    dead
}

fn all() -> Vec<String> {
    (0..LETTERS).map(|n| format!("{n:03}")).collect()
}

#[test]
fn after_sigterm_nothing_moves_twice() {
    let dead = filled("redrive-term");
    let mut first = redrive(&dead, &[&SHORT[..], &["--rate", "100"]].concat()).spawn();
    first.until("some are moved", |_| read("redrive-term").len() > 50);
    first.signal(Signal::SIGTERM);
    let first = first.wait(Duration::from_secs(25));
    assert_eq!(first.code, Some(0), "{first:#?}");
    let before = values("redrive-term");
    assert_eq!(before.len() as u64, moved(&first));
    assert!(before.len() < LETTERS, "it was over before the signal");
    let second = redrive(&dead, &SHORT).succeed();
    assert_eq!(moved(&second) as usize, LETTERS - before.len());
    assert_eq!(values("redrive-term"), all(), "none twice, none lost");
}

#[test]
fn after_kill_9_none_is_lost_and_no_more_move_twice_than_may_be_on_their_way() {
    const AT_ONCE: usize = 10;
    let dead = filled("redrive-kill");
    let more = ["--rate", "200", "--concurrency", "10"];
    let mut first = redrive(&dead, &[&SHORT[..], &more].concat()).spawn();
    first.until("some are moved", |_| read("redrive-kill").len() > 100);
    first.signal(Signal::SIGKILL);
    let _ = first.wait(Duration::from_secs(5));
    redrive(&dead, &SHORT).succeed();
    let mut seen = BTreeMap::new();
    for value in values("redrive-kill") {
        *seen.entry(value).or_insert(0) += 1;
    }
    assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), all(), "none is lost");
    assert!(seen.values().all(|times| *times <= 2));
    let twice = seen.values().filter(|times| **times == 2).count();
    assert!(twice <= AT_ONCE, "{twice} moved twice");
}

#[test]
fn a_target_that_is_not_there_or_does_not_take_it_stops_it_with_its_name() {
    topic("redrive-gone-dead", 1);
    send("redrive-gone-dead", [letter("redrive-gone", "1", "r")]);
    redrive("redrive-gone-dead", &["--yes"]).fail(1, "topic redrive-gone");

    let admin = Broker::shared().admin();
    admin.create_topic(NewTopic::new("redrive-small").config("max.message.bytes", 1_000));
    topic("redrive-small-dead", 1);
    let large = "x".repeat(5_000);
    let letters = ["1", &large, "3"].map(|value| letter("redrive-small", value, "r"));
    send("redrive-small-dead", letters);
    let more = ["--yes", "--concurrency", "1"];
    let failed = redrive("redrive-small-dead", &more);
    let failed = failed.fail(1, "redrive-small-dead/0 offset 1 was not moved: topic redrive-small");
    assert_eq!(moved(&failed), 1);
    admin.set_topic_configs("redrive-small", &[("max.message.bytes", "1000000")]);
    assert_eq!(moved(&redrive("redrive-small-dead", &more).succeed()), 2);
    assert_eq!(values("redrive-small"), ["1".to_owned(), "3".to_owned(), large]);
}

#[test]
fn a_group_of_another_log_of_this_name_is_refused() {
    topic("redrive-anew", 1);
    topic("redrive-anew-dead", 1);
    send("redrive-anew-dead", [letter("redrive-anew", "1", "r")]);
    let group = "tidegate-redrive:redrive-anew-dead";
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", Broker::shared().bootstrap()).set("group.id", group);
    let client: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("redrive-anew-dead", 0, Offset::Offset(9)).unwrap();
    client.commit(&list, CommitMode::Sync).unwrap();
    let words = "redrive-anew-dead/0 up to offset 9, and the log ends at 1";
    redrive("redrive-anew-dead", &["--yes"]).fail(1, words);
    assert!(read("redrive-anew").is_empty());
}
