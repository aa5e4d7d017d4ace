//! No gate is shut while the groups have nothing to do.

use super::gate_book::{Books, gate_broken};
use super::{Checker, Violation, entry};
use crate::history::{Event, NOBODY, What};

/// Twice the shortest target, in nanoseconds.
const SHORTEST_GRACE: u64 = 200_000_000;

/// Every record that a gate refuses for the groups' sake when they have committed all that was
/// written, the producer has nothing on its way, and two probes were answered since, the second of
/// them asked for after the first one's answer had come, with nothing missing.
///
/// The rate and the breaker are not the groups' sake; and an answer is good for the shortest grace
/// time that there is.
#[derive(Debug, Default)]
pub struct GateIdle {
    books: Books,
    partitions: Vec<Partition>,
    /// Counts up whenever what is written and committed changes.
    changes: u64,
    gates: Vec<Told>,
    groups: u32,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    start: i64,
    /// Behind the last record.
    end: i64,
    committed: Vec<Committed>,
    cuts: Vec<(i64, i32)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Committed {
    offset: i64,
    /// It belongs to a log that was cut since.
    is_old: bool,
}

/// What a gate was told since the last change.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    changes: u64,
    answers: u32,
    /// When the first of them came, and the newest was asked for.
    at: u64,
    asked: u64,
}

impl GateIdle {
    fn is_idle(&self) -> bool {
        let done = |p: &Partition| {
            let done = |group: usize| {
                p.committed.get(group).is_some_and(|c| c.offset >= p.end && !c.is_old)
            };
            p.start >= p.end || (0..self.groups as usize).all(done)
        };
        self.partitions.iter().all(done)
    }

    fn changed(&mut self) {
        self.changes += 1;
    }

    fn commit(&mut self, group: u32, partition: u32, offset: i64, epoch: Option<i32>) {
        let partition = entry(&mut self.partitions, partition);
        let cuts = &partition.cuts;
        let is_old = match epoch {
            Some(epoch) => cuts.iter().any(|(at, after)| *after > epoch && *at < offset),
            // Behind the last record there may be offsets without one, but not in every log.
            None => !cuts.is_empty() && offset > partition.end,
        };
        *entry(&mut partition.committed, group) = Committed { offset, is_old };
        self.changed();
    }

    /// Two answers count, one asked for after the other came. An answer is judged when the gate has
    /// it, which is before its next refusal.
    fn answer(&mut self, event: &Event, gate: u32, asked: u64, whole: bool) {
        let changes = self.changes;
        let told = entry(&mut self.gates, gate);
        if told.changes != changes {
            *told = Told { changes, at: event.at, ..*told };
            told.answers = 0;
        }
        let is_news = asked > told.asked;
        told.asked = told.asked.max(asked);
        if whole && is_news && asked >= told.at {
            told.answers += 1;
            told.at = event.at;
        }
    }

    fn refused(&mut self, event: &Event, gate: u32) -> Result<(), Violation> {
        let told = entry(&mut self.gates, gate);
        let is_fresh = event.at < told.at + SHORTEST_GRACE;
        let knows = told.changes == self.changes && told.answers >= 2 && is_fresh;
        if !knows || !self.is_idle() {
            return Ok(());
        }
        let Some(book) = self.books.get(gate) else { return Ok(()) };
        if book.outstanding() > 0 {
            return Ok(());
        }
        let text = "refuses a record, though everything is committed and it was told so twice";
        Err(gate_broken("gate_idle", event, gate, text))
    }
}

impl Checker for GateIdle {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        self.books.see(event);
        match event.what {
            What::Written { record, .. } => {
                entry(&mut self.partitions, record.partition).end = record.offset + 1;
                self.changed();
            }
            What::Truncated { partition, offset, epoch } => {
                let partition = entry(&mut self.partitions, partition);
                partition.end = partition.end.min(offset);
                partition.start = partition.start.min(offset);
                partition.cuts.push((offset, epoch));
                for committed in &mut partition.committed {
                    committed.is_old |= committed.offset > offset;
                }
                self.changed();
            }
            What::Expired { partition, offset } => {
                entry(&mut self.partitions, partition).start = offset;
                self.changed();
            }
            What::Reset { partition, offset } if event.member == NOBODY => {
                self.commit(0, partition, offset, None);
            }
            What::Commit { partition, offset, epoch, .. } => {
                self.commit(0, partition, offset, Some(epoch));
            }
            What::PlainCommit { group, partition, offset } => {
                self.commit(group, partition, offset, None);
            }
            What::GateBegins { groups, .. } => self.groups = self.groups.max(groups),
            // The gate's own records are another matter than they were.
            What::Acknowledged { gate, .. } | What::NotWritten { gate, .. } => {
                entry(&mut self.gates, gate).changes = u64::MAX;
            }
            What::Answer { gate, asked, whole, .. } => self.answer(event, gate, asked, whole),
            What::Refused { gate, for_groups: true, .. } => return self.refused(event, gate),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    /// A gate whose one record is written and committed.
    fn committed() -> Run {
        let mut run = Run::new();
        run.push(What::GateBegins { gate: 0, groups: 1, floor_rate: 0 });
        run.push(What::GateSays { gate: 0, window: 1, partitions: 1, stuck: 0 });
        run.push(What::Sent { gate: 0, partition: 0, floor: false });
        run.written(0, 0, 1);
        run.push(What::Acknowledged { gate: 0, partition: 0, record: Some(record(0, 0)) });
        run.commit(0, 1, &[]);
        run
    }

    fn answer(run: &mut Run, whole: bool) {
        let asked = run.now();
        run.push(What::Answer { gate: 0, asked, incarnation: 1, whole });
        run.push(What::AnswerLog { gate: 0, partition: 0, start: 0, end: 1 });
        run.push(What::AnswerCommit { gate: 0, group: 0, partition: 0, offset: Some(1) });
    }

    fn refused(run: &mut Run) {
        run.push(What::Refused { gate: 0, partition: 0, for_groups: true });
    }

    #[test]
    fn a_gate_that_was_told_twice_and_is_shut_is_named() {
        let mut run = committed();
        answer(&mut run, true);
        refused(&mut run);
        answer(&mut run, false);
        refused(&mut run);
        assert!(run.violations(GateIdle::default()).is_empty(), "it was told once");
        answer(&mut run, true);
        refused(&mut run);
        let text =
            "gate 0 refuses a record, though everything is committed and it was told so twice";
        assert_eq!(run.violations(GateIdle::default()), [text]);
    }

    #[test]
    fn what_is_on_its_way_or_waits_is_a_reason() {
        let mut run = committed();
        answer(&mut run, true);
        answer(&mut run, true);
        run.push(What::Sent { gate: 0, partition: 0, floor: false });
        refused(&mut run);
        run.written(0, 1, 1);
        answer(&mut run, true);
        answer(&mut run, true);
        refused(&mut run);
        assert!(run.violations(GateIdle::default()).is_empty());
    }
}
