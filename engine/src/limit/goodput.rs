//! What a target takes: calls that were done, by time.

use core::time::Duration;

use crate::Instant;

/// A half of the window, at least.
const HALF: Duration = Duration::from_millis(500);
/// And so many answers in it, so that slow targets have a window as well.
const ANSWERS: u32 = 5;

/// Counts in two halves of a window, of which the older one is thrown away.
#[derive(Debug)]
pub(super) struct Goodput {
    older_since: Instant,
    older_done: u32,
    since: Instant,
    done: u32,
    answers: u32,
}

impl Goodput {
    pub(super) fn new(now: Instant) -> Self {
        Self { older_since: now, older_done: 0, since: now, done: 0, answers: 0 }
    }

    /// An answer came.
    pub(super) fn count(&mut self, done: bool, now: Instant) {
        if now.saturating_since(self.since) >= HALF && self.answers >= ANSWERS {
            (self.older_since, self.older_done) = (self.since, self.done);
            (self.since, self.done, self.answers) = (now, 0, 0);
        }
        self.answers = self.answers.saturating_add(1);
        self.done = self.done.saturating_add(u32::from(done));
    }

    /// Done in a second, in millionths. Rather too little as long as there was no half of a window.
    pub(super) fn rate(&self, now: Instant) -> u64 {
        let least = if self.is_known(now) { HALF } else { 2 * HALF };
        let over = now.saturating_since(self.older_since).max(least);
        let done = u128::from(self.older_done) + u128::from(self.done);
        u64::try_from(done * 1_000_000_000_000 / over.as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether there was time enough for it to be more than a lower bound.
    pub(super) fn is_known(&self, now: Instant) -> bool {
        now.saturating_since(self.older_since) >= HALF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn the_rate_is_that_of_the_last_second_or_of_the_last_few_answers() {
        let mut goodput = Goodput::new(at(0));
        for ms in (0..5_000).step_by(5) {
            goodput.count(true, at(ms));
            assert_eq!(goodput.is_known(at(ms)), ms >= 500);
        }
        let rate = goodput.rate(at(5_000)) / 1_000_000;
        assert!((195..=205).contains(&rate), "{rate}");
        for ms in (5_000..6_100).step_by(20) {
            goodput.count(ms % 40 == 0, at(ms));
        }
        let rate = goodput.rate(at(6_100)) / 1_000_000;
        assert!((20..=40).contains(&rate), "{rate}");
        for second in 7..100 {
            goodput.count(true, at(second * 1_000));
        }
        let rate = goodput.rate(at(99_000)) / 1_000;
        assert!((900..=1_300).contains(&rate), "{rate} thousandths");
    }
}
