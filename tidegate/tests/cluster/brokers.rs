//! Brokers that are killed, frozen, restarted or out of disk space while members work.

use std::time::Duration;

use tidegate_testkit::kafka::{Cluster, Fill, Isolation, NewTopic, read_topic};

use crate::common::wait_for;
use crate::rounds;
use crate::trial::Trial;

/// The controller takes a broker for dead after 3 s.
const FROZEN: Duration = Duration::from_secs(4);

/// Members without a proxy between.
fn start(cluster: &Cluster, topic: &str) -> Trial {
    Trial::start(&cluster.properties(), topic, 6, &[cluster.bootstrap(); 2])
}

#[test]
fn a_leader_that_is_killed_or_frozen_costs_time_and_nothing_else() {
    let mut cluster = Cluster::shared();
    let topic = "leader-dies";
    let trial = start(&cluster, topic);
    let admin = cluster.admin();
    let leaves = |leader| {
        let all_moved =
            || (0..6).all(|partition| ![leader, -1].contains(&admin.leader(topic, partition)));
        wait_for("other leaders", all_moved);
    };
    for round in 0..rounds(1, 5) {
        let leader = admin.leader(topic, (round % 6) as i32);
        cluster.kill(leader);
        leaves(leader);
        // Members go on while it is away,
        trial.wait_more(2_000);
        cluster.restart(leader);
        admin.wait_in_sync();
        // and when it is back.
        trial.wait_more(1_000);

        let leader = admin.leader(topic, (round % 6) as i32);
        // Long enough for the cluster to replace it, and not as long as a session: it may be the
        // group's coordinator, to which heartbeats go until they time out.
        cluster.pause(leader);
        std::thread::sleep(FROZEN);
        cluster.resume(leader);
        admin.wait_in_sync();
        trial.wait_more(1_000);
    }
    let tried = trial.finish();
    let log = read_topic(&cluster.properties(), topic, Isolation::Committed);
    assert_eq!(log.len(), tried.written.len(), "the log has each record once");
    tried.assert_clean();
}

#[test]
fn a_rolling_restart_of_all_brokers_costs_nothing() {
    let mut cluster = Cluster::shared();
    let trial = start(&cluster, "rolling-brokers");
    let admin = cluster.admin();
    for _ in 0..rounds(1, 4) {
        for id in 1..=3 {
            cluster.stop(id);
            cluster.restart(id);
            admin.wait_in_sync();
            trial.wait_more(500);
        }
    }
    trial.finish().assert_clean();
}

#[test]
fn a_broker_whose_disk_is_full_costs_time_and_nothing_else() {
    let mut cluster = Cluster::shared();
    let topic = "full-disk";
    let trial = start(&cluster, topic);
    let admin = cluster.admin();
    for round in 0..rounds(1, 3) {
        let full = admin.leader(topic, 0);
        let ballast = format!("ballast-{round}");
        let others: Vec<_> = (1..=3).filter(|id| *id != full).collect();
        admin.create_topic(NewTopic::new(&ballast).replicas(&[full, others[0], others[1]]));
        let space = cluster.fill_disk(full);
        // What does not fit there is taken by the next leader.
        let records = space / 100_000 + 10;
        let _ = cluster.fill(&Fill::new(&ballast).records(records).value_bytes(100_000));
        cluster.wait_for_end(full);
        let log = cluster.log(full);
        assert!(log.contains("File too large"), "{}", cluster.log_end(full));
        trial.wait_more(2_000);
        // There is space again.
        cluster.restart(full);
        admin.wait_in_sync();
        trial.wait_more(1_000);
    }
    trial.finish().assert_clean();
}
