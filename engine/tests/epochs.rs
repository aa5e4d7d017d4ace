//! Leader epochs: up to which one the finished ranges of a commit are valid.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use tidegate_engine::*;

/// Begins at offset 0 with a commit whose ranges are those, valid up to this epoch.
fn with_ranges(leader_epoch: i32, ranges: &[(i64, i64)]) -> Engine<i64> {
    let range = |&(start, end): &(i64, i64)| OffsetRange { start: Offset(start), end: Offset(end) };
    let finished = FinishedRanges::from_any(ranges.iter().map(range));
    let committed = Some(Offset(0));
    let (metadata, _) =
        Metadata { committed, leader_epoch, incarnation: 1, finished }.encode(4_096);
    let mut engine = Engine::new(Config::default(), at(0)).unwrap();
    let start = Start { committed, metadata: &metadata, incarnation: 1 };
    engine.handle_assigned(P, start, at(0)).unwrap();
    engine
}

fn read(engine: &mut Engine<i64>, offset: i64, leader_epoch: i32) -> u32 {
    let record = Arrival { leader_epoch, ..arrival(offset, offset as u64, 1) };
    engine.handle_records(P, [record], None, at(0))
}

/// What the next commit says.
fn said(engine: &mut Engine<i64>) -> Metadata {
    let point = commit(engine).remove(0);
    Metadata::decode(&point.metadata, point.offset).unwrap()
}

#[test]
fn a_commit_names_the_epoch_up_to_which_all_its_ranges_are_valid() {
    // Nothing from before: that of the records.
    let mut engine = with_ranges(-1, &[]);
    read(&mut engine, 0, 7);
    assert_eq!(said(&mut engine).leader_epoch, 7);
    // Ranges that were not read past, and records of a later epoch below them: the lower one.
    let mut engine = with_ranges(3, &[(5, 6)]);
    read(&mut engine, 0, 7);
    assert_eq!(said(&mut engine).leader_epoch, 3);
    // Records whose epoch is unknown add nothing.
    let mut engine = with_ranges(3, &[(5, 6)]);
    read(&mut engine, 0, -1);
    assert_eq!(said(&mut engine).leader_epoch, 3);
    // Epoch 0 is known.
    let mut engine = with_ranges(3, &[(5, 6)]);
    read(&mut engine, 0, 0);
    assert_eq!(said(&mut engine).leader_epoch, 0);
}

#[test]
fn a_position_behind_a_marker_is_committed_with_the_markers_epoch_or_with_none() {
    let done = |offset, leader_epoch| {
        let mut engine = with_ranges(-1, &[]);
        let record = Arrival { leader_epoch: 7, ..arrival(0, 1, 1) };
        let position = Position { offset: Offset(offset), leader_epoch };
        engine.handle_records(P, [record], Some(position), at(0));
        let unfinished = commit(&mut engine).remove(0);
        assert_eq!(unfinished.offset, Offset(0));
        engine.handle_committed(P, unfinished.offset, true, at(0));
        let ticket = dispatch(&mut engine, at(0))[0].ticket;
        engine.handle_outcome(ticket, Outcome::Done, at(0));
        let point = commit(&mut engine).remove(0);
        (point.offset, point.leader_epoch)
    };
    assert_eq!(done(2, 9), (Offset(2), 9));
    assert_eq!(done(2, -1), (Offset(2), -1), "with the record's it would look truncated");
    // Without a marker it is the record's, whether the source says so or not.
    assert_eq!(done(1, -1), (Offset(1), 7));
    let mut engine = with_ranges(-1, &[]);
    read(&mut engine, 0, 7);
    assert_eq!(commit(&mut engine)[0].leader_epoch, 7);
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    engine.handle_outcome(ticket, Outcome::Done, at(0));
    engine.handle_committed(P, Offset(0), true, at(0));
    assert_eq!(commit(&mut engine)[0].leader_epoch, 7);
}

#[test]
fn after_a_truncation_no_range_of_before_is_named_again() {
    let mut engine = with_ranges(3, &[(1, 3), (5, 6)]);
    assert_eq!(read(&mut engine, 0, 3), 1);
    assert_eq!(read(&mut engine, 1, 4), 1, "a new record at an old offset");
    assert!(said(&mut engine).finished.is_empty());
}

#[test]
fn ranges_of_an_unknown_epoch_are_valid_in_all() {
    let mut engine = with_ranges(-1, &[(1, 2)]);
    assert_eq!((read(&mut engine, 0, 4), read(&mut engine, 1, 4)), (1, 0));
}
