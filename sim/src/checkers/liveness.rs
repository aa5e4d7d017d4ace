//! When faults stop, every record that is still in the log is finished, and committed.

use super::book::Book;
use super::{Checker, Violation, entry};
use crate::history::{Event, NOBODY, What};

#[derive(Clone, Copy, Debug, Default)]
struct Partition {
    committed: i64,
    /// Whether there is a record that is left and not committed.
    behind: bool,
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
    book: Book,
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
        for partition in 0..self.partitions.len() as u32 {
            let mut follows = false;
            let start = self.book.start(partition);
            let entries = self.book.entries(partition).iter().enumerate().skip(start);
            for (offset, entry) in entries.filter(|(_, e)| e.written) {
                let offset = offset as i64;
                match found.last_mut() {
                    _ if entry.finished => {}
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
                follows = !entry.finished;
            }
        }
        found
    }

    /// What is committed of a partition, or what there is of it, may have changed.
    fn look(&mut self, partition: u32) {
        let start = self.book.start(partition) as i64;
        let end = self.book.entries(partition).len() as i64;
        let state = entry(&mut self.partitions, partition);
        let behind = state.committed < end && start < end;
        if behind != state.behind {
            state.behind = behind;
            self.behind = if behind { self.behind + 1 } else { self.behind - 1 };
        }
    }
}

impl Checker for Liveness {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        self.book.see(event);
        match event.what {
            What::Written { record, .. } => self.look(record.partition),
            What::Truncated { partition, offset, .. } => {
                // Nobody can have committed what comes now.
                let state = entry(&mut self.partitions, partition);
                state.committed = state.committed.min(offset);
                self.look(partition);
            }
            What::Expired { partition, .. } => self.look(partition),
            What::Reset { partition, offset } if event.member == NOBODY => {
                entry(&mut self.partitions, partition).committed = offset;
                self.look(partition);
            }
            What::Commit { partition, offset, epoch, .. }
                if !self.book.was_cut(partition, offset, epoch) =>
            {
                entry(&mut self.partitions, partition).committed = offset;
                self.look(partition);
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
        for (partition, state) in (0..).zip(&self.partitions) {
            if state.behind {
                let committed = state.committed;
                let end = self.book.entries(partition).len();
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
