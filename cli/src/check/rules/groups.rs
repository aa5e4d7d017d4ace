//! Groups: whether this member can join, what was committed, whom a gate follows.

use super::super::facts::{Broker, Facts, Group, Seen};
use super::super::finding::Findings;
use super::super::plan::{Gated, Kind, Plan, Run};
use super::super::say::{records, time};
use crate::report::grouped;
use crate::settings::Gap;

/// All of these rules.
pub(super) fn look(plan: &Plan, facts: &Facts, findings: &mut Findings) {
    for (name, seen) in &facts.groups {
        match seen {
            Seen::It(group) => unknown(name, group, findings),
            Seen::Failed(why) => {
                findings.error("group", format!("group {name} cannot be looked at: {why}"));
            }
            Seen::Missing | Seen::Denied => {}
        }
    }
    match &plan.kind {
        Kind::Run(run) => {
            if let Some(group) = group(facts, &run.group) {
                joins(run, group, facts, findings);
                progress(run, group, findings);
            }
            if let Some(broker) = &facts.broker {
                of_broker(run, broker, facts, findings);
            }
        }
        Kind::Ingest(_) | Kind::Produce(_) => {
            plan.gated().iter().for_each(|gated| followed(gated, facts, findings));
        }
        Kind::Lag(lag) => {
            if group(facts, &lag.group).is_some_and(|group| !group.exists) {
                let name = &lag.group;
                findings.warn("group-unknown", format!("group {name} has committed nothing yet"));
            }
        }
        Kind::Redrive(_) => {}
    }
}

/// What nobody found out about its commits.
fn unknown(name: &str, group: &Group, findings: &mut Findings) {
    for topic in &group.unknown {
        findings.note(
            "commits-unknown",
            format!(
                "what group {name} has committed in topic {topic} could not be compared with the log: \
                 neither gaps nor what waits are known"
            ),
        );
    }
}

fn of_members(members: usize) -> String {
    format!("{members} {}", if members == 1 { "member" } else { "members" })
}

fn group<'a>(facts: &'a Facts, name: &str) -> Option<&'a Group> {
    facts.groups.get(name)?.it()
}

/// Whether there is a place for one more member, and what it is worth.
fn joins(run: &Run, group: &Group, facts: &Facts, findings: &mut Findings) {
    let name = &run.group;
    if !group.exists {
        findings.good("group", format!("group {name} is new"));
        return;
    }
    let members = group.members;
    let state = &group.state;
    findings.good("group", format!("group {name}: {state}, {}", of_members(members)));
    if members == 0 {
        return;
    }
    let eager = |assignor: &str| !assignor.is_empty() && assignor != "cooperative-sticky";
    let ours = &run.member.assignor;
    let by_broker = run.member.session_timeout.is_none();
    if group.by_broker != by_broker {
        let (theirs, ours) = match by_broker {
            true => ("classic", "consumer"),
            false => ("consumer", "classic"),
        };
        findings.warn(
            "group-protocol",
            format!(
                "group {name} speaks the {theirs} protocol, and this member the {ours} one \
                 (group.protocol): the broker may not let both in"
            ),
        );
    } else if !by_broker && eager(&group.assignor) != eager(ours) {
        findings.error(
            "assignor",
            format!(
                "the members of group {name} use {}, and this one {ours}: the broker does not let it join. \
                 Stop them, or set partition.assignment.strategy = \"{}\" here",
                group.assignor, group.assignor
            ),
        );
    }
    let found = run.names().map(|name| facts.topics.get(name)?.it().map(|topic| topic.partitions));
    let partitions = found.sum::<Option<usize>>();
    let whole_names = run.names().count() == run.topics.len();
    if let Some(partitions) = partitions.filter(|all| whole_names && *all <= members) {
        findings.warn(
            "more-members-than-partitions",
            format!(
                "group {name} has {} for {partitions} partitions: one more has nothing to do",
                of_members(members)
            ),
        );
    }
}

/// Where it would begin.
fn progress(run: &Run, group: &Group, findings: &mut Findings) {
    for (topic, commits) in group.commits.iter().filter(|_| group.exists) {
        let in_partitions = match commits.partitions {
            0 => "nothing is committed".to_owned(),
            1 => "committed in 1 partition".to_owned(),
            many => format!("committed in {many} partitions"),
        };
        let waiting = records(commits.waiting);
        findings.good(
            "commits",
            format!("group {} in topic {topic}: {in_partitions}, {waiting} waiting", run.group),
        );
        if commits.gaps.is_empty() {
            continue;
        }
        let partitions: Vec<_> = commits.gaps.iter().map(ToString::to_string).collect();
        let then = match run.on_gap {
            Gap::Stop => "they stop at once (on-gap)",
            Gap::Earliest => "records are lost, and it goes on at the first one there is (on-gap)",
            Gap::Latest => "everything there is now is passed over (on-gap)",
        };
        findings.warn(
            "gap",
            format!(
                "topic {topic}: what group {} has committed is not in the log any more in partitions {}: \
                 {then}",
                run.group,
                partitions.join(", ")
            ),
        );
    }
}

/// What a broker allows its members.
fn of_broker(run: &Run, broker: &Broker, facts: &Facts, findings: &mut Findings) {
    if let Some(most) = broker.metadata_max_bytes
        && u64::from(run.metadata_max_bytes) > most
    {
        findings.warn(
            "metadata-max-bytes",
            format!(
                "metadata-max-bytes is {}, and the broker takes {} (offset.metadata.max.bytes): it refuses \
                 commits when many records are finished out of order. Set metadata-max-bytes = {most}",
                grouped(run.metadata_max_bytes.into()),
                grouped(most)
            ),
        );
    }
    if let Some(session) = run.member.session_timeout {
        let least = broker.min_session_timeout.filter(|least| session < *least);
        let most = broker.max_session_timeout.filter(|most| session > *most);
        if let Some(bound) = least.or(most) {
            let (kind, name) = match least {
                Some(_) => ("at least", "group.min.session.timeout.ms"),
                None => ("at most", "group.max.session.timeout.ms"),
            };
            findings.error(
                "session-timeout",
                format!(
                    "session.timeout.ms is {}, and the broker wants {kind} {} ({name}): it does not let this \
                     member join",
                    time(session),
                    time(bound)
                ),
            );
        }
    }
    let Some(offsets) = broker.offsets_retention else { return };
    for name in run.names() {
        let topic = facts.topics.get(name).and_then(Seen::it);
        let Some(settings) = topic.and_then(|topic| topic.settings.as_ref()) else { continue };
        if settings.retention.is_none_or(|kept| kept > offsets) {
            findings.note(
                "offsets-retention",
                format!(
                    "topic {name} keeps records for longer than the broker keeps the commits of a group \
                     without members ({}, offsets.retention.minutes): a run that is stopped for so long \
                     begins anew",
                    time(offsets)
                ),
            );
        }
    }
}

/// Whether a gate has somebody to follow.
fn followed(gated: &Gated, facts: &Facts, findings: &mut Findings) {
    for name in &gated.groups {
        let Some(group) = group(facts, name) else { continue };
        let commits = group.commits.get(&gated.topic);
        // Of one that exists and has no entry it was not found out.
        if commits.map_or(!group.exists, |commits| commits.partitions == 0) {
            findings.warn(
                "followed-unknown",
                format!(
                    "group {name} has committed nothing in topic {}: its gate lets the first window \
                     through, and then {} a second until it does",
                    gated.topic,
                    records(gated.floor_rate.into())
                ),
            );
        } else if let Some(commits) = commits {
            let (state, waiting) = (&group.state, records(commits.waiting));
            findings.good(
                "followed",
                format!("group {name}: {state}, {waiting} waiting in topic {}", gated.topic),
            );
            if group.members == 0 {
                findings.warn(
                    "followed-empty",
                    format!("group {name} has no members now: nothing of what is sent is handled"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::{Commits, Topic, TopicSettings};
    use super::super::super::finding::Weight;
    use super::super::testing::{kinds, plan, run, secs};
    use super::*;

    fn stable(members: usize) -> Group {
        Group {
            exists: true,
            state: "Stable".to_owned(),
            members,
            assignor: "cooperative-sticky".to_owned(),
            ..Group::default()
        }
    }

    fn facts(group: Group) -> Facts {
        let mut facts = Facts::default();
        facts.groups.insert("billing".to_owned(), Seen::It(group));
        let settings = Some(TopicSettings { retention: Some(secs(3_600)), ..Default::default() });
        let topic = Topic { partitions: 3, settings, ..Topic::default() };
        facts.topics.insert("orders".to_owned(), Seen::It(topic));
        facts
    }

    fn found(weight: Weight, plan: &Plan, facts: &Facts) -> Vec<&'static str> {
        kinds(weight, |findings| look(plan, facts, findings))
    }

    #[test]
    fn members_that_do_not_go_together() {
        let range = Group { assignor: "range".to_owned(), ..stable(1) };
        let facts_of_range = facts(range);
        assert_eq!(found(Weight::Error, &run(""), &facts_of_range), ["assignor"]);
        let same = run("-X partition.assignment.strategy=range");
        assert!(found(Weight::Error, &same, &facts_of_range).is_empty());
        let consumer = run("-X group.protocol=consumer");
        assert_eq!(found(Weight::Warning, &consumer, &facts(stable(1))), ["group-protocol"]);
        assert!(found(Weight::Warning, &run(""), &facts(stable(2))).is_empty());
        let idle = ["more-members-than-partitions"];
        assert_eq!(found(Weight::Warning, &run(""), &facts(stable(3))), idle);
    }

    #[test]
    fn a_commit_that_is_not_in_the_log() {
        let commits = Commits { partitions: 2, waiting: 5, gaps: vec![0, 2] };
        let commits = [("orders".to_owned(), commits)].into();
        let facts = facts(Group { commits, ..stable(0) });
        assert_eq!(found(Weight::Warning, &run(""), &facts), ["gap"]);
    }

    #[test]
    fn commits_that_could_not_be_looked_at() {
        let blind = || Group { unknown: ["orders".to_owned()].into(), ..stable(1) };
        for plan in [run(""), plan("ingest -b b:1 -t orders=billing")] {
            assert_eq!(found(Weight::Note, &plan, &facts(blind())), ["commits-unknown"]);
        }
    }

    #[test]
    fn what_the_broker_allows() {
        let broker = Broker {
            metadata_max_bytes: Some(1_024),
            min_session_timeout: Some(secs(6)),
            max_session_timeout: Some(secs(60)),
            offsets_retention: Some(secs(60)),
        };
        let facts = Facts { broker: Some(broker), ..facts(stable(0)) };
        assert_eq!(found(Weight::Warning, &run(""), &facts), ["metadata-max-bytes"]);
        assert!(found(Weight::Warning, &run("--metadata-max-bytes 1024"), &facts).is_empty());
        assert_eq!(found(Weight::Note, &run(""), &facts), ["offsets-retention"]);
        for wrong in ["5000", "61000"] {
            let wrong = run(&format!("-X session.timeout.ms={wrong}"));
            assert_eq!(found(Weight::Error, &wrong, &facts), ["session-timeout"]);
        }
        assert!(found(Weight::Error, &run(""), &facts).is_empty());
    }

    #[test]
    fn a_gate_needs_somebody_to_follow() {
        let ingest = plan("ingest -b b:1 -t orders=billing");
        let of = |group| found(Weight::Warning, &ingest, &facts(group));
        let none = [("orders".to_owned(), Commits::default())].into();
        assert_eq!(of(Group { commits: none, ..stable(1) }), ["followed-unknown"]);
        assert!(of(stable(1)).is_empty(), "it is not known");
        assert_eq!(of(Group::default()), ["followed-unknown"]);
        let commits = Commits { partitions: 3, ..Commits::default() };
        let commits: std::collections::BTreeMap<_, _> = [("orders".to_owned(), commits)].into();
        assert!(of(Group { commits: commits.clone(), ..stable(1) }).is_empty());
        assert_eq!(of(Group { commits, ..stable(0) }), ["followed-empty"]);
    }
}
