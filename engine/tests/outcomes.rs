//! What each outcome changes: counters, attempts, delays, and what is given back.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::*;
use tidegate_engine::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn every_outcome_is_counted_as_what_it_is() {
    let config =
        Config { max_attempts: 1, after_last_attempt: AfterLastAttempt::Skip, ..Config::default() };
    let mut engine = engine(config);
    admit(&mut engine, P, 0, &[1, 2, 3, 4, 5], at(0));
    let out = dispatch(&mut engine, at(0));
    let outcomes = [
        (Outcome::Done, Verdict::Finished),
        (Outcome::Skip, Verdict::Finished),
        (
            Outcome::Retry { after: None },
            Verdict::GivenUp { partition: P, offset: Offset(2), attempts: 1 },
        ),
        (Outcome::DeadLetter, Verdict::GivenUp { partition: P, offset: Offset(3), attempts: 1 }),
        (
            Outcome::Overloaded { retry_after: Some(Duration::from_secs(1)) },
            Verdict::Again { at: at(1_000), attempt: 1 },
        ),
    ];
    for (out, (outcome, verdict)) in out.iter().zip(outcomes) {
        assert_eq!(engine.handle_outcome(out.ticket, outcome, at(0)), verdict);
        let late = engine.handle_outcome(out.ticket, Outcome::Done, at(0));
        assert_eq!(late, Verdict::Stale);
    }
    let snapshot = engine.snapshot(at(0));
    let expected = Counters {
        admitted: 5,
        started: 5,
        done: 1,
        skipped: 1,
        given_up: 2,
        failed: 2,
        overloaded: 1,
        stale: 5,
        ..Counters::default()
    };
    assert_eq!(snapshot.counters, expected);
    let partition = &snapshot.partitions[0];
    assert_eq!((snapshot.in_flight, snapshot.queued, snapshot.backing_off), (0, 1, 1));
    assert_eq!((partition.in_flight, partition.queued, partition.unfinished), (0, 1, 1));
    assert_eq!((snapshot.bytes, partition.bytes, snapshot.busy_lanes), (10, 10, 1));
}

#[test]
fn delays_double_with_attempts_and_a_handler_may_ask_for_its_own() {
    let backoff = Backoff { initial: 100 * MS, max: 1_000 * MS };
    let mut engine = engine(Config { backoff, max_attempts: 6, ..Config::default() });
    admit(&mut engine, P, 0, &[1], at(0));
    let mut now = at(0);
    for (next, whole) in [(2, 100), (3, 200), (4, 400)] {
        let ticket = dispatch(&mut engine, now)[0].ticket;
        let verdict = engine.handle_outcome(ticket, Outcome::Retry { after: None }, now);
        let Verdict::Again { at, attempt } = verdict else { panic!("{verdict:?}") };
        let delay = at.saturating_since(now);
        assert_eq!(attempt, next);
        assert!((whole * MS / 2..=whole * MS).contains(&delay), "{delay:?} of {whole} ms");
        now = at;
        engine.handle_timeout(now);
    }
    let ticket = dispatch(&mut engine, now)[0].ticket;
    let verdict = engine.handle_outcome(ticket, Outcome::Retry { after: Some(7 * MS) }, now);
    assert_eq!(verdict, Verdict::Again { at: now + 7 * MS, attempt: 5 });
}

#[test]
fn overload_answers_double_their_delay_and_a_failed_attempt_ends_their_row() {
    let backoff = Backoff { initial: 100 * MS, max: 60_000 * MS };
    let mut engine = engine(Config { backoff, max_attempts: 9, ..Config::default() });
    admit(&mut engine, P, 0, &[1], at(0));
    let mut now = at(0);
    let mut answer = |outcome, whole: u32, attempt: u32| {
        let ticket = dispatch(&mut engine, now)[0].ticket;
        let verdict = engine.handle_outcome(ticket, outcome, now);
        let Verdict::Again { at, attempt: next } = verdict else { panic!("{verdict:?}") };
        let delay = at.saturating_since(now);
        assert_eq!(next, attempt);
        assert!((whole * MS / 2..=whole * MS).contains(&delay), "{delay:?} of {whole} ms");
        now = at;
        engine.handle_timeout(now);
    };
    let overloaded = Outcome::Overloaded { retry_after: None };
    answer(overloaded, 100, 1);
    answer(overloaded, 200, 1);
    answer(overloaded, 400, 1);
    answer(Outcome::Retry { after: None }, 100, 2);
    answer(overloaded, 100, 2);
    let asked = Outcome::Overloaded { retry_after: Some(5_000 * MS) };
    answer(asked, 5_000, 2);
}

#[test]
fn when_a_partition_stops_the_rest_of_it_gives_its_budget_back() {
    let mut engine = engine(Config { max_attempts: 1, max_in_flight: 2, ..Config::default() });
    assign(&mut engine, Q);
    admit(&mut engine, P, 0, &[1, 2, 3], at(0));
    admit(&mut engine, Q, 0, &[1], at(0));
    let out = dispatch(&mut engine, at(0));
    let [first, other] = &out[..] else { panic!("{out:?}") };
    assert_eq!((first.partition, other.partition), (P, Q));
    let verdict = engine.handle_outcome(first.ticket, Outcome::Retry { after: None }, at(1));
    assert_eq!(verdict, Verdict::Stopped { partition: P, offset: Offset(0), attempts: 1 });
    let snapshot = engine.snapshot(at(1));
    assert_eq!((snapshot.bytes, snapshot.queued, snapshot.in_flight), (10, 0, 1));
    let [stopped, active] = &snapshot.partitions[..] else { panic!("{snapshot:?}") };
    assert_eq!(stopped.state, PartitionState::Stopped { at: Some(Offset(0)) });
    assert_eq!((stopped.bytes, stopped.queued, stopped.unfinished), (0, 0, 3));
    assert_eq!((active.bytes, active.in_flight, active.state), (10, 1, PartitionState::Active));
    assert_eq!(engine.capacity(P, at(1)), Capacity::default());
    assert!(engine.is_idle(P) && !engine.is_idle(Q));
}

#[test]
fn while_a_partition_drains_nothing_is_tried_again() {
    for outcome in [Outcome::Retry { after: None }, Outcome::Overloaded { retry_after: None }] {
        let mut engine = engine(Config::default());
        admit(&mut engine, P, 0, &[1], at(0));
        let ticket = dispatch(&mut engine, at(0))[0].ticket;
        engine.handle_revoking(P, at(1));
        assert_eq!(engine.handle_outcome(ticket, outcome, at(1)), Verdict::Unfinished);
        assert_eq!(actions(&mut engine), [Action::Drained { partition: P }]);
        let snapshot = engine.snapshot(at(1));
        assert_eq!((snapshot.bytes, snapshot.in_flight, snapshot.busy_lanes), (0, 0, 0));
        assert_eq!(snapshot.partitions[0].unfinished, 1);
    }
}

#[test]
fn only_the_first_unfinished_record_is_progress() {
    let config = Config { stuck_after: Duration::from_secs(1), ..Config::default() };
    let mut engine = engine(config);
    admit(&mut engine, P, 0, &[1, 2], at(0));
    let out = dispatch(&mut engine, at(0));
    engine.handle_outcome(out[1].ticket, Outcome::Done, at(900));
    (0..1_300).step_by(50).for_each(|ms| engine.handle_timeout(at(ms)));
    let told = actions(&mut engine);
    let is_report = |action: &Action| matches!(action, Action::NoProgress { unfinished: 1, .. });
    assert_eq!(told.iter().filter(|action| is_report(action)).count(), 1, "{told:?}");
}
