//! Of a key, or of a partition, no record starts before the one before it has finished.

use std::{collections::HashMap, sync::Arc};

use super::{Expected, Finishing, Violation};
use crate::history::{Happened, History, RecordAt};

/// The order in which records are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordering {
    /// Records of the same topic, partition and key one after another. Without a key: any order.
    Key,
    /// Records of the same topic and partition one after another.
    Partition,
    /// Any order.
    None,
}

/// Crashes that the history does not tell. See [`Judge::extra_crashes`](super::Judge).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crashes {
    /// How many.
    pub extra: u32,
}

/// The records that have to be handled one after another.
type LaneKey = (Arc<str>, i32, Option<u64>);
/// Topic and partition.
type Place = (Arc<str>, i32);

#[derive(Default)]
struct Lane {
    /// Its records by offset, and whether each has finished.
    records: Vec<(i64, bool)>,
    /// The index of the first that has not.
    head: usize,
    running: Vec<(Arc<str>, i64)>,
    last: Option<(i64, Life)>,
    steps_back: u32,
}

/// One assignment of a partition to one life of a member. Within it, order has no excuse.
#[derive(Clone, PartialEq, Eq)]
struct Life {
    member: Arc<str>,
    kills: u32,
    assignments: u32,
}

/// Every handler start that breaks the order:
/// * two handlers of a key at once;
/// * a start while a record with a lower offset is unfinished (also after an end with retry);
/// * a start at a lower offset than the last one, except once per crash for each key, and then
///   only in a new life. A killed member and a lost partition are crashes.
///
/// A record that is started again counts as unfinished until it ends once more, so the order
/// holds within a repeat as well.
#[must_use]
pub fn order(
    ordering: Ordering,
    expected: &Expected,
    history: &History,
    finishing: Finishing,
    crashes: Crashes,
) -> Vec<Violation> {
    if ordering == Ordering::None {
        return Vec::new();
    }
    let all = expected.and_started(history);
    let lane_key = |record: &RecordAt| -> Option<LaneKey> {
        let key_hash = *all
            .partitions()
            .get(&(Arc::clone(&record.topic), record.partition))?
            .get(&record.offset)?;
        let hash = match ordering {
            Ordering::Key => Some(key_hash?),
            _ => None,
        };
        Some((Arc::clone(&record.topic), record.partition, hash))
    };

    let mut lanes: HashMap<LaneKey, Lane> = HashMap::new();
    for record in all.iter() {
        if let Some(key) = lane_key(&record) {
            lanes.entry(key).or_default().records.push((record.offset, false));
        }
    }

    let mut lives = Lives::default();
    let mut violations = Vec::new();
    for event in history.events() {
        match &event.happened {
            Happened::Start { record, .. } => {
                let Some(lane) = lane_key(record).and_then(|key| lanes.get_mut(&key)) else {
                    continue;
                };
                let life = lives.current(&event.member, record);
                let excuses = crashes.extra + lives.crashes(record);
                for problem in lane.start(record.offset, life, excuses) {
                    let text =
                        format!("{} starts {record} at {} us {problem}", event.member, event.t_us);
                    violations.push(Violation { checker: "order", text });
                }
            }
            Happened::End { record, .. } => {
                if let Some(lane) = lane_key(record).and_then(|key| lanes.get_mut(&key)) {
                    let finished = finishing.finished(event).is_some();
                    lane.end(&event.member, record.offset, finished);
                }
            }
            Happened::Killed => {
                lives.killed(&event.member);
                for lane in lanes.values_mut() {
                    lane.running.retain(|(member, _)| *member != event.member);
                }
            }
            Happened::Assigned { topic, partition } | Happened::Revoked { topic, partition } => {
                lives.next(&event.member, topic, *partition);
            }
            Happened::Lost { topic, partition } => {
                lives.next(&event.member, topic, *partition);
                *lives.losses.entry((Arc::clone(topic), *partition)).or_default() += 1;
            }
            Happened::Commit { .. } => {}
        }
    }
    violations
}

impl Lane {
    fn start(&mut self, offset: i64, life: Life, excuses: u32) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some((member, other)) = self.running.first() {
            problems.push(format!("while {member} handles offset {other}"));
        }
        if let Some((head, _)) = self.records.get(self.head)
            && *head < offset
        {
            problems.push(format!("while offset {head} before it is unfinished"));
        }
        if let Some((last, last_life)) = &self.last
            && offset < *last
        {
            if *last_life == life {
                problems.push(format!("after offset {last}, in the same life"));
            } else if self.steps_back >= excuses {
                problems.push(format!("after offset {last}, without a crash between"));
            }
            self.steps_back += 1;
        }
        self.last = Some((offset, life.clone()));
        self.running.push((life.member, offset));
        self.mark(offset, false);
        problems
    }

    fn end(&mut self, member: &str, offset: i64, finished: bool) {
        let ended = self.running.iter().position(|(who, at)| **who == *member && *at == offset);
        if let Some(index) = ended {
            self.running.swap_remove(index);
        }
        if finished {
            self.mark(offset, true);
        }
    }

    fn mark(&mut self, offset: i64, finished: bool) {
        if let Ok(index) = self.records.binary_search_by_key(&offset, |(offset, _)| *offset) {
            self.records[index].1 = finished;
            self.head = self.head.min(index);
        }
        while self.records.get(self.head).is_some_and(|(_, finished)| *finished) {
            self.head += 1;
        }
    }
}

#[derive(Default)]
struct Lives {
    kills: HashMap<Arc<str>, u32>,
    all_kills: u32,
    assignments: HashMap<Arc<str>, HashMap<Place, u32>>,
    losses: HashMap<Place, u32>,
}

impl Lives {
    fn current(&self, member: &Arc<str>, record: &RecordAt) -> Life {
        let place = (Arc::clone(&record.topic), record.partition);
        let assignments = self.assignments.get(member).and_then(|places| places.get(&place));
        Life {
            member: Arc::clone(member),
            kills: self.kills.get(member).copied().unwrap_or_default(),
            assignments: assignments.copied().unwrap_or_default(),
        }
    }

    fn killed(&mut self, member: &Arc<str>) {
        *self.kills.entry(Arc::clone(member)).or_default() += 1;
        self.all_kills += 1;
    }

    fn next(&mut self, member: &Arc<str>, topic: &Arc<str>, partition: i32) {
        let places = self.assignments.entry(Arc::clone(member)).or_default();
        *places.entry((Arc::clone(topic), partition)).or_default() += 1;
    }

    fn crashes(&self, record: &RecordAt) -> u32 {
        let place = (Arc::clone(&record.topic), record.partition);
        self.all_kills + self.losses.get(&place).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Ending::*, judge::testing::*};

    fn check(ordering: Ordering, run: &Run) -> Vec<String> {
        let nothing = Crashes::default();
        let history = run.history();
        let found = order(ordering, &Expected::new(), &history, Finishing::default(), nothing);
        // Without the time.
        texts(&found).iter().map(|text| text.split(" us ").nth(1).unwrap().to_owned()).collect()
    }

    #[test]
    fn handlers_of_one_key_may_not_overlap_and_others_may() {
        let mut run = Run::new("m");
        run.start(0, 1, 7).start(0, 2, 8).start(1, 3, 7);
        assert_eq!(check(Ordering::Key, &run), [""; 0]);
        assert_eq!(check(Ordering::Partition, &run).len(), 2);
        assert_eq!(check(Ordering::None, &run), [""; 0]);
        run.start(0, 4, 8);
        let found = check(Ordering::Key, &run);
        assert_eq!(found, ["while m handles offset 2", "while offset 2 before it is unfinished"]);
    }

    #[test]
    fn a_record_may_not_pass_one_that_failed() {
        let mut run = Run::new("m");
        run.handled(0, 1, 1, Retry).handled(0, 2, 1, Done);
        assert_eq!(check(Ordering::Key, &run), ["while offset 1 before it is unfinished"]);
    }

    #[test]
    fn a_record_may_not_pass_one_that_starts_only_later() {
        let mut run = Run::new("m");
        run.handled(0, 2, 1, Done).handled(0, 1, 1, Done);
        assert_eq!(
            check(Ordering::Key, &run),
            ["while offset 1 before it is unfinished", "after offset 2, in the same life"]
        );
    }

    #[test]
    fn a_record_may_not_pass_an_expected_one_that_never_starts() {
        let mut expected = Expected::new();
        expected.add(&RecordAt::new("t", 0, 1), Some(1));
        let mut run = Run::new("m");
        run.handled(0, 2, 1, Done);
        let history = run.history();
        let crashes = Crashes::default();
        let found = order(Ordering::Key, &expected, &history, Finishing::default(), crashes);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn records_without_a_key_have_no_order_among_them() {
        let mut run = Run::new("m");
        run.start_keyless(0, 2).start_keyless(0, 1);
        assert_eq!(check(Ordering::Key, &run), [""; 0]);
        assert_eq!(check(Ordering::Partition, &run).len(), 3);
    }

    #[test]
    fn a_kill_excuses_one_step_back_and_then_order_holds() {
        let mut run = Run::new("m");
        run.handled(0, 1, 1, Done).handled(0, 2, 1, Done).start(0, 3, 1).killed();
        run.member("n").handled(0, 2, 1, Done).handled(0, 3, 1, Done);
        assert_eq!(check(Ordering::Key, &run), [""; 0]);
        run.member("o").handled(0, 2, 1, Done);
        assert_eq!(check(Ordering::Key, &run), ["after offset 3, without a crash between"]);
    }

    #[test]
    fn order_holds_within_a_repeat() {
        let mut run = Run::new("m");
        run.handled(0, 1, 1, Done).handled(0, 2, 1, Done).killed();
        run.member("n").handled(0, 1, 1, Retry).handled(0, 2, 1, Done);
        assert_eq!(check(Ordering::Key, &run), ["while offset 1 before it is unfinished"]);
    }

    #[test]
    fn a_step_back_needs_a_new_life_even_after_a_crash() {
        let mut run = Run::new("m");
        run.handled(0, 1, 1, Done).handled(0, 2, 1, Done);
        run.member("other").killed().member("m").handled(0, 1, 1, Done);
        assert_eq!(check(Ordering::Key, &run), ["after offset 2, in the same life"]);
    }

    #[test]
    fn a_lost_partition_is_a_crash_and_a_revoked_one_is_not() {
        let mut run = Run::new("m");
        run.handled(0, 1, 1, Done).handled(0, 2, 1, Done).lost(0).assigned(0);
        run.handled(0, 1, 1, Done).handled(0, 2, 1, Done);
        assert_eq!(check(Ordering::Key, &run), [""; 0]);
        run.revoked(0).assigned(0).handled(0, 1, 1, Done);
        assert_eq!(check(Ordering::Key, &run), ["after offset 2, without a crash between"]);
    }
}
