//! Partitions that come and go: what is remembered of them, and what is given back.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::*;
use tidegate_engine::*;

fn read(engine: &mut Engine<i64>, offsets: &[i64], leader_epoch: i32) -> Vec<i64> {
    let record = |&offset: &i64| Arrival { leader_epoch, ..arrival(offset, offset as u64, 10) };
    engine.handle_records(P, offsets.iter().map(record).collect::<Vec<_>>(), None, at(0));
    offsets_of(engine)
}

fn offsets_of(engine: &mut Engine<i64>) -> Vec<i64> {
    offsets(&dispatch(engine, at(0)))
}

/// Finishes 1 of 0 to 2, all of this epoch and incarnation, and loses the partition.
fn with_memory(incarnation: u64, leader_epoch: i32) -> Engine<i64> {
    let mut engine = Engine::new(Config::default(), at(0)).unwrap();
    let start = Start { committed: Some(Offset(0)), metadata: "", incarnation };
    engine.handle_assigned(P, start, at(0)).unwrap();
    let record = |offset| Arrival { leader_epoch, ..arrival(offset, offset as u64, 10) };
    engine.handle_records(P, (0..3).map(record).collect::<Vec<_>>(), None, at(0));
    let out = dispatch(&mut engine, at(0));
    engine.handle_outcome(out[1].ticket, Outcome::Done, at(0));
    engine.handle_lost(P, at(0));
    for late in [&out[0], &out[2]] {
        assert_eq!(engine.payload(late.ticket), None, "nothing of it is kept");
        engine.handle_outcome(late.ticket, Outcome::Done, at(0));
    }
    engine
}

#[test]
fn what_was_finished_here_is_remembered_for_the_same_topic_only() {
    let again = |first, second| {
        let mut engine = with_memory(first, 1);
        let start = Start { committed: Some(Offset(0)), metadata: "", incarnation: second };
        engine.handle_assigned(P, start, at(0)).unwrap();
        read(&mut engine, &[0, 1, 2], 1)
    };
    assert_eq!(again(7, 7), [0, 2]);
    assert_eq!(again(7, 8), [0, 1, 2], "a new topic of this name");
    assert_eq!(again(0, 0), [0, 1, 2], "it may be a new one");
}

#[test]
fn of_two_epochs_up_to_which_ranges_are_valid_the_lower_one_counts() {
    for (own, committed_with) in [(7, 3), (3, 7)] {
        let mut engine = with_memory(1, own);
        let range = OffsetRange { start: Offset(2), end: Offset(3) };
        let said = Metadata {
            committed: Some(Offset(0)),
            leader_epoch: committed_with,
            incarnation: 1,
            finished: FinishedRanges::from_any([range]),
        };
        let metadata = &said.encode(4_096).0;
        let start = Start { committed: Some(Offset(0)), metadata, incarnation: 1 };
        engine.handle_assigned(P, start, at(0)).unwrap();
        assert_eq!(read(&mut engine, &[0, 1, 2], 5), [0, 1, 2]);
    }
}

#[test]
fn a_lost_partition_shares_the_budget_no_longer() {
    let mut engine = engine(Config { max_in_flight: 10, max_queued: 90, ..Config::default() });
    assign(&mut engine, Q);
    assert!(engine.capacity(P, at(0)).records < 90);
    engine.handle_lost(Q, at(0));
    assert_eq!(engine.capacity(P, at(0)).records, 90);
}

#[test]
fn what_is_dropped_is_counted_no_longer_and_reserves_nothing() {
    let mut engine = engine(Config { max_in_flight: 1, max_bytes: 1_024, ..Config::default() });
    assign(&mut engine, Q);
    admit(&mut engine, P, 0, &[1, 2, 3], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    engine.handle_outcome(ticket, Outcome::Retry { after: None }, at(0));
    engine.reserve(P, 900, at(0));
    assert_eq!(engine.capacity(Q, at(0)), Capacity::default());
    engine.handle_revoking(P, at(0));
    let snapshot = engine.snapshot(at(0));
    assert_eq!((snapshot.ready, snapshot.backing_off, snapshot.queued), (0, 0, 0));
    assert_ne!(engine.capacity(Q, at(0)), Capacity::default());
}

#[test]
fn a_drain_is_told_once_and_a_stop_does_not_end_it() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    engine.handle_revoking(P, at(0));
    engine.stop_partition(P);
    assert_eq!(engine.snapshot(at(0)).partitions[0].state, PartitionState::Draining);
    engine.handle_outcome(ticket, Outcome::Done, at(0));
    assert_eq!(actions(&mut engine), [Action::Drained { partition: P }]);
    engine.handle_revoking(P, at(1));
    assert!(actions(&mut engine).is_empty());
}

#[test]
fn only_the_handlers_of_the_partition_are_cancelled() {
    let mut engine = engine(Config::default());
    assign(&mut engine, Q);
    admit(&mut engine, P, 0, &[1], at(0));
    admit(&mut engine, Q, 0, &[1], at(0));
    let out = dispatch(&mut engine, at(0));
    let ticket = out.iter().find(|out| out.partition == Q).unwrap().ticket;
    engine.cancel_partition(Q, at(0));
    let reason = CancelReason::Revoked;
    assert_eq!(actions(&mut engine), [Action::Cancel { ticket, reason }]);
}

#[test]
fn a_key_stays_busy_through_two_more_assignments() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    for _ in 0..2 {
        engine.handle_lost(P, at(0));
        assign(&mut engine, P);
        admit(&mut engine, P, 0, &[1], at(0));
        assert!(dispatch(&mut engine, at(0)).is_empty(), "it still runs");
    }
    engine.handle_outcome(ticket, Outcome::Done, at(0));
    assert_eq!(offsets_of(&mut engine), [0]);
}

#[test]
fn a_record_that_stopped_its_partition_is_not_kept() {
    let mut engine = engine(Config { max_attempts: 1, ..Config::default() });
    admit(&mut engine, P, 0, &[1], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    let after = Some(Duration::ZERO);
    engine.handle_outcome(ticket, Outcome::Retry { after }, at(0));
    assert_eq!(engine.payload(ticket), None);
}
