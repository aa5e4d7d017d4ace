//! How many calls a target gets: a limit that follows its answers.
//!
//! `aimd` is the limit itself, `goodput` what the target takes, `health` tells when it is down and
//! lets probes through. [`Controller`] puts them together. Pure state, as everything in this crate:
//! time is an argument.

mod aimd;
mod goodput;
mod health;

use core::time::Duration;

use self::aimd::Aimd;
use self::health::Health;
pub use crate::Instant;

/// A `Retry-After` holds all calls back for so long at most while the target is up: one record's
/// answer may be about that record (one customer's quota) and not about the target.
const HOLD_WHILE_UP: Duration = Duration::from_secs(5);
/// So many starts that are late may be caught up, in time.
const CATCH_UP: Duration = Duration::from_millis(50);

/// What a target answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// It took the record.
    Done,
    /// It takes no more at present.
    Overloaded {
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It answered, or did not in time, and the record was not taken. Says nothing of how much it
    /// could take.
    Failed,
    /// It refuses this record for good, and is well.
    Refused,
    /// There is no connection to it.
    Unreachable,
}

/// One call that ended.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was started.
    pub started: Instant,
    /// When its answer was there, or it was given up.
    pub ended: Instant,
    /// How many calls there were when it ended, this one included.
    pub in_flight: u32,
    /// Tells the keys of records apart.
    pub key: u64,
    /// What came of it.
    pub answer: Answer,
}

/// How many calls there may be now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many at once. At least 1.
    pub in_flight: u32,
    /// And so long from one start to the next; zero if that does not matter.
    pub spacing: Duration,
    /// And none before that.
    pub not_before: Instant,
    /// Whether the target is down, so that calls are probes.
    pub down: bool,
}

/// Whether a call may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It has started.
    Now,
    /// Ask again at that time, or when a call has ended.
    At(Instant),
    /// Ask again when a call has ended.
    Full,
}

/// The limit of one target.
///
/// # How it is driven
/// [`start`](Self::start) before each call, [`update`](Self::update) with what came of it.
///
/// # The limit
/// It begins at 10 calls at once and doubles every 100 ms while it is used, up to the configured
/// number. An overload answer cuts it at once: to 0.93 of what the target took in the last second
/// (at least a half, at most 0.97 of what it was), and calls that were started before a cut cut
/// nothing more. Then it grows in even steps to where it was, in 20 s of use (4 s after a cut by more
/// than a quarter, 40 s if the answer had a `Retry-After`), and beyond that it doubles every 4 s. Below 8 calls at once whole numbers are too coarse a step, and below one they
/// are none at all: there it is a rate of starts, 0.5/s at least.
///
/// # Down
/// A target that cannot be reached is down at once; one that took nothing from 10 keys in a row is so
/// as well (if it says that it is overloaded, only when it took nothing for a second either). Then one call at a time goes out as a probe, after 250 ms and twice as long each time,
/// up to 2 s (or when the target's `Retry-After` is over). A probe that is answered ends it, and the
/// limit begins with 1.
#[derive(Debug)]
pub struct Controller {
    aimd: Aimd,
    health: Health,
    hold: Instant,
    next_start: Instant,
}

impl Controller {
    /// A controller that never allows more than `max_in_flight` calls. `seed` is for the jitter of
    /// probes.
    pub fn new(max_in_flight: u32, seed: u64, now: Instant) -> Self {
        Self {
            aimd: Aimd::new(max_in_flight, now),
            health: Health::new(seed),
            hold: now,
            next_start: now,
        }
    }

    /// Changes how many calls there may ever be. Where that was what held the limit, and not the
    /// target, it is looked for again how much more the target takes.
    pub fn set_max_in_flight(&mut self, max_in_flight: u32, now: Instant) {
        self.aimd.set_most(max_in_flight, now);
    }

    /// Takes the outcome of a call.
    pub fn update(&mut self, sample: Sample) -> Limit {
        let Sample { ended, answer, .. } = sample;
        match answer {
            Answer::Done => self.aimd.done(&sample),
            Answer::Overloaded { retry_after } => {
                self.aimd.overloaded(&sample);
                if let Some(after) = retry_after {
                    self.hold = self.hold.max(ended + after.min(HOLD_WHILE_UP));
                }
            }
            Answer::Failed | Answer::Refused | Answer::Unreachable => {}
        }
        if self.health.update(&sample) {
            // Whatever was waited for is over.
            self.aimd.restart(ended);
            self.hold = ended;
        }
        self.limit()
    }

    /// The limit now.
    pub fn limit(&self) -> Limit {
        match self.health.next_probe() {
            Some(probe) => Limit {
                in_flight: 1,
                spacing: Duration::ZERO,
                not_before: probe.max(self.hold),
                down: true,
            },
            None => Limit {
                in_flight: self.aimd.in_flight(),
                spacing: self.aimd.spacing(),
                not_before: self.hold,
                down: false,
            },
        }
    }

    /// Asks whether one more call may start beside `in_flight` others, and starts it if so.
    pub fn start(&mut self, in_flight: u32, now: Instant) -> Start {
        let limit = self.limit();
        if in_flight >= limit.in_flight {
            return Start::Full;
        }
        let at = match limit.spacing.is_zero() {
            true => limit.not_before,
            false => limit.not_before.max(self.next_start),
        };
        if at > now {
            return Start::At(at);
        }
        // What is late is caught up, within bounds: timers are not exact, and the rate should be.
        let late = now.saturating_since(self.next_start).min(CATCH_UP);
        let from = Instant::from_nanos(
            now.as_nanos().saturating_sub(u64::try_from(late.as_nanos()).unwrap_or(0)),
        );
        self.next_start = from.max(limit.not_before) + limit.spacing;
        Start::Now
    }
}
