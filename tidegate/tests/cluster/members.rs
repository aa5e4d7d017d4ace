//! Members that come and go under load, in an orderly way. (Members that are killed or frozen are
//! in `faults.rs`.) One broker is enough for that, so that these run beside those that hurt three.

use std::time::{Duration, Instant};

use tidegate_testkit::kafka::Broker;

use crate::rounds;
use crate::trial::Trial;

fn start(topic: &str, members: usize) -> (Trial, &'static str) {
    let broker = Broker::shared();
    let addresses = vec![broker.bootstrap(); members];
    (Trial::start(&broker.properties(), topic, 8, &addresses), broker.bootstrap())
}

#[test]
fn a_rolling_deploy_of_four_members_repeats_nothing() {
    let (mut trial, bootstrap) = start("deploy", 4);
    for _ in 0..rounds(1, 5) {
        for _ in 0..4 {
            for group in &mut trial.groups {
                let summary = group.leave();
                assert_eq!(summary.uncommitted, 0, "{summary}: {:#?}", group.told());
                group.join(bootstrap);
            }
            trial.wait_settled();
        }
    }
    trial.finish().assert_clean();
}

#[test]
fn a_rebalance_storm_repeats_nothing() {
    let (mut trial, bootstrap) = start("storm", 2);
    let begun = Instant::now();
    for round in 1..=rounds(8, 30) {
        for group in &mut trial.groups {
            match round % 2 {
                1 => group.join(bootstrap),
                _ => _ = group.leave(),
            }
        }
        let next = begun + Duration::from_secs(2) * round;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    trial.wait_more(1_000);
    trial.finish().assert_clean();
}
