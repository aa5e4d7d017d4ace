//! The breaker: deliveries that fail in a row stop the sending.

use core::time::Duration;

use crate::retry::Jitter;
use crate::{Backoff, Instant};

/// Where the breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// Everything goes through.
    Closed,
    /// Nothing goes through until then.
    Open {
        /// When it becomes half-open.
        until: Instant,
    },
    /// A few records go through, and what becomes of them decides.
    HalfOpen,
}

/// Opens after failures in a row, waits, lets a few records try, and closes when they are
/// delivered. Each time they are not, it waits for twice as long.
#[derive(Debug)]
pub(super) struct Breaker {
    threshold: u32,
    probes: u32,
    backoff: Backoff,
    jitter: Jitter,
    state: BreakerState,
    /// Failures since the last delivery.
    failures: u32,
    /// How often it opened since it was last closed.
    openings: u32,
    /// Probes that are out, and that were delivered.
    trying: u32,
    delivered: u32,
}

impl Breaker {
    pub(super) fn new(threshold: u32, probes: u32, backoff: Backoff, seed: u64) -> Self {
        let jitter = Jitter::new(seed);
        let state = BreakerState::Closed;
        let (failures, openings, trying, delivered) = (0, 0, 0, 0);
        Self { threshold, probes, backoff, jitter, state, failures, openings, trying, delivered }
    }

    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    /// Moves on when an opening is over.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let BreakerState::Open { until } = self.state
            && until <= now
        {
            self.state = BreakerState::HalfOpen;
            (self.trying, self.delivered) = (0, 0);
        }
    }

    /// Whether a record may go, and if not how long that will be so, as far as known.
    pub(super) fn check(&self, now: Instant) -> Result<(), Option<Duration>> {
        match self.state {
            BreakerState::Closed => Ok(()),
            BreakerState::Open { until } => Err(Some(until.saturating_since(now))),
            BreakerState::HalfOpen if self.trying + self.delivered < self.probes => Ok(()),
            BreakerState::HalfOpen => Err(None),
        }
    }

    /// A record goes out; says whether it is a probe.
    pub(super) fn take(&mut self) -> bool {
        let probe = self.state == BreakerState::HalfOpen;
        self.trying += u32::from(probe);
        probe
    }

    /// A probe comes back unused, or its failure says nothing about the broker.
    pub(super) fn give_back(&mut self, probe: bool) {
        if probe {
            self.trying = self.trying.saturating_sub(1);
        }
    }

    pub(super) fn handle_delivered(&mut self, probe: bool) {
        self.failures = 0;
        if probe && self.state == BreakerState::HalfOpen {
            self.trying = self.trying.saturating_sub(1);
            self.delivered += 1;
            if self.delivered >= self.probes {
                self.state = BreakerState::Closed;
                self.openings = 0;
            }
        }
    }

    /// A delivery failed. Of an open breaker these are the ones that were on their way.
    pub(super) fn handle_failed(&mut self, probe: bool, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.state {
            BreakerState::Closed => self.failures >= self.threshold,
            BreakerState::HalfOpen => probe,
            BreakerState::Open { .. } => false,
        };
        if opens {
            self.openings = self.openings.saturating_add(1);
            let until = now + self.jitter.delay(self.backoff, self.openings);
            self.state = BreakerState::Open { until };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn breaker() -> Breaker {
        let ms = Duration::from_millis;
        Breaker::new(3, 2, Backoff { initial: ms(1_000), max: ms(4_000) }, 7)
    }

    fn open_until(breaker: &Breaker) -> Instant {
        let BreakerState::Open { until } = breaker.state() else { panic!("{breaker:?}") };
        until
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_delivery_between_them_does_not() {
        let mut breaker = breaker();
        for _ in 0..5 {
            breaker.handle_failed(false, at(0));
            breaker.handle_failed(false, at(0));
            breaker.handle_delivered(false);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        (0..3).for_each(|_| breaker.handle_failed(false, at(0)));
        let until = open_until(&breaker);
        assert!((at(500)..=at(1_000)).contains(&until));
        assert_eq!(breaker.check(at(0)), Err(Some(until.saturating_since(at(0)))));
    }

    #[test]
    fn half_open_lets_its_probes_through_and_no_more() {
        let mut breaker = breaker();
        (0..3).for_each(|_| breaker.handle_failed(false, at(0)));
        breaker.handle_timeout(open_until(&breaker));
        assert_eq!(breaker.check(at(1_000)), Ok(()));
        assert!(breaker.take() && breaker.take());
        assert_eq!(breaker.check(at(1_000)), Err(None));
        breaker.give_back(true);
        assert_eq!(breaker.check(at(1_000)), Ok(()), "one was not used");
        assert!(breaker.take());
        breaker.handle_failed(false, at(1_000));
        assert_eq!(breaker.state(), BreakerState::HalfOpen, "it was sent before the opening");
        breaker.handle_delivered(true);
        assert_eq!(breaker.check(at(1_000)), Err(None));
        breaker.handle_delivered(true);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn each_failed_try_doubles_the_wait_up_to_the_longest() {
        let mut breaker = breaker();
        (0..3).for_each(|_| breaker.handle_failed(false, at(0)));
        for whole in [2_000, 4_000, 4_000] {
            let now = open_until(&breaker);
            breaker.handle_timeout(now);
            breaker.take();
            breaker.handle_failed(true, now);
            let wait = open_until(&breaker).saturating_since(now).as_millis();
            assert!((whole / 2..=whole).contains(&wait), "{whole}: {wait}");
        }
    }
}
