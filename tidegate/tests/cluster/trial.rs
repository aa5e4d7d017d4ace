//! Members that consume a topic under load while something happens to them or to the brokers,
//! and the judgement on what they did.

use std::time::{Duration, Instant};

use tidegate::{Consumer, Record, Summary};
use tidegate_testkit::history::{Happened, History};
use tidegate_testkit::judge::{Judge, Ordering, Report};
use tidegate_testkit::kafka::{Admin, Fill, Load, NewTopic, Properties, Written, offsets};

use crate::common::{Recorder, Running, wait_for};

pub const LIMIT: u32 = 20;
const PER_SECOND: u32 = 1_500;
/// How long a group waits for a member that is silent, as the test kit's cluster has it for the
/// other protocol.
const SESSION: Duration = Duration::from_secs(12);

/// A topic under load, and a group of each protocol that consumes it.
pub struct Trial {
    topic: String,
    partitions: usize,
    /// Of a client that nothing happens to.
    properties: Properties,
    load: Load,
    pub groups: Vec<Group>,
}

/// A group's members and what they did.
pub struct Group {
    protocol: &'static str,
    topic: String,
    recorder: Recorder,
    members: Vec<(String, Running)>,
    /// Of members that have left.
    done_by_leavers: u64,
    lives: u32,
}

impl Trial {
    /// Creates the topic, begins to write to it, and starts in each group a member for each of
    /// these addresses at which to reach the brokers. Everything else goes by `properties`.
    pub fn start(properties: &Properties, topic: &str, partitions: i32, members: &[&str]) -> Self {
        Admin::new(properties).create_topic(NewTopic::new(topic).partitions(partitions));
        let fill = Fill::new(topic).records(10_000_000).keys(200).value_bytes(100);
        let load = Load::start(properties, fill, PER_SECOND);
        let group = |protocol| {
            let mut group = Group {
                protocol,
                topic: topic.to_owned(),
                recorder: Recorder::new(),
                members: Vec::new(),
                done_by_leavers: 0,
                lives: 0,
            };
            for bootstrap in members {
                group.join(bootstrap);
            }
            group
        };
        let groups = ["classic", "consumer"].map(group).into();
        let trial = Self {
            topic: topic.to_owned(),
            partitions: partitions as usize,
            properties: properties.clone(),
            load,
            groups,
        };
        trial.wait_settled();
        trial
    }

    /// Waits until every member has its share and commits it: around a rebalance brokers refuse
    /// commits for about a second, and what happens then is another test's matter.
    pub fn wait_settled(&self) {
        for group in &self.groups {
            let share = self.partitions / group.members.len();
            let what = format!("{} to settle: {:#?}", group.name(), group.told());
            wait_for(&what, || group.members.iter().all(|(_, member)| has_settled(member, share)));
        }
        self.wait_more(500);
    }

    /// Waits until one member of each group has all partitions.
    pub fn wait_alone(&self, name: &str) {
        for group in &self.groups {
            let what = format!("{name} of {} to be alone: {:#?}", group.name(), group.told());
            let (_, member) = group.members.iter().find(|(of, _)| of == name).unwrap();
            wait_for(&what, || has_settled(member, self.partitions));
        }
    }

    /// Waits until a member of each group told something with these words.
    pub fn wait_told(&self, member: &str, words: &str) {
        for group in &self.groups {
            let what = format!("{member} of {} to say {words:?}", group.name());
            let told = || group.told().into_iter().filter(|line| line.starts_with(member));
            wait_for(&what, || told().any(|line| line.contains(words)));
        }
    }

    /// Waits until each group has handled so many more records.
    pub fn wait_more(&self, records: u64) {
        let goals: Vec<_> = self.groups.iter().map(|group| group.done() + records).collect();
        for (group, goal) in self.groups.iter().zip(goals) {
            let until = Instant::now() + Duration::from_secs(60);
            while group.done() < goal {
                let done = group.done();
                let told = group.told();
                assert!(Instant::now() < until, "{done} of {goal} {}: {told:#?}", group.protocol);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Ends the load, waits until everything is committed, ends the members.
    pub fn finish(self) -> Tried {
        let written = self.load.stop();
        let total = written.len() as i64;
        let groups = self.groups.into_iter().map(|group| {
            let name = group.name();
            let committed = || offsets::committed_sum(&self.properties, &name, &self.topic);
            let until = Instant::now() + Duration::from_secs(60);
            while committed() != total {
                let (now, told) = (committed(), group.told());
                let engines = group.members.iter().map(|(_, m)| m.monitor.snapshot().engine);
                let engines: Vec<_> = engines.collect();
                assert!(
                    Instant::now() < until,
                    "{now} of {total} committed by {name}: {told:#?} {engines:#?}"
                );
                std::thread::sleep(Duration::from_millis(100));
            }
            let told = group.told();
            for (_, member) in group.members {
                member.stop();
            }
            TriedGroup { protocol: group.protocol, recorder: group.recorder, told }
        });
        Tried { groups: groups.collect(), written }
    }
}

impl Group {
    fn name(&self) -> String {
        format!("{}-{}", self.topic, self.protocol)
    }

    /// One more member. Its name is its number: `m1` is the first.
    pub fn join(&mut self, bootstrap: &str) {
        self.lives += 1;
        let name = format!("m{}", self.lives);
        let mut builder = Consumer::builder()
            .brokers(bootstrap)
            .group(self.name())
            .topic(&self.topic)
            .property("group.protocol", self.protocol)
            .max_in_flight(LIMIT)
            .commit_stall(Duration::from_secs(1))
            .max_queued(500);
        if self.protocol == "classic" {
            // The other protocol has these from the broker.
            builder = builder
                .property("session.timeout.ms", SESSION.as_millis().to_string())
                .property("heartbeat.interval.ms", "500");
        }
        let member = Running::start(builder, &self.recorder.member(&name), two_ms);
        self.members.push((name, member));
    }

    /// The member that has been there for longest leaves in an orderly way.
    pub fn leave(&mut self) -> Summary {
        let (_, member) = self.members.remove(0);
        let summary = member.stop();
        self.done_by_leavers += summary.finished();
        summary
    }

    pub fn done(&self) -> u64 {
        let done = self.members.iter().map(|(_, member)| member.done());
        done.sum::<u64>() + self.done_by_leavers
    }

    /// What the members that are there have told, each line with the member's name.
    pub fn told(&self) -> Vec<String> {
        let lines = |(name, member): &(String, Running)| {
            member.told().into_iter().map(|line| format!("{name}: {line}")).collect::<Vec<_>>()
        };
        self.members.iter().flat_map(lines).collect()
    }
}

/// What is left of a trial.
pub struct Tried {
    pub written: Vec<Written>,
    pub groups: Vec<TriedGroup>,
}

pub struct TriedGroup {
    pub protocol: &'static str,
    pub told: Vec<String>,
    recorder: Recorder,
}

impl Tried {
    /// Of every group: nothing lost, order kept, the limit kept, nothing that had finished
    /// repeated, no partition lost.
    pub fn assert_clean(&self) {
        for group in &self.groups {
            let history = group.history();
            let report = self.judge().check(&history);
            println!("{}: {report}", group.protocol);
            assert!(report.violations.is_empty(), "{}: {report}{:#?}", group.protocol, group.told);
            let lost = |event| matches!(event, &Happened::Lost { .. });
            let losses = history.events().iter().filter(|event| lost(&event.happened)).count();
            assert_eq!(losses, 0, "{}: {:#?}", group.protocol, group.told);
        }
    }

    /// Nothing lost, order and limit kept, nothing repeated.
    pub fn judge(&self) -> Judge {
        Judge::expecting_written(&self.written)
            .ordering(Ordering::Key)
            .limit(LIMIT as usize)
            .max_repeats(0)
    }
}

impl TriedGroup {
    pub fn history(&self) -> History {
        self.recorder.history()
    }

    /// Judges, and says everything that there is to say if a promise was broken.
    pub fn assert_ok(&self, judge: &Judge) -> Report {
        let report = judge.check(&self.history());
        println!("{}: {report}", self.protocol);
        assert!(report.violations.is_empty(), "{}: {report}{:#?}", self.protocol, self.told);
        report
    }
}

/// Whether a member has at least so many partitions, and committed lately what it finished.
fn has_settled(member: &Running, share: usize) -> bool {
    let engine = member.monitor.snapshot().engine;
    let uncommitted: u64 = engine.partitions.iter().map(|p| p.uncommitted).sum();
    let committed = engine.partitions.iter().all(|p| p.committed.is_some());
    engine.partitions.len() >= share && committed && uncommitted < 500
}

async fn two_ms(_: Record) {
    tokio::time::sleep(Duration::from_millis(2)).await;
}
