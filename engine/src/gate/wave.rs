//! How a producer's own records rise and fall between two answers.

use crate::Instant;

/// Credit comes with answers, and is used soon after them: an answer finds this producer's own records
/// at their fewest, and those of the others, whose answers come at other moments, half-way. A gate that
/// did not know of it would take the drain time for shorter the larger its own share is, and the larger
/// producer would stay the larger.
#[derive(Debug)]
pub(super) struct Wave {
    began: Instant,
    /// How long after the answer each of them was sent, in seconds, all together.
    delays: f64,
}

impl Wave {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, delays: 0.0 }
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.delays += now.saturating_since(self.began).as_secs_f64();
    }

    /// An answer came that releases so many, and a new wave begins: how many more own records there
    /// were on average than it found, taking it that they were done evenly. It is half of them if as
    /// many were sent at once in the beginning, and none if they were sent evenly as well.
    pub(super) fn end(&mut self, released: u64, now: Instant) -> f64 {
        let Self { began, delays } = core::mem::replace(self, Self::new(now));
        let seconds = now.saturating_since(began).as_secs_f64();
        if seconds > 0.0 { (released as f64 / 2.0 - delays / seconds).max(0.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn wave(sent_at_ms: impl Iterator<Item = u64>, released: u64) -> f64 {
        let at = |ms| Instant::from_nanos(0) + Duration::from_millis(ms);
        let mut wave = Wave::new(at(100));
        sent_at_ms.for_each(|ms| wave.sent(at(100 + ms)));
        wave.end(released, at(600))
    }

    #[test]
    fn what_is_sent_at_once_is_a_half_more_and_what_is_sent_evenly_nothing() {
        assert_eq!(wave(std::iter::repeat_n(0, 100), 100), 50.0);
        let evenly = wave(0..500, 500);
        assert!((0.0..1.0).contains(&evenly), "{evenly}");
        let in_half_of_the_time = wave(0..250, 250) / 250.0;
        assert!((0.24..0.26).contains(&in_half_of_the_time), "{in_half_of_the_time}");
        assert_eq!(wave(std::iter::repeat_n(499, 100), 100), 0.0, "not less than the answer found");
    }

    #[test]
    fn a_burst_of_which_nothing_is_done_is_no_wave() {
        assert_eq!(wave(std::iter::repeat_n(0, 1_000), 0), 0.0);
        assert_eq!(wave(std::iter::empty(), 0), 0.0);
    }

    extern crate std;
}
