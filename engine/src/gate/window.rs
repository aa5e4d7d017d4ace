//! The credit window's law.

use core::time::Duration;

use super::math::weight;

/// The window follows with this horizon.
const HORIZON: Duration = Duration::from_secs(1);
/// The window at most doubles for each horizon.
const MOST_GROWTH: f64 = 2.0;
/// What every producer adds, as a part of the backlog that is aimed for.
const INCREMENT: f64 = 0.02;
/// What is added while the rate is unknown, and the window of a gate that finds too long a drain
/// time when it starts; in records.
const FIRST_INCREMENT: f64 = 100.0;

/// How long ago a drain time may be to count for the offset of the law.
const SLOW_HORIZON: Duration = Duration::from_secs(15);
/// A drain time beyond so many times the target is a disturbance, and not an offset.
const MOST_OFFSET: f64 = 1.25;
/// How much lower than the target the law may aim.
const LOWEST_AIM: f64 = 0.7;

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
    /// The drain time by the target, averaged over a long time.
    slow: Option<f64>,
}

impl CreditWindow {
    pub(super) fn new(initial: u32) -> Self {
        Self {
            records: FIRST_INCREMENT.min(initial.into()),
            initial: initial.into(),
            settled: false,
            slow: None,
        }
    }

    /// The window in whole records, at least one.
    pub(super) fn records(&self) -> u64 {
        (self.records as u64).max(1)
    }

    /// No drain time can be known, since the group has no commit: the first guess.
    pub(super) fn begin_without_group(&mut self) {
        if !self.settled {
            self.records = self.initial;
        }
    }

    pub(super) fn update(&mut self, signal: Signal, elapsed: Duration) {
        let Signal { drain: Some(drain), target, .. } = signal else { return };
        let increment = signal.rate.map_or(FIRST_INCREMENT, |r| (r * target * INCREMENT).max(1.0));
        if !core::mem::replace(&mut self.settled, true) {
            self.records = if drain > target && !signal.upper_bound {
                increment.min(self.initial)
            } else {
                self.initial
            };
        }
        let aim = target * self.aim(drain / target, elapsed);
        let factor = if drain * MOST_GROWTH > aim { aim / drain } else { MOST_GROWTH };
        let wanted = factor * self.records + increment;
        let may_grow = signal.held_back;
        let may_fall = drain > aim && !signal.upper_bound;
        if (wanted > self.records && may_grow) || (wanted < self.records && may_fall) {
            self.records += weight(elapsed, HORIZON) * (wanted - self.records);
        }
        self.records = self.records.max(increment);
    }

    fn aim(&mut self, relative: f64, elapsed: Duration) -> f64 {
        let relative = relative.clamp(1.0 / MOST_OFFSET, MOST_OFFSET);
        let slow = self.slow.get_or_insert(relative);
        *slow += weight(elapsed, SLOW_HORIZON) * (relative - *slow);
        (1.0 / (*slow * *slow * *slow)).clamp(LOWEST_AIM, 1.0)
    }
}
