//! An unclean election: a replica that fell behind becomes the leader, and the log loses what it
//! did not have. New records are then written at offsets that once had others.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate::{Builder, Consumer, OnGap, Ordering, Record, Summary};
use tidegate_testkit::history::{Happened, History};
use tidegate_testkit::judge::Judge;
use tidegate_testkit::kafka::{Cluster, NewRecord, NewTopic, Written, offsets, produce};

use crate::common::{Recorder, Running, wait_for};

/// What both replicas have.
const KEPT: i64 = 200;
/// Where the log ended before the election: all above `KEPT` is lost by it.
const LOST_END: i64 = 500;
/// Where it ends after the first records have been written anew, below the old end,
const NEW_END: i64 = 400;
/// and after more of them, beyond it.
const LATER_END: i64 = 700;
/// The record whose handler hangs, in groups whose commit is to have finished ranges.
const HELD: i64 = 100;

async fn nothing(_: Record) {}

async fn hold(record: Record) {
    if record.offset() == HELD {
        std::future::pending::<()>().await;
    }
}

/// The topic's only partition, written up to `end`.
fn write(cluster: &Cluster, topic: &str, from: i64, end: i64) -> Vec<Written> {
    let some = (from..end).map(|n| NewRecord::to(0).key(format!("k{}", n % 50)).value("v"));
    let written = produce::send(&cluster.properties(), topic, some);
    assert_eq!(written.last().map(|record| record.offset), Some(end - 1));
    written
}

fn offsets_of(history: &History) -> BTreeSet<i64> {
    let start = |happened: &Happened| match happened {
        Happened::Start { record, .. } => Some(record.offset),
        _ => None,
    };
    history.events().iter().filter_map(|event| start(&event.happened)).collect()
}

/// One way to consume the topic, under one protocol, with a group of its own.
struct Way<'a> {
    bootstrap: &'a str,
    topic: &'a str,
    protocol: &'static str,
    name: &'static str,
}

impl Way<'_> {
    fn group(&self) -> String {
        format!("{}-{}-{}", self.topic, self.name, self.protocol)
    }

    fn builder(&self, on_gap: OnGap) -> Builder {
        Consumer::builder()
            .brokers(self.bootstrap)
            .group(self.group())
            .topic(self.topic)
            .property("group.protocol", self.protocol)
            .ordering(Ordering::None)
            .shutdown_timeout(Duration::from_secs(2))
            .on_gap(on_gap)
    }

    fn committed(&self) -> i64 {
        let properties = vec![("bootstrap.servers".to_owned(), self.bootstrap.to_owned())];
        offsets::committed_sum(&properties, &self.group(), self.topic)
    }

    /// Handles everything, and ends.
    fn consume_all(&self) {
        let all = self.builder(OnGap::Stop).until_end(true);
        Running::start(all, &Recorder::new().member("a"), nothing).join().unwrap();
        assert_eq!(self.committed(), LOST_END);
    }

    /// Handles everything but one record, and ends.
    fn consume_all_but_one(&self) {
        let running = Running::start(self.builder(OnGap::Stop), &Recorder::new().member("a"), hold);
        running.wait_done(LOST_END as u64 - 1);
        running.stop();
        assert_eq!(self.committed(), HELD);
    }

    /// Runs to the end of the log as it is now, and says what it handled.
    fn again(&self, on_gap: OnGap) -> (Summary, History) {
        let recorder = Recorder::new();
        let rest = self.builder(on_gap).until_end(true);
        let summary = Running::start(rest, &recorder.member("b"), nothing).join().unwrap();
        (summary, recorder.history())
    }

    /// Comes back, handles nothing, and says why in words that include these.
    fn stops(&self, why: &str) {
        let (summary, history) = self.again(OnGap::Stop);
        let [stopped] = &summary.stopped[..] else { panic!("{}: {summary}", self.group()) };
        let says = |words: &str| assert!(stopped.reason.contains(words), "{}", stopped.reason);
        says(&format!("{}/0", self.topic));
        says(&format!("offset {LOST_END}"));
        says("on-gap");
        says(why);
        assert_eq!(self.committed(), LOST_END, "nothing is reset silently");
        assert_eq!(offsets_of(&history), BTreeSet::new());
    }
}

/// Groups do not wait for each other.
fn at_once<'a>(ways: impl IntoIterator<Item = Way<'a>>, what: impl Fn(&Way<'a>) + Sync) {
    std::thread::scope(|scope| {
        for way in ways {
            let what = &what;
            scope.spawn(move || what(&way));
        }
    });
}

/// A topic whose records were written under one leader, and the marker that ends their
/// transaction under another, since the first one was killed between.
fn write_under_two_leaders(cluster: &mut Cluster, first: i32) -> Vec<Written> {
    let topic = "marked";
    let others: Vec<_> = (1..=3).filter(|id| *id != first).collect();
    let admin = cluster.admin();
    admin.create_topic(NewTopic::new(topic).replicas(&[first, others[0], others[1]]));
    let records = (0..10).map(|n| NewRecord::to(0).key(format!("k{n}")).value("v"));
    let (properties, end) = (cluster.properties(), produce::End::Commit);
    produce::send_in_transaction_and(&properties, topic, records, end, || {
        cluster.kill(first);
        let moved = || others.contains(&admin.leader(topic, 0));
        wait_for("another leader", moved);
    })
}

/// The position behind the marker is not beyond the end of the leader epoch of the records.
fn no_truncation_is_told_of(bootstrap: &str, marked: &[Written]) {
    let topic = &*marked[0].topic;
    let way = |protocol| Way { bootstrap, topic, protocol, name: "all" };
    at_once(["classic", "consumer"].map(way), |way| {
        let (summary, history) = way.again(OnGap::Stop);
        Judge::expecting_written(marked).check(&history).assert_ok();
        assert_eq!((summary.stopped.len(), way.committed()), (0, 11), "{summary}");
        let (summary, history) = way.again(OnGap::Stop);
        assert_eq!((summary.stopped.len(), way.committed()), (0, 11), "{summary}");
        assert_eq!(offsets_of(&history), BTreeSet::new());
    });
}

#[test]
fn after_an_unclean_election_new_records_at_old_offsets_are_handled_and_the_gap_is_told() {
    let mut cluster = Cluster::shared();
    let topic = "truncated";
    let (ahead, behind) = (1, 2);
    let admin = cluster.admin();
    admin.create_topic(
        NewTopic::new(topic)
            .replicas(&[ahead, behind])
            .config("min.insync.replicas", 1)
            .config("unclean.leader.election.enable", true),
    );
    let kept = write(&cluster, topic, 0, KEPT);
    admin.wait_in_sync();
    let marked = write_under_two_leaders(&mut cluster, behind);
    wait_for("the replica to fall behind", || admin.in_sync(topic, 0) == [ahead]);
    let _ = write(&cluster, topic, KEPT, LOST_END);

    let protocols = ["classic", "consumer"];
    let bootstrap = &*cluster.bootstrap().to_owned();
    let ways = |name| protocols.map(|protocol| Way { bootstrap, topic, protocol, name });
    no_truncation_is_told_of(bootstrap, &marked);
    at_once(ways("ranges"), Way::consume_all_but_one);
    at_once(["stop", "late", "earliest", "latest"].into_iter().flat_map(ways), Way::consume_all);
    // Two that run while it happens.
    let running = |name, on_gap| {
        ways(name).map(|way| {
            let recorder = Recorder::new();
            let running = Running::start(way.builder(on_gap), &recorder.member("a"), nothing);
            running.wait_done(LOST_END as u64);
            wait_for("everything to be committed", || way.committed() == LOST_END);
            (running, recorder)
        })
    };
    let stopping = running("live-stop", OnGap::Stop);
    let going_on = running("live-earliest", OnGap::Earliest);

    cluster.kill(ahead);
    cluster.restart(behind);
    wait_for("the unclean election", || admin.leader(topic, 0) == behind);
    let new = write(&cluster, topic, KEPT, NEW_END);

    // Its commit says that 101 to 500 are finished; that is true up to 200 only.
    at_once(ways("ranges"), |way| {
        let (summary, history) = way.again(OnGap::Stop);
        let expected: BTreeSet<_> = (HELD..=HELD).chain(KEPT..NEW_END).collect();
        assert_eq!(offsets_of(&history), expected, "{summary}");
        Judge::expecting_written(&new).check(&history).assert_ok();
        assert_eq!(way.committed(), NEW_END);
    });
    // Here the offset is out of range, too, and which of the two shows first is a matter of luck.
    at_once(ways("stop"), |way| way.stops(&format!("0 to {NEW_END}")));
    at_once(ways("latest"), |way| {
        let (summary, _) = way.again(OnGap::Latest);
        assert_eq!((summary.finished(), way.committed()), (0, NEW_END));
    });
    let all: Vec<_> = kept.iter().chain(&new).cloned().collect();
    at_once(ways("earliest"), |way| {
        let (summary, history) = way.again(OnGap::Earliest);
        assert_eq!((summary.finished(), way.committed()), (NEW_END as u64, NEW_END));
        Judge::expecting_written(&all).check(&history).assert_ok();
    });

    // Now the committed offset is in the log again, and it is not the same log.
    let later = write(&cluster, topic, NEW_END, LATER_END);
    at_once(ways("late"), |way| way.stops(&format!("lost its records from {KEPT} on")));
    for (running, _) in stopping {
        running.wait_told("on-gap");
        let summary = running.stop();
        assert_eq!(summary.stopped.len(), 1, "{summary}");
    }
    let all: Vec<_> = all.iter().chain(&later).cloned().collect();
    for (way, (running, recorder)) in ways("live-earliest").iter().zip(going_on) {
        running.wait_told("on-gap");
        wait_for("everything to be committed", || way.committed() == LATER_END);
        running.stop();
        let of_second_life = recorder.history();
        Judge::expecting_written(&all)
            .max_repeats(LOST_END as u64)
            .commits_may_go_backwards()
            .check(&of_second_life)
            .assert_ok();
    }
    cluster.restart(ahead);
}
