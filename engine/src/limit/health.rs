//! Whether a target is down, and when it is asked again.

use core::time::Duration;

use super::{Answer, Sample};
use crate::retry::Jitter;
use crate::{Backoff, Instant};

/// So many keys without one success, and the target is down: it is not the records.
const KEYS: usize = 10;
/// Overload answers count after so much time without a success.
const OVERLOADED: Duration = Duration::from_secs(1);
/// Between probes.
const PROBES: Backoff =
    Backoff { initial: Duration::from_millis(250), max: Duration::from_secs(2) };
/// A `Retry-After` of a target that is down is kept for so long at most.
const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// Up, or down since a time.
#[derive(Debug)]
pub(super) struct Health {
    /// Keys that failed since the last success.
    failed: [u64; KEYS],
    count: usize,
    last_success: Option<Instant>,
    down: Option<Down>,
    jitter: Jitter,
}

#[derive(Clone, Copy, Debug)]
struct Down {
    since: Instant,
    next_probe: Instant,
    probes: u32,
}

impl Health {
    pub(super) fn new(seed: u64) -> Self {
        let (last_success, jitter) = (None, Jitter::new(seed));
        Self { failed: [0; KEYS], count: 0, last_success, down: None, jitter }
    }

    /// When the next probe may go, if the target is down.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.down.map(|down| down.next_probe)
    }

    /// Takes the outcome of a call; says whether the target is up again with it.
    pub(super) fn update(&mut self, sample: &Sample) -> bool {
        match sample.answer {
            Answer::Done | Answer::Refused => {
                if sample.answer == Answer::Done || self.down.is_some() {
                    self.count = 0;
                    self.last_success = Some(sample.ended);
                }
                // A late success of a call from before says nothing about now.
                let over = self.down.is_some_and(|down| sample.started >= down.since);
                if over {
                    self.down = None;
                }
                return over;
            }
            Answer::Unreachable => self.failure(sample, true, None),
            Answer::Overloaded { retry_after } => self.failure(sample, false, retry_after),
            Answer::Failed => self.failure(sample, false, None),
        }
        false
    }

    fn failure(&mut self, sample: &Sample, at_once: bool, retry_after: Option<Duration>) {
        let now = sample.ended;
        let told = now + retry_after.unwrap_or_default().min(LONGEST_HOLD);
        if let Some(down) = &mut self.down {
            // Of those that were on their way nothing is learned.
            if sample.started >= down.since {
                down.probes = down.probes.saturating_add(1);
                down.next_probe = now + self.jitter.delay(PROBES, down.probes);
            }
            down.next_probe = down.next_probe.max(told);
            return;
        }
        if self.count < KEYS && !self.failed[..self.count].contains(&sample.key) {
            self.failed[self.count] = sample.key;
            self.count += 1;
        }
        // A target that takes so many a second, and has taken them, is well.
        let overloaded = matches!(sample.answer, Answer::Overloaded { .. });
        let since = self.last_success.map(|at| at + OVERLOADED);
        let well = overloaded && since.is_some_and(|since| sample.started < since);
        if at_once || (self.count == KEYS && !well) {
            self.count = 0;
            let next_probe = (now + self.jitter.delay(PROBES, 1)).max(told);
            self.down = Some(Down { since: now, next_probe, probes: 1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn sample(started: u64, ended: u64, key: u64, answer: Answer) -> Sample {
        Sample { started: at(started), ended: at(ended), in_flight: 1, key, answer }
    }

    fn new() -> Health {
        Health::new(1)
    }

    #[test]
    fn ten_keys_without_a_success_are_a_target_that_is_down_and_one_key_never_is() {
        let mut health = new();
        for n in 0..1_000 {
            health.update(&sample(n, n, n % 9, Answer::Failed));
        }
        assert_eq!(health.next_probe(), None);
        health.update(&sample(1_000, 1_000, 1, Answer::Done));
        for key in 0..9 {
            health.update(&sample(1_000, 1_000, key, Answer::Failed));
            health.update(&sample(1_000, 1_000, key, Answer::Refused));
        }
        assert_eq!(health.next_probe(), None, "a success is not forgotten");
        let overloaded = Answer::Overloaded { retry_after: None };
        health.update(&sample(1_999, 1_999, 9, overloaded));
        assert_eq!(health.next_probe(), None, "within a second of a success");
        health.update(&sample(2_001, 2_001, 9, overloaded));
        assert!(health.next_probe().is_some_and(|probe| probe > at(2_100)));
    }

    #[test]
    fn probes_wait_longer_each_time_and_one_success_ends_it() {
        let mut health = new();
        health.update(&sample(0, 1, 1, Answer::Unreachable));
        let mut now = health.next_probe().unwrap();
        let mut waits = [0; 8];
        for wait in &mut waits {
            let failed = Sample { started: now, ..sample(0, 0, 1, Answer::Unreachable) };
            health.update(&Sample { ended: now, ..failed });
            let next = health.next_probe().unwrap();
            *wait = next.saturating_since(now).as_millis();
            now = next;
        }
        assert!((250..=500).contains(&waits[0]), "{waits:?}");
        assert!((1_000..=2_000).contains(&waits[7]), "{waits:?}");
        // From before it was down.
        assert!(!health.update(&sample(0, 30_000, 1, Answer::Done)));
        assert!(health.next_probe().is_some());
        let answered = Sample { started: now, ended: now, ..sample(0, 0, 1, Answer::Refused) };
        assert!(health.update(&answered), "whoever refuses a record is well");
        assert_eq!(health.next_probe(), None);
    }

    #[test]
    fn a_target_that_is_down_is_asked_when_it_said_but_within_five_minutes() {
        let mut health = new();
        health.update(&sample(0, 0, 1, Answer::Unreachable));
        for (asked, waits) in [(60, 60), (u64::MAX, 300)] {
            let retry_after = Some(Duration::from_secs(asked));
            health.update(&sample(1, 1, 1, Answer::Overloaded { retry_after }));
            assert_eq!(health.next_probe(), Some(at(1 + waits * 1_000)));
        }
    }
}
