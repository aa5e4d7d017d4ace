//! When a failed attempt is repeated: backoff with jitter, and the queue of those that wait.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use core::time::Duration;

use crate::{Backoff, Instant, Ticket};

/// Tickets whose next attempt is due at a time. One that became stale is recognised by whoever
/// takes it out.
#[derive(Debug, Default)]
pub(crate) struct RetryQueue(BinaryHeap<Reverse<(Instant, u32, u32)>>);

impl RetryQueue {
    pub(crate) fn push(&mut self, at: Instant, ticket: Ticket) {
        self.0.push(Reverse((at, ticket.slot, ticket.generation)));
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, ..))| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Ticket> {
        let Reverse((at, slot, generation)) = *self.0.peek()?;
        if at > now {
            return None;
        }
        self.0.pop();
        Some(Ticket { slot, generation })
    }
}

/// A small deterministic generator (SplitMix64) for jitter and the like: the seed is an argument, so that the
/// same run can be had again.
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Delay before the attempt that follows `failures` failures (from 1): between a half and the
    /// whole of the doubled delay, so that records that failed together do not come back together.
    pub(crate) fn delay(&mut self, backoff: Backoff, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = backoff.initial.saturating_mul(1 << doublings).min(backoff.max);
        let half = u64::try_from(whole.as_nanos() / 2).unwrap_or(u64::MAX);
        Duration::from_nanos(half + self.next() % (half + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_to_its_maximum_and_keeps_at_least_a_half() {
        let backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(1) };
        let mut jitter = Jitter::new(1);
        for (failures, whole) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (99, 1000)] {
            for _ in 0..100 {
                let delay = jitter.delay(backoff, failures).as_millis();
                assert!((whole / 2..=whole).contains(&delay), "{failures}: {delay}");
            }
        }
    }

    /// The numbers that the generator's authors publish for seed 0.
    #[test]
    fn the_generator_is_split_mix_64() {
        let mut jitter = Jitter::new(0);
        let drawn = [jitter.next(), jitter.next(), jitter.next()];
        assert_eq!(drawn, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn the_whole_delay_can_be_had_and_so_can_its_half() {
        let two = Duration::from_nanos(2);
        let mut jitter = Jitter::new(1);
        let mut drawn = [false; 3];
        for _ in 0..100 {
            drawn[jitter.delay(Backoff { initial: two, max: two }, 1).as_nanos() as usize] = true;
        }
        assert_eq!(drawn, [false, true, true]);
    }
}
