//! The closed loop on virtual time: producers that would send more than the group can do, and what
//! becomes of backlog, throughput and shares. The group does 5,000 records a second and commits
//! every 0.2 to 0.5 s unless a test says otherwise; each producer probes every 0.5 s, give or take a
//! tenth.

#![allow(clippy::unwrap_used, missing_docs)]

mod gate_world;

use gate_world::*;
use tidegate_engine::gate::*;

const SEEDS: std::ops::Range<u64> = 0..2;

/// A world in which so many producers that want 10,000 a second each have run for a while.
fn greedy(seed: u64, producers: usize, settle: f64) -> World {
    let mut world = World::new(seed, 12, 5_000.0);
    (0..producers).for_each(|_| _ = world.add_producer(10_000.0));
    world.run(settle, |_| {});
    world
}

#[test]
fn the_backlog_stays_near_the_target_and_nothing_of_the_consumer_is_lost() {
    for (producers, seed) in [1, 2, 4, 16].into_iter().flat_map(|n| SEEDS.map(move |s| (n, s))) {
        let mut world = greedy(seed, producers, 30.0);
        let seen = world.watch(60.0);
        println!("{producers} producers: {seen:?}");
        assert!((1.75..2.25).contains(&seen.mean), "{producers}: {seen:?}");
        assert!(seen.low > 1.4 && seen.high < 2.6, "{producers}: {seen:?}");
        assert!(seen.throughput > 0.99, "{producers}: {seen:?}");
    }
}

#[test]
fn equal_producers_get_equal_shares() {
    for (producers, seed) in [2, 4, 16].into_iter().flat_map(|n| SEEDS.map(move |s| (n, s))) {
        let seen = greedy(seed, producers, 60.0).watch(60.0);
        assert!(jain(&seen.shares) > 0.97, "{producers}: {} {seen:?}", jain(&seen.shares));
    }
}

#[test]
fn shares_of_a_slow_group_that_commits_as_often_as_it_is_asked_are_equal_too() {
    for seed in 0..20 {
        let mut world = World::new(seed, 1 + seed as usize % 6, 400.0);
        world.consumer.commit_ms = (500, 500);
        world.consumer.members = 1 + seed as usize % 3;
        (0..4).for_each(|_| _ = world.add_producer(800.0));
        world.run(60.0, |_| {});
        let seen = world.watch(40.0);
        assert!(jain(&seen.shares) > 0.93, "seed {seed}: {} {seen:?}", jain(&seen.shares));
    }
}

#[test]
fn a_group_is_as_fast_as_it_is_however_many_members_commit() {
    for (members, commit_ms) in [1, 4, 12].into_iter().flat_map(|n| [(n, 500), (n, 5_000)]) {
        let mut world = World::new(3, 12, 5_000.0);
        world.consumer.commit_ms = (commit_ms, commit_ms);
        world.consumer.members = members;
        (0..2).for_each(|_| _ = world.add_producer(10_000.0));
        world.run(90.0, |_| {});
        let mut rates = Vec::new();
        for _ in 0..200 {
            world.run(0.2, |_| {});
            rates.extend(world.producers[0].snapshot(world.now_ms).groups[0].rate);
        }
        let rate = rates.iter().sum::<f64>() / rates.len() as f64;
        assert!((4_850.0..5_150.0).contains(&rate), "{members} members, {commit_ms} ms: {rate}");
        let target = world.producers[0].snapshot(world.now_ms).target.as_secs_f64();
        let seen = world.watch(20.0);
        assert!((0.85..1.1).contains(&(seen.mean / target)), "{members}, {commit_ms}: {seen:?}");
    }
}

#[test]
fn a_producer_that_joins_gets_its_share() {
    for (producers, seed) in [1, 2, 4, 15].into_iter().flat_map(|n| SEEDS.map(move |s| (n, s))) {
        let mut world = greedy(seed, producers, 60.0);
        world.add_producer(10_000.0);
        world.run(60.0, |_| {});
        let seen = world.watch(30.0);
        let fair = seen.shares.iter().sum::<f64>() / seen.shares.len() as f64;
        println!("{producers} and one: {:.2}", seen.shares[producers] / fair);
        assert!(jain(&seen.shares) > 0.93, "{producers}: {} {seen:?}", jain(&seen.shares));
        assert!(seen.shares[producers] > 0.6 * fair, "{producers}: {seen:?}");
    }
}

#[test]
fn a_consumer_that_slows_down_is_not_buried() {
    for (producers, seed) in [1, 4, 16].into_iter().flat_map(|n| SEEDS.map(move |s| (n, s))) {
        let mut world = greedy(seed, producers, 60.0);
        world.consumer.rate = 2_000.0;
        let peak = world.watch(10.0).peak;
        let after = world.watch(20.0);
        println!("{producers} producers: peak {peak:.2}, then {after:?}");
        assert!(peak < 6.4, "5.0 to 5.5 was outstanding already: {peak}");
        assert!(after.peak < 3.0 && after.throughput > 0.99, "{after:?}");
        world.consumer.rate = 5_000.0;
        world.run(5.0, |_| {});
        let back = world.watch(20.0);
        assert!(back.mean > 1.5 && back.peak < 2.8 && back.throughput > 0.99, "{back:?}");
    }
}

#[test]
fn bursts_that_the_consumer_can_take_are_not_held_back_after_the_first_few() {
    // The second takes all of the target: what the window grows by while it waits, it loses again.
    for (burst, held_back) in [(8_000, 2), (10_000, 5)] {
        let mut world = World::new(5, 12, 5_000.0);
        world.add_producer(0.0);
        let mut waits = Vec::new();
        for _ in 0..20 {
            let before = world.producers[0].waits;
            world.producers[0].burst += burst;
            world.run(10.0, |_| {});
            waits.push(world.producers[0].waits - before);
        }
        assert!(waits[0] > 0, "{waits:?}");
        assert!(waits[held_back..].iter().all(|w| *w == 0), "{burst}: {waits:?}");
    }
}

#[test]
fn a_trickle_is_never_held_back() {
    let mut world = World::new(3, 12, 5_000.0);
    world.add_producer(2.0);
    world.add_producer(0.1);
    world.run(120.0, |_| {});
    world.producers[0].burst = 900;
    world.run(30.0, |_| {});
    for producer in &world.producers {
        assert_eq!(producer.waits, 0, "{:?}", producer.snapshot(world.now_ms));
    }
}

#[test]
fn a_group_that_commits_every_5_s_raises_the_target_and_keeps_its_throughput() {
    for producers in [1, 4] {
        let mut world = World::new(7, 12, 5_000.0);
        world.consumer.commit_ms = (5_000, 5_000);
        (0..producers).for_each(|_| _ = world.add_producer(10_000.0));
        world.run(60.0, |_| {});
        let seen = world.watch(60.0);
        let target = world.producers[0].snapshot(world.now_ms).target.as_secs_f64();
        println!("{producers} producers: target {target} {seen:?}");
        assert!((10.0..11.5).contains(&target), "{target}");
        assert!(seen.throughput > 0.99 && seen.peak < 1.45 * target, "{seen:?}");
    }
}

#[test]
fn one_stuck_partition_costs_the_others_nothing() {
    for (producers, seed) in [1, 4].into_iter().flat_map(|n| SEEDS.map(move |s| (n, s))) {
        let mut world = greedy(seed, producers, 40.0);
        world.consumer.stuck = vec![5];
        world.run(10.0, |_| {});
        let before = world.backlog_of(5);
        let seen = world.watch(60.0);
        println!("{producers} producers: {seen:?}, behind the stuck head {}", world.backlog_of(5));
        assert!(seen.throughput > 0.98, "{producers}: {seen:?}");
        assert!(world.backlog_of(5) <= 2_700, "a sixth of the windows: {}", world.backlog_of(5));
        assert!(world.backlog_of(5) <= before + 100, "it does not grow");
        let stuck = Alert::PartitionStuck { group: GroupId(0), partition: 5 };
        for producer in &world.producers {
            assert!(producer.alerts.contains(&stuck), "{:?}", producer.alerts);
        }
        let state = world.producers[0].snapshot(world.now_ms);
        assert_eq!(state.groups[0].stuck, [5]);
        world.consumer.stuck.clear();
        world.run(10.0, |_| {});
        let moves = Alert::PartitionMoves { group: GroupId(0), partition: 5 };
        assert!(world.producers[0].alerts.contains(&moves));
        let seen = world.watch(20.0);
        assert!(seen.throughput > 0.99 && seen.high < 2.6, "{seen:?}");
    }
}

#[test]
fn a_group_that_does_not_exist_yet_gets_the_initial_window_and_then_the_floor_rate() {
    let mut world = World::new(11, 12, 5_000.0);
    world.consumer.started = false;
    world.config.floor_rate = 10;
    world.add_producer(10_000.0);
    world.run(2.0, |_| {});
    assert!((1_000..=1_020).contains(&world.producers[0].sent), "{}", world.producers[0].sent);
    world.run(60.0, |_| {});
    assert!((1_600..=1_640).contains(&world.producers[0].sent), "{}", world.producers[0].sent);
    let GateState::Shut(cause) = world.producers[0].snapshot(world.now_ms).state else { panic!() };
    assert_eq!((cause.reason, cause.group), (Reason::NoCommit, Some(GroupId(0))));
    world.consumer.started = true;
    world.run(20.0, |_| {});
    assert!(world.watch(20.0).throughput > 0.99);
}

#[test]
fn a_probe_that_fails_costs_throughput_and_never_the_bound() {
    let mut world = greedy(13, 1, 30.0);
    world.producers[0].probing = false;
    let peak = world.watch(12.0).peak;
    assert!(peak < 2.7, "{peak}");
    let sent = world.producers[0].sent;
    world.run(60.0, |_| {});
    let floor = world.producers[0].sent - sent;
    assert!((58..=62).contains(&floor), "the floor rate is 1 a second: {floor}");
    let snapshot = world.producers[0].snapshot(world.now_ms);
    let (GateState::Shut(cause) | GateState::Limited(cause)) = snapshot.state else { panic!() };
    assert_eq!(cause.reason, Reason::ProbeOverdue);
    world.producers[0].probing = true;
    world.run(5.0, |_| {});
    let back = world.watch(20.0);
    assert!(back.throughput > 0.99 && back.high < 2.6, "{back:?}");
}

#[test]
fn a_consumer_that_stops_for_good_gets_the_window_and_then_the_floor_rate() {
    let mut world = greedy(17, 4, 30.0);
    world.consumer.started = false;
    let backlog = world.backlog();
    world.run(30.0, |_| {});
    assert!(world.backlog() < backlog + 6_000, "{backlog} {}", world.backlog());
    let before = world.backlog();
    world.run(60.0, |_| {});
    let floor = world.backlog() - before;
    assert!((230..=250).contains(&floor), "four times 1 a second: {floor}");
    for producer in &world.producers {
        let (GateState::Shut(cause) | GateState::Limited(cause)) =
            producer.snapshot(world.now_ms).state
        else {
            panic!()
        };
        assert_eq!((cause.reason, cause.group), (Reason::NoProgress, Some(GroupId(0))));
    }
    world.consumer.started = true;
    world.run(5.0, |_| {});
    let back = world.watch(30.0);
    assert!(back.throughput > 0.98 && back.high < 2.6, "{back:?}");
}

#[test]
fn a_consumer_that_restarts_finds_its_producers_as_they_were() {
    let mut world = greedy(19, 4, 40.0);
    for _ in 0..3 {
        world.consumer.started = false;
        world.run(6.0, |_| {});
        world.consumer.started = true;
        let seen = world.watch(20.0);
        assert!(seen.throughput > 0.98 && seen.peak < 3.0, "{seen:?}");
    }
}

#[test]
fn a_producer_that_restarts_and_finds_a_backlog_begins_with_little() {
    let mut world = greedy(23, 1, 30.0);
    world.consumer.rate = 2_000.0;
    world.run(0.5, |_| {});
    assert!(world.drain() > 4.0, "{}", world.drain());
    world.restart(0);
    let first = world.watch(2.0);
    assert!(first.peak < 5.6, "{first:?}");
    assert!(world.producers[0].sent < 600, "{}", world.producers[0].sent);
    world.run(30.0, |_| {});
    let seen = world.watch(20.0);
    assert!(seen.throughput > 0.98 && seen.high < 2.6, "{seen:?}");
}
