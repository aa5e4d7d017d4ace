//! A history of a real run in the terms of the simulation.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tidegate_sim::history::{Ending as SimEnding, Event, NOBODY, RecordAt as SimRecord, What};

use super::{Judge, names::Names};
use crate::history::{self, Ending, Happened, History, RecordAt};

/// What the checkers are told, and the names for what they find.
pub(super) struct Translation {
    /// That the records are there, in the order of their offsets, and whether each has to finish.
    pub(super) records: Vec<(Event, bool)>,
    /// What happened, in the history's order.
    pub(super) events: Vec<Event>,
    /// Who and what the numbers are.
    pub(super) names: Names,
}

/// Translates a history. Its records are those expected and those that a handler was started for
/// at any time.
///
/// | in the history | for the checkers |
/// |---|---|
/// | a member's first event, and the first after it was killed | `Joined`: a new life, with the judge's limit |
/// | `Start`, `End` | the same; `GivenUp` behind an end that finishes its record only because it was the last attempt or asked for the dead-letter topic |
/// | `Commit` | `Commit` without ranges, which the history does not tell, and that is said (`partial`); before one that goes back, if the test allows it, a `Reset` by nobody |
/// | `Assigned` | the same, at the last commit of that partition in the history, which the group had by then |
/// | `Revoked` | `Released`, of which nobody says whether it was clean |
/// | `Lost` | the same |
/// | `Killed` | `Ended` |
///
/// A member that tells no assignments has each partition from its first start on.
pub(super) fn translate(judge: &Judge, history: &History) -> Translation {
    let all = judge.expected.and_started(history);
    let tells_assignments = history
        .events()
        .iter()
        .filter(|event| matches!(event.happened, Happened::Assigned { .. }))
        .map(|event| Arc::clone(&event.member))
        .collect();
    let mut translator = Translator {
        judge,
        names: Names::new(&all, history),
        events: Vec::new(),
        lives: HashMap::new(),
        killed: HashMap::new(),
        tells_assignments,
        assumed: HashSet::new(),
        committed: HashMap::new(),
    };

    let mut records = Vec::new();
    for ((topic, number), offsets) in all.partitions() {
        let partition = translator.names.partition(topic, *number);
        let expected = judge.expected.partitions().get(&(Arc::clone(topic), *number));
        let mut keys: HashMap<u64, u32> = HashMap::new();
        for (offset, key_hash) in offsets {
            let record = record_at(partition, translator.names.offset(partition, *offset));
            let next = u32::try_from(keys.len()).expect("keys are few");
            let key = key_hash.map(|hash| *keys.entry(hash).or_insert(next));
            let what = What::Written { record, key, bytes: 0 };
            let has_to_finish = expected.is_some_and(|known| known.contains_key(offset));
            records.push((Event { at: 0, member: NOBODY, what }, has_to_finish));
        }
    }

    if judge.commits_may_go_backwards {
        // And that may have happened unseen, before the first commit that tells of it.
        for partition in 0..translator.names.partitions() {
            translator.push(0, NOBODY, What::Reset { partition, offset: 0 });
        }
    }
    for event in history.events() {
        translator.event(event);
    }
    let Translator { events, names, .. } = translator;
    Translation { records, events, names }
}

struct Translator<'a> {
    judge: &'a Judge,
    names: Names,
    events: Vec<Event>,
    /// The life that each member is in.
    lives: HashMap<Arc<str>, u32>,
    /// How often each member was killed.
    killed: HashMap<Arc<str>, u32>,
    tells_assignments: HashSet<Arc<str>>,
    /// The partitions that a life has without having told.
    assumed: HashSet<(u32, u32)>,
    /// The last commit of each partition.
    committed: HashMap<u32, i64>,
}

impl Translator<'_> {
    fn event(&mut self, event: &history::Event) {
        let at = event.t_us * 1_000;
        let member = self.life(&event.member, at);
        match &event.happened {
            Happened::Start { record, attempt, .. } => {
                let (record, attempt) = (self.record(record), *attempt);
                let untold = !self.tells_assignments.contains(&event.member);
                if untold && self.assumed.insert((member, record.partition)) {
                    self.assigned(at, member, record.partition);
                }
                self.push(at, member, What::Start { record, attempt });
            }
            Happened::End { record, attempt, ending } => {
                let record = self.record(record);
                let ending = translated(*ending);
                self.push(at, member, What::End { record, attempt: *attempt, ending });
                if self.judge.finishing.finished(event).is_some() && !ending.finishes() {
                    self.push(at, member, What::GivenUp { record });
                }
            }
            Happened::Commit { next } => self.commit(at, member, next),
            Happened::Assigned { topic, partition } => {
                let partition = self.names.partition(topic, *partition);
                self.assigned(at, member, partition);
            }
            Happened::Revoked { topic, partition } => {
                let partition = self.names.partition(topic, *partition);
                self.push(at, member, What::Released { partition, clean: false });
            }
            Happened::Lost { topic, partition } => {
                let partition = self.names.partition(topic, *partition);
                self.push(at, member, What::Lost { partition });
            }
            Happened::Killed => {
                self.push(at, member, What::Ended);
                self.lives.remove(&event.member);
                *self.killed.entry(Arc::clone(&event.member)).or_default() += 1;
            }
        }
    }

    fn commit(&mut self, at: u64, member: u32, next: &RecordAt) {
        let SimRecord { partition, offset, .. } = self.record(next);
        let before = self.committed.insert(partition, offset);
        if self.judge.commits_may_go_backwards && before.is_some_and(|before| offset < before) {
            self.push(at, NOBODY, What::Reset { partition, offset });
        }
        let what = What::Commit { partition, offset, epoch: 0, sent: at, ranges: 0, partial: true };
        self.push(at, member, what);
    }

    fn assigned(&mut self, at: u64, member: u32, partition: u32) {
        let committed = self.committed.get(&partition).copied();
        let what = What::Assigned { partition, committed, ranges: false, again: false };
        self.push(at, member, what);
    }

    /// The number of the life that a member is in, which may begin now.
    fn life(&mut self, name: &Arc<str>, at: u64) -> u32 {
        if let Some(life) = self.lives.get(name) {
            return *life;
        }
        let life = self.names.begin_life(match self.killed.get(name) {
            None => name.to_string(),
            Some(killed) => format!("{name} (life {})", killed + 1),
        });
        self.lives.insert(Arc::clone(name), life);
        let limit = self.judge.limit.unwrap_or(usize::MAX);
        self.push(at, life, What::Joined { limit: u32::try_from(limit).unwrap_or(u32::MAX) });
        life
    }

    fn push(&mut self, at: u64, member: u32, what: What) {
        self.events.push(Event { at, member, what });
    }

    fn record(&self, record: &RecordAt) -> SimRecord {
        let partition = self.names.partition(&record.topic, record.partition);
        record_at(partition, self.names.offset(partition, record.offset))
    }
}

/// A history does not tell leader epochs: all are alike.
fn record_at(partition: u32, offset: i64) -> SimRecord {
    SimRecord { partition, offset, epoch: 0 }
}

fn translated(ending: Ending) -> SimEnding {
    match ending {
        Ending::Done => SimEnding::Done,
        Ending::Skip => SimEnding::Skip,
        Ending::Retry => SimEnding::Retry,
        Ending::Overloaded => SimEnding::Overloaded,
        Ending::DeadLetter => SimEnding::DeadLetter,
        // A timeout looks like this as well.
        Ending::Cancelled => SimEnding::Cancelled,
        Ending::Panicked => SimEnding::Panicked,
    }
}
