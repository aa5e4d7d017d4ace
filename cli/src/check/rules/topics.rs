//! Topics: whether they are there, partitions, retention, sizes, dead letters.

use bytesize::ByteSize;

use super::super::facts::{Facts, Seen, Topic, TopicSettings};
use super::super::finding::Findings;
use super::super::plan::{Ingest, Kind, Plan, Run, Then};
use super::super::say::time;
use crate::report::grouped;
use crate::settings::Order;

/// All of these rules.
pub(super) fn look(plan: &Plan, facts: &Facts, findings: &mut Findings) {
    for (name, seen) in &facts.topics {
        there(name, seen, writes_to(plan, name), findings);
    }
    match &plan.kind {
        Kind::Run(run) => {
            for pattern in run.topics.iter().filter(|topic| topic.starts_with('^')) {
                let text =
                    format!("topics that match {pattern} are found while it runs: not checked");
                findings.note("pattern", text);
            }
            permits(run, facts, findings);
            retention(run, facts, findings);
            if let Then::DeadLetter(dead) = &run.then {
                dead_letters(run, dead, facts, findings);
            }
        }
        Kind::Ingest(ingest) => bodies(ingest, facts, findings),
        Kind::Produce(_) | Kind::Redrive(_) | Kind::Lag(_) => {}
    }
}

/// Whether the command writes to this topic.
fn writes_to(plan: &Plan, name: &str) -> bool {
    match &plan.kind {
        Kind::Run(run) => run.then == Then::DeadLetter(name.to_owned()),
        Kind::Ingest(_) | Kind::Produce(_) => true,
        Kind::Redrive(redrive) => redrive.topic != name,
        Kind::Lag(_) => false,
    }
}

fn there(name: &str, seen: &Seen<Topic>, written: bool, findings: &mut Findings) {
    let topic = match seen {
        Seen::It(topic) => topic,
        Seen::Missing => {
            return findings.error(
                "topic-missing",
                format!(
                    "topic {name} does not exist: create it, or check its name and the ACLs that let this \
                     login see it"
                ),
            );
        }
        // It is among the permissions.
        Seen::Denied => return,
        Seen::Failed(why) => {
            return findings.error("topic", format!("topic {name} cannot be looked at: {why}"));
        }
    };
    let partitions = if topic.partitions == 1 { "partition" } else { "partitions" };
    findings.good(
        "topic",
        format!(
            "topic {name}: {} {partitions}, {} of {} replicas in sync",
            grouped(topic.partitions as u64),
            topic.in_sync,
            topic.replicas
        ),
    );
    if topic.leaderless > 0 {
        findings.error(
            "no-leader",
            format!("topic {name}: {} of its partitions have no leader now", topic.leaderless),
        );
    }
    let min_insync = topic.settings.as_ref().and_then(|settings| settings.min_insync);
    if let Some(needed) = min_insync.filter(|needed| written && topic.in_sync < *needed) {
        findings.error(
            "min-insync",
            format!(
                "topic {name}: min.insync.replicas is {needed}, and a partition has {} in sync: the broker \
                 refuses what is written to it",
                topic.in_sync
            ),
        );
    }
    if topic.replicas == 1 {
        findings.note(
            "one-replica",
            format!("topic {name}: what is on a broker that is lost is lost with it"),
        );
    }
    if topic.settings.is_none() {
        findings.note(
            "settings-unknown",
            format!(
                "the settings of topic {name} may not be read (DescribeConfigs): retention and sizes are \
                 not checked"
            ),
        );
    }
}

/// Permits that can never be used.
fn permits(run: &Run, facts: &Facts, findings: &mut Findings) {
    if run.order != Order::Partition || run.names().count() < run.topics.len() {
        return;
    }
    let found = run.names().map(|name| facts.topics.get(name)?.it().map(|topic| topic.partitions));
    // Without knowing all of them nothing can be said.
    let Some(partitions) = found.sum::<Option<usize>>() else { return };
    if (partitions as u64) < run.concurrency.into() {
        findings.warn(
            "concurrency-above-partitions",
            format!(
                "concurrency is {}, and by partition no more than {} records can be handled at once: \
                 ordering = \"key\" uses it, if the order within a key is enough",
                grouped(run.concurrency.into()),
                grouped(partitions as u64)
            ),
        );
    }
}

/// Records that may be deleted while they are tried.
fn retention(run: &Run, facts: &Facts, findings: &mut Findings) {
    let tried = run.tried_for().unwrap_or_else(|| run.waits());
    for name in run.names() {
        let Some(TopicSettings { retention: Some(kept), .. }) = settings(facts, name) else {
            continue;
        };
        if *kept <= tried {
            findings.warn(
                "retention-shorter-than-retries",
                format!(
                    "topic {name} keeps records for {} (retention.ms), and one record may be tried for {}: \
                     those behind it may be deleted meanwhile, and then its partition has a gap",
                    time(*kept),
                    time(tried)
                ),
            );
        }
    }
}

fn settings<'a>(facts: &'a Facts, topic: &str) -> Option<&'a TopicSettings> {
    facts.topics.get(topic)?.it()?.settings.as_ref()
}

/// Letters that cannot be written, or that do not stay.
fn dead_letters(run: &Run, dead: &str, facts: &Facts, findings: &mut Findings) {
    let Some(of_dead) = settings(facts, dead) else { return };
    if of_dead.is_compacted {
        findings.warn(
            "dead-letters-compacted",
            format!(
                "topic {dead} is compacted: it refuses dead letters without a key, and keeps one of each \
                 key only"
            ),
        );
    }
    if let Some(kept) = of_dead.retention {
        findings.good(
            "dead-letters-kept",
            format!("topic {dead} keeps dead letters for {}", time(kept)),
        );
    }
    let Some(most) = of_dead.max_message_bytes else { return };
    for name in run.names() {
        let of_source = settings(facts, name).and_then(|settings| settings.max_message_bytes);
        if let Some(larger) = of_source.filter(|larger| *larger > most) {
            findings.warn(
                "dead-letter-too-large",
                format!(
                    "topic {name} takes records of {} (max.message.bytes), and the dead-letter topic {dead} \
                     of {}: a larger one cannot become a dead letter and holds up its key",
                    ByteSize(larger),
                    ByteSize(most)
                ),
            );
        }
    }
}

/// Bodies that no topic takes.
fn bodies(ingest: &Ingest, facts: &Facts, findings: &mut Findings) {
    for gated in &ingest.topics {
        let most = settings(facts, &gated.topic).and_then(|settings| settings.max_message_bytes);
        if let Some(most) = most.filter(|most| *most < ingest.max_body) {
            findings.warn(
                "body-too-large",
                format!(
                    "max-body is {}, and topic {} takes records of {} (max.message.bytes): a larger one is \
                     taken and then refused",
                    ByteSize(ingest.max_body),
                    gated.topic,
                    ByteSize(most)
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Weight;
    use super::super::testing::{kinds, plan, run, secs};
    use super::*;

    fn topic(partitions: usize, settings: TopicSettings) -> Topic {
        Topic { partitions, replicas: 3, in_sync: 3, settings: Some(settings), ..Topic::default() }
    }

    fn facts(topics: &[(&str, Topic)]) -> Facts {
        let topics = topics.iter();
        let topics = topics.map(|(name, topic)| ((*name).to_owned(), Seen::It(topic.clone())));
        Facts { topics: topics.collect(), ..Facts::default() }
    }

    fn found(weight: Weight, plan: &Plan, facts: &Facts) -> Vec<&'static str> {
        kinds(weight, |findings| look(plan, facts, findings))
    }

    #[test]
    fn more_permits_than_partitions_hurt_by_partition_only() {
        let facts = facts(&[("orders", topic(12, TopicSettings::default()))]);
        let of = |more| found(Weight::Warning, &run(more), &facts);
        assert_eq!(of("--ordering partition"), ["concurrency-above-partitions"]);
        assert!(of("--ordering partition --concurrency 12").is_empty());
        assert!(of("--ordering key").is_empty() && of("--ordering none").is_empty());
        assert!(of("--ordering partition -t ^more").is_empty(), "nobody knows how many match");
        assert_eq!(found(Weight::Note, &run("-t ^more"), &facts), ["pattern"]);
    }

    #[test]
    fn retention_is_compared_with_all_attempts() {
        let short = TopicSettings { retention: Some(secs(60)), ..TopicSettings::default() };
        let facts = facts(&[("orders", topic(1, short))]);
        let of = |more| found(Weight::Warning, &run(more), &facts);
        assert!(of("").is_empty());
        assert_eq!(of("--timeout 10s"), ["retention-shorter-than-retries"]);
        assert_eq!(of("--retries 20"), ["retention-shorter-than-retries"]);
    }

    #[test]
    fn dead_letters_must_fit_and_stay() {
        let sized = |bytes, is_compacted| TopicSettings {
            max_message_bytes: Some(bytes),
            is_compacted,
            ..TopicSettings::default()
        };
        let with =
            |dead| facts(&[("orders", topic(1, sized(2_000, false))), ("dead", topic(1, dead))]);
        let of = |facts: &Facts| found(Weight::Warning, &run("--dead-letter dead"), facts);
        assert!(of(&with(sized(2_000, false))).is_empty());
        let both = ["dead-letters-compacted", "dead-letter-too-large"];
        assert_eq!(of(&with(sized(1_000, true))), both);
    }

    #[test]
    fn what_is_not_there_or_cannot_be_written_to() {
        let plan = run("--dead-letter dead");
        let mut facts =
            facts(&[("orders", Topic { leaderless: 1, ..topic(2, TopicSettings::default()) })]);
        facts.topics.insert("dead".to_owned(), Seen::Missing);
        assert_eq!(found(Weight::Error, &plan, &facts), ["topic-missing", "no-leader"]);
        let strict = TopicSettings { min_insync: Some(2), ..TopicSettings::default() };
        let alone = Topic { in_sync: 1, ..topic(1, strict) };
        facts.topics.insert("orders".to_owned(), Seen::It(alone.clone()));
        facts.topics.insert("dead".to_owned(), Seen::It(alone));
        assert_eq!(found(Weight::Error, &plan, &facts), ["min-insync"], "only of what is written");
    }

    #[test]
    fn a_body_must_be_a_record() {
        let small = TopicSettings { max_message_bytes: Some(1_000), ..TopicSettings::default() };
        let facts = facts(&[("orders", topic(1, small))]);
        let of = |more| {
            found(Weight::Warning, &plan(&format!("ingest -b b:1 -t orders {more}")), &facts)
        };
        assert_eq!(of(""), ["body-too-large"]);
        assert!(of("--max-body 1000B").is_empty());
    }
}
