//! What is finished stays finished: commits name all of it, and what they name does not start
//! again.

use super::{ByOffset, Checker, Violation, broken, entry};
use crate::history::{Event, NOBODY, RecordAt, What};

/// Who finished a record last, and when.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    epoch: i32,
    written: bool,
    /// The member's number and one, 0 if unfinished or not by a member that then had it.
    member: u32,
    /// The number of its assignment.
    serial: u32,
    at: u64,
    times: u32,
}

/// What the group has of a partition.
#[derive(Clone, Debug, Default)]
struct Committed {
    offset: i64,
    ranges: Vec<(i64, i64)>,
}

impl Committed {
    fn names(&self, offset: i64) -> bool {
        let index = self.ranges.partition_point(|(_, end)| *end <= offset);
        offset < self.offset || self.ranges.get(index).is_some_and(|(start, _)| *start <= offset)
    }
}

/// One member's assignment of a partition.
#[derive(Clone, Debug)]
struct Assignment {
    member: u32,
    serial: u32,
    /// What it was told.
    known: Committed,
    current: bool,
    /// The group has taken it away, and the member may not know yet.
    expelled: bool,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    committed: Committed,
    partial: bool,
    assignments: Vec<Assignment>,
    /// Ranges that are still to come of a commit, and its sender and time.
    awaits: Option<(u32, u32, u64)>,
    /// Behind the last finished record.
    high: i64,
    /// A new leader, or a log that was reset: ranges and memory may be distrusted.
    elections: bool,
    /// Whether the log was cut: the committed offset may be of another log.
    cut: bool,
}

/// Three rules, by which a clean rebalance repeats nothing and a crash repeats at most what
/// finished since the last accepted commit was sent (and what was in flight):
/// * a commit names everything that its member had finished when it was sent, and so does the last
///   one before a clean release;
/// * what was committed, or named by the ranges that a member was given, does not start again;
/// * what a process finished while it had the partition does not start again in that process.
///
/// Excused are commits without room for all ranges, and ranges after a change of leader, which may
/// be distrusted.
#[derive(Debug, Default)]
pub struct Repeats {
    cells: ByOffset<Cell>,
    partitions: Vec<Partition>,
    next_serial: u32,
    repeated: u64,
    forgets: bool,
}

impl Repeats {
    /// A checker without the third rule: for histories that cannot tell whether a handler's end
    /// reached its member before its partition went.
    pub fn without_memory() -> Self {
        Self { forgets: true, ..Self::default() }
    }

    /// How many finishes there were beyond the first of a record.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    fn start(&mut self, event: &Event, record: RecordAt) -> Result<(), Violation> {
        let RecordAt { partition, offset, epoch } = record;
        let cell = *self.cells.at(partition, offset);
        if !cell.written || cell.epoch != epoch || cell.times == 0 {
            return Ok(());
        }
        let member = event.member;
        let state = entry(&mut self.partitions, partition);
        let told = |problem: &str| {
            let text = format!("member {member} starts {partition}/{offset} again, {problem}");
            Err(broken("repeats", event, text))
        };
        let known = state.assignments.iter().find(|a| a.member == member && a.current);
        if let Some(assignment) = known {
            if offset < assignment.known.offset && !state.cut {
                return told("which is below its committed offset");
            }
            if !state.elections && assignment.known.names(offset) {
                return told("which its commit names as finished");
            }
        }
        if !self.forgets && !state.elections && cell.member == member + 1 {
            return told("which it finished itself");
        }
        Ok(())
    }

    fn finish(&mut self, event: &Event, record: RecordAt) {
        let state = entry(&mut self.partitions, record.partition);
        let cell = self.cells.at(record.partition, record.offset);
        if !cell.written || cell.epoch != record.epoch {
            return;
        }
        let own = state.assignments.iter().find(|a| a.member == event.member && a.current);
        if let Some(assignment) = own {
            (cell.member, cell.serial, cell.at) = (event.member + 1, assignment.serial, event.at);
        }
        cell.times += 1;
        self.repeated += u64::from(cell.times > 1);
        state.high = state.high.max(record.offset + 1);
    }

    /// Whether the commit that the group has names all that an assignment finished before `sent`.
    fn complete(&mut self, event: &Event, partition: u32, sent: u64) -> Result<(), Violation> {
        let member = event.member;
        let state = entry(&mut self.partitions, partition);
        let own = |a: &&Assignment| a.member == member && a.current && !a.expelled;
        let Some(own) = state.assignments.iter().find(own) else { return Ok(()) };
        if state.partial || state.cut {
            return Ok(());
        }
        let (cells, committed) = (self.cells.partition(partition), &state.committed);
        let from = committed.offset as usize;
        let to = (state.high as usize).min(cells.len());
        let mut ranges = committed.ranges.iter().peekable();
        for (index, cell) in cells.get(from..to).unwrap_or_default().iter().enumerate() {
            let offset = (from + index) as i64;
            if cell.serial != own.serial || cell.member == 0 || cell.at >= sent {
                continue;
            }
            while ranges.next_if(|(_, end)| *end <= offset).is_some() {}
            if ranges.peek().is_none_or(|(start, _)| *start > offset) {
                let at = committed.offset;
                let text = format!(
                    "member {member} finished {partition}/{offset}, but its commit of {at} does not name it"
                );
                return Err(broken("repeats", event, text));
            }
        }
        Ok(())
    }

    fn after_commit(&mut self, event: &Event, partition: u32) -> Result<(), Violation> {
        let state = entry(&mut self.partitions, partition);
        match state.awaits {
            Some((0, _, sent)) => {
                state.awaits = None;
                self.complete(event, partition, sent)
            }
            _ => Ok(()),
        }
    }
}

impl Checker for Repeats {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        let member = event.member;
        match event.what {
            What::Written { record, .. } => {
                let cell = self.cells.at(record.partition, record.offset);
                *cell = Cell { epoch: record.epoch, written: true, ..Cell::default() };
                entry(&mut self.partitions, record.partition).elections |= record.epoch > 0;
            }
            What::Truncated { partition, offset, .. } => {
                self.cells.partition(partition).truncate(offset as usize);
                let state = entry(&mut self.partitions, partition);
                (state.elections, state.cut) = (true, true);
            }
            What::Reset { partition, offset } => {
                let state = entry(&mut self.partitions, partition);
                if member == NOBODY {
                    state.committed = Committed { offset, ranges: Vec::new() };
                }
                (state.elections, state.cut) = (true, true);
            }
            What::Foreign { partition } => {
                let state = entry(&mut self.partitions, partition);
                state.committed.ranges.clear();
                state.partial = true;
            }
            What::Assigned { partition, committed, ranges, again } => {
                self.next_serial += 1;
                let serial = self.next_serial;
                let state = entry(&mut self.partitions, partition);
                let mut known = match ranges {
                    true => state.committed.clone(),
                    false => Committed::default(),
                };
                known.offset = committed.unwrap_or(0);
                let before = state.assignments.iter().position(|a| a.member == member);
                let before = before.map(|index| state.assignments.swap_remove(index));
                let expelled = before.is_some_and(|a| again && a.expelled);
                let assignment = Assignment { member, serial, known, current: true, expelled };
                state.assignments.push(assignment);
            }
            What::Expelled => {
                let assignments = self.partitions.iter_mut().flat_map(|p| &mut p.assignments);
                assignments.filter(|a| a.member == member).for_each(|a| a.expelled = true);
            }
            What::Lost { partition } => {
                for assignment in &mut entry(&mut self.partitions, partition).assignments {
                    assignment.current &= assignment.member != member;
                }
            }
            What::Released { partition, clean } => {
                let complete = match clean {
                    true => self.complete(event, partition, event.at),
                    false => Ok(()),
                };
                for assignment in &mut entry(&mut self.partitions, partition).assignments {
                    assignment.current &= assignment.member != member;
                }
                return complete;
            }
            What::Ended => {
                for state in &mut self.partitions {
                    state.assignments.retain(|a| a.member != member);
                }
            }
            What::Start { record, .. } => return self.start(event, record),
            What::End { record, ending, .. } if ending.finishes() => self.finish(event, record),
            What::GivenUp { record } | What::LetterAnswered { record } => {
                self.finish(event, record);
            }
            What::Commit { partition, offset, ranges, sent, partial, .. } => {
                let state = entry(&mut self.partitions, partition);
                state.committed.offset = offset;
                state.committed.ranges.clear();
                state.partial = partial;
                state.awaits = Some((ranges, member, sent));
                return self.after_commit(event, partition);
            }
            What::Range { partition, start, end, .. } => {
                let state = entry(&mut self.partitions, partition);
                state.committed.ranges.push((start, end));
                if let Some((left, ..)) = &mut state.awaits {
                    *left -= 1;
                }
                return self.after_commit(event, partition);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::history::Ending::*;

    fn two_finished() -> Run {
        let mut run = Run::new();
        run.written(0, 0, 1).written(0, 1, 2).written(0, 2, 3).assigned(0);
        run.handled(0, 0, 1, Done).handled(0, 2, 1, Done);
        run
    }

    #[test]
    fn a_commit_that_forgets_a_finished_record_is_named() {
        let mut run = two_finished();
        run.commit(0, 1, &[(2, 3)]);
        assert!(run.violations(Repeats::default()).is_empty());
        run.commit(0, 1, &[]);
        assert_eq!(run.violations(Repeats::default()).len(), 1);
    }

    #[test]
    fn a_clean_release_names_everything() {
        let mut run = two_finished();
        run.commit(0, 1, &[(2, 3)]).handled(0, 1, 1, Done).released(0, false);
        assert!(run.violations(Repeats::default()).is_empty());
        let mut run = two_finished();
        run.commit(0, 1, &[(2, 3)]).handled(0, 1, 1, Done).released(0, true);
        assert_eq!(run.violations(Repeats::default()).len(), 1);
    }

    #[test]
    fn what_a_commit_names_does_not_start_again() {
        let mut run = two_finished();
        run.commit(0, 1, &[(2, 3)]).ended();
        run.member(1).assigned_at(0, 1).start(0, 1, 1);
        assert!(run.violations(Repeats::default()).is_empty());
        run.start(0, 2, 1).start(0, 0, 1);
        assert_eq!(run.violations(Repeats::default()).len(), 2);
    }

    #[test]
    fn what_no_commit_names_may_start_again_elsewhere_but_not_in_the_same_process() {
        let mut run = two_finished();
        run.member(1).assigned(0).start(0, 2, 1);
        assert!(run.violations(Repeats::default()).is_empty());
        run.member(0).lost(0).assigned(0).start(0, 2, 1);
        let text = "member 0 starts 0/2 again, which it finished itself";
        assert_eq!(run.violations(Repeats::default()), [text]);
        assert_eq!(run.violations(Repeats::without_memory()), [""; 0]);
    }
}
