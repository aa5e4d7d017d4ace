//! After the faults, the loop comes to rest where it is promised to.

use super::book::Book;
use super::{Checker, Loop, Violation};
use crate::history::{Event, RecordAt, What};

/// The backlog's mean is within so much of the target...
const WITHIN: f64 = 0.3;
/// ...and so much of what the consumers can do is done.
const THROUGHPUT: f64 = 0.98;

/// A run of the loop, between the times at which it is watched. With producers that want more than
/// the consumers can do: when the time that these need for what waits differs on average from the
/// target by more than 0.3 of it, or when they do less than 0.98 of what they can. With producers
/// that want half of it: a record that is refused.
#[derive(Debug)]
pub struct Settling {
    rules: Option<Loop>,
    book: Book,
    /// Records that wait, their sum over time, and how many were done.
    waiting: i64,
    area: f64,
    done: u64,
    since: u64,
}

impl Settling {
    /// A checker for a run of the loop; others are not asked.
    pub fn new(rules: Option<Loop>) -> Self {
        let (book, area) = (Book::default(), 0.0);
        Self { rules, book, waiting: 0, area, done: 0, since: 0 }
    }

    /// Moves on to the time of an event. Before the watch begins nothing is summed up, and when it
    /// does, what waits is counted.
    fn pass(&mut self, rules: &Loop, at: u64, partitions: u32) {
        let begins = self.since < rules.from && at >= rules.from;
        if begins {
            let unfinished = |partition| {
                let start = self.book.start(partition);
                let entries = self.book.entries(partition).iter().skip(start);
                entries.filter(|e| e.written && !e.finished).count() as i64
            };
            self.waiting = (0..partitions).map(unfinished).sum();
        }
        let (from, until) = (self.since.max(rules.from), at.min(rules.until));
        if until > from {
            self.area += self.waiting as f64 * (until - from) as f64;
        }
        self.since = at;
    }

    fn finished(&mut self, rules: &Loop, at: u64, record: RecordAt) {
        if self.book.get(record).is_some_and(|entry| !entry.finished) {
            self.waiting -= 1;
            self.done += u64::from((rules.from..rules.until).contains(&at));
        }
    }
}

impl Checker for Settling {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        let Some(rules) = self.rules else { return Ok(()) };
        self.pass(&rules, event.at, 64);
        match event.what {
            What::Written { .. } => self.waiting += 1,
            What::End { record, ending, .. } if ending.finishes() => {
                self.finished(&rules, event.at, record);
            }
            What::GivenUp { record } | What::LetterAnswered { record } => {
                self.finished(&rules, event.at, record);
            }
            What::Refused { gate, for_groups: true, .. }
                if !rules.overloaded && (rules.from..rules.until).contains(&event.at) =>
            {
                let text = format!(
                    "gate {gate} refuses a record, though the consumers could do twice as much"
                );
                return Err(Violation { invariant: "settling", text, at: event.at });
            }
            _ => {}
        }
        self.book.see(event);
        Ok(())
    }

    fn finish(&mut self, at: u64) -> Result<(), Violation> {
        let Some(rules) = self.rules.filter(|r| r.overloaded && at >= r.until) else {
            return Ok(());
        };
        let watched = (rules.until - rules.from) as f64;
        let drain = self.area / watched / rules.speed as f64;
        let throughput = self.done as f64 / (rules.speed as f64 * watched / 1e9);
        let target = rules.target.as_secs_f64();
        if (drain / target - 1.0).abs() <= WITHIN && throughput >= THROUGHPUT {
            return Ok(());
        }
        let text = format!(
            "{} producers settle at {drain:.2} s of work for a target of {target:.2} s, and {throughput:.3} of what the consumers can do is done",
            rules.producers
        );
        Err(Violation { invariant: "settling", text, at })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::history::Ending::Done;

    /// So many records that wait all the time, while one is done each microsecond.
    fn steady(waiting: i64) -> Run {
        let mut run = Run::new();
        (0..waiting).for_each(|offset| _ = run.written(0, offset, 1));
        for offset in waiting..200 {
            run.written(0, offset, 1).end(0, offset - waiting, 1, Done);
        }
        run
    }

    fn rules() -> Loop {
        let micros = std::time::Duration::from_micros;
        // One in two events is an end: half a million in a second.
        Loop { from: 100_000, until: 300_000, speed: 500_000, target: micros(40), ..of_a_loop() }
    }

    #[test]
    fn a_backlog_that_is_too_long_or_too_short_is_named() {
        assert!(steady(20).violations(Settling::new(Some(rules()))).is_empty());
        for waiting in [10, 40] {
            let found = steady(waiting).violations(Settling::new(Some(rules())));
            assert_eq!(found.len(), 1, "{waiting}: {found:?}");
        }
    }

    #[test]
    fn consumers_that_are_not_kept_busy_are_named() {
        let rules = Loop { speed: 600_000, target: rules().target * 5 / 6, ..rules() };
        let found = steady(20).violations(Settling::new(Some(rules)));
        assert!(found[0].contains("0.833 of what the consumers can do"), "{found:?}");
    }

    #[test]
    fn a_refusal_without_need_is_named() {
        let mut run = steady(1);
        run.push(What::Refused { gate: 3, partition: 0, for_groups: true });
        let rules = Loop { until: 1_000_000, overloaded: false, ..rules() };
        let found = run.violations(Settling::new(Some(rules)));
        assert_eq!(found, ["gate 3 refuses a record, though the consumers could do twice as much"]);
    }
}
