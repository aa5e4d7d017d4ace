//! What is offered for commit, what of it does not fit, and what the answers change.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use tidegate_engine::*;

/// Finishes every second one of 100 records, and says what the commit's metadata is and how many
/// ranges were dropped.
fn with_fifty_ranges(metadata_max_bytes: u32) -> (String, u64) {
    let config = Config { metadata_max_bytes, ordering: Ordering::None, ..Config::default() };
    let mut engine = engine(config);
    admit(&mut engine, P, 0, &[1; 100], at(0));
    for out in dispatch(&mut engine, at(0)).iter().filter(|out| out.offset.0 % 2 == 1) {
        engine.handle_outcome(out.ticket, Outcome::Done, at(0));
    }
    let point = commit(&mut engine).remove(0);
    assert_eq!(point.offset, Offset(0));
    (point.metadata, engine.snapshot(at(0)).counters.dropped_ranges)
}

#[test]
fn ranges_that_do_not_fit_are_counted_but_not_where_none_are_wanted() {
    let (whole, dropped) = with_fifty_ranges(4_096);
    assert_eq!(dropped, 0);
    let all = Metadata::decode(&whole, Offset(0)).unwrap().finished;
    assert_eq!(all.len(), 50);
    let (some, dropped) = with_fifty_ranges(128);
    assert!(some.len() <= 128);
    let kept = Metadata::decode(&some, Offset(0)).unwrap().finished;
    assert_eq!(kept.len() as u64 + dropped, 50);
    assert!(dropped > 0 && kept.iter().eq(all.iter().take(kept.len())));
    assert_eq!(with_fifty_ranges(0), (String::new(), 0));
}

#[test]
fn what_is_committed_is_offered_once() {
    let mut engine = engine(Config::default());
    assert!(commit(&mut engine).is_empty(), "nothing has happened");
    admit(&mut engine, P, 0, &[1], at(0));
    let out = dispatch(&mut engine, at(0)).remove(0);
    engine.handle_outcome(out.ticket, Outcome::Done, at(0));
    assert!(engine.has_uncommitted(P) && !engine.is_committing(P));
    let point = commit(&mut engine).remove(0);
    assert!(engine.has_uncommitted(P) && engine.is_committing(P));
    assert!(commit(&mut engine).is_empty(), "it is unanswered");
    engine.handle_committed(P, point.offset, true, at(1));
    assert!(!engine.has_uncommitted(P) && !engine.is_committing(P));
    assert!(commit(&mut engine).is_empty(), "nothing is new");
    engine.handle_records(P, [], Some(Offset(1).into()), at(1));
    assert!(!engine.has_uncommitted(P), "nor is the same position");
    assert_eq!(engine.snapshot(at(1)).partitions[0].committed, Some(Offset(1)));
}

#[test]
fn a_partition_whose_stall_is_over_has_one_turn_like_the_others() {
    let mut engine = engine(Config::default());
    assign(&mut engine, Q);
    admit(&mut engine, P, 0, &[1, 2, 3], at(0));
    let point = commit(&mut engine).remove(0);
    engine.handle_timeout(at(4_000));
    assert_eq!((engine.snapshot(at(4_000)).ready, engine.has_ready()), (0, false));
    admit(&mut engine, Q, 0, &[1, 2, 3], at(4_000));
    engine.handle_committed(P, point.offset, true, at(4_000));
    assert_eq!(engine.snapshot(at(4_000)).ready, 6);
    let turns: Vec<_> = dispatch(&mut engine, at(4_000)).iter().map(|d| d.partition).collect();
    assert_eq!(turns, [P, Q, P, Q, P, Q]);
}

#[test]
fn a_partition_without_ready_records_joins_when_it_has_one() {
    let mut engine = engine(Config::default());
    assign(&mut engine, Q);
    admit(&mut engine, P, 0, &[1], at(0));
    dispatch(&mut engine, at(0));
    let point = commit(&mut engine).remove(0);
    engine.handle_timeout(at(4_000));
    engine.handle_committed(P, point.offset, true, at(4_000));
    admit(&mut engine, P, 1, &[2, 3, 4], at(4_000));
    admit(&mut engine, Q, 0, &[1, 2, 3], at(4_000));
    let turns: Vec<_> = dispatch(&mut engine, at(4_000)).iter().map(|d| d.partition).collect();
    assert_eq!(turns, [P, Q, P, Q, P, Q]);
}
