//! An engine to try, and short words for what is done with it.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]

use tidegate_engine::*;

pub const P: PartitionId = PartitionId(0);
pub const Q: PartitionId = PartitionId(1);

pub fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

pub fn engine(config: Config) -> Engine<i64> {
    let mut engine = Engine::new(config, at(0)).unwrap();
    assign(&mut engine, P);
    engine
}

pub fn assign(engine: &mut Engine<i64>, partition: PartitionId) {
    let start = Start { committed: Some(Offset(0)), metadata: "", incarnation: 1 };
    engine.handle_assigned(partition, start, at(0)).unwrap();
}

pub fn arrival(offset: i64, key: u64, bytes: u32) -> Arrival<i64> {
    let key = Some(KeyHash(key));
    Arrival { offset: Offset(offset), bytes, key, leader_epoch: 1, payload: offset }
}

/// Admits records with these keys from `from`.
pub fn admit(engine: &mut Engine<i64>, p: PartitionId, from: i64, keys: &[u64], now: Instant) {
    let records = keys.iter().enumerate().map(|(i, key)| arrival(from + i as i64, *key, 10));
    let position = Offset(from + keys.len() as i64);
    engine.handle_records(p, records.collect::<Vec<_>>(), Some(position.into()), now);
}

pub fn dispatch(engine: &mut Engine<i64>, now: Instant) -> Vec<Dispatch<i64>> {
    let mut out = Vec::new();
    engine.poll_dispatch(&mut out, usize::MAX, now);
    out
}

pub fn offsets(dispatches: &[Dispatch<i64>]) -> Vec<i64> {
    dispatches.iter().map(|d| d.offset.0).collect()
}

pub fn actions(engine: &mut Engine<i64>) -> Vec<Action> {
    std::iter::from_fn(|| engine.poll_action()).collect()
}

pub fn commit(engine: &mut Engine<i64>) -> Vec<CommitPoint> {
    let mut points = Vec::new();
    engine.poll_commits(&mut points);
    points
}
