//! What the other scenarios need: bursts, hot keys, steps, failures, overload, poison, rebalances,
//! several producers; and what is refused.

use super::*;

fn event(seconds: u64, change: Change) -> Event {
    Event { at: s(seconds), change }
}

fn downstream(servers: Option<u32>, failures: Option<f64>) -> Change {
    Change::Downstream { servers, service: None, failures }
}

/// A producer that does not overload anybody.
fn calm() -> Scenario {
    Scenario { producers: vec![producer("orders", 3_000.0)], ..incident() }
}

#[test]
fn a_downstream_that_slows_down_fills_memory_unless_the_producer_is_told() {
    let scenario = Scenario {
        events: vec![
            event(15, downstream(Some(100), None)),
            event(45, downstream(Some(500), None)),
        ],
        ..calm()
    };
    let unbounded = under(&scenario, "unbounded");
    assert!(unbounded.oom_kills >= 1 && unbounded.lost > 30_000, "{unbounded:?}");
    let closed = under(&scenario, "closed-loop");
    assert!(closed.peak.total < 8_000, "{:?}", closed.peak);
    assert!(closed.age_p99_s.unwrap() < 6.0);
    // Before the slowdown nobody waited for long: 3,000/s is done as it comes.
    assert!((2_900.0..3_100.0).contains(&at(&closed, 14.0).finished_per_s));
    assert!((950.0..1_050.0).contains(&at(&closed, 40.0).finished_per_s));
}

#[test]
fn a_hot_key_waits_for_itself_alone() {
    let hot = |share| Scenario {
        producers: vec![producer("orders", 2_000.0)],
        events: vec![event(10, Change::HotKey { share })],
        ..incident()
    };
    // 20 a second of one key, which can be done 10 times a second.
    let closed = under(&hot(0.01), "closed-loop");
    assert_eq!(closed.reordered, 0, "in order");
    assert!(closed.age_p50_s.unwrap() < 0.2, "the others do not notice");
    assert!(closed.peak.queued > 400 && closed.drain_s.unwrap() > 40.0, "the hot key is late");
    assert!(closed.throughput_per_s > 1_950.0);
    let mut spread = hot(0.01);
    spread.downstream.service = ServiceTime::Exponential(ms(100));
    assert!(under(&spread, "unbounded").reordered > 100, "no order");
    assert_eq!(under(&spread, "bounded:600").reordered, 0);
}

#[test]
fn bursts_pass_or_are_refused() {
    let mut scenario = calm();
    scenario.producers[0].burst = Some(Burst { every: s(10), records: 8_000 });
    scenario.producers[0].rate = 1_000.0;
    let closed = under(&scenario, "closed-loop");
    assert!(closed.peak.total < 10_000 && closed.lost == 0);
    assert!((1_600.0..1_900.0).contains(&closed.throughput_per_s), "1,800/s in all");
    scenario.producers[0].when_full = WhenFull::Refuse;
    let refusing = under(&scenario, "closed-loop");
    assert!(refusing.refused > 0 && refusing.peak.total <= closed.peak.total);
    assert!(refusing.refused < refusing.made / 2);
}

#[test]
fn failures_are_tried_again_and_overload_is_no_failure() {
    let mut scenario = calm();
    scenario.events =
        vec![event(10, downstream(None, Some(1.0))), event(25, downstream(None, Some(0.0)))];
    let naive = under(&scenario, "unbounded");
    assert!(naive.lost > 5_000, "six attempts in 3 s, and then it gives up: {}", naive.lost);
    let closed = under(&scenario, "closed-loop");
    assert_eq!(closed.lost, 0);
    assert!(closed.dead_letters <= 20, "a dead downstream does not fill the dead-letter topic");
    assert!(at(&closed, 24.0).total() < 12_000, "and its producer waits");
    assert!(closed.drain_s.is_some());

    let mut scenario = incident();
    scenario.downstream.waiting = Some(1_000);
    let naive = under(&scenario, "unbounded");
    assert!(naive.lost > 1_000, "what is turned away six times is given up: {}", naive.lost);
    let closed = under(&scenario, "closed-loop");
    assert_eq!((closed.lost, closed.dead_letters), (0, 0));
}

#[test]
fn a_poison_record_becomes_a_dead_letter() {
    let scenario = Scenario { events: vec![event(10, Change::Poison { records: 20 })], ..calm() };
    let closed = under(&scenario, "closed-loop");
    assert_eq!((closed.dead_letters, closed.lost), (20, 0));
    assert!(closed.throughput_per_s > 2_950.0);
    assert_eq!(under(&scenario, "unbounded").lost, 20);
}

#[test]
fn deployments_and_crashes_repeat_little_and_lose_nothing() {
    let mut scenario = Scenario { producers: vec![producer("orders", 6_000.0)], ..incident() };
    scenario.consumers.members = 3;
    scenario.events = (1..=5)
        .flat_map(|n| {
            [event(10 * n, Change::AddMembers(1)), event(10 * n + 4, Change::RemoveMembers(1))]
        })
        .chain([event(25, Change::Crash { member: 1 })])
        .collect();
    let closed = under(&scenario, "closed-loop");
    assert_eq!(closed.lost, 0);
    assert!((1..4_000).contains(&closed.repeated), "the crash alone: {}", closed.repeated);
    assert_eq!(closed.reordered, 0);
    assert!(closed.drain_s.is_some() && closed.throughput_per_s > 4_600.0);
    let automatic = under(&scenario, "unbounded");
    assert!(automatic.lost > 10_000, "{}", automatic.lost);
    let when_done = under(&scenario, "unbounded:commit-when-done");
    assert_eq!(when_done.lost, 0);
    assert!(when_done.repeated > 4 * closed.repeated.max(1), "{}", when_done.repeated);

    scenario.events.retain(|event| !matches!(event.change, Change::Crash { .. }));
    let clean = under(&scenario, "closed-loop");
    assert_eq!((clean.repeated, clean.lost), (0, 0), "a clean rebalance repeats nothing");
}

#[test]
fn the_partitions_of_a_member_that_stays_away_go_to_others() {
    let mut scenario = calm();
    scenario.consumers.members = 2;
    scenario.consumers.restarts_after = s(3_000);
    scenario.events = vec![event(10, Change::Crash { member: 2 })];
    let closed = under(&scenario, "closed-loop");
    assert!(closed.drain_s.is_some() && closed.lost == 0);
    assert!((2_900.0..3_100.0).contains(&at(&closed, 50.0).finished_per_s));
}

#[test]
fn two_producers_share_what_there_is() {
    let mut scenario = incident();
    scenario.producers = vec![producer("shop", 6_000.0), producer("import", 6_000.0)];
    scenario.events = vec![event(20, Change::Rate { producer: Some("import".into()), rate: 0.0 })];
    let closed = under(&scenario, "closed-loop");
    assert!(closed.peak.total < 16_000 && closed.throughput_per_s > 4_850.0, "{closed:?}");
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Scenario), named: &str| {
        let mut scenario = incident();
        change(&mut scenario);
        let error = play(&scenario, "bounded".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(named), "{named}: {error}");
    };
    refused(&|s| s.duration = ms(5), "duration");
    refused(&|s| s.duration = Duration::from_secs(3_600), "20 million");
    refused(&|s| s.consumers.memory = 9_999, "consumers.memory");
    refused(&|s| s.events.push(event(1, Change::Crash { member: 2 })), "crash.member");
    assert!(play(&incident(), Strategy::Bounded { permits: 0 }).is_err());
    refused(&|s| s.producers.clear(), "producer");
    refused(&|s| s.producers.push(s.producers[0].clone()), "orders");
    refused(&|s| s.producers[0].rate = f64::NAN, "producers.orders.rate");
    refused(&|s| s.producers[0].channel = 0, "producers.orders.channel");
    refused(&|s| s.topic.partitions = 0, "topic.partitions");
    refused(&|s| s.consumers.members = 0, "consumers.members");
    refused(&|s| s.consumers.max_queued = 0, "max_queued");
    refused(&|s| s.downstream.servers = 0, "downstream.servers");
    refused(&|s| s.downstream.failures = 1.5, "downstream.failures");
    refused(&|s| s.credit.target = ms(1), "credit.target");
    refused(&|s| s.events.push(event(61, Change::AddMembers(1))), "events[0].at");
    let other = || Change::Rate { producer: Some("x".into()), rate: 1.0 };
    refused(&|s| s.events.push(event(1, other())), "orders");
}
