//! What is shown of gates.

use serde_json::{Value, json};
use tidegate::TopicSnapshot;
use tidegate::gate::{BreakerState, GateSnapshot, GateState, GroupSnapshot};

use super::{Metric, Text};

type OfGate = (Metric, fn(&TopicSnapshot) -> Option<f64>);

/// One number each, of every topic.
const GATES: [OfGate; 17] = [
    (Metric::gauge("tidegate_gate_state", "0 open, 1 limited, 2 shut."), |topic| {
        Some(state(topic.gate.state).0)
    }),
    (
        Metric::gauge(
            "tidegate_gate_window_records",
            "How many records may be outstanding; +Inf if no group is followed.",
        ),
        |topic| Some(window(&topic.gate).map_or(f64::INFINITY, |window| window as f64)),
    ),
    (
        Metric::gauge(
            "tidegate_gate_outstanding_records",
            "Own records that some followed group has not finished.",
        ),
        |topic| Some(topic.gate.outstanding as f64),
    ),
    (
        Metric::gauge("tidegate_gate_set_aside_records", "Of these, in partitions that are stuck."),
        |topic| Some(topic.gate.set_aside as f64),
    ),
    (
        Metric::gauge("tidegate_gate_on_their_way_records", "Records sent and not acknowledged."),
        |topic| Some(topic.on_their_way as f64),
    ),
    (Metric::gauge("tidegate_gate_target_seconds", "The drain time that is aimed for."), |topic| {
        Some(topic.gate.target.as_secs_f64())
    }),
    (
        Metric::gauge(
            "tidegate_gate_drain_seconds",
            "The longest drain time of a followed group, if known.",
        ),
        |topic| topic.gate.drain.filter(|_| !topic.groups.is_empty()).map(|d| d.as_secs_f64()),
    ),
    (
        Metric::gauge(
            "tidegate_gate_probe_age_seconds",
            "The age of the newest answer of a probe.",
        ),
        |topic| Some(topic.gate.probe_age.as_secs_f64()),
    ),
    (Metric::gauge("tidegate_gate_breaker_state", "0 closed, 1 half-open, 2 open."), |topic| {
        Some(breaker(topic.gate.breaker).0)
    }),
    (Metric::counter("tidegate_gate_admitted_records_total", "Records let through."), |topic| {
        Some(topic.gate.counters.admitted as f64)
    }),
    (
        Metric::counter("tidegate_gate_floor_records_total", "Of these, by the floor rate."),
        |topic| Some(topic.gate.counters.floor as f64),
    ),
    (
        Metric::counter("tidegate_gate_refusals_total", "Times that a record was not let through."),
        |topic| Some(topic.gate.counters.refused as f64),
    ),
    (
        Metric::counter(
            "tidegate_gate_cancelled_records_total",
            "Records let through and not sent.",
        ),
        |topic| Some(topic.gate.counters.cancelled as f64),
    ),
    (
        Metric::counter(
            "tidegate_gate_delivered_records_total",
            "Records that the broker acknowledged.",
        ),
        |topic| Some(topic.gate.counters.delivered as f64),
    ),
    (
        Metric::counter(
            "tidegate_gate_untracked_records_total",
            "Of these, with an unknown offset.",
        ),
        |topic| Some(topic.gate.counters.untracked as f64),
    ),
    (
        Metric::counter("tidegate_gate_failed_records_total", "Records that were not delivered."),
        |topic| Some(topic.gate.counters.failed as f64),
    ),
    (
        Metric::counter(
            "tidegate_gate_released_records_total",
            "Own records that every followed group has finished.",
        ),
        |topic| Some(topic.gate.counters.released as f64),
    ),
];

type OfGroup = (Metric, fn(&GroupSnapshot) -> Option<f64>);

/// One number each, of every followed group of every topic.
const GROUPS: [OfGroup; 4] = [
    (
        Metric::gauge(
            "tidegate_gate_group_lag_records",
            "Records that wait in the partitions in which the group moves.",
        ),
        |group| Some(group.lag as f64),
    ),
    (
        Metric::gauge(
            "tidegate_gate_group_records_per_second",
            "What the group does when it has work, if known.",
        ),
        |group| group.rate,
    ),
    (
        Metric::gauge(
            "tidegate_gate_group_drain_seconds",
            "How long the group needs for its lag, if known.",
        ),
        |group| group.drain.map(|drain| drain.as_secs_f64()),
    ),
    (
        Metric::gauge(
            "tidegate_gate_group_stuck_partitions",
            "Partitions in which it has lag and does not move.",
        ),
        |group| Some(group.stuck.len() as f64),
    ),
];

fn state(state: GateState) -> (f64, &'static str) {
    match state {
        GateState::Open => (0.0, "open"),
        GateState::Limited(_) => (1.0, "limited"),
        _ => (2.0, "shut"),
    }
}

fn breaker(state: BreakerState) -> (f64, &'static str) {
    match state {
        BreakerState::Closed => (0.0, "closed"),
        BreakerState::HalfOpen => (1.0, "half-open"),
        _ => (2.0, "open"),
    }
}

/// Without a group there is none.
fn window(gate: &GateSnapshot) -> Option<u64> {
    (gate.window != u64::MAX).then_some(gate.window)
}

/// Writes the metrics of these topics.
pub(crate) fn metrics(topics: &[TopicSnapshot], text: &mut Text) {
    for (metric, number) in &GATES {
        text.metric(metric);
        for topic in topics {
            if let Some(value) = number(topic) {
                text.sample(metric.name, &[("topic", &topic.topic)], value);
            }
        }
    }
    for (metric, number) in &GROUPS {
        text.metric(metric);
        for topic in topics {
            for group in &topic.gate.groups {
                let name = topic.groups.get(group.group.0 as usize);
                if let (Some(value), Some(name)) = (number(group), name) {
                    let labels = [("group", name.as_str()), ("topic", topic.topic.as_str())];
                    text.sample(metric.name, &labels, value);
                }
            }
        }
    }
}

/// These topics as JSON.
pub(crate) fn snapshot(topics: &[TopicSnapshot]) -> Value {
    let one = |topic: &TopicSnapshot| {
        let (gate, counters) = (&topic.gate, &topic.gate.counters);
        let group = |group: &GroupSnapshot| {
            json!({
                "group": topic.groups.get(group.group.0 as usize),
                "has_commit": group.has_commit,
                "lag": group.lag,
                "records_per_s": group.rate,
                "drain_s": group.drain.map(|drain| drain.as_secs_f64()),
                "commit_spacing_s": group.commit_spacing.as_secs_f64(),
                "stuck": group.stuck,
            })
        };
        json!({
            "topic": topic.topic,
            "state": state(gate.state).1,
            "window": window(gate),
            "outstanding": gate.outstanding,
            "set_aside": gate.set_aside,
            "on_their_way": topic.on_their_way,
            "target_s": gate.target.as_secs_f64(),
            "drain_s": gate.drain.map(|drain| drain.as_secs_f64()),
            "probe_age_s": gate.probe_age.as_secs_f64(),
            "breaker": breaker(gate.breaker).1,
            "rate": gate.rate,
            "counters": {
                "admitted": counters.admitted,
                "floor": counters.floor,
                "refused": counters.refused,
                "cancelled": counters.cancelled,
                "delivered": counters.delivered,
                "untracked": counters.untracked,
                "failed": counters.failed,
                "released": counters.released,
            },
            "groups": gate.groups.iter().map(group).collect::<Vec<_>>(),
        })
    };
    topics.iter().map(one).collect()
}

#[cfg(test)]
pub(super) fn all() -> Vec<Metric> {
    let groups = GROUPS.iter().map(|(metric, _)| *metric);
    GATES.iter().map(|(metric, _)| *metric).chain(groups).collect()
}
