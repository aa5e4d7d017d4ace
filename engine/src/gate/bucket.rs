//! A token bucket: an absolute rate.

use core::time::Duration;

use crate::Instant;

/// What may be saved up: a tenth of a second of the rate, at least one record.
const BURST: Duration = Duration::from_millis(100);
const SECOND: u64 = 1_000_000_000;

/// Lets so many records a second through. It counts nanoseconds of saved time instead of tokens,
/// so that a change of the rate takes nothing away and gives nothing away.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
    rate: u32,
    /// When the bucket is, or was, empty: the next record is due one interval later.
    empty_at: Instant,
}

impl TokenBucket {
    /// A full bucket. A rate of 0 lets nothing through.
    pub(super) fn new(rate: u32, now: Instant) -> Self {
        let mut bucket = Self { rate, empty_at: Instant::default() };
        bucket.settle(now);
        bucket
    }

    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Changes the rate; what is saved up stays, as time.
    pub(super) fn set_rate(&mut self, rate: u32, now: Instant) {
        self.settle(now);
        self.rate = rate;
        self.settle(now);
    }

    /// When the next record may go: not after `now` if it may go at once. `None`: never.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let mut settled = *self;
        settled.settle(now);
        Some(settled.empty_at + settled.interval()?)
    }

    /// Takes the token of a record.
    pub(super) fn take(&mut self, now: Instant) {
        self.settle(now);
        if let Some(interval) = self.interval() {
            self.empty_at = self.empty_at + interval;
        }
    }

    /// Gives a token back that was not used.
    pub(super) fn give_back(&mut self, now: Instant) {
        if let Some(interval) = self.interval() {
            let nanos = interval.as_nanos() as u64;
            self.empty_at = Instant::from_nanos(self.empty_at.as_nanos().saturating_sub(nanos));
        }
        self.settle(now);
    }

    fn interval(&self) -> Option<Duration> {
        (self.rate > 0).then(|| Duration::from_nanos(SECOND / u64::from(self.rate)))
    }

    /// Spills what is more than a full bucket.
    fn settle(&mut self, now: Instant) {
        let most = BURST.max(self.interval().unwrap_or(BURST)).as_nanos() as u64;
        let full = Instant::from_nanos(now.as_nanos().saturating_sub(most));
        self.empty_at = self.empty_at.max(full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos((1_000 + ms) * 1_000_000)
    }

    fn take_all(bucket: &mut TokenBucket, now: Instant) -> u32 {
        let mut taken = 0;
        while bucket.next_at(now).is_some_and(|next| next <= now) {
            bucket.take(now);
            taken += 1;
        }
        taken
    }

    #[test]
    fn the_rate_is_kept_whatever_the_steps() {
        for step in [1, 7, 50, 90] {
            let mut bucket = TokenBucket::new(1_000, at(0));
            let mut taken = take_all(&mut bucket, at(0));
            assert_eq!(taken, 100, "a tenth of a second is saved up");
            for ms in (step..=9_000).step_by(step as usize) {
                taken += take_all(&mut bucket, at(ms));
            }
            assert!((9_000..=9_100).contains(&taken), "{step}: {taken}");
        }
    }

    #[test]
    fn a_slow_rate_saves_one_up_and_zero_lets_nothing_through() {
        let mut bucket = TokenBucket::new(1, at(0));
        assert_eq!(take_all(&mut bucket, at(60_000)), 1);
        assert_eq!(bucket.next_at(at(60_000)), Some(at(61_000)));
        let bucket = TokenBucket::new(0, at(0));
        assert_eq!(bucket.next_at(at(60_000)), None);
    }

    #[test]
    fn the_rate_changes_live_and_an_unused_token_comes_back() {
        let mut bucket = TokenBucket::new(10, at(0));
        assert_eq!(take_all(&mut bucket, at(0)), 1);
        bucket.set_rate(1_000, at(0));
        assert_eq!(bucket.next_at(at(0)), Some(at(1)));
        bucket.take(at(1));
        bucket.give_back(at(1));
        assert_eq!(take_all(&mut bucket, at(1)), 1);
    }

    #[test]
    fn a_clock_at_its_origin_is_no_special_case() {
        let mut bucket = TokenBucket::new(10, Instant::default());
        let taken = take_all(&mut bucket, Instant::default());
        assert!(taken <= 1);
    }
}
