//! What each verb of the engine promises, one by one.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::*;
use tidegate_engine::*;

#[test]
fn a_slow_key_holds_nobody_else() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1, 1, 2, 1, 3], at(0));
    let first = dispatch(&mut engine, at(0));
    assert_eq!(offsets(&first), [0, 2, 4]);
    engine.handle_outcome(first[1].ticket, Outcome::Done, at(1));
    assert!(dispatch(&mut engine, at(1)).is_empty());
    engine.handle_outcome(first[0].ticket, Outcome::Done, at(2));
    assert_eq!(offsets(&dispatch(&mut engine, at(2))), [1]);
}

#[test]
fn the_records_that_a_call_gives_out_are_counted_and_added_to_those_before() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1, 2, 3, 4, 5], at(0));
    let mut out = Vec::new();
    assert_eq!(engine.poll_dispatch(&mut out, 2, at(0)), 2);
    assert_eq!(engine.poll_dispatch(&mut out, 9, at(0)), 3);
    assert_eq!(offsets(&out), [0, 1, 2, 3, 4]);
    assert_eq!(engine.poll_dispatch(&mut out, 9, at(0)), 0);
}

#[test]
fn a_record_without_a_key_waits_for_nobody_and_an_empty_key_is_a_key() {
    let hasher = KeyHasher::new(7);
    assert_eq!(hasher.hash(b""), hasher.hash(b""));
    let mut engine = engine(Config::default());
    let record = |offset, key: Option<&[u8]>| Arrival {
        key: key.map(|key| hasher.hash(key)),
        ..arrival(offset, 0, 1)
    };
    let records = [record(0, None), record(1, None), record(2, Some(b"")), record(3, Some(b""))];
    engine.handle_records(P, records, None, at(0));
    assert_eq!(offsets(&dispatch(&mut engine, at(0))), [0, 1, 2]);
}

#[test]
fn a_handler_that_outlives_its_assignment_keeps_its_permit_and_its_key() {
    for waiters in [0, 1, 2] {
        let mut engine = engine(Config { max_in_flight: 2, ..Config::default() });
        admit(&mut engine, P, 0, &vec![1; 1 + waiters], at(0));
        let [running] = &dispatch(&mut engine, at(0))[..] else { panic!() };
        engine.handle_lost(P, at(1));
        let cancel = Action::Cancel { ticket: running.ticket, reason: CancelReason::Revoked };
        assert_eq!(actions(&mut engine), [cancel]);
        assign(&mut engine, P);
        admit(&mut engine, P, 0, &[1, 2, 3], at(2));
        assert_eq!(offsets(&dispatch(&mut engine, at(2))), [1], "one permit, and not its key");
        let verdict = engine.handle_outcome(running.ticket, Outcome::Done, at(3));
        assert_eq!(verdict, Verdict::Stale);
        assert_eq!(offsets(&dispatch(&mut engine, at(3))), [2], "first come, first served");
        assert_eq!(engine.snapshot(at(3)).in_flight, 2);
    }
}

#[test]
fn a_timeout_cancels_and_counts_as_an_attempt() {
    let timeout = Some(Duration::from_millis(50));
    let config = Config { handler_timeout: timeout, max_attempts: 1, ..Config::default() };
    let mut engine = engine(config);
    admit(&mut engine, P, 0, &[1, 2], at(0));
    let running = dispatch(&mut engine, at(10));
    assert_eq!(engine.poll_timeout(), Some(at(60)));
    engine.handle_timeout(at(59));
    assert!(actions(&mut engine).is_empty());
    engine.handle_outcome(running[1].ticket, Outcome::Done, at(59));
    engine.handle_timeout(at(60));
    let ticket = running[0].ticket;
    assert_eq!(actions(&mut engine), [Action::Cancel { ticket, reason: CancelReason::Timeout }]);
    engine.handle_timeout(at(61));
    assert!(actions(&mut engine).is_empty(), "once");
    assert_eq!(engine.in_flight(), 1, "the permit is taken until the handler has ended");
    let verdict = engine.handle_outcome(ticket, Outcome::Retry { after: None }, at(62));
    assert_eq!(verdict, Verdict::Stopped { partition: P, offset: Offset(0), attempts: 1 });
}

#[test]
fn the_watchdog_names_the_record_and_the_partition() {
    let stuck_after = Duration::from_millis(1_000);
    let mut engine = engine(Config { stuck_after, ..Config::default() });
    admit(&mut engine, P, 5, &[1, 1, 2], at(0));
    let running = dispatch(&mut engine, at(0));
    engine.handle_outcome(running[1].ticket, Outcome::Done, at(1));
    for ms in (0..3_000).step_by(50) {
        engine.handle_timeout(at(ms));
    }
    let told = actions(&mut engine);
    let stuck =
        |a: &Action| matches!(a, Action::Stuck { partition: P, offset: Offset(5), attempt: 1, .. });
    let no_progress = |a: &Action| {
        matches!(a, Action::NoProgress { partition: P, offset: Offset(5), unfinished: 2, .. })
    };
    assert_eq!((told.len(), told.iter().filter(|a| stuck(a)).count()), (2, 1), "{told:?}");
    assert_eq!(told.iter().filter(|a| no_progress(a)).count(), 1);
}

#[test]
fn every_tenth_overload_of_one_record_counts_while_others_succeed() {
    let ms = Duration::from_millis;
    let backoff = Backoff { initial: ms(1), max: ms(1) };
    let config = Config { max_attempts: 2, max_in_flight: 10, backoff, ..Config::default() };
    let mut engine = engine(config);
    let retry_after = Some(Duration::ZERO);
    let mut now = 0;
    let mut overload = |engine: &mut Engine<i64>, succeed: bool, times: usize| {
        let mut last = Verdict::Unfinished;
        for _ in 0..times {
            now += 2;
            engine.handle_timeout(at(now));
            if succeed {
                let next = engine.position(P).unwrap().0;
                admit(engine, P, next, &[next as u64 + 100], at(now));
            }
            for dispatch in dispatch(engine, at(now)) {
                let outcome = match dispatch.offset.0 {
                    0 => Outcome::Overloaded { retry_after },
                    _ => Outcome::Done,
                };
                let verdict = engine.handle_outcome(dispatch.ticket, outcome, at(now));
                if dispatch.offset.0 == 0 {
                    last = verdict;
                }
            }
        }
        last
    };
    admit(&mut engine, P, 0, &[0], at(0));
    let again = overload(&mut engine, false, 50);
    assert!(matches!(again, Verdict::Again { attempt: 1, .. }), "nobody succeeds: {again:?}");
    let again = overload(&mut engine, true, 2);
    assert!(matches!(again, Verdict::Again { attempt: 2, .. }), "{again:?}");
    let again = overload(&mut engine, true, 9);
    assert!(matches!(again, Verdict::Again { attempt: 2, .. }), "{again:?}");
    let last = overload(&mut engine, true, 1);
    assert!(matches!(last, Verdict::Stopped { attempts: 2, .. }), "{last:?}");
}

#[test]
fn one_slow_partition_leaves_room_for_the_others() {
    let mut engine = engine(Config { max_in_flight: 10, max_queued: 90, ..Config::default() });
    assign(&mut engine, Q);
    let mut offset = 0;
    loop {
        let capacity = engine.capacity(P, at(0)).records;
        if capacity == 0 {
            break;
        }
        admit(&mut engine, P, offset, &vec![1; capacity as usize], at(0));
        offset += i64::from(capacity);
    }
    assert_eq!(offset, 50, "a half");
    assert!(engine.capacity(Q, at(0)).records >= 20);
}

#[test]
fn alone_a_partition_gets_the_whole_budget() {
    let engine = engine(Config { max_in_flight: 10, max_queued: 90, ..Config::default() });
    assert_eq!(engine.capacity(P, at(0)).records, 90);
}

#[test]
fn a_record_larger_than_the_budget_is_admitted_alone() {
    let mut engine = engine(Config { max_bytes: 1_024, ..Config::default() });
    assert_eq!(engine.capacity(P, at(0)).first, u64::MAX);
    engine.handle_records(P, [arrival(0, 1, 5_000)], Some(Offset(1).into()), at(0));
    assert_eq!(engine.capacity(P, at(0)), Capacity::default());
    let running = dispatch(&mut engine, at(0));
    engine.handle_outcome(running[0].ticket, Outcome::Done, at(1));
    assert_eq!(engine.capacity(P, at(1)).first, u64::MAX);
}

#[test]
fn a_large_record_is_not_starved_by_small_ones() {
    let mut engine = engine(Config { max_bytes: 1_024, ..Config::default() });
    assign(&mut engine, Q);
    engine.handle_records(Q, [arrival(0, 1, 400)], Some(Offset(1).into()), at(0));
    assert!(engine.capacity(P, at(0)).first < 900);
    engine.reserve(P, 900, at(0));
    assert_eq!(engine.capacity(Q, at(0)), Capacity::default(), "others wait");
    let running = dispatch(&mut engine, at(0));
    engine.handle_outcome(running[0].ticket, Outcome::Done, at(1));
    assert!(engine.capacity(P, at(1)).first >= 900);
    engine.handle_records(P, [arrival(0, 1, 900)], Some(Offset(1).into()), at(1));
    assert_ne!(engine.capacity(Q, at(1)), Capacity::default());
}

#[test]
fn a_reservation_that_cannot_be_met_stops_nobody_for_long() {
    let mut engine = engine(Config { max_bytes: 1_024, ..Config::default() });
    assign(&mut engine, Q);
    engine.handle_records(Q, [arrival(0, 1, 400)], Some(Offset(1).into()), at(0));
    dispatch(&mut engine, at(0));
    engine.reserve(P, 900, at(0));
    assert_eq!(engine.capacity(Q, at(999)), Capacity::default());
    assert_ne!(engine.capacity(Q, at(1_000)), Capacity::default());
    engine.reserve(P, 900, at(1_000));
    assert_ne!(engine.capacity(Q, at(1_500)), Capacity::default(), "their turn");
    engine.reserve(P, 900, at(2_000));
    assert_eq!(engine.capacity(Q, at(2_000)), Capacity::default(), "and again");

    // What the holder itself holds cannot be waited for by stopping others.
    let mut engine = self::engine(Config { max_bytes: 1_024, ..Config::default() });
    assign(&mut engine, Q);
    engine.handle_records(P, [arrival(0, 1, 400)], Some(Offset(1).into()), at(0));
    engine.reserve(P, 900, at(0));
    assert_ne!(engine.capacity(Q, at(0)), Capacity::default());
}

#[test]
fn many_ranges_of_an_earlier_commit_do_not_hold_a_partition_up() {
    let mut engine = Engine::new(Config { max_in_flight: 50, ..Config::default() }, at(0)).unwrap();
    assign(&mut engine, P);
    // Every second record finishes: a range for each of the others.
    let mut offset = 0;
    loop {
        let capacity = engine.capacity(P, at(0)).records;
        if capacity == 0 {
            break;
        }
        let records = (0..i64::from(capacity)).map(|i| arrival(offset + i, 1, 1));
        let unordered = records.map(|r| Arrival { key: None, ..r }).collect::<Vec<_>>();
        offset += i64::from(capacity);
        engine.handle_records(P, unordered, Some(Offset(offset).into()), at(0));
        for dispatch in dispatch(&mut engine, at(0)) {
            if dispatch.offset.0 % 2 == 1 {
                engine.handle_outcome(dispatch.ticket, Outcome::Done, at(0));
            } else {
                let after = Some(Duration::from_secs(3_600));
                engine.handle_outcome(dispatch.ticket, Outcome::Retry { after }, at(0));
            }
        }
    }
    assert!(offset > 1_500, "{offset}");
    let commit = commit(&mut engine).remove(0);
    let mut next = Engine::<i64>::new(Config::default(), at(0)).unwrap();
    let start =
        Start { committed: Some(commit.offset), metadata: &commit.metadata, incarnation: 1 };
    next.handle_assigned(P, start, at(0)).unwrap();
    assert!(next.capacity(P, at(0)).records >= 100);
}

#[test]
fn the_window_bounds_how_far_a_stuck_record_is_left_behind() {
    let mut engine = engine(Config { max_window: 10, ..Config::default() });
    admit(&mut engine, P, 0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], at(0));
    for dispatch in dispatch(&mut engine, at(0)).into_iter().skip(1) {
        engine.handle_outcome(dispatch.ticket, Outcome::Done, at(0));
    }
    assert_eq!(engine.capacity(P, at(0)), Capacity::default());
}

#[test]
fn when_the_limit_shrinks_nothing_starts_until_fewer_run() {
    let mut engine = engine(Config { max_in_flight: 3, ..Config::default() });
    admit(&mut engine, P, 0, &[1, 2, 3, 4], at(0));
    let running = dispatch(&mut engine, at(0));
    let limit = |limit| ConfigChange { max_in_flight: Some(limit), ..ConfigChange::default() };
    engine.change_config(&limit(1), at(0)).unwrap();
    engine.handle_outcome(running[0].ticket, Outcome::Done, at(0));
    engine.handle_outcome(running[1].ticket, Outcome::Done, at(0));
    assert!(dispatch(&mut engine, at(0)).is_empty());
    engine.handle_outcome(running[2].ticket, Outcome::Done, at(0));
    assert_eq!(offsets(&dispatch(&mut engine, at(0))), [3]);
    assert!(engine.change_config(&limit(0), at(0)).is_err());
}

#[test]
fn while_commits_fail_nothing_is_admitted_or_started() {
    let mut engine = engine(Config { max_in_flight: 1, ..Config::default() });
    admit(&mut engine, P, 0, &[1, 2, 3], at(0));
    let running = dispatch(&mut engine, at(0));
    engine.handle_outcome(running[0].ticket, Outcome::Done, at(0));
    assert_eq!(commit(&mut engine).len(), 1);
    assert!(commit(&mut engine).is_empty(), "one at a time");
    engine.handle_committed(P, Offset(1), false, at(10));
    engine.handle_timeout(at(4_000));
    assert_eq!(engine.capacity(P, at(4_000)), Capacity::default());
    assert!(dispatch(&mut engine, at(4_000)).is_empty());
    assert_eq!(commit(&mut engine).len(), 1, "offered again");
    engine.handle_committed(P, Offset(1), true, at(4_100));
    assert_ne!(engine.capacity(P, at(4_100)), Capacity::default());
    assert_eq!(offsets(&dispatch(&mut engine, at(4_100))), [1]);
}

/// Finishes 1 and 2 of 0 to 3, and returns the commit.
fn with_a_gap() -> CommitPoint {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1, 2, 3, 4], at(0));
    for dispatch in &dispatch(&mut engine, at(0))[1..3] {
        engine.handle_outcome(dispatch.ticket, Outcome::Done, at(0));
    }
    commit(&mut engine).remove(0)
}

fn after(commit: &CommitPoint, incarnation: u64, epoch: i32) -> (Vec<i64>, Option<MetadataError>) {
    let mut engine = Engine::new(Config::default(), at(0)).unwrap();
    let start = Start { committed: Some(commit.offset), metadata: &commit.metadata, incarnation };
    let error = engine.handle_assigned(P, start, at(0)).err();
    let record = |offset| Arrival { leader_epoch: epoch, ..arrival(offset, offset as u64, 1) };
    engine.handle_records(P, (0..4).map(record).collect::<Vec<_>>(), None, at(0));
    (offsets(&dispatch(&mut engine, at(0))), error)
}

#[test]
fn finished_ranges_are_skipped_but_not_in_a_truncated_or_a_new_log() {
    let commit = with_a_gap();
    assert_eq!(commit.offset, Offset(0));
    assert_eq!(after(&commit, 1, 1), (vec![0, 3], None));
    assert_eq!(after(&commit, 1, 2).0, [0, 1, 2, 3], "new records at old offsets");
    let other = Some(MetadataError::OtherIncarnation);
    assert_eq!(after(&commit, 2, 1), (vec![0, 1, 2, 3], other));
    let foreign = CommitPoint { metadata: "someone else's".into(), ..commit.clone() };
    assert_eq!(after(&foreign, 1, 1), (vec![0, 1, 2, 3], Some(MetadataError::Foreign)));
    let moved = CommitPoint { offset: Offset(3), ..commit };
    let (seen, error) = after(&moved, 1, 1);
    assert_eq!(seen.len(), 4);
    assert!(matches!(error, Some(MetadataError::Mismatch { .. })));
}

#[test]
fn a_revoked_partition_drains_and_says_so() {
    let mut engine = engine(Config { max_in_flight: 1, ..Config::default() });
    admit(&mut engine, P, 0, &[1, 2], at(0));
    let running = dispatch(&mut engine, at(0));
    engine.handle_revoking(P, at(1));
    assert!(actions(&mut engine).is_empty());
    assert_eq!(engine.handle_outcome(running[0].ticket, Outcome::Done, at(2)), Verdict::Finished);
    assert_eq!(actions(&mut engine), [Action::Drained { partition: P }]);
    assert!(dispatch(&mut engine, at(2)).is_empty());
    assert_eq!(commit(&mut engine)[0].offset, Offset(1));
}

#[test]
fn absurd_limits_are_refused_by_name() {
    let refused = |config: Config, name: &str| {
        let message = Engine::<()>::new(config, at(0)).unwrap_err().to_string();
        assert!(message.starts_with(name), "{message}");
    };
    refused(Config { max_in_flight: 0, ..Config::default() }, "max_in_flight");
    refused(Config { max_in_flight: 100_001, ..Config::default() }, "max_in_flight");
    refused(Config { max_queued: 0, ..Config::default() }, "max_queued");
    refused(Config { max_bytes: 0, ..Config::default() }, "max_bytes");
    refused(Config { max_window: 0, ..Config::default() }, "max_window");
    refused(Config { metadata_max_bytes: 7, ..Config::default() }, "metadata_max_bytes");
    refused(Config { max_attempts: 0, ..Config::default() }, "max_attempts");
    let zero = Some(Duration::ZERO);
    refused(Config { handler_timeout: zero, ..Config::default() }, "handler_timeout");
    let backoff = Backoff { initial: Duration::from_secs(9), max: Duration::from_secs(1) };
    refused(Config { backoff, ..Config::default() }, "backoff.max");
}

#[test]
fn an_overload_answer_that_wants_another_attempt_at_once_waits_for_the_first_backoff() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    let retry_after = Some(Duration::ZERO);
    let verdict = engine.handle_outcome(ticket, Outcome::Overloaded { retry_after }, at(1));
    let backoff = Config::default().backoff.initial;
    assert_eq!(verdict, Verdict::Again { at: at(1) + backoff, attempt: 1 });
}
