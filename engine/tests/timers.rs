//! The engine's timers: that the moments it asks for are those at which something happens.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::*;
use tidegate_engine::*;

/// Calls the engine when it asks for it and at no other time, until `end`.
fn run(engine: &mut Engine<i64>, end: Instant) -> Vec<(Instant, Action)> {
    let mut told = Vec::new();
    let mut before = None;
    while let Some(due) = engine.poll_timeout().filter(|due| *due <= end) {
        assert!(before < Some(due), "it asks for {due:?} again and again");
        before = Some(due);
        engine.handle_timeout(due);
        told.extend(actions(engine).into_iter().map(|action| (due, action)));
    }
    told
}

/// How far behind its bound a look at all partitions may be.
fn late(bound: Duration) -> Duration {
    bound / 4
}

#[test]
fn a_stall_of_commits_is_found_by_the_timers_alone() {
    let stall = Duration::from_secs(3);
    let config = Config { commit_stall: stall, stuck_after: stall * 100, ..Config::default() };
    let mut engine = engine(config);
    admit(&mut engine, P, 0, &[1, 2], at(0));
    commit(&mut engine);
    run(&mut engine, at(2_999));
    assert!(engine.has_ready(), "not before its time");
    run(&mut engine, at(0) + stall + late(stall));
    assert!(!engine.has_ready());
}

#[test]
fn a_partition_without_progress_is_found_by_the_timers_alone() {
    let stuck = Duration::from_secs(2);
    let config = Config { stuck_after: stuck, commit_stall: stuck * 100, ..Config::default() };
    let mut engine = engine(config);
    admit(&mut engine, P, 5, &[1], at(0));
    let told = run(&mut engine, at(0) + stuck + late(stuck));
    let [(when, Action::NoProgress { partition: P, offset: Offset(5), unfinished: 1, .. })] =
        told[..]
    else {
        panic!("{told:?}")
    };
    assert!(when >= at(0) + stuck);
    assert!(run(&mut engine, at(60_000)).is_empty(), "told once");
}

#[test]
fn without_a_partition_there_is_nothing_to_wait_for() {
    let mut engine = engine(Config::default());
    assert!(engine.poll_timeout().is_some());
    engine.handle_lost(P, at(1));
    assert_eq!(engine.poll_timeout(), None);
}

#[test]
fn durations_of_a_day_are_taken_and_no_longer_ones() {
    let day = Duration::from_secs(86_400);
    let with = |stuck_after| Config { stuck_after, ..Config::default() };
    assert!(Engine::<i64>::new(with(day), at(0)).is_ok());
    let refused = Engine::<i64>::new(with(day + Duration::from_nanos(1)), at(0)).unwrap_err();
    assert!(refused.to_string().contains("stuck_after"), "{refused}");
}

#[test]
fn a_letter_that_takes_too_long_is_told_with_the_attempts_that_failed() {
    let stuck = Duration::from_secs(2);
    let after_last_attempt = AfterLastAttempt::DeadLetter;
    let config = Config { stuck_after: stuck, after_last_attempt, ..Config::default() };
    let mut engine = engine(Config { dead_letter_credit: 1, max_attempts: 5, ..config });
    admit(&mut engine, P, 0, &[1], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    engine.handle_outcome(ticket, Outcome::Retry { after: None }, at(0));
    let due = engine.poll_timeout().unwrap();
    engine.handle_timeout(due);
    let ticket = dispatch(&mut engine, due)[0].ticket;
    engine.handle_outcome(ticket, Outcome::DeadLetter, due);
    assert_eq!(engine.snapshot(due).writing, 1);
    let told = run(&mut engine, due + stuck);
    // A handler that ran now would make the second attempt; of the letter, both have ended.
    let attempts = told.iter().find_map(|(_, action)| match action {
        Action::Stuck { attempt, offset: Offset(0), .. } => Some(*attempt),
        _ => None,
    });
    assert_eq!(attempts, Some(2), "{told:?}");
}

#[test]
fn a_partition_that_is_stopped_is_not_told_to_stand_still() {
    let stuck = Duration::from_secs(2);
    let config = Config { stuck_after: stuck, max_attempts: 1, ..Config::default() };
    let mut engine = engine(config);
    admit(&mut engine, P, 0, &[1, 1], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    let verdict = engine.handle_outcome(ticket, Outcome::Retry { after: None }, at(0));
    assert!(matches!(verdict, Verdict::Stopped { .. }), "{verdict:?}");
    actions(&mut engine);
    let told = run(&mut engine, at(60_000));
    let stands = told.iter().any(|(_, action)| matches!(action, Action::NoProgress { .. }));
    assert!(!stands, "its stop was told: {told:?}");
}
