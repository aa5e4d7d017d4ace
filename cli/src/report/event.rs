//! The library's events as messages.

use tidegate::{Event, Level};

use super::line::Message;

/// How the reason of a failed attempt begins that its handler expects now and then: told with `-v`
/// only.
pub(crate) const EXPECTED: &str = "expected failure";

/// The reason for which records wait until the run has ended because their output is closed, which
/// is told once, at the end.
pub(crate) const CLOSED: &str = "standard output is closed";

/// How the reason begins for which records of a target wait that is overloaded or down: that is told
/// once, by the target, and not for each record.
pub(crate) const TARGET: &str = "the target";

/// How much an event matters here.
pub(super) fn level(event: &Event) -> Level {
    match event {
        Event::AttemptFailed { reason, .. } if reason.starts_with(EXPECTED) => Level::Debug,
        Event::Overloaded { reason, .. } if reason == CLOSED || reason.starts_with(TARGET) => {
            Level::Debug
        }
        event => event.level(),
    }
}

/// The event as a message.
pub(super) fn message(event: &Event) -> Message {
    let new = || Message::new(level(event), event.kind(), event.to_string());
    let millis = |duration: &std::time::Duration| duration.as_secs_f64() * 1_000.0;
    match event {
        Event::Assigned { partition, committed, finished_ahead } => new()
            .of(partition)
            .with("committed", committed.map(|offset| offset.0))
            .with("finished_ahead", *finished_ahead),
        Event::MetadataIgnored { partition, .. } => new().of(partition),
        Event::Revoking { partition, in_flight } => {
            new().of(partition).with("in_flight", *in_flight)
        }
        Event::DrainDeadline { partition, in_flight } => {
            new().of(partition).with("in_flight", *in_flight)
        }
        Event::Released { partition, uncommitted } => {
            new().of(partition).with("uncommitted", *uncommitted)
        }
        Event::Lost { partition, uncommitted } => {
            new().of(partition).with("uncommitted", *uncommitted)
        }
        Event::Committed { partition, offset } => new().of(partition).with("offset", offset.0),
        Event::CommitFailed { partition, offset, .. } => {
            new().of(partition).with("offset", offset.0)
        }
        Event::CommitsStalled { partition, since } => {
            new().of(partition).with("since_ms", millis(since))
        }
        Event::CommitsResumed { partition, after } => {
            new().of(partition).with("after_ms", millis(after))
        }
        Event::AttemptFailed { partition, offset, attempt, cause, reason, next } => new()
            .of(partition)
            .with("offset", offset.0)
            .with("attempt", *attempt)
            .with("cause", cause.to_string())
            .with("reason", reason.as_str())
            .with("next_ms", millis(next)),
        Event::Overloaded { partition, offset, reason, next } => new()
            .of(partition)
            .with("offset", offset.0)
            .with("reason", reason.as_str())
            .with("next_ms", millis(next)),
        Event::Unfinished { partition, offset, cause, reason } => new()
            .of(partition)
            .with("offset", offset.0)
            .with("cause", cause.to_string())
            .with("reason", reason.as_str()),
        Event::PartitionStopped { partition, offset, attempts, reason } => new()
            .of(partition)
            .with("offset", offset.0)
            .with("attempts", *attempts)
            .with("reason", reason.as_str()),
        Event::GivenUp { partition, offset, attempts, reason } => new()
            .of(partition)
            .with("offset", offset.0)
            .with("attempts", *attempts)
            .with("reason", reason.as_str()),
        Event::Stuck { partition, offset, attempt, running } => new()
            .of(partition)
            .with("offset", offset.0)
            .with("attempt", *attempt)
            .with("running_ms", millis(running)),
        Event::NoProgress { partition, offset, unfinished, since } => new()
            .of(partition)
            .with("offset", offset.0)
            .with("unfinished", *unfinished)
            .with("since_ms", millis(since)),
        Event::PartitionFailed { partition, .. } => new().of(partition),
        Event::Trouble(_) => new(),
        Event::Recovered(_) => new(),
        Event::Failed(_) => new(),
        Event::Draining { in_flight, queued, timeout } => new()
            .with("in_flight", *in_flight)
            .with("queued", *queued)
            .with("timeout_ms", millis(timeout)),
        _ => new(),
    }
}
