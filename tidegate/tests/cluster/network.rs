//! The network between members and brokers is slow, half open, cut, and healed.

use std::time::Duration;

use tidegate::{Consumer, Record};
use tidegate_testkit::judge::{Judge, Ordering};
use tidegate_testkit::kafka::{Cluster, Fill, Network, NewTopic};

use crate::common::{Recorder, Running, may_come_again};
use crate::rounds;
use crate::trial::Trial;

async fn nothing(_: Record) {}

fn sleep(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

/// Shorter than a session: the group takes nobody's partitions away.
#[test]
fn a_network_that_is_slow_half_open_or_cut_for_a_while_costs_time_and_nothing_else() {
    let cluster = Cluster::shared();
    let through = [cluster.bootstrap_through_proxies(); 2];
    let trial = Trial::start(&cluster.properties(), "network", 6, &through);
    for round in 0..rounds(1, 6) {
        cluster.network(Network::Slow(Duration::from_millis(30)));
        trial.wait_more(1_500);
        cluster.network(Network::HalfOpen);
        sleep(3);
        cluster.network(Network::Pass);
        trial.wait_more(1_500);
        cluster.network(Network::Cut);
        sleep(3);
        cluster.network(Network::Pass);
        trial.wait_more(1_500);
        // One broker of three.
        cluster.network_of(1 + (round % 3) as i32, Network::HalfOpen);
        sleep(3);
        cluster.network(Network::Pass);
        trial.wait_more(1_500);
    }
    trial.finish().assert_clean();
}

/// The story: the group has given a member its partitions, the network goes while it asks where
/// they begin, and comes back when the question has timed out. (By an admin request, that was the
/// end of the process: librdkafka does not bear a coordinator that is found too late.)
#[test]
fn a_network_that_goes_during_an_assignment_ends_nobody() {
    let cluster = Cluster::shared();
    let topic = "assigning";
    cluster.admin().create_topic(NewTopic::new(topic));
    let written = cluster.fill(&Fill::new(topic).records(500));
    for round in 0..rounds(1, 10) {
        // Slow, so that each step of joining takes long, and begun one after another, so that
        // the cut finds the members at different steps.
        cluster.network(Network::Slow(Duration::from_millis(60)));
        let members: Vec<_> = (0..24)
            .map(|number| {
                std::thread::sleep(Duration::from_millis(150));
                let recorder = Recorder::new();
                let builder = Consumer::builder()
                    .brokers(cluster.bootstrap_through_proxies())
                    .group(format!("{topic}-{round}-{number}"))
                    .topic(topic)
                    .property("group.protocol", ["classic", "consumer"][number % 2]);
                (Running::start(builder, &recorder.member("a"), nothing), recorder)
            })
            .collect();
        cluster.network(Network::Cut);
        sleep(7);
        cluster.network(Network::Pass);
        for (member, recorder) in members {
            member.wait_done(written.len() as u64);
            member.stop();
            let judge = Judge::expecting_written(&written).ordering(Ordering::Key);
            judge.check(&recorder.history()).assert_ok();
        }
    }
}

/// Longer than a session: the group gives its partitions to the other member. When the network is
/// back, records may reach it before the group's word that it was expelled, so that order holds
/// only until then.
#[test]
fn a_member_that_is_cut_off_is_replaced_and_joins_again() {
    let cluster = Cluster::shared();
    let members = [cluster.bootstrap_through_proxies(), cluster.bootstrap()];
    let trial = Trial::start(&cluster.properties(), "cut-off", 6, &members);
    let times = rounds(1, 4);
    for round in 0..times {
        cluster.network([Network::HalfOpen, Network::Cut][round as usize % 2]);
        // The other one has everything, and works on what comes.
        trial.wait_alone("m2");
        trial.wait_more(1_500);
        cluster.network(Network::Pass);
        trial.wait_told("m1", " lost");
        trial.wait_settled();
    }
    let tried = trial.finish();
    for group in &tried.groups {
        let bound = u64::from(times) * may_come_again(&group.history(), "m1", "m2");
        let judge = tried.judge().ordering(Ordering::None).commits_may_go_backwards();
        group.assert_ok(&judge.max_repeats(bound));
    }
}
