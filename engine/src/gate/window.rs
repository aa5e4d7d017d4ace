//! The credit window's law.
//!
//! All producers of a topic read the same drain time and multiply their windows by the same factor,
//! which keeps the backlog at the aim and the proportion of the windows as it is. Beside that each
//! window is drawn towards the backlog that is aimed for, by the logarithm of how far it is from it:
//! a small window relatively more than a large one, so that they become equal, with a time constant
//! that does not depend on how many producers there are. What they are drawn by adds up to an
//! offset: with `n` producers the drain time settles at `aim / (1 - 0.06 ln n)`. The constants were
//! chosen so that this stays within a tenth of the target from 1 to 16 producers, as it is measured
//! in `tests/gate_loop.rs`.

use core::time::Duration;

use super::math::{ln, weight};
use crate::canary::{Canary, is_planted};

/// The window follows with this horizon.
const HORIZON: Duration = Duration::from_secs(1);
/// The window at most doubles for each horizon.
const MOST_GROWTH: f64 = 2.0;
/// How strongly windows are drawn together: the difference of their logarithms shrinks by this part
/// in each second.
const EQUALISING: f64 = 0.06;
/// The aim is this part of the target: a lone producer settles somewhat below the target and many
/// somewhat above.
const AIM: f64 = 0.93;
/// A producer that is not held back keeps its window up to so many times the target: a burst that is
/// as large as the target allows must not be held back the next time because of a noisy reading.
const TOLERATED: f64 = 1.25;

/// Where a gate begins that finds too long a drain time, as a part of the backlog that is aimed for.
const MODEST: f64 = 0.02;
/// The window is never less than this part of it.
const LEAST: f64 = 0.002;
/// The window before anything is known, in records.
const FIRST: f64 = 100.0;

/// What a probe says, for all groups together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal {
    /// Seconds that the slowest group needs for its lag, if known.
    pub(super) drain: Option<f64>,
    /// It may be less.
    pub(super) upper_bound: bool,
    /// Records a second of that group, if known.
    pub(super) rate: Option<f64>,
    /// The drain time that is aimed for, in seconds.
    pub(super) target: f64,
    /// Whether the window held the producer back since the last probes.
    pub(super) held_back: bool,
}

/// The credit window: how many records may be outstanding.
#[derive(Debug)]
pub(super) struct CreditWindow {
    records: f64,
    initial: f64,
    /// A drain time was seen, so that the window is no longer the first guess.
    settled: bool,
}

impl CreditWindow {
    pub(super) fn new(initial: u32) -> Self {
        let initial = f64::from(initial);
        Self { records: FIRST.min(initial), initial, settled: false }
    }

    /// The window in whole records, at least one.
    pub(super) fn records(&self) -> u64 {
        (self.records as u64).max(1)
    }

    /// No drain time can be known, since a group has no commit: the first guess.
    pub(super) fn begin_without_group(&mut self) {
        if !self.settled {
            self.records = self.initial;
        }
    }

    /// Follows what a probe said, so long after the one before.
    pub(super) fn update(&mut self, signal: Signal, elapsed: Duration) {
        let Signal { drain: Some(drain), target, .. } = signal else { return };
        let backlog = signal.rate.map(|rate| (rate * target).max(1.0));
        if !core::mem::replace(&mut self.settled, true) {
            self.begin(drain > target && !signal.upper_bound, backlog);
        }
        let aim = target * AIM;
        // Compared by multiplying, since the drain time may be zero.
        let factor = if drain * MOST_GROWTH > aim { aim / drain } else { MOST_GROWTH };
        let mut drawn = backlog.map_or(0.0, |backlog| EQUALISING * ln(backlog / self.records));
        if is_planted(Canary::NotEqualised) {
            drawn = 0.0;
        }
        let change = weight(elapsed, HORIZON) * (factor - 1.0 + drawn);
        let falls_beyond = if signal.held_back { aim } else { target * TOLERATED };
        let may_fall = drain > falls_beyond && !signal.upper_bound;
        // What is left of a bad time must not hold back the first records of a good one.
        let modest = self.initial.min(backlog.unwrap_or(self.initial));
        let may_grow = signal.held_back || (drain * 2.0 < aim && self.records < modest);
        if (change > 0.0 && may_grow) || (change < 0.0 && may_fall) {
            self.records *= (1.0 + change).max(0.0);
        }
        self.records = self.records.max(backlog.map_or(1.0, |b| b * LEAST)).max(1.0);
    }

    /// The first drain time: a producer that finds a backlog, its own from before a restart perhaps,
    /// begins with little.
    fn begin(&mut self, late: bool, backlog: Option<f64>) {
        let modest = backlog.map_or(FIRST, |backlog| backlog * MODEST);
        self.records = if late { modest.min(self.initial) } else { self.initial };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Duration = Duration::from_millis(500);

    fn signal(drain: f64, held_back: bool) -> Signal {
        Signal {
            drain: Some(drain),
            upper_bound: false,
            rate: Some(5_000.0),
            target: 2.0,
            held_back,
        }
    }

    fn after(signal: Signal, probes: usize) -> u64 {
        let mut window = CreditWindow::new(1_000);
        window.begin_without_group();
        window.settled = true;
        (0..probes).for_each(|_| window.update(signal, PROBE));
        window.records()
    }

    #[test]
    fn it_grows_only_when_it_held_the_producer_back() {
        assert_eq!(after(signal(0.5, false), 10), 1_000);
        assert!(after(signal(0.5, true), 10) > 5_000);
        assert!(after(signal(0.0, true), 2) <= 2_200, "it about doubles in a second at most");
    }

    #[test]
    fn it_falls_only_beyond_the_target_and_never_to_nothing() {
        assert_eq!(after(signal(2.4, false), 10), 1_000);
        assert!(after(signal(4.0, false), 10) < 330);
        assert!(after(signal(4.0, true), 10) < 330);
        assert_eq!(after(signal(1_000.0, true), 1_000), 20, "a five-hundredth of 10,000");
        assert!(after(Signal { upper_bound: true, ..signal(4.0, true) }, 10) >= 1_000);
    }

    #[test]
    fn a_small_one_recovers_by_itself_while_the_group_has_little_to_do() {
        let mut window = CreditWindow::new(1_000);
        window.update(signal(9.0, false), PROBE);
        (0..40).for_each(|_| window.update(signal(9.0, false), PROBE));
        assert_eq!(window.records(), 20);
        (0..40).for_each(|_| window.update(signal(0.1, false), PROBE));
        assert!((1_000..2_000).contains(&window.records()), "{}", window.records());
    }

    #[test]
    fn nothing_is_learned_without_a_drain_time() {
        assert_eq!(after(Signal { drain: None, ..signal(0.0, true) }, 10), 1_000);
    }

    #[test]
    fn it_begins_with_little_when_the_drain_time_is_too_long_already() {
        let begin = |drain: f64| {
            let mut window = CreditWindow::new(1_000);
            assert_eq!(window.records(), 100, "before anything is known");
            window.update(signal(drain, false), PROBE);
            window.records()
        };
        assert!((150..=200).contains(&begin(3.0)), "{}", begin(3.0));
        assert_eq!(begin(1.0), 1_000);
        assert_eq!(begin(0.0), 1_000);
    }

    #[test]
    fn two_windows_become_equal_with_the_same_time_constant_whatever_they_share() {
        for share in [0.5, 0.1] {
            let (mut small, mut large) = (CreditWindow::new(1_000), CreditWindow::new(1_000));
            (small.records, large.records) = (10_000.0 * share / 8.0, 10_000.0 * share);
            (small.settled, large.settled) = (true, true);
            let drain = 2.0 * AIM / (1.0 - EQUALISING * (1.0 / share).ln());
            for _ in 0..60 {
                small.update(signal(drain, true), PROBE);
                large.update(signal(drain, true), PROBE);
            }
            let apart = (large.records / small.records).ln() / 8f64.ln();
            assert!((0.12..0.3).contains(&apart), "{share}: {apart} is left after 30 s");
        }
    }

    extern crate std;
}
