//! Asks the cluster, each thing with an end to its patience. Nothing is joined, read or committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate::KafkaSettings;
use tidegate::describe::{DescribeError, Describer, GroupKind, TopicDescription};
use tokio::runtime::Runtime;

use super::facts::{Broker, Commits, Facts, Group, Seen, Topic, TopicSettings};
use super::plan::{Kind, Plan, Then};
use crate::exit::Failure;
use crate::kafka::{Admin, NOBODYS, Observer};

/// How long one question may take.
const CALL: Duration = Duration::from_secs(10);
/// How long it may take to compare commits with the log, which asks for each partition.
const LOGS: Duration = Duration::from_secs(20);

/// Why nothing could be asked.
pub(super) enum NoFacts {
    /// No broker answers, or it refuses the login. Whoever asks with the same properties gets no further.
    Unreachable(String),
    /// Anything else, which is this plan's alone.
    Other(String),
}

/// What a plan has to do with: topics, and groups with the topics in which each is looked at.
fn named(plan: &Plan) -> (BTreeSet<&str>, BTreeMap<&str, BTreeSet<&str>>) {
    let (mut topics, mut groups) = (BTreeSet::new(), BTreeMap::<_, BTreeSet<_>>::new());
    match &plan.kind {
        Kind::Run(run) => {
            topics.extend(run.names());
            groups.insert(run.group.as_str(), run.names().collect());
            if let Then::DeadLetter(topic) = &run.then {
                topics.insert(topic);
            }
        }
        Kind::Redrive(redrive) => {
            topics.insert(&redrive.topic);
            topics.extend(redrive.to.iter().chain(&redrive.originals).map(String::as_str));
            groups.insert(&redrive.group, BTreeSet::new());
        }
        Kind::Lag(lag) => {
            topics.extend(lag.topics.iter().map(String::as_str));
            groups.insert(&lag.group, topics.clone());
        }
        Kind::Ingest(_) | Kind::Produce(_) => {
            for gated in plan.gated() {
                topics.insert(&gated.topic);
                for group in &gated.groups {
                    groups.entry(group.as_str()).or_default().insert(&gated.topic);
                }
            }
        }
    }
    (topics, groups)
}

/// Asks for everything that a plan names.
///
/// # Errors
/// When there is nobody to ask.
pub(super) fn ask(plan: &Plan, runtime: &Runtime) -> Result<Facts, NoFacts> {
    let (topics, groups) = named(plan);
    let connection = &plan.connection;
    let mut settings = KafkaSettings::default();
    settings.brokers.clone_from(&connection.brokers);
    settings.properties.clone_from(&connection.properties);
    let describer = Describer::new(&settings).map_err(|error| NoFacts::Other(error.to_string()))?;
    let names: Vec<_> = topics.iter().copied().collect();
    // Without a question nobody would know whether the cluster is there.
    let asked = if names.is_empty() { vec![NOBODYS] } else { names };
    let described = describer.topics(&asked, CALL).map_err(|error| match error {
        DescribeError::Unreachable(why) => NoFacts::Unreachable(why),
        error => NoFacts::Other(error.to_string()),
    })?;
    let mut facts = Facts::default();
    for (name, topic) in asked.iter().zip(described).filter(|(name, _)| topics.contains(*name)) {
        facts.topics.insert((*name).to_owned(), seen(topic.map(|topic| of_topic(&topic))));
    }
    let client = |failure: Failure| NoFacts::Other(failure.to_string());
    let admin = Admin::new(connection).map_err(client)?;
    for (name, topic) in &mut facts.topics {
        if let Seen::It(topic) = topic {
            let asked = runtime.block_on(admin.topic_settings(name));
            topic.settings = asked.ok().map(|entries| of_topic_settings(&entries));
        }
    }
    for (index, (name, in_topics)) in groups.into_iter().enumerate() {
        let observer = Observer::new(connection, name).map_err(client)?;
        // Once: what is not told now is not told beside the next group, and each time may take long.
        if index == 0 {
            facts.broker = observer.a_broker().and_then(|broker| {
                let asked = runtime.block_on(admin.broker_settings(broker));
                asked.ok().map(|entries| of_broker(&entries))
            });
        }
        let group = ask_group(&describer, &observer, name, &in_topics, &facts);
        facts.groups.insert(name.to_owned(), group);
    }
    Ok(facts)
}

fn seen<T>(answer: Result<T, DescribeError>) -> Seen<T> {
    match answer {
        Ok(it) => Seen::It(it),
        Err(DescribeError::Missing) => Seen::Missing,
        Err(DescribeError::Denied) => Seen::Denied,
        Err(error) => Seen::Failed(error.to_string()),
    }
}

fn ask_group(
    describer: &Describer,
    observer: &Observer,
    name: &str,
    topics: &BTreeSet<&str>,
    facts: &Facts,
) -> Seen<Group> {
    let deadline = Instant::now() + LOGS;
    let partitions =
        |topic: &str| facts.topics.get(topic).and_then(Seen::it).map(|it| it.partitions);
    let (mut commits, mut unknown) = (BTreeMap::new(), BTreeSet::new());
    for topic in topics {
        // Of one that is not there some partition is asked for: that shows whether the group may be seen.
        let count = partitions(topic).unwrap_or(1);
        match ask_commits(observer, topic, count, deadline) {
            Ok(Some(found)) => _ = commits.insert((*topic).to_owned(), found),
            // Of a topic that is not there, or not to be seen, that is told.
            Ok(None) if partitions(topic).is_none() => {}
            Ok(None) => _ = unknown.insert((*topic).to_owned()),
            Err(refused) => return *refused,
        }
    }
    if topics.is_empty()
        && let Err(refused) = ask_commits(observer, NOBODYS, 1, deadline)
    {
        return *refused;
    }
    seen(describer.group(name, CALL).map(|group| Group {
        exists: group.exists || commits.values().any(|commits| commits.partitions > 0),
        state: group.state,
        by_broker: group.kind == GroupKind::Consumer,
        members: group.members,
        assignor: group.assignor,
        allowed: group.allowed,
        commits,
        unknown,
    }))
}

/// What the group has committed beside what the log has; `None` if that takes too long to find out.
fn ask_commits(
    observer: &Observer,
    topic: &str,
    partitions: usize,
    deadline: Instant,
) -> Result<Option<Commits>, Box<Seen<Group>>> {
    let partitions: Vec<i32> = (0..i32::try_from(partitions).unwrap_or(i32::MAX)).collect();
    let committed = match observer.try_commits(topic, &partitions) {
        Ok(committed) => committed,
        Err(error) => match error.rdkafka_error_code() {
            Some(Code::GroupAuthorizationFailed) => return Err(Box::new(Seen::Denied)),
            // That is the topic's, and told as such.
            Some(Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition) => {
                return Ok(None);
            }
            _ => return Err(Box::new(Seen::Failed(error.to_string()))),
        },
    };
    let mut found = Commits { partitions: committed.len(), ..Commits::default() };
    for partition in partitions {
        if Instant::now() > deadline {
            return Ok(None);
        }
        let Ok((begin, end)) = observer.watermarks(topic, partition) else { return Ok(None) };
        let commit = committed.iter().find(|commit| commit.partition == partition);
        let from = match commit.map(|commit| commit.offset) {
            Some(offset) if (begin..=end).contains(&offset) => offset,
            Some(_) => {
                found.gaps.push(partition);
                begin
            }
            None => begin,
        };
        found.waiting += end.saturating_sub(from).max(0).unsigned_abs();
    }
    Ok(Some(found))
}

fn of_topic(topic: &TopicDescription) -> Topic {
    let partitions = &topic.partitions;
    Topic {
        partitions: partitions.len(),
        leaderless: partitions.iter().filter(|partition| !partition.has_leader).count(),
        replicas: partitions.iter().map(|partition| partition.replicas).min().unwrap_or(0),
        in_sync: partitions.iter().map(|partition| partition.in_sync).min().unwrap_or(0),
        allowed: topic.allowed.clone(),
        settings: None,
    }
}

/// Settings as the cluster has them, by name.
type Entries = BTreeMap<String, String>;

fn number<N: std::str::FromStr>(entries: &Entries, name: &str) -> Option<N> {
    entries.get(name)?.parse().ok()
}

fn millis(entries: &Entries, name: &str) -> Option<Duration> {
    // -1 is for ever.
    number(entries, name).map(Duration::from_millis)
}

fn of_topic_settings(entries: &Entries) -> TopicSettings {
    let cleanup = entries.get("cleanup.policy").map_or("delete", String::as_str);
    let deletes = cleanup.split(',').any(|policy| policy.trim() == "delete");
    TopicSettings {
        retention: millis(entries, "retention.ms").filter(|_| deletes),
        is_compacted: cleanup.split(',').any(|policy| policy.trim() == "compact"),
        max_message_bytes: number(entries, "max.message.bytes"),
        min_insync: number(entries, "min.insync.replicas"),
    }
}

fn of_broker(entries: &Entries) -> Broker {
    let minutes = number(entries, "offsets.retention.minutes");
    Broker {
        metadata_max_bytes: number(entries, "offset.metadata.max.bytes"),
        min_session_timeout: millis(entries, "group.min.session.timeout.ms"),
        max_session_timeout: millis(entries, "group.max.session.timeout.ms"),
        offsets_retention: minutes
            .map(|minutes: u64| Duration::from_secs(minutes.saturating_mul(60))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(all: &[(&str, &str)]) -> Entries {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn settings_of_topics_are_read() {
        let of = |policy, kept| {
            of_topic_settings(&entries(&[("cleanup.policy", policy), ("retention.ms", kept)]))
        };
        assert_eq!(of("delete", "60000").retention, Some(Duration::from_secs(60)));
        assert_eq!(of("delete", "-1").retention, None);
        assert_eq!(of("compact", "60000").retention, None);
        let both = of("compact,delete", "60000");
        assert_eq!((both.retention, both.is_compacted), (Some(Duration::from_secs(60)), true));
    }

    #[test]
    fn settings_of_brokers_are_read() {
        let broker = of_broker(&entries(&[
            ("offset.metadata.max.bytes", "4096"),
            ("offsets.retention.minutes", "10080"),
            ("group.min.session.timeout.ms", "6000"),
        ]));
        assert_eq!(broker.metadata_max_bytes, Some(4_096));
        assert_eq!(broker.offsets_retention, Some(Duration::from_secs(7 * 24 * 3_600)));
        assert_eq!(broker.min_session_timeout, Some(Duration::from_secs(6)));
        assert_eq!(broker.max_session_timeout, None);
    }
}
