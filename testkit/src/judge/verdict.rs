//! Runs the checkers that a test asks for.

use std::{collections::BTreeMap, fmt};

use super::{Expected, Finishing, Violation, checks::check, peaks::peaks, repeats};
use crate::{
    history::{Happened, History},
    kafka::Written,
};

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

/// What a test promises about a run. Always checked: nothing lost, commits, starts, attempts, and
/// how much was repeated (nothing, unless [`Judge::max_repeats`] allows it; what was committed,
/// never).
#[derive(Debug, Clone)]
pub struct Judge {
    pub(super) expected: Expected,
    pub(super) ordering: Ordering,
    pub(super) limit: Option<usize>,
    max_repeats: u64,
    pub(super) finishing: Finishing,
    pub(super) extra_crashes: u32,
    pub(super) commits_may_go_backwards: bool,
}

impl Judge {
    /// For a run that has to finish these records.
    #[must_use]
    pub fn new(expected: Expected) -> Self {
        Self {
            expected,
            ordering: Ordering::None,
            limit: None,
            max_repeats: 0,
            finishing: Finishing::default(),
            extra_crashes: 0,
            commits_may_go_backwards: false,
        }
    }

    /// For a run that has to finish all that was written.
    #[must_use]
    pub fn expecting_written(written: &[Written]) -> Self {
        Self::new(Expected::written(written))
    }

    /// The order in which records were to be handled. None by default.
    #[must_use]
    pub fn ordering(mut self, ordering: Ordering) -> Self {
        self.ordering = ordering;
        self
    }

    /// The most handlers that a member may have in flight. Not checked by default.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// How many finished records may finish again. 0 by default.
    #[must_use]
    pub fn max_repeats(mut self, max: u64) -> Self {
        self.max_repeats = max;
        self
    }

    /// The run gives up on a record after this attempt: then it counts as finished.
    #[must_use]
    pub fn last_attempt(mut self, attempt: u32) -> Self {
        self.finishing.last_attempt = Some(attempt);
        self
    }

    /// How many crashes there were beside the killed members and the lost partitions in the
    /// history, e.g. a killed broker. Each allows every key to go back once.
    #[must_use]
    pub fn extra_crashes(mut self, count: u32) -> Self {
        self.extra_crashes = count;
        self
    }

    /// For a topic that was recreated, a group whose offsets were set back, or members that learn
    /// of their commits late. What was committed may then be repeated as well.
    #[must_use]
    pub fn commits_may_go_backwards(mut self) -> Self {
        self.commits_may_go_backwards = true;
        self
    }

    /// Judges a run.
    #[must_use]
    pub fn check(&self, history: &History) -> Report {
        let repeated = repeats(history, self.finishing);
        let mut violations = check(self, history);
        violations.extend(repeated.violation(self.max_repeats));

        let count = |is: fn(&Happened) -> bool| {
            history.events().iter().filter(|event| is(&event.happened)).count()
        };
        Report {
            violations,
            expected: self.expected.len(),
            starts: count(|happened| matches!(happened, Happened::Start { .. })),
            ends: count(|happened| matches!(happened, Happened::End { .. })),
            commits: count(|happened| matches!(happened, Happened::Commit { .. })),
            repeats: repeated.count,
            peaks: peaks(history),
        }
    }
}

/// The verdict on a run, and what it consisted of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Every broken promise.
    pub violations: Vec<Violation>,
    /// How many records were expected.
    pub expected: usize,
    /// How many handlers started.
    pub starts: usize,
    /// How many handlers ended.
    pub ends: usize,
    /// How many commits were answered.
    pub commits: usize,
    /// How many finished records finished again.
    pub repeats: u64,
    /// The most handlers that each member had in flight.
    pub peaks: BTreeMap<String, usize>,
}

impl Report {
    /// How many violations are printed of each checker.
    const PRINTED: usize = 20;

    /// Panics with the whole report if a promise was broken.
    ///
    /// # Panics
    /// If a promise was broken.
    pub fn assert_ok(&self) {
        assert!(self.violations.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} violations; {} records expected, {} starts, {} ends, {} commits, {} repeats, most \
             in flight {:?}",
            self.violations.len(),
            self.expected,
            self.starts,
            self.ends,
            self.commits,
            self.repeats,
            self.peaks,
        )?;
        let mut printed: BTreeMap<&str, usize> = BTreeMap::new();
        for violation in &self.violations {
            let count = printed.entry(violation.checker).or_default();
            *count += 1;
            if *count <= Self::PRINTED {
                writeln!(f, "  {violation}")?;
            }
        }
        for (checker, count) in printed {
            if count > Self::PRINTED {
                writeln!(f, "  {checker}: and {} more", count - Self::PRINTED)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Ending::*, judge::testing::*};

    fn judge() -> Judge {
        let mut expected = Expected::new();
        expected.add_range("t", 0, 0..3);
        Judge::new(expected).ordering(Ordering::Key).limit(1)
    }

    #[test]
    fn a_good_run_is_good() {
        let mut run = Run::new("m");
        run.handled(0, 0, 1, Done).handled(0, 1, 1, Retry).handled(0, 1, 2, Done);
        run.handled(0, 2, 1, Skip).commit(0, 3);
        let report = judge().check(&run.history());
        report.assert_ok();
        assert_eq!((report.starts, report.commits, report.peaks["m"]), (4, 1, 1));
    }

    #[test]
    fn every_checker_is_asked() {
        let mut run = Run::new("m");
        run.start(0, 0, 1).handled(0, 1, 1, Done).handled(0, 1, 1, Done).commit(0, 2);
        let report = judge().check(&run.history());
        let mut checkers: Vec<_> = report.violations.iter().map(|found| found.checker).collect();
        checkers.dedup();
        checkers.sort_unstable();
        checkers.dedup();
        assert_eq!(checkers, ["commit", "limit", "lost", "order", "repeats"]);
        let text = std::panic::catch_unwind(|| report.assert_ok()).unwrap_err();
        assert!(text.downcast_ref::<String>().unwrap().contains("t/0 offset 2"));
    }
}
