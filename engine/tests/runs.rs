//! Records that go out behind others of their lane.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::*;
use tidegate_engine::*;

#[test]
fn a_run_goes_out_together_and_is_done_in_order() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1, 1, 2, 1, 2], at(0));
    let mut out = dispatch(&mut engine, at(0));
    assert_eq!(engine.poll_followers(&mut out, 10), 3);
    assert_eq!(offsets(&out), [0, 2, 1, 3, 4]);
    assert_eq!(
        out.iter().map(|d| d.after).collect::<Vec<_>>(),
        [None, None, Some(0), Some(2), Some(1)]
    );
    assert_eq!(engine.in_flight(), 5);
    let verdict = engine.handle_outcome(out[2].ticket, Outcome::Done, at(1));
    assert_eq!(verdict, Verdict::Stale, "not before the one it follows");
    for index in [0, 2, 1, 3, 4] {
        let verdict = engine.handle_outcome(out[index].ticket, Outcome::Done, at(1));
        assert_eq!(verdict, Verdict::Finished);
    }
    assert_eq!((engine.admitted(), commit(&mut engine)[0].offset), (0, Offset(5)));
    let snapshot = engine.snapshot(at(1));
    assert_eq!((snapshot.busy_lanes, snapshot.counters.started), (0, 5));
}

#[test]
fn followers_take_only_the_permits_that_nobody_else_needs() {
    let mut engine = engine(Config { max_in_flight: 3, ..Config::default() });
    admit(&mut engine, P, 0, &[1, 1, 1, 1, 2], at(0));
    let mut out = Vec::new();
    engine.poll_dispatch(&mut out, 1, at(0));
    assert_eq!(engine.poll_followers(&mut out, 10), 0, "another record is ready");
    engine.poll_dispatch(&mut out, 1, at(0));
    assert_eq!(engine.poll_followers(&mut out, 10), 1);
    assert_eq!((engine.in_flight(), offsets(&out)), (3, vec![0, 4, 1]));
}

#[test]
fn what_was_not_started_waits_for_its_turn_again() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1, 1, 1], at(0));
    let mut out = dispatch(&mut engine, at(0));
    engine.poll_followers(&mut out, 10);
    engine.handle_unstarted(out[0].ticket);
    assert_eq!(engine.in_flight(), 1);
    let after = Some(Duration::from_millis(10));
    engine.handle_outcome(out[0].ticket, Outcome::Retry { after }, at(1));
    for late in &out {
        assert_eq!(engine.handle_outcome(late.ticket, Outcome::Done, at(1)), Verdict::Stale);
    }
    engine.handle_timeout(at(20));
    for expected in 0..3 {
        let out = dispatch(&mut engine, at(20));
        assert_eq!(offsets(&out), [expected]);
        engine.handle_outcome(out[0].ticket, Outcome::Done, at(20));
    }
}

#[test]
fn a_revoked_run_is_waited_for_and_the_rest_of_it_dropped() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1, 1, 1, 1], at(0));
    let mut out = dispatch(&mut engine, at(0));
    engine.poll_followers(&mut out, 2);
    engine.handle_revoking(P, at(1));
    engine.handle_outcome(out[0].ticket, Outcome::Done, at(1));
    assert!(actions(&mut engine).is_empty(), "two may have been started");
    engine.handle_unstarted(out[1].ticket);
    engine.handle_outcome(out[1].ticket, Outcome::Done, at(1));
    assert_eq!(actions(&mut engine), [Action::Drained { partition: P }]);
    assert_eq!(commit(&mut engine)[0].offset, Offset(2));
    assert_eq!((engine.admitted(), engine.snapshot(at(1)).bytes), (0, 0));
}

#[test]
fn a_run_that_outlives_its_assignment_keeps_permits_and_key_until_it_ends() {
    for started in [true, false] {
        let mut engine = engine(Config::default());
        admit(&mut engine, P, 0, &[1, 1, 1], at(0));
        let mut out = dispatch(&mut engine, at(0));
        engine.poll_followers(&mut out, 1);
        engine.handle_lost(P, at(1));
        assert_eq!(engine.in_flight(), 2);
        assign(&mut engine, P);
        admit(&mut engine, P, 0, &[1, 2], at(1));
        assert_eq!(offsets(&dispatch(&mut engine, at(1))), [1], "key 1 is still busy");
        if started {
            engine.handle_outcome(out[0].ticket, Outcome::Done, at(2));
            assert!(dispatch(&mut engine, at(2)).is_empty(), "its follower may run");
            engine.handle_outcome(out[1].ticket, Outcome::Done, at(2));
        } else {
            engine.handle_unstarted(out[0].ticket);
            assert_eq!(engine.in_flight(), 2);
            engine.handle_outcome(out[0].ticket, Outcome::Done, at(2));
        }
        assert_eq!(offsets(&dispatch(&mut engine, at(2))), [0]);
        assert_eq!((engine.in_flight(), engine.snapshot(at(2)).bytes), (2, 20));
    }
}

#[test]
fn a_follower_has_its_whole_timeout_from_its_own_start() {
    let timeout = Some(Duration::from_secs(10));
    let mut engine = engine(Config { handler_timeout: timeout, ..Config::default() });
    admit(&mut engine, P, 0, &[1, 1], at(0));
    let mut out = dispatch(&mut engine, at(0));
    engine.poll_followers(&mut out, 1);
    engine.handle_outcome(out[0].ticket, Outcome::Done, at(9_000));
    engine.handle_timeout(at(11_000));
    assert!(actions(&mut engine).is_empty());
    engine.handle_timeout(at(19_000));
    let reason = CancelReason::Timeout;
    assert_eq!(actions(&mut engine), [Action::Cancel { ticket: out[1].ticket, reason }]);
}

#[test]
fn what_was_given_out_to_follow_is_cancelled_with_its_partition() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1, 1], at(0));
    let mut out = dispatch(&mut engine, at(0));
    engine.poll_followers(&mut out, 1);
    engine.handle_lost(P, at(1));
    let reason = CancelReason::Revoked;
    let cancel = |index: usize| Action::Cancel { ticket: out[index].ticket, reason };
    assert_eq!(actions(&mut engine), [cancel(0), cancel(1)]);
}

#[test]
fn what_is_out_is_not_given_out_again() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1, 1, 1], at(0));
    let mut out = dispatch(&mut engine, at(0));
    assert_eq!(engine.poll_followers(&mut out, 1), 1);
    assert_eq!(engine.poll_followers(&mut out, 10), 1);
    assert_eq!(offsets(&out), [0, 1, 2]);
}
