//! The incident, to the number.

use super::*;

/// The mean of a series from a moment on.
fn mean(played: &Played, from: f64, of: impl Fn(&Point) -> f64) -> f64 {
    let values: Vec<_> = played.series.iter().filter(|p| p.at_s >= from).map(of).collect();
    values.iter().sum::<f64>() / values.len() as f64
}

fn about(seen: u64, said: u64) -> bool {
    seen.abs_diff(said) <= said / 50
}

#[test]
fn unbounded_has_70_000_in_flight_before_the_producer_waits_and_is_killed_2_s_later() {
    let played = under(&incident(), "unbounded");
    // Tasks grow by 5,000 a second.
    for second in 1..10 {
        assert!(at(&played, second as f64).in_flight.abs_diff(5_000 * second) <= 600);
    }
    assert!(about(at(&played, 10.0).in_flight, 50_000) && at(&played, 10.0).kafka <= 600);
    // Then Kafka fills, then the channel.
    assert!(about(at(&played, 12.0).kafka, 10_000) && at(&played, 12.0).channel <= 600);
    assert!(about(at(&played, 14.0).channel, 10_000));
    let feedback = played.feedback_s.unwrap();
    assert!((13.8..14.1).contains(&feedback), "{feedback}");
    assert_eq!(played.total_at_first_block, Some(70_000));
    assert_eq!(played.peak.in_flight, 50_000);
    // Until it is killed it does what the downstream can.
    assert!((4_900.0..5_100.0).contains(&at(&played, 15.0).finished_per_s));
    assert!((15.8..16.1).contains(&played.kills_s[0]), "{:?}", played.kills_s);
    assert!(at(&played, 20.5).in_flight == 0 && at(&played, 21.5).in_flight > 20_000);
    assert!(played.oom_kills >= 3);
    assert!(played.throughput_per_s < 0.7 * played.capacity_per_s);
}

#[test]
fn what_is_lost_or_repeated_follows_from_what_was_committed() {
    let automatic = under(&incident(), "unbounded");
    // All that was in memory, but for what was polled since the last commit: up to 5 s of it.
    assert!(automatic.lost > 40_000 * u64::from(automatic.oom_kills), "{}", automatic.lost);
    assert_eq!(automatic.lost + automatic.repeated, 50_000 * u64::from(automatic.oom_kills));
    let when_done = under(&incident(), "unbounded:commit-when-done");
    assert_eq!(when_done.lost, 0);
    // All of it comes again at once, and kills the next process as well.
    assert!(when_done.repeated >= 50_000 * u64::from(when_done.oom_kills), "{when_done:?}");
    assert!(when_done.oom_kills > automatic.oom_kills);
}

#[test]
fn bounded_by_100_permits_does_1_000_a_second() {
    let played = under(&incident(), "bounded");
    assert!((990.0..=1_000.5).contains(&played.throughput_per_s), "Little's law");
    assert_eq!(played.peak.in_flight, 100);
    assert_eq!((played.oom_kills, played.lost, played.repeated), (0, 0, 0));
}

#[test]
fn bounded_by_600_permits_leaves_the_backlog_in_kafka_until_the_quota_fills() {
    let played = under(&incident(), "bounded:600");
    assert!((4_990.0..=5_010.0).contains(&played.throughput_per_s), "{}", played.throughput_per_s);
    assert_eq!((played.peak.in_flight, played.peak.kafka), (600, 10_000));
    assert!(played.peak.queued <= 4_096 && played.peak.bytes < 10_000_000);
    assert!((2.5..=3.25).contains(&played.series.iter().find(|p| p.kafka >= 9_900).unwrap().at_s));
    assert!((4.0..5.0).contains(&played.feedback_s.unwrap()));
    assert_eq!((played.oom_kills, played.lost, played.repeated), (0, 0, 0));
}

#[test]
fn the_closed_loop_tells_the_producer_at_once_and_settles_at_2_s_of_work() {
    for seed in 1..=5 {
        let played = under(&Scenario { seed, ..incident() }, "closed-loop");
        assert!(played.feedback_s.unwrap() < 3.0);
        assert!(played.peak.total < 16_000, "{:?}", played.peak);
        let settled = mean(&played, 15.0, |point| point.total() as f64);
        println!("settles at {settled:.0}");
        assert!((8_500.0..11_000.0).contains(&settled), "{settled}");
        assert!(played.throughput_per_s >= 0.98 * played.capacity_per_s);
        assert!(played.drain_s.unwrap() < 2.6 && played.age_p99_s.unwrap() < 4.0);
        assert_eq!((played.oom_kills, played.lost, played.repeated), (0, 0, 0));
    }
}

#[test]
fn small_buffers_tell_the_producer_sooner() {
    let small = under(&incident(), "small-buffers");
    let large = under(&incident(), "bounded:600");
    assert!(small.feedback_s.unwrap() < 0.6 * large.feedback_s.unwrap());
    assert!(small.peak.total < 12_000 && small.throughput_per_s > 4_990.0);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    let mut scenario = Scenario { duration: s(10), ..incident() };
    scenario.downstream.service = ServiceTime::Exponential(ms(100));
    for strategy in ["unbounded", "closed-loop"] {
        let (first, again) = (under(&scenario, strategy), under(&scenario, strategy));
        assert!(first == again, "{strategy}");
        let other = under(&Scenario { seed: 2, ..scenario.clone() }, strategy);
        assert!(first != other, "{strategy}");
    }
}
