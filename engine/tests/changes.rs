//! Limits that change while records are admitted, and settings of a gate while some are outstanding.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::*;
use tidegate_engine::gate::*;
use tidegate_engine::*;

fn small() -> Config {
    Config { max_in_flight: 2, max_queued: 6, max_bytes: 1_024, ..Config::default() }
}

fn change(engine: &mut Engine<i64>, change: ConfigChange, now: Instant) {
    engine.change_config(&change, now).unwrap();
}

#[test]
fn a_smaller_budget_of_records_only_holds_new_ones() {
    let mut engine = engine(small());
    admit(&mut engine, P, 0, &[1, 2, 3, 4, 5, 6], at(0));
    let running = dispatch(&mut engine, at(0));
    assert_eq!((running.len(), engine.capacity(P, at(0)).records), (2, 2));
    change(&mut engine, ConfigChange { max_queued: Some(1), ..Default::default() }, at(0));
    assert_eq!((engine.admitted(), engine.capacity(P, at(0))), (6, Capacity::default()));
    let mut open = running;
    for left in [5, 4, 3] {
        let done = open.remove(0);
        engine.handle_outcome(done.ticket, Outcome::Done, at(1));
        open.extend(dispatch(&mut engine, at(1)));
        assert_eq!((engine.admitted(), engine.capacity(P, at(1)).records), (left, 0));
    }
    engine.handle_outcome(open.remove(0).ticket, Outcome::Done, at(1));
    dispatch(&mut engine, at(1));
    assert_eq!(
        (engine.admitted(), engine.capacity(P, at(1)).records),
        (2, 1),
        "and then it goes on"
    );
}

#[test]
fn a_smaller_budget_of_bytes_holds_as_well_and_a_larger_one_frees_at_once() {
    let mut engine = engine(Config { max_bytes: 4_096, ..small() });
    engine.handle_records(P, [arrival(0, 1, 1_500)], Some(Offset(1).into()), at(0));
    change(&mut engine, ConfigChange { max_bytes: Some(1_024), ..Default::default() }, at(0));
    assert_eq!(engine.capacity(P, at(0)), Capacity::default());
    assert_eq!(engine.config().max_bytes, 1_024);
    change(&mut engine, ConfigChange { max_bytes: Some(2_000), ..Default::default() }, at(0));
    assert_eq!(engine.capacity(P, at(0)).bytes, 500);
}

#[test]
fn the_window_and_what_is_sure_to_fit_in_a_commit_go_together() {
    let mut engine = engine(Config { max_queued: 100_000, ..Config::default() });
    let before = engine.capacity(P, at(0)).records;
    change(&mut engine, ConfigChange { max_window: Some(1 << 40), ..Default::default() }, at(0));
    let wide = engine.capacity(P, at(0)).records;
    assert!(wide < before, "ranges that far apart need more bytes: {wide} of {before}");
    change(&mut engine, ConfigChange { max_window: Some(5), ..Default::default() }, at(0));
    assert_eq!(engine.capacity(P, at(0)).records, 5);
}

#[test]
fn a_stall_is_what_it_is_now() {
    let ms = Duration::from_millis;
    let mut engine = engine(Config { max_in_flight: 1, commit_stall: ms(3_000), ..small() });
    admit(&mut engine, P, 0, &[1, 2, 3], at(0));
    let running = dispatch(&mut engine, at(0));
    engine.handle_outcome(running[0].ticket, Outcome::Done, at(0));
    let stall = |stall| ConfigChange { commit_stall: Some(ms(stall)), ..Default::default() };
    engine.handle_timeout(at(4_000));
    assert!(!engine.has_ready() && dispatch(&mut engine, at(4_000)).is_empty());
    change(&mut engine, stall(10_000), at(4_000));
    assert_eq!(dispatch(&mut engine, at(4_000)).len(), 1, "it is none any more");
    assert!(!engine.snapshot(at(4_000)).commits_stalled);
    change(&mut engine, stall(2_000), at(4_000));
    assert!(engine.snapshot(at(4_000)).commits_stalled);
    let running = engine.snapshot(at(4_000)).in_flight;
    assert_eq!((running, engine.has_ready()), (1, false), "and at once one again");
}

#[test]
fn a_timeout_counts_for_what_runs_already() {
    let mut engine = engine(Config { stuck_after: Duration::from_secs(3_600), ..small() });
    admit(&mut engine, P, 0, &[1], at(0));
    dispatch(&mut engine, at(0));
    engine.handle_timeout(at(5_000));
    assert!(actions(&mut engine).is_empty());
    let timeout = Some(Some(Duration::from_secs(1)));
    change(&mut engine, ConfigChange { handler_timeout: timeout, ..Default::default() }, at(5_000));
    assert_eq!(engine.poll_timeout(), Some(at(1_000)), "it is due");
    engine.handle_timeout(at(5_000));
    let told = actions(&mut engine);
    assert!(matches!(told[..], [Action::Cancel { reason: CancelReason::Timeout, .. }]), "{told:?}");
    change(
        &mut engine,
        ConfigChange { handler_timeout: Some(None), ..Default::default() },
        at(5_000),
    );
    engine.handle_timeout(at(5_000));
    assert!(engine.poll_timeout().unwrap() > at(5_000));
}

#[test]
fn an_earlier_watchdog_looks_earlier() {
    let mut engine = engine(Config { stuck_after: Duration::from_secs(3_600), ..small() });
    admit(&mut engine, P, 0, &[1], at(0));
    dispatch(&mut engine, at(0));
    let stuck_after = Some(Duration::from_secs(2));
    change(&mut engine, ConfigChange { stuck_after, ..Default::default() }, at(1_000));
    engine.handle_timeout(at(1_000));
    engine.handle_timeout(at(3_100));
    let told = actions(&mut engine);
    assert!(told.iter().any(|action| matches!(action, Action::Stuck { .. })), "{told:?}");
    assert!(told.iter().any(|action| matches!(action, Action::NoProgress { .. })), "{told:?}");
}

#[test]
fn fewer_attempts_end_what_has_had_as_many() {
    let mut engine = engine(small());
    admit(&mut engine, P, 0, &[1], at(0));
    let now = Some(Duration::ZERO);
    for _ in 0..3 {
        let first = dispatch(&mut engine, at(0)).remove(0);
        engine.handle_outcome(first.ticket, Outcome::Retry { after: now }, at(0));
        engine.handle_timeout(at(0));
    }
    change(&mut engine, ConfigChange { max_attempts: Some(1), ..Default::default() }, at(0));
    let last = dispatch(&mut engine, at(0)).remove(0);
    let verdict = engine.handle_outcome(last.ticket, Outcome::Retry { after: now }, at(0));
    assert!(matches!(verdict, Verdict::Stopped { .. }), "{verdict:?}");
}

#[test]
fn all_of_a_change_is_made_or_nothing() {
    let mut engine = engine(small());
    let wrong = ConfigChange { max_in_flight: Some(5), max_bytes: Some(1), ..Default::default() };
    let error = engine.change_config(&wrong, at(0)).unwrap_err();
    assert!(error.to_string().contains("max_bytes"), "{error}");
    assert_eq!(engine.config(), &small());
}

fn gate(window: Window) -> Gate {
    let config = GateConfig { window, floor_rate: 0, ..GateConfig::default() };
    let mut gate = Gate::new(config, at(0)).unwrap();
    gate.handle_partitions(1);
    let logs = vec![Some(LogSpan { start: Offset(0), end: Offset(0) })];
    let commit = Commit::At { offset: Offset(0), finished: FinishedRanges::default() };
    let sample = ProbeSample { asked: at(0), incarnation: 1, logs, groups: vec![vec![commit]] };
    gate.handle_probe(&sample, at(1));
    gate
}

/// Sends until the gate refuses.
fn send(gate: &mut Gate, from: i64, now: u64) -> i64 {
    for sent in 0..1_000 {
        match gate.try_acquire(0, at(now)) {
            Ok(credit) => gate.handle_delivered(credit, Some(Offset(from + sent))),
            Err(_) => return sent,
        }
    }
    1_000
}

#[test]
fn a_smaller_window_only_holds_what_is_not_sent() {
    let mut gate = gate(Window::Fixed(10));
    assert_eq!(send(&mut gate, 0, 2), 10);
    let fixed = |n| GateChange { window: Some(Window::Fixed(n)), ..Default::default() };
    gate.change_config(&fixed(4), at(2)).unwrap();
    assert_eq!((send(&mut gate, 10, 3), gate.snapshot(at(3)).outstanding), (0, 10));
    gate.change_config(&fixed(12), at(3)).unwrap();
    assert_eq!(send(&mut gate, 10, 3), 2);
    let adaptive = GateChange { window: Some(Window::Adaptive), ..Default::default() };
    gate.change_config(&adaptive, at(3)).unwrap();
    assert!(gate.snapshot(at(3)).window >= 100);
}

#[test]
fn the_floor_rate_and_the_grace_time_count_from_now_on() {
    let mut gate = gate(Window::Fixed(1));
    assert_eq!(send(&mut gate, 0, 2), 1);
    gate.handle_probe_failed(ProbeFailure::Unreachable, at(500));
    assert_eq!(send(&mut gate, 1, 6_000), 0);
    let change = GateChange {
        grace: Some(Duration::from_secs(1)),
        target: Some(Duration::from_millis(100)),
        floor_rate: Some(10),
        rate: Some(Some(1_000)),
        ..Default::default()
    };
    gate.change_config(&change, at(6_000)).unwrap();
    assert!(send(&mut gate, 1, 8_000) > 0, "{:?}", gate.snapshot(at(8_000)));
    let wrong = GateChange { floor_rate: Some(0), rate: Some(Some(0)), ..Default::default() };
    assert!(gate.change_config(&wrong, at(8_000)).is_err());
    assert_eq!((gate.config().floor_rate, gate.config().rate), (10, Some(1_000)));
}
