//! One line that says what a strategy came to, and why.

use bytesize::ByteSize;
use tidegate_sim::lab::{Played, Scenario, Strategy};

use crate::report::grouped;

/// A number of seconds, as a person reads it.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        ..0.9995 => format!("{:.0} ms", seconds * 1_000.0),
        ..10.0 => format!("{seconds:.1} s"),
        ..600.0 => format!("{seconds:.0} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

/// A size, as a person reads it.
pub(super) fn bytes(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

/// The verdict on a strategy.
pub(super) fn verdict(scenario: &Scenario, played: &Played) -> String {
    let mut parts = Vec::new();
    parts.extend(killed(played));
    parts.extend(losses(played));
    parts.extend(little(scenario, played));
    if played.oom_kills == 0 {
        parts.push(flow(scenario, played));
    }
    parts.join("; ")
}

fn killed(played: &Played) -> Option<String> {
    let first = played.kills_s.first()?;
    let times = match played.oom_kills {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    };
    let told = match (played.feedback_s, played.total_at_first_block) {
        (Some(at), Some(total)) if at < *first => format!(
            "{} records were in flight when the producer first waited, after {}",
            grouped(total),
            seconds(at)
        ),
        _ => "the producer had heard nothing by then".to_owned(),
    };
    Some(format!("killed {times} for its memory, first after {}: {told}", seconds(*first)))
}

fn losses(played: &Played) -> Option<String> {
    let records =
        |count: u64, what: &str| (count > 0).then(|| format!("{} {what}", grouped(count)));
    let found = [
        records(played.lost, "records lost"),
        records(played.repeated, "handled again"),
        records(played.dead_letters, "dead letters"),
        records(played.reordered, "out of their key's order"),
    ];
    let found: Vec<_> = found.into_iter().flatten().collect();
    (!found.is_empty()).then(|| found.join(", "))
}

/// Too few permits: what runs at once, by the time each takes, is all that can be done in a second.
fn little(scenario: &Scenario, played: &Played) -> Option<String> {
    let permits = f64::from(played.strategy.permits()?) * f64::from(scenario.consumers.members);
    let service = scenario.downstream.service.mean().as_secs_f64();
    let most = permits / service;
    let wanted = scenario.producers.iter().map(|producer| producer.rate).sum::<f64>();
    let could = played.capacity_per_s.min(wanted);
    let is_bound_by_it = (0.9..1.02).contains(&(played.throughput_per_s / most));
    (most < 0.95 * could && is_bound_by_it).then(|| {
        format!(
            "{} permits of {} each make {}/s at most (Little's law), and the downstream could do \
             {}/s: that takes {}",
            grouped(permits as u64),
            seconds(service),
            grouped(most.round() as u64),
            grouped(played.capacity_per_s.round() as u64),
            grouped((played.capacity_per_s * service).ceil() as u64),
        )
    })
}

fn flow(scenario: &Scenario, played: &Played) -> String {
    let per_s = played.throughput_per_s.max(1.0);
    let memory = bytes(played.peak.bytes);
    let Some(feedback) = played.feedback_s else {
        return format!("never made a producer wait; {memory} of memory at most");
    };
    let verb = match played.refused {
        0 => "waited",
        _ => "was refused records",
    };
    let total = played.total_at_first_block.unwrap_or(0);
    let told = format!(
        "a producer {verb} for {} in all, first after {} and behind {} records",
        seconds(played.waited_s),
        seconds(feedback),
        grouped(total)
    );
    match played.strategy {
        Strategy::Unbounded { .. } => {
            format!("{} tasks with {memory} of memory; {told}", grouped(played.peak.in_flight))
        }
        Strategy::ClosedLoop { .. } => {
            // One that was ended early counts as a whole.
            let last = played.series.last().map_or(0.0, |point| point.at_s);
            let quarter = scenario.duration.as_secs_f64() / 4.0;
            let from = if last > quarter { quarter } else { 0.0 };
            let points: Vec<_> = played.series.iter().filter(|point| point.at_s >= from).collect();
            let sum: u64 = points.iter().map(|point| point.total()).sum();
            let mean = sum as f64 / points.len().max(1) as f64;
            format!(
                "{memory} of memory, and on average {} records from producer to handler ({} of \
                 work); {told}",
                grouped(mean.round() as u64),
                seconds(mean / per_s),
            )
        }
        _ => format!("{memory} of memory, the rest stays in Kafka; {told}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            (grouped(0), grouped(999), grouped(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        assert_eq!(seconds(0.05), "50 ms");
        assert_eq!((seconds(2.34), seconds(23.4)), ("2.3 s".into(), "23 s".into()));
        assert_eq!(bytes(500_000_000), "500.0 MB");
    }
}
