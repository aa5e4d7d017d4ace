//! The gate against a naive model: a tape decides what producers, brokers, groups and probes do, in
//! whatever order. The model keeps every record by itself and looks at all of them.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_engine::gate::*;
use tidegate_engine::*;

const PARTITIONS: usize = 4;
const GROUPS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    Acquire(u8, u8),
    Deliver(u8),
    Fail(u8, bool),
    Cancel(u8),
    /// Another producer appends.
    Foreign(u8, u8),
    /// A group finishes a record that waits: the nth of them.
    Finish(u8, u8, u8),
    Commit(u8),
    /// Retention moves a log's start.
    Retain(u8, u8),
    /// A probe asks now.
    Ask,
    /// One of the probes that asked is answered: late and in any order.
    Answer(u8),
    LoseAnswer(u8),
    ProbeFails,
    Time(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u8>(), any::<u8>()).prop_map(|(p, n)| Step::Acquire(p, n)),
        6 => any::<u8>().prop_map(Step::Deliver),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(i, broker)| Step::Fail(i, broker)),
        1 => any::<u8>().prop_map(Step::Cancel),
        1 => (any::<u8>(), 0u8..9).prop_map(|(p, n)| Step::Foreign(p, n)),
        8 => any::<(u8, u8, u8)>().prop_map(|(g, p, n)| Step::Finish(g, p, n)),
        3 => any::<u8>().prop_map(Step::Commit),
        1 => (any::<u8>(), 0u8..4).prop_map(|(p, n)| Step::Retain(p, n)),
        3 => Just(Step::Ask),
        4 => any::<u8>().prop_map(Step::Answer),
        1 => any::<u8>().prop_map(Step::LoseAnswer),
        1 => Just(Step::ProbeFails),
        3 => (1u16..2_000).prop_map(Step::Time),
    ]
}

#[derive(Default)]
struct Log {
    start: i64,
    end: i64,
    /// Own records that were delivered and that no answer named as released.
    own: BTreeSet<i64>,
}

/// An offset, and what is finished above it.
type Committed = Option<(i64, BTreeSet<i64>)>;

struct Model {
    gate: Gate,
    now: u64,
    logs: Vec<Log>,
    /// Per group and partition what is finished, and what was committed.
    finished: Vec<Vec<BTreeSet<i64>>>,
    committed: Vec<Vec<Committed>>,
    credits: Vec<Credit>,
    asked: Vec<(u64, ProbeSample)>,
    newest: Option<u64>,
    /// What each group is known to have released, from the newest answer.
    known: Vec<Vec<BTreeSet<i64>>>,
}

fn at(us: u64) -> Instant {
    Instant::from_nanos(us * 1_000)
}

impl Model {
    fn new(config: GateConfig) -> Self {
        let mut gate = Gate::new(config, at(1)).unwrap();
        gate.handle_partitions(PARTITIONS as u32);
        Self {
            gate,
            now: 1,
            logs: (0..PARTITIONS).map(|_| Log::default()).collect(),
            finished: vec![vec![BTreeSet::new(); PARTITIONS]; GROUPS],
            committed: vec![vec![None; PARTITIONS]; GROUPS],
            credits: Vec::new(),
            asked: Vec::new(),
            newest: None,
            known: vec![vec![BTreeSet::new(); PARTITIONS]; GROUPS],
        }
    }

    fn outstanding(&self) -> u64 {
        self.credits.len() as u64 + self.logs.iter().map(|l| l.own.len() as u64).sum::<u64>()
    }

    fn first_unfinished(&self, group: usize, p: usize) -> i64 {
        let log = &self.logs[p];
        (0..).find(|o| !self.finished[group][p].contains(o)).unwrap().min(log.end)
    }

    fn sample(&self) -> ProbeSample {
        let span = |log: &Log| Some(LogSpan { start: Offset(log.start), end: Offset(log.end) });
        let commit = |committed: &Committed| match committed {
            None => Commit::None,
            Some((offset, above)) => {
                let one = |o: &i64| OffsetRange { start: Offset(*o), end: Offset(o + 1) };
                let finished = FinishedRanges::from_any(above.iter().map(one));
                Commit::At { offset: Offset(*offset), finished }
            }
        };
        ProbeSample {
            asked: at(self.now),
            incarnation: 1,
            logs: self.logs.iter().map(span).collect(),
            groups: self.committed.iter().map(|g| g.iter().map(commit).collect()).collect(),
        }
    }

    fn take(&mut self, asked: u64, sample: &ProbeSample) {
        self.gate.handle_probe(sample, at(self.now));
        if self.newest.is_some_and(|newest| asked <= newest) {
            return;
        }
        self.newest = Some(asked);
        for (group, commits) in sample.groups.iter().enumerate() {
            for (p, commit) in commits.iter().enumerate() {
                let start = sample.logs[p].unwrap().start.0;
                let released = |o: &i64| match commit {
                    Commit::At { offset, finished } => {
                        *o < offset.0.max(start) || finished.iter().any(|r| r.contains(Offset(*o)))
                    }
                    _ => *o < start,
                };
                self.known[group][p] = (0..self.logs[p].end).filter(released).collect();
            }
        }
        for (p, log) in self.logs.iter_mut().enumerate() {
            let known = &self.known;
            log.own.retain(|o| !known.iter().all(|g| g[p].contains(o)));
        }
    }

    fn play(&mut self, step: Step) {
        // Each step takes a moment, so that no two probes ask at the same time.
        self.now += 1;
        let now = at(self.now);
        let partition = |p: u8| usize::from(p) % PARTITIONS;
        let pick = |n: u8, length: usize| (length > 0).then(|| usize::from(n) % length);
        match step {
            Step::Acquire(p, n) => {
                for _ in 0..n % 8 {
                    let before = self.gate.snapshot(now);
                    let Ok(credit) = self.gate.try_acquire(partition(p) as u32, now) else { break };
                    let after = self.gate.snapshot(now);
                    let floor = after.counters.floor > before.counters.floor;
                    let stuck = before.groups.iter().any(|g| g.stuck.contains(&credit.partition()));
                    let counted = before.outstanding - before.set_aside;
                    assert!(floor || stuck || counted < before.window, "{before:?}");
                    self.credits.push(credit);
                }
            }
            Step::Deliver(n) => {
                let Some(index) = pick(n, self.credits.len()) else { return };
                let credit = self.credits.swap_remove(index);
                let p = credit.partition() as usize;
                let offset = self.logs[p].end;
                self.logs[p].end += 1;
                self.logs[p].own.insert(offset);
                self.gate.handle_delivered(credit, Some(Offset(offset)));
            }
            Step::Fail(n, broker) => {
                let Some(index) = pick(n, self.credits.len()) else { return };
                let fault = if broker { Fault::Broker } else { Fault::Record };
                self.gate.handle_failed(self.credits.swap_remove(index), fault, now);
            }
            Step::Cancel(n) => {
                let Some(index) = pick(n, self.credits.len()) else { return };
                self.gate.cancel(self.credits.swap_remove(index), now);
            }
            Step::Foreign(p, n) => self.logs[partition(p)].end += i64::from(n),
            Step::Finish(group, p, n) => {
                let (group, p) = (usize::from(group) % GROUPS, partition(p));
                let waiting: Vec<_> = (self.logs[p].start..self.logs[p].end)
                    .filter(|o| !self.finished[group][p].contains(o))
                    .take(6)
                    .collect();
                let Some(index) = pick(n, waiting.len()) else { return };
                self.finished[group][p].insert(waiting[index]);
            }
            Step::Commit(group) => {
                let group = usize::from(group) % GROUPS;
                for p in 0..PARTITIONS {
                    let offset = self.first_unfinished(group, p);
                    let above = self.finished[group][p].range(offset..).copied().collect();
                    self.committed[group][p] = Some((offset, above));
                }
            }
            Step::Retain(p, n) => {
                let log = &mut self.logs[partition(p)];
                log.start = (log.start + i64::from(n)).min(log.end);
                let start = log.start;
                for group in &mut self.finished {
                    group[partition(p)].extend(0..start);
                }
            }
            Step::Ask => self.asked.push((self.now, self.sample())),
            Step::Answer(n) => {
                let Some(index) = pick(n, self.asked.len()) else { return };
                let (asked, sample) = self.asked.swap_remove(index);
                self.take(asked, &sample);
            }
            Step::LoseAnswer(n) => {
                let Some(index) = pick(n, self.asked.len()) else { return };
                self.asked.swap_remove(index);
            }
            Step::ProbeFails => self.gate.handle_probe_failed(ProbeFailure::Unreachable, now),
            Step::Time(ms) => {
                self.now += u64::from(ms) * 1_000;
                self.gate.handle_timeout(at(self.now));
            }
        }
        let snapshot = self.gate.snapshot(at(self.now));
        assert_eq!(snapshot.outstanding, self.outstanding(), "the gate miscounts");
        let sum: u64 = snapshot.partitions.iter().map(|p| p.outstanding).sum();
        assert_eq!(snapshot.outstanding, sum);
        assert!(snapshot.window >= 1 && snapshot.set_aside <= snapshot.outstanding);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_gate_agrees_with_the_model(
        steps in prop::collection::vec(step(), 0..400),
        window in prop_oneof![Just(None), (1u64..30).prop_map(Some)],
        floor_rate in 0u32..20,
        initial_window in 1u32..40,
    ) {
        let config = GateConfig {
            groups: GROUPS as u32,
            window: window.map_or(Window::Adaptive, Window::Fixed),
            floor_rate,
            initial_window,
            grace: Duration::from_secs(3),
            breaker_failures: 3,
            ..GateConfig::default()
        };
        let mut model = Model::new(config);
        for step in steps {
            model.play(step);
        }
    }

    /// After whatever happened, a group that catches up gives all of the window back, and the gate
    /// opens again.
    #[test]
    fn after_faults_stop_the_gate_opens(
        steps in prop::collection::vec(step(), 0..200),
        seed in any::<u64>(),
    ) {
        let config = GateConfig { groups: GROUPS as u32, seed, ..GateConfig::default() };
        let mut model = Model::new(config);
        for step in steps {
            model.play(step);
        }
        while !model.credits.is_empty() {
            model.play(Step::Deliver(0));
        }
        model.asked.clear();
        for _ in 0..120 {
            for p in 0..PARTITIONS {
                let end = model.logs[p].end;
                (0..GROUPS).for_each(|group| model.finished[group][p].extend(0..end));
            }
            (0..GROUPS as u8).for_each(|group| model.play(Step::Commit(group)));
            model.play(Step::Time(500));
            model.play(Step::Ask);
            model.play(Step::Answer(0));
            let now = at(model.now);
            if let Ok(credit) = model.gate.try_acquire(0, now) {
                model.credits.push(credit);
                model.play(Step::Deliver(0));
            }
        }
        let snapshot = model.gate.snapshot(at(model.now));
        prop_assert!(snapshot.outstanding <= 1);
        prop_assert!(matches!(snapshot.state, GateState::Open), "{:?}", snapshot);
    }
}
