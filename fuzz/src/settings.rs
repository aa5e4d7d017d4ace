//! Everything that a person writes to set Tidegate up: property files, values of flags, limits.
//! Nothing panics, and what is refused is named.

#[path = "../../cli/src/settings/java/mod.rs"]
#[allow(unused_imports, reason = "the command names the type as well")]
mod java;
#[path = "../../cli/src/run/target.rs"]
#[allow(dead_code, reason = "its help is for the command line")]
mod target;
#[path = "../../cli/src/run/http/template.rs"]
#[allow(dead_code, reason = "requests are the command's")]
mod template;
#[path = "../../cli/src/settings/values.rs"]
#[allow(dead_code, reason = "not every reader has a target")]
mod values;

/// Where the command has it.
mod http {
    pub(crate) use super::template::Template;
}

use std::time::Duration;

use tidegate::{AfterLastAttempt, Backoff, Builder, Config, Consumer, Ordering, StartFrom};
use tidegate_engine::{Arrival, Engine, Instant, Offset, Outcome, PartitionId, Start, Verdict};

use crate::tape::Tape;

/// Reads a property file, the value of any flag, or checks any limits.
///
/// # Panics
/// When something is accepted that cannot be used, or refused without saying what.
pub fn settings(data: &[u8]) {
    let mut tape = Tape::new(data);
    match tape.byte() % 3 {
        0 => properties(tape.rest()),
        1 => values(&String::from_utf8_lossy(tape.rest())),
        _ => limits(tape),
    }
}

fn builder() -> Builder {
    Consumer::builder().brokers("broker:9092").group("group").topic("topic")
}

fn properties(file: &[u8]) {
    let translated = match java::read(file) {
        Ok(translated) => translated,
        Err(message) => {
            let names = ["sasl.jaas.config", "ssl.", "auto.offset.reset", "partition.assignment"];
            let is_named = names.iter().any(|name| message.contains(name));
            let has_line = message.contains("line") && !message.contains("unknown");
            assert!(is_named || has_line, "neither a line nor a name: {message}");
            return;
        }
    };
    let properties = translated.properties;
    let mut builder = builder();
    for (name, value) in &properties {
        // It loads libraries, which is not what is to be tried here.
        if name.starts_with("plugin.") {
            return;
        }
        builder = builder.property(name, value);
    }
    if let Err(error) = builder.build() {
        let message = error.to_string();
        let is_named = properties.iter().any(|(name, _)| message.contains(name.as_str()));
        assert!(is_named, "no property is named: {message}");
        let secret = |name: &str| name.contains("password") || name.contains("secret");
        let is_elsewhere = properties.iter().any(|(name, value)| {
            name.contains("hush") || (!secret(name) && value.contains("hush"))
        });
        assert!(!message.contains("hush") || is_elsewhere, "a secret is shown: {message}");
    }
}

fn values(text: &str) {
    let (min, max) = (Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));
    match values::duration(min, max)(text) {
        Ok(read) => assert!((min..=max).contains(&read)),
        Err(message) => assert!(message.contains("must be from") || message.contains("like")),
    }
    match values::size(1 << 10, 1 << 40)(text) {
        Ok(read) => assert!((1 << 10..=1 << 40).contains(&read.0)),
        Err(message) => assert!(message.contains("must be from") || message.contains("like")),
    }
    match values::start_from(text) {
        Ok(StartFrom::Timestamp(millis)) => assert!(millis >= 0),
        Ok(_) => {}
        Err(message) => assert!(!message.is_empty()),
    }
    if let Ok((name, value)) = values::property(text) {
        assert!(!name.is_empty() && text.trim_start().starts_with(&name));
        assert!(text.ends_with(&format!("={value}")));
    }
    if values::topic(text).is_ok() {
        assert_eq!(values::topic_or_pattern(text).as_deref(), Ok(text));
    }
    match target::parse(text) {
        Ok(target::Target::Exec(words)) => {
            assert!(words.first().is_some_and(|program| !program.is_empty()));
        }
        Ok(target::Target::Http(template)) => {
            let shown = template.to_string();
            assert!(shown.starts_with("http") && !shown.contains('@'), "{shown}");
        }
        Ok(_) => {}
        Err(message) => assert!(!message.is_empty()),
    }
}

/// The names by which limits are refused.
const LIMITS: &[&str] = &[
    "max_in_flight",
    "max_queued",
    "max_bytes",
    "max_window",
    "metadata_max_bytes",
    "max_attempts",
    "dead_letter_credit",
    "backoff.initial",
    "backoff.max",
    "handler_timeout",
    "stuck_after",
    "commit_stall",
    "commit_interval",
    "drain_timeout",
    "shutdown_timeout",
    "workers",
    "max_records",
];

fn limits(mut tape: Tape<'_>) {
    let kinds = tape.byte();
    let number = |tape: &mut Tape<'_>| u32::try_from(tape.any_size()).unwrap_or(u32::MAX);
    let duration = |tape: &mut Tape<'_>| Duration::from_nanos(tape.any_size());
    let config = Config {
        ordering: if kinds & 1 > 0 { Ordering::Partition } else { Ordering::Key },
        after_last_attempt: if kinds & 2 > 0 {
            AfterLastAttempt::Skip
        } else {
            AfterLastAttempt::StopPartition
        },
        max_in_flight: number(&mut tape),
        max_queued: number(&mut tape),
        max_bytes: tape.any_size(),
        max_window: tape.any_size(),
        metadata_max_bytes: number(&mut tape),
        max_attempts: number(&mut tape),
        dead_letter_credit: number(&mut tape),
        backoff: Backoff { initial: duration(&mut tape), max: duration(&mut tape) },
        handler_timeout: (kinds & 4 > 0).then(|| duration(&mut tape)),
        stuck_after: duration(&mut tape),
        commit_stall: duration(&mut tape),
        seed: 1,
    };
    let whole = builder()
        .ordering(config.ordering)
        .max_in_flight(config.max_in_flight)
        .max_queued(config.max_queued)
        .max_bytes(config.max_bytes)
        .max_window(config.max_window)
        .metadata_max_bytes(config.metadata_max_bytes)
        .max_attempts(config.max_attempts)
        .dead_letter_credit(config.dead_letter_credit)
        .backoff(config.backoff)
        .stuck_after(config.stuck_after)
        .commit_stall(config.commit_stall)
        .commit_interval(duration(&mut tape))
        .drain_timeout(duration(&mut tape))
        .shutdown_timeout(duration(&mut tape))
        .workers(tape.any_size() as usize)
        .max_records(tape.any_size());
    let refused = whole.build().err().map(|error| error.to_string());
    let is_named = |message: &String| LIMITS.iter().any(|name| message.starts_with(name));
    assert!(refused.iter().all(is_named), "no limit is named: {refused:?}");

    let at = Instant::from_nanos(tape.any_size());
    match Engine::new(config.clone(), at) {
        Err(error) => {
            assert!(is_named(&error.to_string()));
            assert!(refused.is_some() || config.handler_timeout.is_some());
        }
        Ok(engine) => one_record(engine, tape.any_size(), at),
    }
}

/// Whatever limits are accepted, a record gets through.
fn one_record(mut engine: Engine<()>, bytes: u64, now: Instant) {
    let partition = PartitionId(0);
    let assigned = engine.handle_assigned(partition, Start::default(), now);
    assert_eq!(assigned, Ok(()));
    let capacity = engine.capacity(partition, now);
    assert!(capacity.records > 0 && capacity.first == u64::MAX, "{capacity:?}");
    let arrival = Arrival {
        offset: Offset(0),
        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        key: None,
        leader_epoch: 0,
        payload: (),
    };
    assert_eq!(engine.handle_records(partition, [arrival], None, now), 1);
    let mut out = Vec::new();
    assert_eq!(engine.poll_dispatch(&mut out, usize::MAX, now), 1);
    engine.handle_timeout(now);
    // Without a commit that is answered it would wait for one, however long the backoff.
    let mut points = Vec::new();
    engine.poll_commits(&mut points);
    for point in points.drain(..) {
        engine.handle_committed(partition, point.offset, true, now);
    }
    let outcome = Outcome::Overloaded { retry_after: None };
    let verdict = engine.handle_outcome(out[0].ticket, outcome, now);
    let Verdict::Again { at, attempt: 1 } = verdict else { panic!("{verdict:?}") };
    engine.handle_timeout(at);
    out.clear();
    assert_eq!(engine.poll_dispatch(&mut out, usize::MAX, at), 1);
    assert_eq!(engine.handle_outcome(out[0].ticket, Outcome::Done, at), Verdict::Finished);
    engine.poll_commits(&mut points);
    assert_eq!(points.first().map(|point| point.offset), Some(Offset(1)));
}
