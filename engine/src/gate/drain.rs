//! How long a group needs for what waits in the topic: its lag, by the rate of its commits.

use alloc::vec::Vec;
use core::time::Duration;

use super::math::weight;
use crate::{Instant, Offset};

/// What a partition did is forgotten with this horizon, counted in time in which it had work...
const OWN_HORIZON: Duration = Duration::from_secs(1);
/// ...and what the group did with this one.
const RATE_HORIZON: Duration = Duration::from_secs(2);
/// Progress of a partition by more than so many times what the rate of the whole group explains is a
/// seek, or an unknown past, and not speed...
const JUMP: f64 = 8.0;
/// ...unless it is seen so many times in a row.
const JUMPS_BELIEVED: u32 = 3;
/// A commit that took more than so many times as long as usual ends a pause, and says nothing of how
/// fast the group is when it does not pause.
const PAUSE: u32 = 4;
/// Fewer records than this are no backlog: as many may just have been sent, or be done and not be
/// committed.
const LEAST_BACKLOG: f64 = 10.0;
/// The commit spacing is the median of so many.
const SPACINGS: usize = 5;

/// What was seen of one partition of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The committed offset, or where the log begins if that is higher.
    pub(super) committed: Offset,
    /// How many records above it are finished.
    pub(super) finished: u64,
    /// Records that wait: up to the end of the log, without those that are finished.
    pub(super) lag: u64,
    /// What moved the offset was not the group: nothing is learned from it.
    pub(super) displaced: bool,
}

impl Seen {
    /// Grows by one with each record that is finished, in whatever order.
    fn done(&self) -> i64 {
        self.committed.0.saturating_add_unsigned(self.finished)
    }
}

/// The progress of one partition.
#[derive(Clone, Copy, Debug)]
struct Progress {
    done: i64,
    lag: u64,
    /// When it last moved, or had nothing to do.
    since: Instant,
    /// What it did lately, and in how many seconds: forgotten together, so that a commit that was seen
    /// soon after the one before it, and looks fast, counts for as little as it took.
    recent: (f64, f64),
    /// Times in a row that it moved further than can be believed.
    jumps: u32,
    moved: bool,
    stuck: bool,
}

impl Progress {
    /// Records a second, 0 while nothing is known.
    fn rate(&self) -> f64 {
        let (records, seconds) = self.recent;
        if seconds > 0.0 { records / seconds } else { 0.0 }
    }
}

/// What a partition's progress is compared with.
struct Usual {
    /// Records a second of the whole group, if that was seen under a backlog.
    rate: Option<f64>,
    /// Seconds between two commits, infinite while it is unknown.
    spacing: f64,
}

/// One group's drain time, estimated from what it commits.
///
/// The rate is that of the whole group: for each partition that has work, what its last commits
/// brought over the time that they took. A group that commits every 5 s is not taken for one
/// that stands still in between, and one whose members commit at different times is not taken for
/// one that jumps. The rate is lowered only when the group had a backlog at both ends of the
/// interval: what a consumer does that has nothing to do says nothing about what it could.
#[derive(Debug, Default)]
pub(super) struct DrainEstimate {
    partitions: Vec<Option<Progress>>,
    rate: Option<f64>,
    /// The rate was seen under a backlog, and is no lower bound any more.
    confirmed: bool,
    lag: u64,
    spacings: [f64; SPACINGS],
    seen_spacings: usize,
    last: Option<Instant>,
    moving: Option<Instant>,
    /// When it last moved again after a pause.
    resumed: Option<Instant>,
    /// There was something to do.
    waits: bool,
}

impl DrainEstimate {
    /// Takes one probe's answer. `target` is the drain time that is aimed for; a partition with lag
    /// that does not move for twice as long is stuck.
    pub(super) fn update(&mut self, seen: &[Option<Seen>], target: Duration, now: Instant) {
        if self.partitions.len() < seen.len() {
            self.partitions.resize(seen.len(), None);
        }
        let elapsed = self.last.map_or(Duration::ZERO, |last| now.saturating_since(last));
        let mut spacing = WeightedMean::default();
        let usual = Usual {
            rate: self.rate.filter(|_| self.confirmed),
            spacing: if self.seen_spacings < 3 { f64::INFINITY } else { self.spacing() },
        };
        for (progress, seen) in self.partitions.iter_mut().zip(seen) {
            if let Some(seen) = seen {
                *progress = Some(step(*progress, *seen, target, now, &usual, &mut spacing));
            }
        }
        if let Some(spacing) = spacing.mean() {
            self.spacings[self.seen_spacings % SPACINGS] = spacing;
            self.seen_spacings += 1;
        }
        let (mut lag, mut rate, mut moved, mut all_known) = (0u64, 0.0, false, true);
        for progress in self.partitions.iter().flatten() {
            if progress.stuck || (progress.lag == 0 && !progress.moved) {
                continue;
            }
            lag = lag.saturating_add(progress.lag);
            rate += progress.rate();
            moved |= progress.moved;
            all_known &= progress.recent.1 > 0.0;
        }
        let lag_before = core::mem::replace(&mut self.lag, lag);
        let waits = lag > 0 || self.partitions.iter().flatten().any(|p| p.stuck);
        let waited = core::mem::replace(&mut self.waits, waits);
        let spacing = Duration::try_from_secs_f64(usual.spacing).unwrap_or(Duration::MAX);
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| now.saturating_since(at));
        if moved && since(self.moving) > spacing.saturating_mul(PAUSE) {
            self.resumed = Some(now);
        }
        if moved || !waits || !waited {
            self.moving = Some(now);
        }
        // In a pause, and until all members have committed again, some are missing in what is seen.
        let two = spacing.saturating_mul(2);
        let pauses = since(self.moving) > two;
        let resumes = self.resumed.is_some() && since(self.resumed) < two;
        let lag = if all_known && !pauses && !resumes { lag.min(lag_before) } else { 0 };
        self.learn(rate, lag, elapsed, target);
        self.last = Some(now);
    }

    /// Takes the rate that was just seen, since the last one, into the average. With a `lag`, the
    /// least that all of it waited behind, it may be lower than that.
    fn learn(&mut self, seen: f64, lag: u64, elapsed: Duration, target: Duration) {
        if seen <= 0.0 {
            return;
        }
        let enough = (seen * target.as_secs_f64() / 2.0).max(LEAST_BACKLOG);
        let backlog = lag as f64 >= enough;
        let Some(rate) = self.rate else {
            self.rate = Some(seen);
            self.confirmed = backlog;
            return;
        };
        if seen > rate || backlog {
            self.rate = Some(rate + weight(elapsed, RATE_HORIZON) * (seen - rate));
            self.confirmed |= backlog;
        }
    }

    /// Seconds until the group has done what waits now, `None` if its rate is unknown.
    pub(super) fn drain_time(&self) -> Option<f64> {
        match self.lag {
            0 => Some(0.0),
            lag => self.rate.map(|rate| lag as f64 / rate),
        }
    }

    /// Whether the drain time may be much too long, because the group was never seen with a
    /// backlog.
    pub(super) fn is_upper_bound(&self) -> bool {
        !self.confirmed
    }

    /// Records a second, if known.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Records that wait in the partitions that move.
    pub(super) fn lag(&self) -> u64 {
        self.lag
    }

    /// The time between commits of a partition that has work: the median of the last few, so that
    /// one pause of the consumer does not count.
    pub(super) fn spacing(&self) -> f64 {
        let count = self.seen_spacings.min(SPACINGS);
        let mut sorted = self.spacings;
        let sorted = &mut sorted[..count];
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(count / 2).copied().unwrap_or(0.0)
    }

    /// Whether a partition has lag and did not move for long.
    pub(super) fn is_stuck(&self, partition: usize) -> bool {
        self.partitions.get(partition).is_some_and(|p| p.is_some_and(|p| p.stuck))
    }

    /// For how long nothing of the group had moved when it was last seen, though it has lag.
    pub(super) fn standing(&self) -> Duration {
        match (self.last, self.moving) {
            (Some(last), Some(moving)) => last.saturating_since(moving),
            _ => Duration::ZERO,
        }
    }

    /// Whether nothing has moved for longer than it takes between two commits, so that there is
    /// nothing to learn from what is seen.
    pub(super) fn stands(&self, probe_interval: Duration) -> bool {
        let most = 2.0 * self.spacing() + probe_interval.as_secs_f64();
        self.standing().as_secs_f64() > most
    }

    /// Forgets where the partitions were, after the topic changed under them. The rate stays.
    pub(super) fn forget_positions(&mut self) {
        self.partitions.clear();
        self.lag = 0;
    }
}

/// The progress of a partition after a probe.
fn step(
    before: Option<Progress>,
    seen: Seen,
    target: Duration,
    now: Instant,
    usual: &Usual,
    spacing: &mut WeightedMean,
) -> Progress {
    let (done, lag, recent) = (seen.done(), seen.lag, (0.0, 0.0));
    let fresh = Progress { done, lag, since: now, recent, jumps: 0, moved: false, stuck: false };
    let Some(before) = before else { return fresh };
    if seen.displaced || done < before.done {
        return Progress { recent: before.recent, ..fresh };
    }
    let elapsed = now.saturating_since(before.since);
    if done > before.done {
        let (moved, seconds) = (done.abs_diff(before.done) as f64, elapsed.as_secs_f64());
        let kept = Progress { recent: before.recent, moved: true, ..fresh };
        if seconds <= 0.0 {
            return kept;
        }
        if before.lag > 0 {
            spacing.add(seconds, moved);
        }
        let jumps = match usual.rate {
            Some(rate) if moved > JUMP * rate * seconds => before.jumps + 1,
            _ => 0,
        };
        if (1..JUMPS_BELIEVED).contains(&jumps) || seconds > f64::from(PAUSE) * usual.spacing {
            return Progress { jumps, ..kept };
        }
        let stays = 1.0 - weight(elapsed, OWN_HORIZON);
        let (records, time) = before.recent;
        let recent = (records * stays + moved, time * stays + seconds);
        return Progress { recent, jumps, ..kept };
    }
    if seen.lag == 0 || before.lag == 0 {
        return fresh;
    }
    let stuck = elapsed >= target * 2;
    Progress { lag: seen.lag, moved: false, stuck, ..before }
}

#[derive(Debug, Default)]
struct WeightedMean {
    sum: f64,
    weights: f64,
}

impl WeightedMean {
    fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weights += weight;
    }

    fn mean(&self) -> Option<f64> {
        (self.weights > 0.0).then(|| self.sum / self.weights)
    }
}
