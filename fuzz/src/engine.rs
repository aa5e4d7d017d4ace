//! The engine's verbs, in any order and under any limits, against its naive model.

#[path = "../../engine/tests/model/world/mod.rs"]
mod world;

use std::time::Duration;

use tidegate_engine::{AfterLastAttempt, Config, Ordering};

use crate::tape::Tape;
use world::{LogRecord, PARTITIONS, World};

/// More steps than a failure has ever needed; the model's cost grows with them.
const MAX_STEPS: usize = 600;

/// Plays a tape: limits, logs, then a step for each three bytes. In the end everything must finish
/// and be committed. What is checked is in `engine/tests/model/`.
///
/// # Panics
/// When engine and model disagree.
pub fn engine(data: &[u8]) {
    let mut tape = Tape::new(data);
    let mut world = World::new(config(&mut tape), logs(&mut tape));
    for _ in 0..MAX_STEPS {
        if tape.is_empty() {
            break;
        }
        world.step(tape.bytes());
    }
    world.finish();
}

/// Tight limits: what is never reached is never tested.
fn config(tape: &mut Tape<'_>) -> Config {
    let kinds = tape.byte();
    let timeout = u64::from(tape.byte());
    Config {
        ordering: match kinds % 4 {
            0 | 1 => Ordering::Key,
            2 => Ordering::Partition,
            _ => Ordering::None,
        },
        after_last_attempt: match kinds / 4 % 3 {
            0 => AfterLastAttempt::StopPartition,
            1 => AfterLastAttempt::Skip,
            _ => AfterLastAttempt::DeadLetter,
        },
        max_in_flight: 1 + u32::from(tape.byte() % 8),
        max_queued: 1 + u32::from(tape.byte() % 20),
        max_bytes: 1_024 + u64::from(tape.byte()) * 12,
        max_window: 1 + u64::from(tape.byte() % 40),
        max_attempts: 1 + u32::from(tape.byte() % 4),
        dead_letter_credit: 1 + u32::from(tape.byte() % 3),
        handler_timeout: (timeout > 0).then(|| Duration::from_millis(timeout)),
        stuck_after: Duration::from_millis(1 + 4 * u64::from(tape.byte())),
        commit_stall: Duration::from_millis(300),
        ..Config::default()
    }
}

/// A byte for each record: the gap before it, its key and its size.
fn logs(tape: &mut Tape<'_>) -> Vec<Vec<LogRecord>> {
    let log = |_| {
        let mut offset = -1;
        let records = tape.byte() % 60;
        let record = |_| {
            let byte = tape.byte();
            offset += 1 + i64::from(byte & 1);
            let key = (byte >> 1) % 5;
            LogRecord { offset, key: (key > 0).then_some(key), bytes: u32::from(byte >> 4) * 45 }
        };
        (0..records).map(record).collect()
    };
    (0..PARTITIONS).map(log).collect()
}
