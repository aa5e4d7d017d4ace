//! What the engine says of itself, and of the moment when it wants to be called again.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::*;
use tidegate_engine::*;

#[test]
fn hunger_and_readiness_depend_on_permits_and_on_what_waits() {
    let mut engine = engine(Config { max_in_flight: 2, ..Config::default() });
    let says = |engine: &Engine<i64>| (engine.has_ready(), engine.is_hungry());
    assert_eq!(says(&engine), (false, true), "nothing is there");
    admit(&mut engine, P, 0, &[1, 2, 3], at(0));
    assert_eq!(says(&engine), (true, false), "three are ready");
    let mut out = Vec::new();
    engine.poll_dispatch(&mut out, 1, at(0));
    assert_eq!(says(&engine), (true, false), "two, and a permit");
    engine.poll_dispatch(&mut out, 1, at(0));
    assert_eq!(says(&engine), (false, false), "one, and no permit");
    engine.handle_outcome(out[0].ticket, Outcome::Done, at(0));
    assert_eq!(says(&engine), (true, false));
    engine.poll_dispatch(&mut out, 1, at(0));
    assert_eq!(says(&engine), (false, false), "none, and no permit");
    engine.handle_outcome(out[1].ticket, Outcome::Done, at(0));
    assert_eq!(says(&engine), (false, true), "none, and a permit");
}

#[test]
fn a_payload_is_there_while_its_attempt_is() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 7, &[1], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    assert_eq!(engine.payload(ticket), Some(&7));
    engine.handle_outcome(ticket, Outcome::Done, at(0));
    assert_eq!(engine.payload(ticket), None);
}

#[test]
fn actions_are_announced() {
    let mut engine = engine(Config::default());
    assert!(!engine.has_actions());
    engine.handle_revoking(P, at(0));
    assert!(engine.has_actions());
    assert_eq!(actions(&mut engine), [Action::Drained { partition: P }]);
    assert!(!engine.has_actions());
}

#[test]
fn a_partition_is_idle_when_nothing_of_it_is_left_to_do() {
    let mut engine = engine(Config { max_in_flight: 1, ..Config::default() });
    assert!(engine.is_idle(P) && engine.is_idle(Q), "empty, and not assigned");
    admit(&mut engine, P, 0, &[1, 2], at(0));
    assert!(!engine.is_idle(P), "two are queued");
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    engine.stop_partition(P);
    assert!(!engine.is_idle(P), "stopped, and one runs");
    engine.handle_outcome(ticket, Outcome::Done, at(0));
    assert!(engine.is_idle(P), "stopped, and none runs");
    let state = engine.snapshot(at(0)).partitions[0].state;
    assert_eq!(state, PartitionState::Stopped { at: None });

    assign(&mut engine, Q);
    admit(&mut engine, Q, 0, &[1], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    engine.handle_outcome(ticket, Outcome::Done, at(0));
    assert!(engine.is_idle(Q), "all is finished");
}

#[test]
fn a_snapshot_counts_busy_lanes_and_what_a_crash_would_repeat() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1, 1, 2, 3], at(0));
    assert_eq!(engine.snapshot(at(0)).busy_lanes, 3);
    let uncommitted = |engine: &Engine<i64>| engine.snapshot(at(0)).partitions[0].uncommitted;
    for out in dispatch(&mut engine, at(0)) {
        engine.handle_outcome(out.ticket, Outcome::Done, at(0));
    }
    assert_eq!(uncommitted(&engine), 3);
    let point = commit(&mut engine).remove(0);
    let last = dispatch(&mut engine, at(0)).remove(0);
    engine.handle_outcome(last.ticket, Outcome::Done, at(0));
    engine.handle_committed(P, point.offset, true, at(0));
    assert_eq!(uncommitted(&engine), 1, "what was finished after the commit was taken");
    assert_eq!(engine.snapshot(at(0)).busy_lanes, 0);
}

#[test]
fn the_next_moment_is_the_retry_that_is_due_first() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1, 2], at(0));
    for (out, ms) in dispatch(&mut engine, at(0)).iter().zip([20, 10]) {
        let after = Some(Duration::from_millis(ms));
        engine.handle_outcome(out.ticket, Outcome::Retry { after }, at(0));
    }
    assert_eq!(engine.poll_timeout(), Some(at(10)));
    assert_eq!(engine.snapshot(at(0)).backing_off, 2);
    engine.handle_timeout(at(10));
    assert_eq!(engine.snapshot(at(10)).backing_off, 1);
    assert_eq!(offsets(&dispatch(&mut engine, at(10))), [1]);
    assert_eq!(engine.poll_timeout(), Some(at(20)));
}

#[test]
fn a_partition_that_moves_is_not_reported_and_one_that_stands_still_again_is() {
    let config = Config { stuck_after: Duration::from_millis(1_000), ..Config::default() };
    let mut engine = engine(Config { max_in_flight: 1, ..config });
    let reported = |engine: &mut Engine<i64>, from: u64, to: u64| {
        (from..to).step_by(50).for_each(|ms| engine.handle_timeout(at(ms)));
        let is_report = |action: &Action| matches!(action, Action::NoProgress { .. });
        actions(engine).iter().filter(|action| is_report(action)).count()
    };
    assert_eq!(reported(&mut engine, 0, 3_000), 0, "nothing is there");
    admit(&mut engine, P, 0, &[1, 2, 3], at(3_000));
    assert_eq!(reported(&mut engine, 3_000, 3_900), 0, "it had nothing before");
    let first = dispatch(&mut engine, at(3_900)).remove(0);
    engine.handle_outcome(first.ticket, Outcome::Done, at(3_900));
    let second = dispatch(&mut engine, at(3_900)).remove(0);
    assert_eq!(reported(&mut engine, 3_900, 4_800), 0, "it has just moved");
    assert_eq!(reported(&mut engine, 4_800, 9_000), 1);
    let point = commit(&mut engine).remove(0);
    engine.handle_committed(P, point.offset, true, at(9_000));
    engine.handle_outcome(second.ticket, Outcome::Done, at(9_000));
    assert_eq!(reported(&mut engine, 9_000, 12_000), 1, "it moved, and stands still again");
}

#[test]
fn offsets_and_instants_show_their_numbers() {
    assert_eq!(Offset(-7).to_string(), "-7");
    assert_eq!(at(3).as_nanos(), 3_000_000);
}

#[test]
fn each_handler_times_out_once_and_without_partitions_nothing_is_due() {
    let timeout = Some(Duration::from_millis(50));
    let mut engine = engine(Config { handler_timeout: timeout, ..Config::default() });
    admit(&mut engine, P, 0, &[1, 2, 3], at(0));
    let out = dispatch(&mut engine, at(0));
    engine.handle_timeout(at(50));
    engine.handle_timeout(at(60));
    assert_eq!((actions(&mut engine).len(), engine.snapshot(at(60)).counters.timed_out), (3, 3));
    for out in out {
        engine.handle_outcome(out.ticket, Outcome::Done, at(60));
    }
    engine.handle_lost(P, at(60));
    assert_eq!(engine.poll_timeout(), None);
}
