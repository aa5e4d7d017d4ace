//! What this login may not do, and would have to.

use std::collections::BTreeMap;

use tidegate::describe::Operation;

use super::super::facts::{Facts, Seen};
use super::super::finding::Findings;
use super::super::plan::{Kind, Plan, Then};

/// What there is to be done with something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing<'a> {
    Topic(&'a str),
    Group(&'a str),
}

impl Thing<'_> {
    /// As Kafka's tools name it.
    fn name(self) -> String {
        match self {
            Self::Topic(name) => format!("topic {name}"),
            Self::Group(name) => format!("group {name}"),
        }
    }
}

/// What a command does, with what.
fn needed(plan: &Plan) -> BTreeMap<Thing<'_>, Vec<Operation>> {
    let mut all: BTreeMap<_, Vec<Operation>> = BTreeMap::new();
    let mut need = |thing, operation| all.entry(thing).or_default().push(operation);
    match &plan.kind {
        Kind::Run(run) => {
            run.names().for_each(|topic| need(Thing::Topic(topic), Operation::Read));
            need(Thing::Group(&run.group), Operation::Read);
            if let Then::DeadLetter(topic) = &run.then {
                need(Thing::Topic(topic), Operation::Write);
            }
        }
        Kind::Redrive(redrive) => {
            need(Thing::Topic(&redrive.topic), Operation::Read);
            // Counting reads what was committed, and moving commits.
            let of_group = if redrive.moves { Operation::Read } else { Operation::Describe };
            need(Thing::Group(&redrive.group), of_group);
            for topic in redrive.to.iter().chain(&redrive.originals).filter(|_| redrive.moves) {
                need(Thing::Topic(topic), Operation::Write);
            }
        }
        Kind::Lag(lag) => {
            need(Thing::Group(&lag.group), Operation::Describe);
            let of_topic = if lag.reads { Operation::Read } else { Operation::Describe };
            lag.topics.iter().for_each(|topic| need(Thing::Topic(topic), of_topic));
        }
        Kind::Ingest(_) | Kind::Produce(_) => {
            for gated in plan.gated() {
                need(Thing::Topic(&gated.topic), Operation::Write);
                for group in &gated.groups {
                    need(Thing::Group(group), Operation::Describe);
                }
            }
        }
    }
    all
}

/// What is known of what is allowed.
enum Allowed<'a> {
    These(&'a [Operation]),
    Nothing,
    /// The cluster does not say.
    Unknown,
    /// It is not there, and that is told by others.
    OfNoMatter,
}

impl<'a> Allowed<'a> {
    fn of<T>(
        seen: Option<&'a Seen<T>>,
        list: impl Fn(&'a T) -> &'a Option<Vec<Operation>>,
    ) -> Self {
        match seen {
            Some(Seen::It(it)) => list(it).as_deref().map_or(Self::Unknown, Self::These),
            Some(Seen::Denied) => Self::Nothing,
            Some(Seen::Missing | Seen::Failed(_)) | None => Self::OfNoMatter,
        }
    }

    fn has(&self, operation: Operation) -> bool {
        match self {
            Self::These(operations) => operations.contains(&operation),
            Self::Nothing => false,
            Self::Unknown | Self::OfNoMatter => true,
        }
    }
}

/// All that is missing.
pub(super) fn look(plan: &Plan, facts: &Facts, findings: &mut Findings) {
    let mut unknown = Vec::new();
    for (thing, operations) in needed(plan) {
        let allowed = match thing {
            Thing::Topic(name) => Allowed::of(facts.topics.get(name), |it| &it.allowed),
            Thing::Group(name) => Allowed::of(facts.groups.get(name), |it| &it.allowed),
        };
        if matches!(allowed, Allowed::Unknown) {
            unknown.push(thing.name());
        }
        for operation in operations.into_iter().filter(|operation| !allowed.has(*operation)) {
            findings.error(
                "permission",
                format!(
                    "this login lacks {operation:?} on {}: ask for an ACL that grants it",
                    thing.name()
                ),
            );
        }
    }
    if !unknown.is_empty() {
        let text = format!("what this login may do is not told of {}", unknown.join(", "));
        findings.note("permissions-unknown", text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::{Group, Topic};
    use super::super::testing::{plan, run};
    use super::*;

    fn topic(allowed: &[Operation]) -> Seen<Topic> {
        Seen::It(Topic { allowed: Some(allowed.to_vec()), ..Topic::default() })
    }

    fn group(allowed: &[Operation]) -> Seen<Group> {
        Seen::It(Group { allowed: Some(allowed.to_vec()), ..Group::default() })
    }

    fn missing(plan: &Plan, facts: &Facts) -> Vec<String> {
        let mut findings = Findings::default();
        look(plan, facts, &mut findings);
        findings.0.into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn each_missing_permission_is_named() {
        use Operation::{Describe, Read, Write};
        let plan = run("--dead-letter dead");
        let mut facts = Facts::default();
        facts.topics.insert("orders".to_owned(), topic(&[Describe]));
        facts.topics.insert("dead".to_owned(), topic(&[Describe, Read]));
        facts.groups.insert("billing".to_owned(), Seen::Denied);
        let found = missing(&plan, &facts);
        for (index, what) in
            ["Write on topic dead", "Read on topic orders", "Read on group billing"]
                .iter()
                .enumerate()
        {
            assert!(found[index].contains(what), "{found:?}");
        }
        facts.topics.insert("orders".to_owned(), topic(&[Read]));
        facts.topics.insert("dead".to_owned(), topic(&[Write]));
        facts.groups.insert("billing".to_owned(), group(&[Read]));
        assert!(missing(&plan, &facts).is_empty());
    }

    #[test]
    fn what_is_not_there_or_not_told_lacks_nothing() {
        let mut facts = Facts::default();
        facts.topics.insert("orders".to_owned(), Seen::Missing);
        assert!(missing(&run(""), &facts).is_empty());
        facts.topics.insert("orders".to_owned(), Seen::It(Topic::default()));
        assert!(missing(&run(""), &facts)[0].contains("not told of topic orders"));
    }

    #[test]
    fn other_commands_need_other_things() {
        use Operation::{Describe, Read};
        let mut facts = Facts::default();
        facts.topics.insert("orders".to_owned(), topic(&[Read, Describe]));
        facts.groups.insert("billing".to_owned(), group(&[]));
        let ingest = missing(&plan("ingest -b b:1 -t orders=billing"), &facts);
        assert!(ingest[0].contains("Write on topic orders"), "{ingest:?}");
        assert!(ingest[1].contains("Describe on group billing"), "{ingest:?}");
        let lag = missing(&plan("lag -b b:1 -t orders -G billing"), &facts);
        assert_eq!(lag.len(), 1, "{lag:?}");
        let redrive =
            missing(&plan("redrive -b b:1 -t orders -G billing --to-topic orders2"), &facts);
        assert!(redrive[0].contains("Describe on group billing"), "{redrive:?}");
    }
}
