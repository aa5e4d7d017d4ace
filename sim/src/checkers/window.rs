//! A partition is not read further ahead of what is unfinished than its window.

use super::{ByOffset, Checker, Violation, broken, entry};
use crate::history::{Event, RecordAt, What};

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    epoch: i32,
    written: bool,
    finished: bool,
    /// How many records lie before it.
    rank: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Partition {
    /// Records below it are finished or gone.
    head: usize,
    start: usize,
    records: u64,
}

/// Every record that is taken when more records than the window's offsets lie between it and the
/// first that nobody has finished.
///
/// The member's own first unfinished record may lie before that one, and offsets without a record
/// are not counted: a lower bound.
#[derive(Debug)]
pub struct Window {
    most: u64,
    cells: ByOffset<Cell>,
    partitions: Vec<Partition>,
}

impl Window {
    /// A checker for a window of so many offsets.
    pub fn new(most: u64) -> Self {
        Self { most, cells: ByOffset::default(), partitions: Vec::new() }
    }

    fn finish(&mut self, record: RecordAt) {
        let cell = self.cells.at(record.partition, record.offset);
        cell.finished |= cell.written && cell.epoch == record.epoch;
    }

    fn taken(&mut self, event: &Event, record: RecordAt) -> Result<(), Violation> {
        let state = entry(&mut self.partitions, record.partition);
        let cells = self.cells.partition(record.partition);
        while let Some(cell) = cells.get(state.head) {
            if cell.written && !cell.finished && state.head >= state.start {
                break;
            }
            state.head += 1;
        }
        let (Some(head), Some(taken)) = (cells.get(state.head), cells.get(record.offset as usize))
        else {
            return Ok(());
        };
        if !taken.written || taken.epoch != record.epoch || taken.rank < head.rank + self.most {
            return Ok(());
        }
        let (partition, offset) = (record.partition, record.offset);
        let (member, first, most) = (event.member, state.head, self.most);
        let text = format!(
            "member {member} takes {partition}/{offset} with {first} unfinished, a window of {most}"
        );
        Err(broken("window", event, text))
    }
}

impl Checker for Window {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        match event.what {
            What::Written { record, .. } => {
                let state = entry(&mut self.partitions, record.partition);
                let cell = self.cells.at(record.partition, record.offset);
                let (epoch, rank) = (record.epoch, state.records);
                *cell = Cell { epoch, written: true, finished: false, rank };
                state.records += 1;
                state.head = state.head.min(record.offset as usize);
            }
            What::Truncated { partition, offset, .. } => {
                let cells = self.cells.partition(partition);
                cells.truncate(offset as usize);
                let last = cells.iter().rfind(|c| c.written);
                let state = entry(&mut self.partitions, partition);
                state.records = last.map_or(0, |c| c.rank + 1);
                state.head = state.head.min(offset as usize);
                state.start = state.start.min(offset as usize);
            }
            What::Expired { partition, offset } => {
                entry(&mut self.partitions, partition).start = offset as usize;
            }
            What::Taken { record, .. } => return self.taken(event, record),
            What::End { record, ending, .. } if ending.finishes() => self.finish(record),
            What::GivenUp { record } | What::LetterAnswered { record } => self.finish(record),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::history::Ending::Done;

    #[test]
    fn a_record_beyond_the_window_is_named() {
        let mut run = Run::new();
        for offset in 0..4 {
            run.written(0, offset, 1);
        }
        run.assigned(0).taken(0, 0, 1).taken(0, 1, 1).handled(0, 1, 1, Done).taken(0, 2, 1);
        assert!(run.violations(Window::new(3)).is_empty());
        run.taken(0, 3, 1);
        let text = "member 0 takes 0/3 with 0 unfinished, a window of 3";
        assert_eq!(run.violations(Window::new(3)), [text]);
    }
}
