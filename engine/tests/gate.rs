//! What each clause of the gate promises, one by one.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use tidegate_engine::gate::*;
use tidegate_engine::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos((100_000 + ms) * 1_000_000)
}

fn gate_with(config: GateConfig, partitions: u32) -> Gate {
    let mut gate = Gate::new(config, at(0)).unwrap();
    gate.handle_partitions(partitions);
    gate
}

fn fixed(window: u64) -> GateConfig {
    GateConfig { window: Window::Fixed(window), floor_rate: 0, ..GateConfig::default() }
}

fn at_offset(offset: i64) -> Commit {
    Commit::At { offset: Offset(offset), finished: FinishedRanges::default() }
}

fn with_ranges(offset: i64, ranges: &[(i64, i64)]) -> Commit {
    let range =
        |(start, end): &(i64, i64)| OffsetRange { start: Offset(*start), end: Offset(*end) };
    Commit::At {
        offset: Offset(offset),
        finished: FinishedRanges::from_any(ranges.iter().map(range)),
    }
}

/// A probe of one group: for each partition the start and end of its log and the commit.
fn probe(asked: u64, partitions: &[(i64, i64, Commit)]) -> ProbeSample {
    let span = |(start, end, _): &(i64, i64, Commit)| {
        Some(LogSpan { start: Offset(*start), end: Offset(*end) })
    };
    ProbeSample {
        asked: at(asked),
        incarnation: 1,
        logs: partitions.iter().map(span).collect(),
        groups: vec![partitions.iter().map(|(.., commit)| commit.clone()).collect()],
    }
}

fn tell(gate: &mut Gate, asked: u64, partitions: &[(i64, i64, Commit)]) {
    gate.handle_probe(&probe(asked, partitions), at(asked + 5));
}

/// Sends as long as the gate lets it, and has everything delivered from `offset` on.
fn send(gate: &mut Gate, partition: u32, offset: i64, most: usize, now: u64) -> i64 {
    for sent in 0..most as i64 {
        match gate.try_acquire(partition, at(now)) {
            Ok(credit) => gate.handle_delivered(credit, Some(Offset(offset + sent))),
            Err(_) => return sent,
        }
    }
    most as i64
}

fn reason(gate: &mut Gate, partition: u32, now: u64) -> Reason {
    match gate.try_acquire(partition, at(now)) {
        Ok(credit) => panic!("{credit:?}"),
        Err(refusal) => refusal.cause.reason,
    }
}

fn alerts(gate: &mut Gate) -> Vec<Alert> {
    std::iter::from_fn(|| gate.poll_alert()).collect()
}

#[test]
fn nothing_is_sent_while_outstanding_is_at_the_window() {
    let mut gate = gate_with(fixed(10), 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    assert_eq!(send(&mut gate, 0, 0, 99, 10), 10);
    assert_eq!(reason(&mut gate, 0, 10), Reason::Window);
    tell(&mut gate, 500, &[(0, 10, at_offset(4))]);
    assert_eq!(send(&mut gate, 0, 10, 99, 510), 4);
    assert_eq!(gate.snapshot(at(510)).outstanding, 10);
}

#[test]
fn a_record_on_its_way_is_outstanding_and_one_that_fails_or_is_cancelled_is_not() {
    let mut gate = gate_with(fixed(2), 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    let first = gate.try_acquire(0, at(10)).unwrap();
    let second = gate.try_acquire(0, at(10)).unwrap();
    assert_eq!(reason(&mut gate, 0, 10), Reason::Window);
    gate.cancel(first, at(11));
    let third = gate.try_acquire(0, at(11)).unwrap();
    gate.handle_failed(second, Fault::Record, at(12));
    gate.handle_failed(third, Fault::Broker, at(12));
    let snapshot = gate.snapshot(at(12));
    let counters = snapshot.counters;
    assert_eq!((snapshot.outstanding, counters.cancelled, counters.failed), (0, 1, 2));
}

#[test]
fn finished_ranges_release_as_commits_do() {
    let mut gate = gate_with(fixed(10), 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    send(&mut gate, 0, 0, 10, 10);
    tell(&mut gate, 500, &[(0, 10, with_ranges(1, &[(2, 5), (9, 10)]))]);
    assert_eq!(gate.snapshot(at(510)).outstanding, 10 - 1 - 3 - 1);
    let group = &gate.snapshot(at(510)).groups[0];
    assert_eq!(group.lag, 5, "what is finished does not wait");
}

#[test]
fn of_several_groups_the_slowest_counts() {
    let mut gate = gate_with(GateConfig { groups: 2, ..fixed(10) }, 1);
    let two = |asked, first: Commit, second: Commit| {
        let mut sample = probe(asked, &[(0, 10, first)]);
        sample.groups.push(vec![second]);
        sample
    };
    gate.handle_probe(&two(0, at_offset(0), at_offset(0)), at(1));
    send(&mut gate, 0, 0, 10, 10);
    gate.handle_probe(&two(500, at_offset(10), with_ranges(3, &[(5, 7)])), at(501));
    assert_eq!(gate.snapshot(at(501)).outstanding, 10 - 3 - 2);
    send(&mut gate, 0, 10, 99, 510);
    let refusal = gate.try_acquire(0, at(510)).unwrap_err();
    assert_eq!((refusal.cause.reason, refusal.cause.group), (Reason::Window, Some(GroupId(1))));
    let GateState::Shut(cause) = gate.state(at(510)) else { panic!() };
    assert_eq!(cause, refusal.cause);
}

#[test]
fn late_and_reordered_answers_change_nothing() {
    let mut gate = gate_with(fixed(10), 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    send(&mut gate, 0, 0, 10, 10);
    gate.handle_probe(&probe(600, &[(0, 10, at_offset(2))]), at(610));
    gate.handle_probe(&probe(500, &[(0, 10, at_offset(1))]), at(620));
    gate.handle_probe(&probe(600, &[(0, 10, at_offset(9))]), at(620));
    assert_eq!(gate.snapshot(at(620)).outstanding, 8);
}

#[test]
fn a_partition_that_was_not_answered_for_stays_as_it_was() {
    let mut gate = gate_with(fixed(20), 2);
    tell(&mut gate, 0, &[(0, 0, at_offset(0)), (0, 0, at_offset(0))]);
    send(&mut gate, 0, 0, 5, 10);
    send(&mut gate, 1, 0, 5, 10);
    let mut sample = probe(500, &[(0, 5, at_offset(5)), (0, 5, at_offset(5))]);
    sample.logs[1] = None;
    sample.groups[0][1] = Commit::Unknown;
    gate.handle_probe(&sample, at(510));
    let snapshot = gate.snapshot(at(510));
    assert_eq!((snapshot.partitions[0].outstanding, snapshot.partitions[1].outstanding), (0, 5));
}

#[test]
fn one_partition_has_its_share_or_what_is_free() {
    let mut gate = gate_with(fixed(120), 12);
    let all = |end: i64| vec![(0, end, at_offset(0)); 12];
    tell(&mut gate, 0, &all(0));
    assert_eq!(send(&mut gate, 3, 0, 999, 10), 60, "alone, a half of the window");
    assert_eq!(reason(&mut gate, 3, 10), Reason::PartitionCap);
    let others: i64 = (4..12).map(|p| send(&mut gate, p, 0, 999, 10)).sum();
    assert_eq!(others, 60, "the others have the rest");
    let mut gate = gate_with(fixed(120), 12);
    tell(&mut gate, 0, &all(0));
    (0..5).for_each(|p| _ = send(&mut gate, p, 0, 20, 10));
    assert_eq!(send(&mut gate, 5, 0, 999, 10), 20, "a sixth, whatever the others have");
    assert_eq!(reason(&mut gate, 6, 10), Reason::Window);
}

#[test]
fn more_partitions_share_the_window_and_fewer_release_what_they_had() {
    let mut gate = gate_with(fixed(10), 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    assert_eq!(reason(&mut gate, 1, 10), Reason::NoPartition);
    gate.handle_partitions(3);
    send(&mut gate, 0, 0, 2, 10);
    send(&mut gate, 2, 0, 2, 10);
    let on_its_way = gate.try_acquire(2, at(10)).unwrap();
    gate.handle_partitions(1);
    assert_eq!(gate.snapshot(at(10)).outstanding, 3);
    assert_eq!(alerts(&mut gate), [Alert::PartitionsRemoved { partitions: 1 }]);
    gate.handle_delivered(on_its_way, Some(Offset(7)));
    assert_eq!(gate.snapshot(at(10)).outstanding, 2);
}

#[test]
fn retention_that_passes_the_committed_offset_releases_and_is_told_once() {
    let mut gate = gate_with(fixed(10), 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    send(&mut gate, 0, 0, 10, 10);
    for asked in [500, 1_000] {
        tell(&mut gate, asked, &[(6, 10, at_offset(2))]);
        assert_eq!(gate.snapshot(at(asked)).outstanding, 4);
    }
    let told = Alert::RetentionPassed { group: GroupId(0), partition: 0, committed: 2, start: 6 };
    assert_eq!(alerts(&mut gate), [told]);
}

#[test]
fn a_truncated_log_releases_what_it_lost_and_an_answer_that_is_older_does_not() {
    let mut gate = gate_with(fixed(100), 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    send(&mut gate, 0, 0, 10, 10);
    // Asked before the ten were delivered, perhaps: no proof.
    tell(&mut gate, 500, &[(0, 4, at_offset(0))]);
    assert_eq!(gate.snapshot(at(510)).outstanding, 10);
    tell(&mut gate, 1_000, &[(0, 4, at_offset(0))]);
    assert_eq!(gate.snapshot(at(1_010)).outstanding, 4);
    assert_eq!(alerts(&mut gate), [Alert::LogTruncated { partition: 0, end: 4, records: 6 }]);
}

#[test]
fn what_a_cut_log_gets_anew_is_not_released_by_commits_of_what_it_lost() {
    let mut gate = gate_with(fixed(10), 1);
    // Everything of its own is released; then the log loses half of it.
    assert_eq!(send(&mut gate, 0, 0, 10, 0), 10);
    tell(&mut gate, 500, &[(0, 10, at_offset(10))]);
    tell(&mut gate, 1_000, &[(0, 5, at_offset(10))]);
    assert_eq!(send(&mut gate, 0, 5, 99, 1_010), 10);
    assert_eq!(gate.snapshot(at(1_010)).outstanding, 10);
    // An answer without that group's commits leaves it at that.
    tell(&mut gate, 1_500, &[(0, 15, Commit::Unknown)]);
    assert_eq!(gate.snapshot(at(1_510)).outstanding, 10);
    tell(&mut gate, 2_000, &[(0, 15, at_offset(15))]);
    assert_eq!(gate.snapshot(at(2_010)).outstanding, 0);
}

#[test]
fn what_was_released_beyond_the_end_of_a_log_is_forgotten_though_it_is_learned_later() {
    let mut gate = gate_with(fixed(10), 1);
    let mut no_log = probe(500, &[(0, 0, with_ranges(6, &[(7, 9)]))]);
    no_log.logs = vec![None];
    gate.handle_probe(&no_log, at(505));
    tell(&mut gate, 1_000, &[(0, 5, Commit::Unknown)]);
    assert_eq!(send(&mut gate, 0, 5, 99, 1_010), 10);
    tell(&mut gate, 1_500, &[(0, 15, Commit::Unknown)]);
    assert_eq!(gate.snapshot(at(1_510)).outstanding, 10);
}

#[test]
fn a_topic_that_was_created_again_releases_everything() {
    let mut gate = gate_with(fixed(100), 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    send(&mut gate, 0, 0, 10, 10);
    let mut sample = probe(500, &[(0, 3, Commit::None)]);
    sample.incarnation = 2;
    gate.handle_probe(&sample, at(510));
    assert_eq!(gate.snapshot(at(510)).outstanding, 0);
    assert_eq!(alerts(&mut gate), [Alert::TopicRecreated]);
    send(&mut gate, 0, 3, 10, 510);
    let mut sample = probe(1_000, &[(0, 13, at_offset(50))]);
    sample.incarnation = 2;
    gate.handle_probe(&sample, at(1_010));
    assert_eq!(gate.snapshot(at(1_010)).outstanding, 10, "the commit is of the earlier topic");
}

#[test]
fn a_broker_that_names_no_offset_counts_as_released() {
    let mut gate = gate_with(fixed(2), 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    for _ in 0..5 {
        let credit = gate.try_acquire(0, at(10)).unwrap();
        gate.handle_delivered(credit, None);
    }
    let snapshot = gate.snapshot(at(10));
    assert_eq!((snapshot.outstanding, snapshot.counters.untracked), (0, 5));
}

#[test]
fn without_a_group_only_rate_and_breaker_hold() {
    let config = GateConfig { groups: 0, rate: Some(1_000), ..GateConfig::default() };
    let mut gate = gate_with(config, 1);
    assert_eq!(send(&mut gate, 0, 0, 5_000, 0), 100);
    assert_eq!(reason(&mut gate, 0, 0), Reason::Rate);
    gate.set_rate(None, at(0)).unwrap();
    assert_eq!(send(&mut gate, 0, 0, 5_000, 0), 5_000);
    let snapshot = gate.snapshot(at(0));
    assert_eq!((snapshot.outstanding, snapshot.window), (0, u64::MAX));
    gate.set_rate(Some(10), at(0)).unwrap();
    assert!(gate.set_rate(Some(0), at(0)).is_err());
    assert_eq!(send(&mut gate, 0, 0, 5_000, 1_000), 1);
}

#[test]
fn the_breaker_shuts_the_gate_and_its_probes_open_it() {
    let config = GateConfig { breaker_failures: 3, breaker_probes: 1, ..fixed(100) };
    let mut gate = gate_with(config, 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    for _ in 0..3 {
        let credit = gate.try_acquire(0, at(10)).unwrap();
        gate.handle_failed(credit, Fault::Broker, at(10));
    }
    let refusal = gate.try_acquire(0, at(10)).unwrap_err();
    assert_eq!(refusal.cause.reason, Reason::Breaker);
    assert!(matches!(gate.state(at(10)), GateState::Shut(c) if c.reason == Reason::Breaker));
    let due = gate.poll_timeout(at(10)).unwrap();
    assert!(due <= at(10) + refusal.retry_after);
    gate.handle_timeout(due);
    assert_eq!(gate.snapshot(due).breaker, BreakerState::HalfOpen);
    let unused = gate.try_acquire(0, due).unwrap();
    assert_eq!(gate.try_acquire(0, due).unwrap_err().cause.reason, Reason::Breaker);
    gate.cancel(unused, due);
    let probe = gate.try_acquire(0, due).unwrap();
    gate.handle_delivered(probe, Some(Offset(0)));
    assert_eq!(gate.snapshot(due).breaker, BreakerState::Closed);
}

#[test]
fn the_policy_waits_until_its_time_is_over_or_refuses_at_once() {
    let mut gate =
        gate_with(GateConfig { when_shut: WhenShut::Wait { max: ms(800) }, ..fixed(1) }, 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    let Answer::Go(credit) = gate.acquire(0, at(10), at(10)) else { panic!() };
    let Answer::Wait { until } = gate.acquire(0, at(10), at(10)) else { panic!() };
    assert!(until > at(10) && until <= at(810));
    let Answer::Refused(refusal) = gate.acquire(0, at(10), at(810)) else { panic!() };
    assert_eq!(refusal.cause.reason, Reason::Window);
    gate.cancel(credit, at(811));
    let mut gate = gate_with(GateConfig { when_shut: WhenShut::Refuse, ..fixed(1) }, 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    assert_eq!(send(&mut gate, 0, 0, 9, 10), 1);
    assert!(matches!(gate.acquire(0, at(10), at(10)), Answer::Refused(_)));
}

#[test]
fn a_refusal_says_when_to_come_back_by_what_is_released_in_a_second() {
    let mut gate = gate_with(fixed(1_000), 1);
    let (mut end, mut done) = (0, 0);
    for probe in 0..60 {
        tell(&mut gate, probe * 500, &[(0, end, at_offset(done))]);
        end += send(&mut gate, 0, end, 1_000, probe * 500 + 10);
        done += 50;
    }
    let now = 59 * 500 + 10;
    let soon = gate.try_acquire(0, at(now)).unwrap_err().retry_after;
    assert!((ms(400)..=ms(500)).contains(&soon), "one record: at the next probe, {soon:?}");
    let config = GateConfig { rate: Some(2), ..fixed(1_000) };
    let mut gate = gate_with(config, 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    send(&mut gate, 0, 0, 1, 10);
    let refusal = gate.try_acquire(0, at(110)).unwrap_err();
    assert_eq!((refusal.cause.reason, refusal.retry_after), (Reason::Rate, ms(400)));
}

#[test]
fn a_probe_that_fails_keeps_the_window_for_the_grace_time_and_then_falls_to_the_floor_rate() {
    let config = GateConfig { grace: ms(6_000), floor_rate: 2, ..fixed(100) };
    let mut gate = gate_with(config, 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    send(&mut gate, 0, 0, 10, 10);
    let failure = ProbeFailure::GroupNotAuthorized(GroupId(0));
    gate.handle_probe_failed(failure, at(500));
    let GateState::Limited(cause) = gate.state(at(500)) else { panic!() };
    assert_eq!(cause.reason, Reason::ProbeFailed(failure));
    assert_eq!(send(&mut gate, 0, 10, 10, 5_990), 10, "the window is kept");
    assert_eq!(gate.poll_timeout(at(5_990)), Some(at(6_005)));
    assert_eq!(send(&mut gate, 0, 20, 10, 6_005), 1, "one token is saved up");
    let refusal = gate.try_acquire(0, at(6_005)).unwrap_err();
    assert_eq!(refusal.cause.reason, Reason::ProbeFailed(failure));
    assert_eq!((refusal.cause.group, refusal.retry_after), (Some(GroupId(0)), ms(500)));
    let mut sent = 0;
    for now in (6_010..16_000).step_by(10) {
        sent += send(&mut gate, 0, 30 + sent, 10, now);
    }
    assert_eq!(sent, 19);
    tell(&mut gate, 16_000, &[(0, 40, at_offset(0))]);
    assert_eq!(send(&mut gate, 0, 60, 100, 16_010), 100 - 40);
}

#[test]
fn a_group_without_a_commit_is_named_and_gets_the_initial_window_and_then_the_floor() {
    let config =
        GateConfig { groups: 2, initial_window: 50, floor_rate: 1, ..GateConfig::default() };
    let mut gate = gate_with(config, 1);
    let mut sample = probe(0, &[(0, 0, at_offset(0))]);
    sample.groups.push(vec![Commit::None]);
    gate.handle_probe(&sample, at(5));
    assert!(matches!(gate.state(at(5)), GateState::Limited(c)
        if c.reason == Reason::NoCommit && c.group == Some(GroupId(1))));
    assert_eq!(send(&mut gate, 0, 0, 999, 10), 51, "and one by the floor rate");
    let GateState::Shut(cause) = gate.state(at(10)) else { panic!() };
    assert_eq!((cause.reason, cause.group), (Reason::NoCommit, Some(GroupId(1))));
    assert_eq!(send(&mut gate, 0, 51, 999, 1_010), 1);
}

#[test]
fn a_floor_rate_of_nothing_is_nothing() {
    let mut gate = gate_with(GateConfig { initial_window: 5, ..fixed(5) }, 1);
    tell(&mut gate, 0, &[(0, 0, Commit::None)]);
    assert_eq!(send(&mut gate, 0, 0, 999, 10), 5);
    let refusal = gate.try_acquire(0, at(60_000)).unwrap_err();
    assert_eq!(refusal.retry_after, ms(60_000));
}

#[test]
fn a_stuck_partition_is_named_and_bounded_by_its_own_cap_only() {
    let mut gate = gate_with(GateConfig { grace: ms(60_000), ..fixed(60) }, 6);
    let (mut ends, mut told) = ([0i64; 6], Vec::new());
    for step in 0..20u64 {
        let all: Vec<_> = ends
            .iter()
            .enumerate()
            .map(|(p, end)| (0, *end, at_offset(if p == 2 { 0 } else { *end })))
            .collect();
        tell(&mut gate, step * 500, &all);
        for (p, end) in ends.iter_mut().enumerate() {
            *end += send(&mut gate, p as u32, *end, 10, step * 500 + 10);
        }
        told.extend(alerts(&mut gate));
    }
    assert_eq!(told, [Alert::PartitionStuck { group: GroupId(0), partition: 2 }]);
    assert_eq!(ends[2], 20, "its share: two sixths of the window");
    let refusal = gate.try_acquire(2, at(9_600)).unwrap_err();
    assert_eq!(refusal.cause.reason, Reason::PartitionStuck);
    assert_eq!((refusal.cause.group, refusal.cause.partition), (Some(GroupId(0)), Some(2)));
    let snapshot = gate.snapshot(at(9_600));
    assert_eq!((snapshot.set_aside, snapshot.groups[0].stuck.as_slice()), (20, &[2][..]));
    for key_less in 0..200 {
        assert_ne!(gate.pick_partition(None, at(10_000 + key_less * 20)), 2);
    }
}

#[test]
fn commits_that_come_seldom_raise_the_target() {
    let mut gate = gate_with(fixed(1_000_000), 1);
    let mut end = 0;
    for step in 0..60u64 {
        let committed = (step / 10 * 10 * 100) as i64;
        tell(&mut gate, step * 500, &[(0, (step * 100 + 100) as i64, at_offset(committed))]);
        end += send(&mut gate, 0, end, 100, step * 500 + 10);
    }
    let snapshot = gate.snapshot(at(30_000));
    assert_eq!(snapshot.groups[0].commit_spacing, ms(5_000));
    assert_eq!(snapshot.target, ms(10_500));
    let rate = snapshot.groups[0].rate.unwrap();
    assert!((190.0..=210.0).contains(&rate), "200 a second, though mostly nothing moves: {rate}");
}

#[test]
fn a_seek_is_not_taken_for_speed() {
    let mut gate = gate_with(fixed(100_000), 1);
    let tell_rate = |gate: &mut Gate, step: u64, committed: i64| {
        tell(gate, step * 500, &[(0, 10_000_000, at_offset(committed))]);
        gate.snapshot(at(step * 500 + 10)).groups[0].rate.unwrap_or(0.0)
    };
    for step in 0..20 {
        tell_rate(&mut gate, step, 500 * step as i64);
    }
    let rate = tell_rate(&mut gate, 20, 5_000_000);
    assert!((900.0..1_100.0).contains(&rate), "{rate}");
    let rate = tell_rate(&mut gate, 21, 5_000_500);
    assert!((900.0..1_100.0).contains(&rate), "{rate}");
    for step in 22..40 {
        tell_rate(&mut gate, step, 5_000_000 + 50_000 * (step as i64 - 21));
    }
    let rate = tell_rate(&mut gate, 40, 5_000_000 + 50_000 * 19);
    assert!(rate > 50_000.0, "a consumer that really is faster is believed: {rate}");
}

#[test]
fn a_check_takes_nothing_and_its_refusal_counts() {
    let mut gate = gate_with(GateConfig { rate: Some(10), ..fixed(1) }, 1);
    assert_eq!(gate.partitions(), 1);
    tell(&mut gate, 0, &[(0, 0, at_offset(0))]);
    for _ in 0..100 {
        gate.check(0, at(10)).unwrap();
    }
    let Ok(credit) = gate.try_acquire(0, at(10)) else { panic!("a check took something") };
    let refusal = gate.check(0, at(10)).unwrap_err();
    assert_eq!(refusal.cause.reason, Reason::Window);
    assert_eq!(gate.try_acquire(0, at(10)), Err(refusal), "both say the same");
    assert_eq!(gate.snapshot(at(10)).counters.refused, 2);
    assert_eq!(gate.check(1, at(10)).unwrap_err().cause.reason, Reason::NoPartition);
    gate.cancel(credit, at(10));
    gate.check(0, at(10)).unwrap();
    let held_back = GateState::Limited(refusal.cause);
    assert_eq!(gate.state(at(10)), held_back, "it was held back by the window");
}

#[test]
fn absurd_settings_are_refused_by_name() {
    let good = GateConfig::default();
    let backoff = |initial, max| Backoff { initial: ms(initial), max: ms(max) };
    for (name, config) in [
        ("groups", GateConfig { groups: 65, ..good.clone() }),
        ("window", GateConfig { window: Window::Fixed(0), ..good.clone() }),
        ("target", GateConfig { target: ms(99), ..good.clone() }),
        ("target", GateConfig { target: ms(3_600_001), ..good.clone() }),
        ("initial_window", GateConfig { initial_window: 0, ..good.clone() }),
        ("probe_interval", GateConfig { probe_interval: ms(9), ..good.clone() }),
        ("grace", GateConfig { grace: ms(3_600_001), ..good.clone() }),
        ("floor_rate", GateConfig { floor_rate: 1_000_001, ..good.clone() }),
        ("rate", GateConfig { rate: Some(0), ..good.clone() }),
        ("breaker_failures", GateConfig { breaker_failures: 0, ..good.clone() }),
        ("breaker_probes", GateConfig { breaker_probes: 0, ..good.clone() }),
        ("breaker_open.initial", GateConfig { breaker_open: backoff(0, 10), ..good.clone() }),
        ("breaker_open.max", GateConfig { breaker_open: backoff(10, 9), ..good.clone() }),
        ("when_shut", GateConfig { when_shut: WhenShut::Wait { max: ms(1) }, ..good.clone() }),
    ] {
        let refused = Gate::new(config, at(0)).unwrap_err().to_string();
        assert!(refused.starts_with(name), "{name}: {refused}");
    }
    assert!(Gate::new(good, at(0)).is_ok());
}
