//! How much a partition may read: exact shares, reservations, windows and stalls.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use tidegate_engine::*;

const NONE: Capacity = Capacity { records: 0, bytes: 0, first: 0 };

/// Two partitions, and 1,024 bytes for both.
fn pair(config: Config) -> Engine<i64> {
    let mut engine = engine(Config { max_bytes: 1_024, ..config });
    assign(&mut engine, Q);
    engine
}

fn take(engine: &mut Engine<i64>, p: PartitionId, offset: i64, bytes: u32) {
    let record = arrival(offset, offset as u64, bytes);
    engine.handle_records(p, [record], Some(Offset(offset + 1).into()), at(0));
}

#[test]
fn a_share_leaves_as_much_as_it_then_holds() {
    let config = Config { max_in_flight: 10, max_queued: 90, ..Config::default() };
    let mut engine = pair(config);
    admit(&mut engine, P, 0, &(0..14).collect::<Vec<_>>(), at(0));
    assert_eq!(dispatch(&mut engine, at(0)).len(), 10);
    // 14 are held, whether they run or wait, and 86 are free; 140 bytes, and 884.
    let expected = Capacity { records: 36, bytes: 372, first: 372 };
    assert_eq!(engine.capacity(P, at(0)), expected);
    // The first record of one that holds nothing may take all that is free.
    let expected = Capacity { records: 43, bytes: 442, first: 884 };
    assert_eq!(engine.capacity(Q, at(0)), expected);
}

#[test]
fn a_reservation_gives_its_holder_all_that_is_free() {
    let mut engine = pair(Config::default());
    take(&mut engine, Q, 0, 400);
    take(&mut engine, P, 0, 100);
    engine.reserve(P, 600, at(0));
    let capacity = engine.capacity(P, at(0));
    assert_eq!((capacity.bytes, capacity.first), (524, 524));
    assert_eq!(engine.capacity(Q, at(0)), NONE, "others wait: 100 and 600 would fit");
}

#[test]
fn a_reservation_lasts_until_a_record_of_its_holder_was_taken() {
    let mut engine = pair(Config::default());
    take(&mut engine, Q, 0, 400);
    engine.reserve(P, 900, at(0));
    engine.handle_records(P, [], Some(Offset(1).into()), at(0));
    assert_eq!(engine.capacity(Q, at(0)), NONE, "nothing was taken");
    take(&mut engine, Q, 1, 10);
    assert_eq!(engine.capacity(Q, at(0)), NONE, "another partition's was read before");
    engine.reserve(Q, 10, at(0));
    assert_eq!(engine.capacity(Q, at(0)), NONE, "another one does not take it over");
    take(&mut engine, P, 1, 10);
    assert_ne!(engine.capacity(Q, at(0)), NONE);
}

#[test]
fn a_record_larger_than_the_budget_is_waited_for_by_all() {
    let mut engine = pair(Config::default());
    take(&mut engine, Q, 0, 400);
    engine.reserve(P, 5_000, at(0));
    assert_eq!(engine.capacity(Q, at(0)), NONE);
    let running = dispatch(&mut engine, at(0));
    engine.handle_outcome(running[0].ticket, Outcome::Done, at(0));
    assert_eq!(engine.capacity(P, at(0)).first, u64::MAX);
}

#[test]
fn nobody_waits_for_a_holder_whose_window_is_full() {
    let mut engine = pair(Config { max_window: 2, ..Config::default() });
    take(&mut engine, Q, 0, 400);
    take(&mut engine, P, 0, 10);
    take(&mut engine, P, 1, 10);
    engine.reserve(P, 900, at(0));
    assert_eq!(engine.capacity(P, at(0)), NONE, "the window");
    assert_ne!(engine.capacity(Q, at(0)), NONE);
}

#[test]
fn a_stall_begins_after_its_time_and_not_at_it() {
    let mut engine = pair(Config::default());
    take(&mut engine, P, 0, 10);
    assert_ne!(engine.capacity(P, at(3_000)), NONE);
    assert!(!engine.snapshot(at(3_000)).commits_stalled);
    assert_eq!(engine.capacity(P, at(3_001)), NONE);
    assert!(engine.snapshot(at(3_001)).commits_stalled);
    // A holder that cannot read holds nobody up.
    engine.reserve(P, 1_000, at(3_001));
    assert_ne!(engine.capacity(Q, at(3_001)), NONE);
}

#[test]
fn what_is_taken_and_what_was_finished_before_is_counted() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1, 2, 3], at(0));
    for out in &dispatch(&mut engine, at(0))[1..] {
        engine.handle_outcome(out.ticket, Outcome::Done, at(0));
    }
    let point = commit(&mut engine).remove(0);
    let mut next = Engine::new(Config::default(), at(0)).unwrap();
    let start = Start { committed: Some(point.offset), metadata: &point.metadata, incarnation: 1 };
    next.handle_assigned(P, start, at(0)).unwrap();
    admit(&mut next, P, 0, &[1, 2, 3, 4, 5], at(0));
    let counters = next.snapshot(at(0)).counters;
    assert_eq!((counters.admitted, counters.already_finished), (3, 2));
}

#[test]
fn ranges_of_earlier_commits_take_room_in_the_next_one() {
    let range = |at: i64| OffsetRange { start: Offset(2 * at + 1), end: Offset(2 * at + 2) };
    let said = Metadata {
        committed: Some(Offset(0)),
        leader_epoch: 1,
        incarnation: 1,
        finished: FinishedRanges::from_any((0..1_000).map(range)),
    };
    let (metadata, dropped) = said.encode(4_096);
    assert_eq!(dropped, 0);
    let mut engine =
        Engine::<i64>::new(Config { max_in_flight: 1, ..Config::default() }, at(0)).unwrap();
    let start = Start { committed: Some(Offset(0)), metadata: &metadata, incarnation: 1 };
    engine.handle_assigned(P, start, at(0)).unwrap();
    assert!((1..100).contains(&engine.capacity(P, at(0)).records));
}
