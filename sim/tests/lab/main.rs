//! What the lab shows, in numbers.

#![allow(clippy::unwrap_used, missing_docs)]

mod incident;
mod others;

use std::time::Duration;

use tidegate_engine::Ordering;
use tidegate_sim::lab::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The incident: 10,000/s through a channel of 10,000, a quota of 10,000, 500 servers of 100 ms,
/// memory for 50,000 tasks.
fn incident() -> Scenario {
    Scenario {
        name: "incident".to_owned(),
        about: String::new(),
        duration: s(60),
        seed: 1,
        strategies: Vec::new(),
        producers: vec![producer("orders", 10_000.0)],
        topic: Topic { partitions: 12, quota: 10_000 },
        consumers: Consumers {
            members: 1,
            poll: 1_000,
            memory: 500_000_000,
            task_memory: 9_000,
            killed_after: s(6),
            restarts_after: s(5),
            session: s(10),
            auto_commit: s(5),
            commit: ms(200),
            ordering: Ordering::Key,
            max_queued: 4_096,
            max_bytes: 64 << 20,
            attempts: 6,
        },
        credit: Credit { target: s(2), probe: ms(500) },
        downstream: Downstream {
            servers: 500,
            service: ServiceTime::Constant(ms(100)),
            waiting: None,
            failures: 0.0,
        },
        events: Vec::new(),
    }
}

fn producer(name: &str, rate: f64) -> Producer {
    Producer {
        name: name.to_owned(),
        rate,
        burst: None,
        channel: 10_000,
        when_full: WhenFull::Wait,
        size: 1_000..=1_000,
        keys: 100_000,
        zipf: 0.0,
    }
}

fn under(scenario: &Scenario, strategy: &str) -> Played {
    let played = play(scenario, strategy.parse().unwrap()).unwrap();
    println!(
        "{strategy}: {:?}, first block {:?} s with {:?}, {} kills, {:.0}/s of {:.0}, refused {}, \
         repeated {}, lost {}, reordered {}, letters {}, made {}, age {:?} {:?}, drain {:?}",
        played.peak,
        played.feedback_s,
        played.total_at_first_block,
        played.oom_kills,
        played.throughput_per_s,
        played.capacity_per_s,
        played.refused,
        played.repeated,
        played.lost,
        played.reordered,
        played.dead_letters,
        played.made,
        played.age_p50_s,
        played.age_p99_s,
        played.drain_s,
    );
    played
}

/// The point of a series at a moment.
fn at(played: &Played, seconds: f64) -> Point {
    *played.series.iter().rfind(|point| point.at_s <= seconds).unwrap()
}
