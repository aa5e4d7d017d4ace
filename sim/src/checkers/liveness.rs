//! When faults stop, every record that is still in the log is finished, and committed.

use super::{ByOffset, Checker, Violation, entry};
use crate::history::{Event, NOBODY, RecordAt, What};

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    epoch: i32,
    written: bool,
    finished: bool,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    /// Behind the last record.
    end: i64,
    start: i64,
    committed: i64,
    behind: bool,
    /// Each unclean election: where it cut, and the epoch that followed.
    cuts: Vec<(i64, i32)>,
}

/// Records that follow each other and never finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Where.
    pub partition: u32,
    /// The first one's offset.
    pub first: i64,
    /// The last one's offset.
    pub last: i64,
    /// How many they are.
    pub records: u64,
}

/// At the end: a partition that is not committed up to its last record, and a record that never
/// finished (it is lost).
#[derive(Debug, Default)]
pub struct Liveness {
    cells: ByOffset<Cell>,
    partitions: Vec<Partition>,
    behind: u32,
}

impl Liveness {
    /// Whether every partition is committed up to its last record.
    pub fn is_complete(&self) -> bool {
        self.behind == 0
    }

    /// All records that are still in the log and never finished.
    pub fn unfinished(&mut self) -> Vec<Unfinished> {
        let mut found: Vec<Unfinished> = Vec::new();
        for (partition, state) in (0..).zip(&self.partitions) {
            let mut follows = false;
            let cells = self.cells.partition(partition).iter().enumerate();
            for (offset, cell) in cells.skip(state.start as usize).filter(|(_, c)| c.written) {
                let offset = offset as i64;
                match found.last_mut() {
                    _ if cell.finished => {}
                    Some(run) if follows => {
                        (run.last, run.records) = (offset, run.records + 1);
                    }
                    _ => found.push(Unfinished {
                        partition,
                        first: offset,
                        last: offset,
                        records: 1,
                    }),
                }
                follows = !cell.finished;
            }
        }
        found
    }

    fn change(&mut self, partition: u32, change: impl FnOnce(&mut Partition)) {
        let state = entry(&mut self.partitions, partition);
        change(state);
        let behind = state.committed < state.end && state.start < state.end;
        if behind != state.behind {
            state.behind = behind;
            self.behind = if behind { self.behind + 1 } else { self.behind - 1 };
        }
    }

    fn finish_record(&mut self, record: RecordAt) {
        let cell = self.cells.at(record.partition, record.offset);
        cell.finished |= cell.written && cell.epoch == record.epoch;
    }
}

impl Checker for Liveness {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        match event.what {
            What::Written { record, .. } => {
                let cell = self.cells.at(record.partition, record.offset);
                *cell = Cell { epoch: record.epoch, written: true, finished: false };
                self.change(record.partition, |p| p.end = record.offset + 1);
            }
            What::Truncated { partition, offset, epoch } => {
                let cells = self.cells.partition(partition);
                cells.truncate(offset as usize);
                let last = cells.iter().rposition(|c| c.written);
                self.change(partition, |p| {
                    p.end = last.map_or(0, |last| last as i64 + 1);
                    // Nobody can have committed what comes now.
                    p.committed = p.committed.min(offset);
                    p.cuts.push((offset, epoch));
                });
            }
            What::Expired { partition, offset } => {
                self.change(partition, |p| p.start = offset);
            }
            What::Reset { partition, offset } if event.member == NOBODY => {
                self.change(partition, |p| p.committed = offset);
            }
            What::Commit { partition, offset, epoch, .. } => self.change(partition, |p| {
                let void = p.cuts.iter().any(|(at, after)| *after > epoch && *at < offset);
                if !void {
                    p.committed = offset;
                }
            }),
            What::End { record, ending, .. } if ending.finishes() => self.finish_record(record),
            What::GivenUp { record } | What::LetterAnswered { record } => {
                self.finish_record(record);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, at: u64) -> Result<(), Violation> {
        if let Some(Unfinished { partition, first, .. }) = self.unfinished().first() {
            let committed = entry(&mut self.partitions, *partition).committed;
            let (invariant, what) = match *first < committed {
                true => ("lost", "was never finished and is committed"),
                false => ("liveness", "was never finished"),
            };
            let text = format!("{partition}/{first} {what}; committed is {committed}");
            return Err(Violation { invariant, text, at });
        }
        for (partition, state) in self.partitions.iter().enumerate() {
            if state.behind {
                let Partition { committed, end, .. } = state;
                let text = format!("partition {partition} is committed to {committed} of {end}");
                return Err(Violation { invariant: "liveness", text, at });
            }
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
    fn a_record_that_never_finished_is_named() {
        let mut run = Run::new();
        run.written(0, 0, 1).written(0, 1, 1).handled(0, 0, 1, Done);
        let text = "0/1 was never finished; committed is 0";
        assert_eq!(run.violations(Liveness::default()), [text]);
        run.commit(0, 2, &[]);
        let text = "0/1 was never finished and is committed; committed is 2";
        assert_eq!(run.violations(Liveness::default()), [text]);
        run.handled(0, 1, 1, Skip);
        assert!(run.violations(Liveness::default()).is_empty());
    }

    #[test]
    fn unfinished_records_are_named_together() {
        let mut run = Run::new();
        for offset in [0, 2, 3, 5, 6] {
            run.written(1, offset, 1);
        }
        run.handled(1, 5, 1, Done);
        let mut liveness = run.seen_by(Liveness::default());
        let named = |first, last, records| Unfinished { partition: 1, first, last, records };
        assert_eq!(liveness.unfinished(), [named(0, 3, 3), named(6, 6, 1)]);
    }

    #[test]
    fn a_partition_that_is_not_committed_is_named() {
        let mut run = Run::new();
        run.written(0, 0, 1).handled(0, 0, 1, Done);
        assert_eq!(run.violations(Liveness::default()), ["partition 0 is committed to 0 of 1"]);
    }

    #[test]
    fn what_retention_removed_need_not_finish() {
        let mut run = Run::new();
        run.written(0, 0, 1).push(What::Expired { partition: 0, offset: 1 });
        assert!(run.violations(Liveness::default()).is_empty());
    }
}
