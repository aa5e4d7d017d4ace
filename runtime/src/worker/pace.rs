//! How many dispatches a worker takes at once.

use std::time::Duration;

/// A turn should take about so long: short enough that nothing waits long behind a slow record,
/// long enough that a lock and two looks at the clock do not count.
const TURN: u64 = 100_000;
/// Polls that take longer are worth a hand-over to another core; below, a second worker costs
/// more than it brings (measured 1.4 times slower with handlers that are ready at once).
const WORTH_SHARING: u64 = 1_500;

/// Estimates what a poll costs, in nanoseconds. It believes bad news at once and good news by
/// and by (a quarter at a time), because 63 records behind one that blocks its thread are worse
/// than a few short turns.
#[derive(Debug)]
pub(crate) struct Pace {
    poll: u64,
}

impl Pace {
    /// The most that is taken at once.
    pub(crate) const MOST: usize = 64;

    /// Begins with single records: the first one may block.
    pub(crate) fn new() -> Self {
        Self { poll: TURN }
    }

    /// How many dispatches to take for one turn.
    pub(crate) fn take(&self) -> usize {
        (TURN / self.poll.max(1)).clamp(1, Self::MOST as u64) as usize
    }

    /// So many polls took so long.
    pub(crate) fn measured(&mut self, polls: usize, took: Duration) {
        if polls == 0 {
            return;
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.poll = (nanos / polls as u64).max(self.poll / 4).max(1);
    }

    /// Whether another worker would help.
    pub(crate) fn is_worth_sharing(&self) -> bool {
        self.poll > WORTH_SHARING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_of_what_blocks_and_many_of_what_does_not() {
        let mut pace = Pace::new();
        assert_eq!(pace.take(), 1);
        for _ in 0..5 {
            pace.measured(64, Duration::from_micros(3));
        }
        assert_eq!((pace.take(), pace.is_worth_sharing()), (64, false));
        pace.measured(64, Duration::from_millis(100));
        assert_eq!((pace.take(), pace.is_worth_sharing()), (1, true));
        pace.measured(1, Duration::from_micros(10));
        assert_eq!(pace.take(), 1);
    }
}
