//! Attempts count from 1 without a gap within an assignment, overload charges none, and no record
//! has more than it may have.

use super::{ByOffset, Checker, Violation, broken, entry};
use crate::history::{Ending, Event, RecordAt, What};

/// So many overload answers may cost an attempt.
const OVERLOADS_PER_ATTEMPT: u32 = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// The assignment it was started in last.
    serial: u32,
    epoch: i32,
    /// The attempt that comes next.
    next: u32,
    overloads: u32,
    /// The member that started it last, and how many of its handlers have it: two, if one of them
    /// is of an earlier assignment.
    member: u32,
    running: u32,
    /// One of two has ended, and it is not known which.
    unclear: bool,
}

/// Every start with another attempt's number than is due, and every one beyond the last.
#[derive(Debug)]
pub struct Attempts {
    most: u32,
    cells: ByOffset<Cell>,
    serials: Vec<Vec<(u32, u32)>>,
    next_serial: u32,
}

impl Attempts {
    /// A checker for at most so many attempts.
    pub fn new(most: u32) -> Self {
        Self { most, cells: ByOffset::default(), serials: Vec::new(), next_serial: 1 }
    }

    fn cell(&mut self, member: u32, record: RecordAt) -> (u32, &mut Cell) {
        let serials = entry(&mut self.serials, record.partition);
        let serial = serials.iter().find(|(m, _)| *m == member).map_or(0, |(_, serial)| *serial);
        (serial, self.cells.at(record.partition, record.offset))
    }
}

impl Checker for Attempts {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        let member = event.member;
        match event.what {
            What::Assigned { partition, .. } => {
                let serial = self.next_serial;
                self.next_serial += 1;
                let serials = entry(&mut self.serials, partition);
                serials.retain(|(m, _)| *m != member);
                serials.push((member, serial));
            }
            What::Ended => {
                self.serials.iter_mut().for_each(|s| s.retain(|(m, _)| *m != member));
            }
            What::Start { record, attempt } => {
                let most = self.most;
                let (serial, cell) = self.cell(member, record);
                let epoch = record.epoch;
                if serial < cell.serial || epoch < cell.epoch {
                    // A member that does not know that it was expelled, or that the log was cut.
                    return Ok(());
                }
                if serial > cell.serial || epoch > cell.epoch {
                    let running = if cell.member == member { cell.running } else { 0 };
                    *cell = Cell { serial, epoch, next: 1, member, running, ..Cell::default() };
                }
                cell.running += 1;
                if std::mem::take(&mut cell.unclear) {
                    cell.next = attempt;
                }
                let charged = attempt == cell.next + 1 && cell.overloads >= OVERLOADS_PER_ATTEMPT;
                if charged {
                    (cell.next, cell.overloads) = (attempt, 0);
                }
                let due = cell.next;
                // Also after a violation, so that the next one is judged by what really happened.
                cell.next = attempt;
                let problem = if attempt != due {
                    format!("attempt {due} is due")
                } else if attempt > most {
                    format!("there are at most {most}")
                } else {
                    return Ok(());
                };
                let (partition, offset) = (record.partition, record.offset);
                let text = format!(
                    "member {member} starts {partition}/{offset} as attempt {attempt}, but {problem}"
                );
                return Err(broken("attempts", event, text));
            }
            What::End { record, ending, .. } => {
                let (serial, cell) = self.cell(member, record);
                if cell.member == member {
                    cell.unclear |= cell.running > 1;
                    cell.running = cell.running.saturating_sub(1);
                }
                if serial != cell.serial || record.epoch != cell.epoch {
                    return Ok(());
                }
                match ending {
                    Ending::Overloaded => cell.overloads += 1,
                    Ending::Retry | Ending::Panicked | Ending::TimedOut | Ending::Cancelled => {
                        cell.next += 1;
                        cell.overloads = 0;
                    }
                    Ending::Done | Ending::Skip | Ending::DeadLetter => {}
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
    fn attempts_count_from_one_and_end() {
        let mut run = Run::new();
        run.assigned(0).handled(0, 1, 1, Retry).handled(0, 1, 2, Panicked);
        assert!(run.violations(Attempts::new(2)).is_empty());
        run.start(0, 1, 3);
        assert_eq!(run.violations(Attempts::new(2)).len(), 1);
        run.assigned(0).start(0, 1, 2);
        assert_eq!(run.violations(Attempts::new(3)).len(), 1, "they begin again");
    }

    #[test]
    fn overload_charges_no_attempt() {
        let mut run = Run::new();
        run.assigned(0).handled(0, 1, 1, Overloaded).handled(0, 1, 1, Overloaded);
        assert!(run.violations(Attempts::new(2)).is_empty());
        run.start(0, 1, 2);
        assert_eq!(run.violations(Attempts::new(2)).len(), 1);
    }

    #[test]
    fn the_tenth_overload_may() {
        let mut run = Run::new();
        run.assigned(0);
        for _ in 0..10 {
            run.handled(0, 1, 1, Overloaded);
        }
        run.start(0, 1, 2);
        assert!(run.violations(Attempts::new(2)).is_empty());
    }
}
