//! What is counted while a run goes on.

use std::collections::VecDeque;

use super::histogram::Histogram;
use super::{Peak, Played, Point, SECOND, Strategy, seconds};

/// How many moments a series has.
const POINTS: u64 = 240;

/// How much there is where, at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Levels {
    pub(super) channel: u64,
    pub(super) kafka: u64,
    pub(super) queued: u64,
    pub(super) in_flight: u64,
    pub(super) bytes: u64,
}

impl Levels {
    pub(super) fn total(&self) -> u64 {
        self.channel + self.kafka + self.queued + self.in_flight
    }
}

#[derive(Debug, Default)]
pub(super) struct Meter {
    end: u64,
    peak: Peak,
    first_block: Option<(u64, u64)>,
    blocked: u64,
    pub(super) refused: u64,
    pub(super) repeated: u64,
    pub(super) lost: u64,
    pub(super) reordered: u64,
    pub(super) dead_letters: u64,
    pub(super) made: u64,
    pub(super) kills: Vec<u64>,
    ages: Histogram,
    recent: Histogram,
    finished: u64,
    /// Finished in the last three quarters, and what could have been.
    counted: u64,
    possible: f64,
    /// Moments with what was finished by then, of the last second.
    second: VecDeque<(u64, u64)>,
    series: Vec<Point>,
}

impl Meter {
    pub(super) fn new(end: u64) -> Self {
        Self { end, ..Self::default() }
    }

    /// A record was finished for the first time.
    pub(super) fn finish(&mut self, made: u64, now: u64) {
        self.finished += 1;
        if now > self.end {
            return;
        }
        self.ages.add(now - made);
        self.recent.add(now - made);
        if now > self.end / 4 {
            self.counted += 1;
        }
    }

    /// A moment of the run is over, in which the downstream had this capacity.
    pub(super) fn see(
        &mut self,
        levels: Levels,
        blocked: bool,
        capacity: f64,
        step: u64,
        now: u64,
    ) {
        let peak = &mut self.peak;
        peak.channel = peak.channel.max(levels.channel);
        peak.kafka = peak.kafka.max(levels.kafka);
        peak.queued = peak.queued.max(levels.queued);
        peak.in_flight = peak.in_flight.max(levels.in_flight);
        peak.bytes = peak.bytes.max(levels.bytes);
        peak.total = peak.total.max(levels.total());
        if blocked {
            self.blocked += step;
            self.first_block.get_or_insert((now, levels.total()));
        }
        if now > self.end / 4 {
            self.possible += capacity * seconds(step);
        }
        let due = self.end * self.series.len() as u64 / POINTS;
        if now >= due {
            self.point(levels, now);
        }
    }

    fn point(&mut self, levels: Levels, now: u64) {
        // Over a second at least, since servers that began together end together.
        while self.second.get(1).is_some_and(|(at, _)| now - at >= SECOND) {
            self.second.pop_front();
        }
        let (at, finished) = self.second.front().copied().unwrap_or((0, 0));
        self.second.push_back((now, self.finished));
        let (elapsed, done) = (seconds(now - at), (self.finished - finished) as f64);
        self.series.push(Point {
            at_s: seconds(now),
            channel: levels.channel,
            kafka: levels.kafka,
            queued: levels.queued,
            in_flight: levels.in_flight,
            bytes: levels.bytes,
            finished_per_s: if elapsed > 0.0 { done / elapsed } else { 0.0 },
            age_p50_s: self.recent.quantile(0.5),
            age_p99_s: self.recent.quantile(0.99),
        });
        self.recent.clear();
    }

    pub(super) fn played(self, strategy: Strategy, drained: Option<u64>) -> Played {
        let counted_s = seconds(self.end - self.end / 4);
        Played {
            strategy,
            peak: self.peak,
            total_at_first_block: self.first_block.map(|(_, total)| total),
            feedback_s: self.first_block.map(|(at, _)| seconds(at)),
            waited_s: seconds(self.blocked),
            oom_kills: self.kills.len() as u32,
            throughput_per_s: self.counted as f64 / counted_s,
            capacity_per_s: self.possible / counted_s,
            refused: self.refused,
            repeated: self.repeated,
            lost: self.lost,
            reordered: self.reordered,
            dead_letters: self.dead_letters,
            made: self.made,
            age_p50_s: self.ages.quantile(0.5),
            age_p99_s: self.ages.quantile(0.99),
            drain_s: drained.map(|at| seconds(at - self.end)),
            series: self.series,
            kills_s: self.kills.iter().map(|at| *at as f64 / SECOND as f64).collect(),
        }
    }
}
