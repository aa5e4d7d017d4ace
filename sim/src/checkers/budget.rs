//! What a member has taken and not finished stays within its budgets.

use super::{ByOffset, Checker, Violation, broken, entry};
use crate::history::{Event, RecordAt, What};

/// Who holds a record.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// The member's number and one, 0 for nobody.
    holder: u32,
    bytes: u32,
    runs: bool,
    /// Its handler outlives its partition: what it holds is dropped when it ends.
    orphan: bool,
    finished: bool,
}

#[derive(Clone, Debug, Default)]
struct Member {
    bytes: u64,
    records: u32,
    limit: u32,
    /// Its own bytes and records that may wait, if they were changed.
    changed: Option<(u64, u32)>,
    /// Partitions of which it keeps nothing that does not run.
    closed: Vec<u32>,
}

/// Every record that is taken beyond the bytes (unless it is the only one) or the number of
/// records that a member may hold.
///
/// A record that finished anywhere before is not counted: the member may know that and leave it
/// out. The count is therefore a lower bound.
#[derive(Debug)]
pub struct Budget {
    max_bytes: u64,
    max_queued: u32,
    cells: ByOffset<Cell>,
    members: Vec<Member>,
}

impl Budget {
    /// A checker for these budgets.
    pub fn new(max_bytes: u64, max_queued: u32) -> Self {
        Self { max_bytes, max_queued, cells: ByOffset::default(), members: Vec::new() }
    }

    fn drop_record(members: &mut Vec<Member>, cell: &mut Cell) {
        if cell.holder > 0 {
            let member = entry(members, cell.holder - 1);
            member.bytes = member.bytes.saturating_sub(cell.bytes.into());
            member.records = member.records.saturating_sub(1);
            cell.holder = 0;
        }
    }

    /// What a member holds of a partition and does not run is dropped, and so is what ends there.
    fn close(&mut self, member: u32, partition: u32) {
        for cell in self.cells.partition(partition) {
            if cell.holder == member + 1 {
                match cell.runs {
                    true => cell.orphan = true,
                    false => Self::drop_record(&mut self.members, cell),
                }
            }
        }
        let closed = &mut entry(&mut self.members, member).closed;
        if !closed.contains(&partition) {
            closed.push(partition);
        }
    }

    fn finish(&mut self, member: u32, record: RecordAt) {
        let cell = self.cells.at(record.partition, record.offset);
        cell.finished = true;
        if cell.holder == member + 1 {
            Self::drop_record(&mut self.members, cell);
        }
    }
}

impl Checker for Budget {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        let member = event.member;
        match event.what {
            What::Joined { limit } => {
                let state = entry(&mut self.members, member);
                (state.limit, state.changed) = (limit, None);
            }
            What::Limit { limit } => entry(&mut self.members, member).limit = limit,
            What::Budgets { bytes, queued } => {
                entry(&mut self.members, member).changed = Some((bytes, queued));
            }
            What::Assigned { partition, .. } => {
                entry(&mut self.members, member).closed.retain(|p| *p != partition);
            }
            What::Taken { record, bytes } => {
                let cell = self.cells.at(record.partition, record.offset);
                if cell.finished {
                    return Ok(());
                }
                Self::drop_record(&mut self.members, cell);
                *cell = Cell { holder: member + 1, bytes, ..Cell::default() };
                let state = entry(&mut self.members, member);
                state.bytes += u64::from(bytes);
                state.records += 1;
                let (held, records) = (state.bytes, state.records);
                let (partition, offset) = (record.partition, record.offset);
                let usual = (self.max_bytes, self.max_queued);
                let (most, max_queued) = state.changed.unwrap_or(usual);
                if held > most && records > 1 {
                    let text = format!(
                        "member {member} takes {partition}/{offset} and holds {records} records of {held} bytes, at most {most}"
                    );
                    return Err(broken("budget", event, text));
                }
                let most = max_queued + state.limit;
                if records > most {
                    let text = format!(
                        "member {member} takes {partition}/{offset} and holds {records} records, at most {most}"
                    );
                    return Err(broken("budget", event, text));
                }
            }
            What::Start { record, .. } => {
                let cell = self.cells.at(record.partition, record.offset);
                if cell.holder == member + 1 {
                    cell.runs = true;
                }
            }
            What::End { record, ending, .. } => {
                let closed = entry(&mut self.members, member).closed.contains(&record.partition);
                let cell = self.cells.at(record.partition, record.offset);
                if cell.holder == member + 1 {
                    cell.runs = false;
                    if closed || cell.orphan {
                        Self::drop_record(&mut self.members, cell);
                    }
                }
                if ending.finishes() {
                    self.finish(member, record);
                }
            }
            What::GivenUp { record } | What::LetterAnswered { record } => {
                self.finish(member, record);
            }
            What::Revoking { partition }
            | What::Lost { partition }
            | What::Released { partition, .. }
            | What::Stopped { partition } => self.close(member, partition),
            What::Truncated { partition, offset, .. } => {
                for cell in self.cells.partition(partition).iter_mut().skip(offset as usize) {
                    Self::drop_record(&mut self.members, cell);
                    *cell = Cell::default();
                }
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

    #[test]
    fn more_bytes_than_the_budget_are_named_and_one_large_record_is_not() {
        let mut run = Run::new();
        run.joined(5).assigned(0).taken(0, 1, 2_000).handled(0, 1, 1, Done);
        run.taken(0, 2, 600).taken(0, 3, 400);
        assert!(run.violations(Budget::new(1_000, 9)).is_empty());
        run.taken(0, 4, 1);
        assert_eq!(run.violations(Budget::new(1_000, 9)).len(), 1);
    }

    #[test]
    fn more_records_than_permits_and_queue_are_named() {
        let mut run = Run::new();
        run.joined(1).assigned(0).taken(0, 1, 1).taken(0, 2, 1);
        assert!(run.violations(Budget::new(1_000, 1)).is_empty());
        run.taken(0, 3, 1);
        assert_eq!(run.violations(Budget::new(1_000, 1)).len(), 1);
    }

    #[test]
    fn after_a_cut_nothing_is_taken_until_it_fits() {
        let mut run = Run::new();
        run.joined(1).assigned(0).taken(0, 1, 500).taken(0, 2, 400);
        run.push(What::Budgets { bytes: 600, queued: 9 });
        assert!(run.violations(Budget::new(1_000, 9)).is_empty());
        run.handled(0, 1, 1, Done).taken(0, 3, 200);
        assert!(run.violations(Budget::new(1_000, 9)).is_empty());
        run.taken(0, 4, 1);
        assert_eq!(run.violations(Budget::new(1_000, 9)).len(), 1);
    }

    #[test]
    fn a_revocation_gives_back_what_does_not_run() {
        let mut run = Run::new();
        run.joined(1).assigned(0).taken(0, 1, 500).taken(0, 2, 500).start(0, 1, 1);
        run.push(What::Revoking { partition: 0 }).taken(1, 1, 500);
        assert!(run.violations(Budget::new(1_000, 9)).is_empty());
        run.taken(1, 2, 500);
        assert_eq!(run.violations(Budget::new(1_000, 9)).len(), 1, "the handler still holds 500");
    }
}
