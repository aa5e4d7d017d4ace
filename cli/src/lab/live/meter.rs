//! What is measured while a run goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_sim::lab::{Peak, Played, Point};

use super::state::{Live, lock};

/// How often is looked.
pub(super) const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Meter {
    live: Arc<Live>,
    end: Duration,
    every: Duration,
    next_point: Duration,
    before: Duration,
    peak: Peak,
    waited: Duration,
    series: Vec<Point>,
    ages: Vec<f64>,
    /// What was finished, and what could have been, when a quarter of the run was over.
    quarter: Option<(Duration, u64)>,
    possible: f64,
    /// Finished by the last moments.
    recent: Vec<(Duration, u64)>,
}

fn quantile(ages: &[f64], part: f64) -> Option<f64> {
    let rank = (ages.len() as f64 * part).ceil() as usize;
    ages.get(rank.saturating_sub(1).min(ages.len().checked_sub(1)?)).copied()
}

impl Meter {
    pub(super) fn new(live: Arc<Live>) -> Self {
        let end = live.scenario.duration;
        Self {
            every: (end / 240).max(Duration::from_millis(250)),
            end,
            next_point: Duration::ZERO,
            before: live.now(),
            peak: Peak::default(),
            waited: Duration::ZERO,
            series: Vec::new(),
            ages: Vec::new(),
            quarter: None,
            possible: 0.0,
            recent: Vec::new(),
            live,
        }
    }

    /// Looks; returns whether there is a new moment to show.
    pub(super) fn look(&mut self) -> bool {
        let live = &self.live;
        let now = live.now();
        let levels = live.levels();
        let elapsed = now - std::mem::replace(&mut self.before, now);
        let peak = &mut self.peak;
        peak.channel = peak.channel.max(levels.channel);
        peak.kafka = peak.kafka.max(levels.kafka);
        peak.queued = peak.queued.max(levels.queued);
        peak.in_flight = peak.in_flight.max(levels.in_flight);
        peak.bytes = peak.bytes.max(levels.bytes);
        peak.total = peak.total.max(levels.total());
        if live.blocked.swap(false, Ordering::Relaxed) {
            self.waited += elapsed;
        }
        let finished = live.finished.load(Ordering::Relaxed);
        if now >= self.end / 4 {
            match self.quarter {
                None => self.quarter = Some((now, finished)),
                Some(_) => self.possible += live.servers.capacity() * elapsed.as_secs_f64(),
            }
        }
        if now < self.next_point {
            return false;
        }
        self.next_point += self.every;
        self.recent.push((now, finished));
        let recent =
            self.recent.len().saturating_sub(1 + 1_000 / self.every.as_millis().max(1) as usize);
        let (at, earlier) = self.recent[recent];
        let seconds = (now - at).as_secs_f64();
        let mut ages = std::mem::take(&mut *lock(&live.ages));
        ages.sort_by(f64::total_cmp);
        self.series.push(Point {
            at_s: now.as_secs_f64(),
            channel: levels.channel,
            kafka: levels.kafka,
            queued: levels.queued,
            in_flight: levels.in_flight,
            bytes: levels.bytes,
            finished_per_s: if seconds > 0.0 { (finished - earlier) as f64 / seconds } else { 0.0 },
            age_p50_s: quantile(&ages, 0.5),
            age_p99_s: quantile(&ages, 0.99),
        });
        self.ages.append(&mut ages);
        true
    }

    /// What it comes to so far.
    pub(super) fn played(&self, drained: Option<Duration>) -> Played {
        let live = &self.live;
        let mut ages = self.ages.clone();
        ages.sort_by(f64::total_cmp);
        let finished = live.finished.load(Ordering::Relaxed);
        // One that was ended before its first quarter was over counts as a whole.
        let (from, before) = self.quarter.unwrap_or_default();
        let seconds = self.before.saturating_sub(from).as_secs_f64();
        let per_s = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        let counted = finished - before;
        let possible = match self.quarter {
            Some(_) => self.possible,
            None => live.servers.capacity() * seconds,
        };
        let first = *lock(&live.first_block);
        let counters = live.monitor.snapshot().engine.counters;
        Played {
            strategy: live.strategy,
            peak: self.peak,
            total_at_first_block: first.map(|(_, total)| total),
            feedback_s: first.map(|(at, _)| at.as_secs_f64()),
            waited_s: self.waited.as_secs_f64(),
            oom_kills: 0,
            throughput_per_s: per_s(counted as f64),
            capacity_per_s: per_s(possible),
            refused: live.refused.load(Ordering::Relaxed),
            repeated: live.repeated.load(Ordering::Relaxed),
            lost: live.lost.load(Ordering::Relaxed) + counters.given_up,
            reordered: 0,
            dead_letters: counters.dead_lettered,
            made: live.made.load(Ordering::Relaxed),
            age_p50_s: quantile(&ages, 0.5),
            age_p99_s: quantile(&ages, 0.99),
            drain_s: drained.map(|drained| drained.as_secs_f64()),
            series: self.series.clone(),
            kills_s: Vec::new(),
        }
    }
}
