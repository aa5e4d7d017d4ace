//! A scenario in words.

use tidegate_sim::lab::{Change, Scenario, ServiceTime};

use crate::report::grouped;

/// What an event changes.
pub(super) fn change(change: &Change) -> String {
    match change {
        Change::Downstream { servers, service: time, failures } => {
            let parts = [
                servers.map(|servers| format!("{} servers", grouped(servers.into()))),
                time.as_ref().map(|time| format!("{} each", service(time))),
                failures.map(|failures| format!("{} fail", percent(failures))),
            ];
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            format!("downstream: {}", parts.join(", "))
        }
        Change::Rate { producer, rate } => {
            let who = producer.as_deref().unwrap_or("every producer");
            format!("{who}: {}/s", grouped(rate.round() as u64))
        }
        Change::HotKey { share } => format!("one key has {} of all records", percent(*share)),
        Change::Poison { records } => format!("{} poison records", grouped((*records).into())),
        Change::Crash { member } => format!("member {member} crashes"),
        Change::AddMembers(1) => "a member joins".to_owned(),
        Change::AddMembers(members) => format!("{members} members join"),
        Change::RemoveMembers(1) => "a member is asked to end".to_owned(),
        Change::RemoveMembers(members) => format!("{members} members are asked to end"),
    }
}

/// How long a request takes.
fn service(time: &ServiceTime) -> String {
    match time {
        ServiceTime::Constant(time) => format!("{time:?}"),
        ServiceTime::Uniform(least, most) => format!("{least:?} to {most:?}"),
        ServiceTime::Exponential(mean) => format!("exponential {mean:?}"),
        ServiceTime::Lognormal { median, p99 } => format!("median {median:?}, p99 {p99:?}"),
    }
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 1_000.0).round() / 10.0)
}

/// The scenario's quantities, as name and value.
pub(super) fn facts(scenario: &Scenario) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    for producer in &scenario.producers {
        let burst = producer.burst.map_or(String::new(), |burst| {
            format!(", and {} at once every {:?}", grouped(burst.records.into()), burst.every)
        });
        facts.push((
            format!("producer {}", producer.name),
            format!(
                "{}/s{burst}, through a channel of {} records",
                grouped(producer.rate.round() as u64),
                grouped(producer.channel.into())
            ),
        ));
    }
    facts.push((
        "topic".to_owned(),
        format!(
            "{} partitions, a quota of {} unread records",
            scenario.topic.partitions,
            grouped(scenario.topic.quota)
        ),
    ));
    let consumers = &scenario.consumers;
    let record = scenario.producers.iter().map(|p| *p.size.end()).max().unwrap_or(0);
    facts.push((
        "consumers".to_owned(),
        format!(
            "{}, each with memory for {} tasks; killed after {:?} at that limit, back after {:?}",
            consumers.members,
            grouped(consumers.tasks(record)),
            consumers.killed_after,
            consumers.restarts_after
        ),
    ));
    let downstream = scenario.downstream;
    facts.push((
        "downstream".to_owned(),
        format!(
            "{} servers, {} for each request: {}/s",
            grouped(downstream.servers.into()),
            service(&downstream.service),
            grouped(downstream.capacity().round() as u64)
        ),
    ));
    facts.push(("seed".to_owned(), scenario.seed.to_string()));
    facts
}
