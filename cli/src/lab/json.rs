//! The results as one JSON object.

use serde::Serialize;
use tidegate_sim::lab::{Peak, Played, Point, Scenario};

#[derive(Debug, Serialize)]
pub(super) struct Results<'a> {
    scenario: &'a str,
    seed: u64,
    strategies: Vec<Line<'a>>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    name: String,
    peak: PeakLine,
    total_at_first_block: Option<u64>,
    feedback_s: Option<f64>,
    waited_s: f64,
    oom_kills: u32,
    throughput_per_s: f64,
    capacity_per_s: f64,
    refused: u64,
    repeated: u64,
    lost: u64,
    reordered: u64,
    dead_letters: u64,
    age_s: Age,
    drain_s: Option<f64>,
    verdict: &'a str,
    series: Vec<PointLine>,
}

#[derive(Debug, Serialize)]
struct PeakLine {
    channel: u64,
    kafka: u64,
    queued: u64,
    in_flight: u64,
    total: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Age {
    p50: Option<f64>,
    p99: Option<f64>,
}

#[derive(Debug, Serialize)]
struct PointLine {
    at_s: f64,
    channel: u64,
    kafka: u64,
    queued: u64,
    in_flight: u64,
    bytes: u64,
    finished_per_s: f64,
    age_s: Age,
}

/// To the millisecond, or a thousandth.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn age(p50: Option<f64>, p99: Option<f64>) -> Age {
    Age { p50: p50.map(rounded), p99: p99.map(rounded) }
}

impl From<&Point> for PointLine {
    fn from(point: &Point) -> Self {
        let Point { channel, kafka, queued, in_flight, bytes, .. } = *point;
        Self {
            at_s: rounded(point.at_s),
            channel,
            kafka,
            queued,
            in_flight,
            bytes,
            finished_per_s: rounded(point.finished_per_s),
            age_s: age(point.age_p50_s, point.age_p99_s),
        }
    }
}

impl<'a> Results<'a> {
    pub(super) fn new(scenario: &'a Scenario, played: &[Played], verdicts: &'a [String]) -> Self {
        let lines = played.iter().zip(verdicts).map(|(played, verdict)| {
            let Peak { channel, kafka, queued, in_flight, total, bytes } = played.peak;
            Line {
                name: played.strategy.to_string(),
                peak: PeakLine { channel, kafka, queued, in_flight, total, bytes },
                total_at_first_block: played.total_at_first_block,
                feedback_s: played.feedback_s.map(rounded),
                waited_s: rounded(played.waited_s),
                oom_kills: played.oom_kills,
                throughput_per_s: rounded(played.throughput_per_s),
                capacity_per_s: rounded(played.capacity_per_s),
                refused: played.refused,
                repeated: played.repeated,
                lost: played.lost,
                reordered: played.reordered,
                dead_letters: played.dead_letters,
                age_s: age(played.age_p50_s, played.age_p99_s),
                drain_s: played.drain_s.map(rounded),
                verdict,
                series: played.series.iter().map(PointLine::from).collect(),
            }
        });
        Self { scenario: &scenario.name, seed: scenario.seed, strategies: lines.collect() }
    }
}
