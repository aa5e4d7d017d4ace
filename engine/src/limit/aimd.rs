//! Additive increase, multiplicative decrease, in whole numbers.

use core::time::Duration;

use super::Sample;
use super::goodput::Goodput;
use crate::Instant;

/// So many refusals in a row, and what the target took before them says nothing any more: it is halved
/// after each so many.
const BARREN: u32 = 32;
/// Permits and rates are counted in millionths.
const ONE: u64 = 1_000_000;
/// Where it begins.
const FIRST: u64 = 10 * ONE;
/// Below so many calls at once it is a rate.
const PACED_BELOW: u64 = 8 * ONE;
/// The least rate: a start in 2 s.
const LEAST_RATE: u64 = ONE / 2;
/// While nothing speaks against it, it doubles so often.
const DOUBLES: Duration = Duration::from_millis(100);
/// After a cut, in so much time of use it is where it was; and after one by more than a quarter, which
/// may have been too much.
const BACK: Duration = Duration::from_secs(20);
const BACK_FROM_FAR: Duration = Duration::from_secs(4);
/// And then it grows by `1 / E_FOLD` of itself a second: it doubles in 4 s.
const E_FOLD: Duration = Duration::from_micros(5_770_780);
/// A pause in the answers is no use.
const LONGEST_STEP: Duration = Duration::from_millis(100);
/// No latency is believed to be less, and none is when there is none yet.
const LEAST_LATENCY: u64 = 50_000;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// Calls at once.
    InFlight(u64),
    /// Starts in a second.
    Rate(u64),
}

/// The limit while a target is up.
#[derive(Debug)]
pub(super) struct Aimd {
    most: u64,
    level: Level,
    /// How long a call that is done takes, in nanoseconds; 0 if none was.
    latency: u64,
    goodput: Goodput,
    /// Not cut yet, and when it doubled last.
    searching: Option<Instant>,
    cut_at: Instant,
    /// From where to where it grows after a cut, in the level's own unit, and for how long it has.
    from: u64,
    back_to: u64,
    back: Duration,
    used: Duration,
    /// Refusals since the last success.
    barren: u32,
    last_done: Instant,
}

/// `a * b / c` without an overflow in between.
fn scaled(a: u64, b: u64, c: u64) -> u64 {
    u64::try_from(u128::from(a) * u128::from(b) / u128::from(c.max(1))).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Aimd {
    pub(super) fn new(max_in_flight: u32, now: Instant) -> Self {
        let most = u64::from(max_in_flight.max(1)) * ONE;
        Self {
            most,
            level: Level::InFlight(FIRST.min(most)),
            latency: 0,
            goodput: Goodput::new(now),
            searching: Some(now),
            cut_at: now,
            from: 0,
            back_to: 0,
            back: BACK,
            used: Duration::ZERO,
            barren: 0,
            last_done: now,
        }
    }

    /// There may be so many calls from now on.
    pub(super) fn set_most(&mut self, max_in_flight: u32, now: Instant) {
        let before = self.most;
        self.most = u64::from(max_in_flight.max(1)) * ONE;
        if let Level::InFlight(permits) = self.level {
            if permits == before && self.most > before {
                self.searching = Some(now);
            }
            self.level = Level::InFlight(permits.min(self.most));
            self.back_to = self.back_to.min(self.most);
        }
    }

    /// The target was down and is up again: from one on.
    pub(super) fn restart(&mut self, now: Instant) {
        self.level = Level::InFlight(ONE);
        self.searching = Some(now);
        self.goodput = Goodput::new(now);
        self.cut_at = now;
        self.last_done = now;
    }

    /// How many calls at once.
    pub(super) fn in_flight(&self) -> u32 {
        let permits = match self.level {
            Level::InFlight(permits) => permits / ONE,
            // What is on its way at that rate, and one that is a little slower.
            Level::Rate(rate) => self.permits(rate).min(self.most).div_ceil(ONE),
        };
        u32::try_from(permits.max(1)).unwrap_or(u32::MAX)
    }

    /// How long from start to start.
    pub(super) fn spacing(&self) -> Duration {
        match self.level {
            Level::InFlight(_) => Duration::ZERO,
            Level::Rate(rate) => Duration::from_nanos(1_000_000_000 * ONE / rate.max(1)),
        }
    }

    /// The calls at once that a rate comes to, and the other way round (Little's law).
    fn permits(&self, rate: u64) -> u64 {
        scaled(rate, self.latency.max(LEAST_LATENCY), 1_000_000_000)
    }

    fn rate(&self, permits: u64) -> u64 {
        scaled(permits, 1_000_000_000, self.latency.max(LEAST_LATENCY))
    }

    /// The target took a record.
    pub(super) fn done(&mut self, sample: &Sample) {
        let now = sample.ended;
        self.measure(sample);
        self.goodput.count(true, now);
        self.barren = 0;
        let longest = LONGEST_STEP.max(2 * self.spacing());
        let step = now.saturating_since(self.last_done).min(longest);
        self.last_done = now;
        // What is not used does not grow.
        if matches!(self.level, Level::InFlight(_))
            && sample.in_flight < self.in_flight().div_ceil(2)
        {
            return;
        }
        match self.searching {
            Some(doubled) if now.saturating_since(doubled) >= DOUBLES => {
                self.searching = Some(now);
                self.set(2 * self.value());
            }
            Some(_) => {}
            None => self.grow(step),
        }
    }

    fn measure(&mut self, sample: &Sample) {
        let took = sample.ended.saturating_since(sample.started);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX / 32);
        self.latency = match self.latency {
            0 => took,
            known => known - known / 16 + took / 16,
        };
    }

    fn grow(&mut self, step: Duration) {
        let value = self.value();
        let more = match self.used < self.back {
            true => scaled(self.back_to.saturating_sub(self.from), micros(step), micros(self.back)),
            false => scaled(value, micros(step), micros(E_FOLD)),
        };
        self.used = self.used.saturating_add(step);
        self.set(value.saturating_add(more));
    }

    fn value(&self) -> u64 {
        match self.level {
            Level::InFlight(value) | Level::Rate(value) => value,
        }
    }

    /// Sets the level in its own unit; a rate that comes to enough calls at once becomes those.
    fn set(&mut self, value: u64) {
        self.level = match self.level {
            Level::InFlight(_) => Level::InFlight(value.clamp(ONE, self.most)),
            Level::Rate(_) if self.permits(value) >= PACED_BELOW.min(self.most) => {
                (self.from, self.back_to) = (self.permits(self.from), self.permits(self.back_to));
                Level::InFlight(self.permits(value).clamp(ONE, self.most))
            }
            Level::Rate(_) => Level::Rate(value.max(LEAST_RATE)),
        };
    }

    /// The target took no more.
    pub(super) fn overloaded(&mut self, sample: &Sample) {
        let now = sample.ended;
        self.goodput.count(false, now);
        self.barren = self.barren.saturating_add(1);
        if sample.started < self.cut_at {
            return;
        }
        if self.latency == 0 {
            // Nothing better is known, and it must not be forgotten that nothing was done.
            self.measure(sample);
        }
        let value = self.value();
        let taken = match self.level {
            Level::InFlight(_) => self.permits(self.goodput.rate(now)),
            Level::Rate(_) => self.goodput.rate(now),
        };
        let barren = self.barren >= BARREN;
        let enough = if barren { 0 } else { scaled(taken, 93, 100) };
        // It has taken more than this until a moment ago: one that counts by the second has had its
        // number, and takes as much in the next one.
        if value <= enough || (barren && !self.barren.is_multiple_of(BARREN)) {
            return;
        }
        let cut = enough.max(value / 2).min(scaled(value, 97, 100));
        // Back to what it was, or to what was really taken where it was far beyond. Where cut follows
        // cut it may have been too much, and it is looked for higher up.
        let first = self.searching.take().is_some();
        let in_a_row = !first && self.used < DOUBLES;
        self.back_to = match self.goodput.is_known(now) {
            true if barren && in_a_row => self.back_to,
            true => value.min(taken),
            false if in_a_row => self.back_to / 4 * 3,
            false => value,
        };
        self.back_to = self.back_to.max(cut);
        self.from = cut;
        // Each refusal costs the pause that the target asks for: so there should be few.
        let told = matches!(sample.answer, super::Answer::Overloaded { retry_after: Some(_) });
        self.back = match cut < value / 4 * 3 {
            true => BACK_FROM_FAR,
            false if told => 2 * BACK,
            false => BACK,
        };
        self.used = Duration::ZERO;
        self.cut_at = now;
        match self.level {
            Level::InFlight(_) if cut < PACED_BELOW => {
                (self.from, self.back_to) = (self.rate(self.from), self.rate(self.back_to));
                self.level = Level::Rate(self.from.max(LEAST_RATE));
            }
            Level::InFlight(_) => self.level = Level::InFlight(cut.min(self.most)),
            Level::Rate(_) => self.level = Level::Rate(cut.max(LEAST_RATE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Answer;
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn sample(started: u64, ended: u64, in_flight: u32) -> Sample {
        let answer = Answer::Done;
        Sample { started: at(started), ended: at(ended), in_flight, key: 0, answer }
    }

    #[test]
    fn it_doubles_while_it_is_used_and_not_beyond_the_most() {
        let mut aimd = Aimd::new(100, at(0));
        assert_eq!((aimd.in_flight(), aimd.spacing()), (10, Duration::ZERO));
        for ms in 1..400 {
            aimd.done(&sample(ms - 1, ms, 1));
        }
        assert_eq!(aimd.in_flight(), 10, "one at a time has no use for more");
        for ms in 400..900 {
            aimd.done(&sample(ms - 1, ms, 100));
        }
        assert_eq!(aimd.in_flight(), 100);
        assert_eq!(Aimd::new(1, at(0)).in_flight(), 1);
        assert_eq!(Aimd::new(0, at(0)).in_flight(), 1);
    }

    #[test]
    fn what_is_configured_may_change() {
        let mut aimd = Aimd::new(20, at(0));
        for ms in 1..500 {
            aimd.done(&sample(ms - 1, ms, 100));
        }
        aimd.overloaded(&sample(500, 501, 20));
        assert!((10..20).contains(&aimd.in_flight()));
        aimd.set_most(5, at(502));
        assert_eq!(aimd.in_flight(), 5, "at once");
        for ms in 502..40_000 {
            aimd.done(&sample(ms - 1, ms, 100));
        }
        assert_eq!(aimd.in_flight(), 5);
        // It was the configuration that held it, so it is looked for again what the target takes.
        aimd.set_most(1_000, at(40_000));
        for ms in 40_000..41_000 {
            aimd.done(&sample(ms - 1, ms, 1_000));
        }
        assert_eq!(aimd.in_flight(), 1_000);
        aimd.set_most(0, at(41_000));
        assert_eq!(aimd.in_flight(), 1);
    }

    #[test]
    fn a_cut_is_made_at_once_and_once_for_what_was_on_its_way() {
        let mut aimd = Aimd::new(1_000, at(0));
        for ms in 1..2_000u64 {
            aimd.done(&sample(ms.saturating_sub(100), ms, 1_000));
        }
        assert_eq!(aimd.in_flight(), 1_000);
        // A thousand a second of 100 ms each are a hundred at once.
        aimd.overloaded(&sample(1_900, 2_000, 1_000));
        let cut = aimd.in_flight();
        assert_eq!(cut, 500, "a half at most");
        for _ in 0..20 {
            aimd.overloaded(&sample(1_950, 2_010, 500));
        }
        assert_eq!(aimd.in_flight(), cut);
        for n in 0..10 {
            aimd.overloaded(&sample(2_020 + n, 2_021 + n, 100));
        }
        assert!((60..100).contains(&aimd.in_flight()), "{}", aimd.in_flight());
    }

    #[test]
    fn nothing_overflows_and_the_least_rate_stays() {
        let mut aimd = Aimd::new(u32::MAX, at(0));
        let far = Sample { ended: Instant::from_nanos(u64::MAX), ..sample(0, 0, u32::MAX) };
        aimd.done(&far);
        aimd.done(&far);
        for _ in 0..200 {
            aimd.overloaded(&Sample { started: far.ended, ..far });
        }
        assert!(aimd.in_flight() >= 1);
        let mut aimd = Aimd::new(10, at(0));
        for ms in 0..10_000 {
            aimd.overloaded(&sample(ms, ms, 1));
        }
        assert_eq!((aimd.in_flight(), aimd.spacing()), (1, Duration::from_secs(2)));
    }
}
