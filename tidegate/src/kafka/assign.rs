//! Where partitions begin: what is asked between the group's assign event and its
//! acknowledgement.
//!
//! Committed offset and metadata are taken from one answer, so that finished ranges always belong
//! to the offset that is read from. (A client that lets librdkafka look up the offset and asks
//! for the metadata itself reads twice, and a commit of the former owner may lie in between.)

use std::collections::HashMap;

use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_engine::{Metadata, Offset};
use tidegate_runtime::TopicPartition;

use super::native::{AdminAnswer, Answer, NativeClient, OffsetPoint};
use super::settings::{KafkaSettings, StartFrom};

/// One question and its answer.
#[derive(Debug)]
enum Asked<T> {
    /// Asked, with the request's number.
    Waiting(usize),
    /// The answer.
    Known(T),
    /// To be asked (again).
    Wanted,
}

impl<T> Asked<T> {
    fn is(&self, number: usize) -> bool {
        matches!(self, Self::Waiting(n) if *n == number)
    }
}

/// Where one partition begins.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    pub(crate) name: TopicPartition,
    /// The group's commit.
    pub(crate) committed: Option<Offset>,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    /// The first offset to read.
    pub(crate) start: Offset,
    pub(crate) incarnation: u64,
    pub(crate) end: Option<Offset>,
    /// A commit that was not used, because it speaks of an earlier topic of this name.
    pub(crate) of_earlier_topic: Option<Offset>,
}

impl Beginning {
    /// As the client's assignment names it.
    pub(crate) fn start_point(&self) -> OffsetPoint<'_> {
        OffsetPoint {
            partition: &self.name,
            offset: self.start.0,
            leader_epoch: self.leader_epoch,
            metadata: "",
        }
    }
}

/// The questions about newly assigned partitions.
#[derive(Debug)]
pub(crate) struct Lookup {
    names: Vec<TopicPartition>,
    committed: Asked<HashMap<TopicPartition, Answer>>,
    incarnations: Asked<HashMap<String, u64>>,
    ends: Asked<HashMap<TopicPartition, i64>>,
    /// Of partitions without a commit.
    starts: Asked<HashMap<TopicPartition, i64>>,
}

impl Lookup {
    pub(crate) fn new(names: Vec<TopicPartition>, settings: &KafkaSettings) -> Self {
        // No record has the timestamp or a later one: then begin at the end.
        let needs_ends = settings.until_end || matches!(settings.from, StartFrom::Timestamp(_));
        let ends = match needs_ends {
            true => Asked::Wanted,
            false => Asked::Known(HashMap::new()),
        };
        Self {
            names,
            committed: Asked::Wanted,
            incarnations: Asked::Wanted,
            ends,
            starts: Asked::Wanted,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Asks what is not known and was not asked. `number` counts the requests.
    pub(crate) fn ask(
        &mut self,
        client: &NativeClient,
        settings: &KafkaSettings,
        number: &mut usize,
    ) {
        let read_committed = settings.read_committed();
        let mut next = || {
            *number += 1;
            *number
        };
        if matches!(self.committed, Asked::Wanted) {
            let request = next();
            self.committed = Asked::Waiting(request);
            client.ask_committed(request, &self.names);
        }
        if matches!(self.incarnations, Asked::Wanted) {
            let request = next();
            self.incarnations = Asked::Waiting(request);
            let mut topics: Vec<&str> = self.names.iter().map(|name| &*name.topic).collect();
            topics.sort_unstable();
            topics.dedup();
            client.ask_topics(request, &topics);
        }
        if matches!(self.ends, Asked::Wanted) {
            let request = next();
            self.ends = Asked::Waiting(request);
            client.ask_offsets(request, &self.names, NativeClient::LOG_END, read_committed);
        }
        let Asked::Wanted = self.starts else { return };
        if let (Asked::Known(committed), Asked::Known(incarnations)) =
            (&self.committed, &self.incarnations)
        {
            let begins = |name: &&TopicPartition| match committed.get(name) {
                Some(commit) => of_earlier_topic(commit, incarnations),
                None => true,
            };
            let new: Vec<_> = self.names.iter().filter(begins).cloned().collect();
            if new.is_empty() {
                self.starts = Asked::Known(HashMap::new());
                return;
            }
            let spec = match settings.from {
                StartFrom::Earliest => NativeClient::LOG_START,
                StartFrom::Latest => NativeClient::LOG_END,
                StartFrom::Timestamp(millis) => millis,
            };
            let request = next();
            self.starts = Asked::Waiting(request);
            client.ask_offsets(request, &new, spec, read_committed);
        }
    }

    /// Takes an answer. An error means that its question is to be asked again.
    pub(crate) fn take(
        &mut self,
        request: usize,
        result: Result<AdminAnswer, (Code, String)>,
    ) -> Result<(), (Code, String)> {
        if self.incarnations.is(request) {
            self.incarnations = Asked::Wanted;
            self.incarnations = Asked::Known(topic_ids(result)?);
        } else if self.committed.is(request) {
            self.committed = Asked::Wanted;
            let answers = match result? {
                AdminAnswer::Committed(answers) => answers,
                _ => return Ok(()),
            };
            let answers = valid(answers)?.filter(|answer| answer.offset >= 0);
            let by_name = answers.map(|answer| (answer.partition.clone(), answer));
            self.committed = Asked::Known(by_name.collect());
        } else if self.ends.is(request) {
            self.ends = Asked::Wanted;
            self.ends = Asked::Known(offsets(result?)?);
        } else if self.starts.is(request) {
            self.starts = Asked::Wanted;
            self.starts = Asked::Known(offsets(result?)?);
        }
        Ok(())
    }

    /// Where the partitions begin, once everything is known.
    pub(crate) fn result(&self) -> Option<Vec<Beginning>> {
        let (
            Asked::Known(committed),
            Asked::Known(incarnations),
            Asked::Known(ends),
            Asked::Known(starts),
        ) = (&self.committed, &self.incarnations, &self.ends, &self.starts)
        else {
            return None;
        };
        let beginning = |name: &TopicPartition| {
            let (earlier, commit) = match committed.get(name) {
                Some(commit) if of_earlier_topic(commit, incarnations) => (Some(commit), None),
                commit => (None, commit),
            };
            let found = starts.get(name).copied().filter(|start| *start >= 0);
            let start = commit.map(|c| c.offset).or(found).or_else(|| ends.get(name).copied());
            Beginning {
                name: name.clone(),
                committed: commit.map(|c| Offset(c.offset)),
                leader_epoch: commit.map_or(-1, |c| c.leader_epoch),
                metadata: commit.map(|c| c.metadata.clone()).unwrap_or_default(),
                start: Offset(start.unwrap_or(0)),
                incarnation: incarnations.get(&*name.topic).copied().unwrap_or(0),
                end: ends.get(name).copied().map(Offset),
                of_earlier_topic: earlier.map(|commit| Offset(commit.offset)),
            }
        };
        Some(self.names.iter().map(beginning).collect())
    }
}

/// The ids of topics. One that a broker will never tell is left out; an error means that it is to
/// be asked again.
pub(super) fn topic_ids(
    result: Result<AdminAnswer, (Code, String)>,
) -> Result<HashMap<String, u64>, (Code, String)> {
    let topics = match result {
        Ok(AdminAnswer::Topics(topics)) => topics,
        Err((code, _)) if never_tells(code) => Vec::new(),
        Err(error) => return Err(error),
        Ok(_) => return Err((Code::Unknown, "an answer to another question".to_owned())),
    };
    let mut known = HashMap::new();
    for (name, id) in topics {
        match id {
            Ok(facts) => known.insert(name, facts.incarnation),
            Err(code) if never_tells(code) => None,
            Err(code) => return Err((code, format!("topic {name}: {code}"))),
        };
    }
    Ok(known)
}

/// Whether a broker with this answer will never tell a topic's id: it is too old, or not allowed
/// to. Then an earlier topic of the name is told by its leader epochs only.
fn never_tells(code: Code) -> bool {
    matches!(
        code,
        Code::UnsupportedFeature
            | Code::UnsupportedVersion
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
    )
}

/// Whether a commit names another incarnation of its topic: the topic was deleted and created
/// again since. Offsets of the old one mean nothing in the new one.
fn of_earlier_topic(commit: &Answer, incarnations: &HashMap<String, u64>) -> bool {
    let now = incarnations.get(&*commit.partition.topic).copied().unwrap_or(0);
    let then = Metadata::decode(&commit.metadata, Offset(commit.offset))
        .map_or(0, |metadata| metadata.incarnation);
    now != 0 && then != 0 && now != then
}

fn valid(answers: Vec<Answer>) -> Result<impl Iterator<Item = Answer>, (Code, String)> {
    match answers.iter().find_map(|answer| answer.error.map(|code| (code, answer))) {
        Some((code, answer)) => Err((code, format!("{}: {code}", answer.partition))),
        None => Ok(answers.into_iter()),
    }
}

fn offsets(answer: AdminAnswer) -> Result<HashMap<TopicPartition, i64>, (Code, String)> {
    let AdminAnswer::Offsets(answers) = answer else { return Ok(HashMap::new()) };
    Ok(valid(answers)?.map(|answer| (answer.partition, answer.offset)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::native::TopicFacts;

    #[test]
    fn an_unknown_topic_id_is_asked_again_unless_it_can_never_be_known() {
        let settings = KafkaSettings::new("b:1", "g", ["t"]);
        let mut lookup = Lookup::new(vec![TopicPartition::new("t", 0)], &settings);
        let ask = |lookup: &mut Lookup, id: Result<u64, Code>| {
            lookup.incarnations = Asked::Waiting(1);
            let facts = id.map(|incarnation| TopicFacts { incarnation, partitions: 1 });
            let answer = AdminAnswer::Topics(vec![("t".to_owned(), facts)]);
            lookup.take(1, Ok(answer)).is_ok()
        };
        assert!(!ask(&mut lookup, Err(Code::UnknownTopicOrPartition)));
        assert!(matches!(lookup.incarnations, Asked::Wanted), "asked again");
        assert!(ask(&mut lookup, Err(Code::TopicAuthorizationFailed)));
        assert!(matches!(&lookup.incarnations, Asked::Known(ids) if ids.is_empty()));
        assert!(ask(&mut lookup, Ok(7)));
        assert!(matches!(&lookup.incarnations, Asked::Known(ids) if ids["t"] == 7));
        lookup.incarnations = Asked::Waiting(2);
        assert!(lookup.take(2, Err((Code::RequestTimedOut, String::new()))).is_err());
        assert!(matches!(lookup.incarnations, Asked::Wanted), "asked again");
    }
}
