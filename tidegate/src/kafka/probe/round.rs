//! One round of questions.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_engine::gate::{Commit, GroupId, LogSpan, ProbeFailure, ProbeSample};
use tidegate_engine::{FinishedRanges, Instant, Metadata, Offset};
use tidegate_runtime::TopicPartition;

use super::Follower;
use super::clients::Clients;
use crate::kafka::native::{AdminAnswer, Answer, NativeClient, TopicFacts};

pub(super) type Failure = (Code, String);
type Facts = HashMap<String, Result<TopicFacts, Code>>;
type Offsets = HashMap<TopicPartition, i64>;
type Commits = HashMap<TopicPartition, Answer>;

/// A question: asked with a number, or answered.
enum Asked<T> {
    NotYet,
    Waiting(usize),
    Known(Result<T, Failure>),
}

impl<T> Asked<T> {
    fn is(&self, request: usize) -> bool {
        matches!(self, Self::Waiting(number) if *number == request)
    }

    fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }
}

/// What is asked for some followers, and what is known already.
pub(super) struct Round {
    followers: Vec<Arc<dyn Follower>>,
    asked: Instant,
    topics: Asked<Facts>,
    groups: Vec<(String, Vec<TopicPartition>, Asked<Commits>)>,
    starts: Asked<Offsets>,
    ends: Asked<Offsets>,
}

impl Round {
    pub(super) fn new(followers: Vec<Arc<dyn Follower>>, asked: Instant) -> Self {
        let (starts, ends) = (Asked::NotYet, Asked::NotYet);
        Self { followers, asked, topics: Asked::NotYet, groups: Vec::new(), starts, ends }
    }

    /// Asks what can be asked now.
    pub(super) fn ask(&mut self, clients: &mut Clients) {
        if let Asked::NotYet = self.topics {
            let names: BTreeSet<&str> = self.followers.iter().map(|f| f.topic()).collect();
            let names: Vec<_> = names.into_iter().collect();
            self.topics = Asked::Waiting(clients.ask_topics(&names));
        }
        let Asked::Known(Ok(facts)) = &self.topics else { return };
        if self.groups.is_empty() {
            self.groups = wanted(&self.followers, facts);
        }
        for (group, names, asked) in &mut self.groups {
            if let Asked::NotYet = asked {
                *asked = match clients.ask_committed(group, names) {
                    Ok(request) => Asked::Waiting(request),
                    Err(failure) => Asked::Known(Err(failure)),
                };
            }
        }
        if self.groups.iter().all(|(.., asked)| asked.is_known())
            && let Asked::NotYet = self.starts
        {
            let all: BTreeSet<_> =
                self.groups.iter().flat_map(|(_, names, _)| names.clone()).collect();
            let all: Vec<_> = all.into_iter().collect();
            if all.is_empty() {
                self.starts = Asked::Known(Ok(HashMap::new()));
                self.ends = Asked::Known(Ok(HashMap::new()));
                return;
            }
            self.starts = Asked::Waiting(clients.ask_offsets(&all, NativeClient::LOG_START));
            self.ends = Asked::Waiting(clients.ask_offsets(&all, NativeClient::LOG_END));
        }
    }

    /// Takes an answer; one to an earlier round is none.
    pub(super) fn take(&mut self, request: usize, result: Result<AdminAnswer, Failure>) {
        if self.topics.is(request) {
            self.topics = Asked::Known(result.map(|answer| match answer {
                AdminAnswer::Topics(topics) => topics.into_iter().collect(),
                _ => HashMap::new(),
            }));
        } else if self.starts.is(request) {
            self.starts = Asked::Known(result.map(offsets));
        } else if self.ends.is(request) {
            self.ends = Asked::Known(result.map(offsets));
        } else if let Some((.., asked)) = self.groups.iter_mut().find(|(.., a)| a.is(request)) {
            *asked = Asked::Known(result.map(|answer| match answer {
                AdminAnswer::Committed(answers) => {
                    answers.into_iter().map(|a| (a.partition.clone(), a)).collect()
                }
                _ => HashMap::new(),
            }));
        }
    }

    /// Whether nothing more will be learned.
    pub(super) fn is_over(&self) -> bool {
        match &self.topics {
            Asked::Known(Err(_)) => true,
            Asked::Known(Ok(_)) => self.starts.is_known() && self.ends.is_known(),
            _ => false,
        }
    }

    /// Tells each follower what is known of its topic.
    pub(super) fn tell(self) {
        for follower in &self.followers {
            match self.answer_for(&**follower) {
                Ok(Some(sample)) => follower.handle_answer(&sample),
                Ok(None) => {}
                Err((failure, detail)) => follower.handle_failure(failure, &detail),
            }
        }
    }

    fn answer_for(
        &self,
        follower: &dyn Follower,
    ) -> Result<Option<ProbeSample>, (ProbeFailure, String)> {
        let topic = follower.topic();
        let unreachable = |(code, text): &Failure| {
            let detail = if text.is_empty() { code.to_string() } else { text.clone() };
            (ProbeFailure::Unreachable, detail)
        };
        let facts = match &self.topics {
            Asked::Known(Ok(topics)) => topics.get(topic).copied(),
            Asked::Known(Err(failure)) => return Err(unreachable(failure)),
            _ => return Ok(None),
        };
        let facts = match facts {
            Some(Ok(facts)) => facts,
            Some(Err(code)) => return Err((topic_failure(code), format!("topic {topic}: {code}"))),
            None => return Err((ProbeFailure::Unreachable, format!("topic {topic}: no answer"))),
        };
        follower.handle_partitions(facts.partitions);
        if follower.groups().is_empty() {
            return Ok(None);
        }
        let (Asked::Known(starts), Asked::Known(ends)) = (&self.starts, &self.ends) else {
            return Ok(None);
        };
        let (starts, ends) =
            (starts.as_ref().map_err(unreachable)?, ends.as_ref().map_err(unreachable)?);
        let name = |partition: u32| TopicPartition::new(topic, partition as i32);
        let span = |partition: u32| {
            let start = Offset(*starts.get(&name(partition))?);
            let end = Offset(*ends.get(&name(partition))?);
            Some(LogSpan { start, end })
        };
        let mut groups = Vec::new();
        for (index, group) in follower.groups().iter().enumerate() {
            let asked = self.groups.iter().find(|(name, ..)| name == group);
            let commits = match asked {
                Some((.., Asked::Known(Ok(commits)))) => commits,
                Some((.., Asked::Known(Err((code, text))))) => {
                    let failure = match code {
                        Code::GroupAuthorizationFailed => {
                            ProbeFailure::GroupNotAuthorized(GroupId(index as u32))
                        }
                        _ => ProbeFailure::Unreachable,
                    };
                    return Err((failure, format!("group {group}: {text}")));
                }
                _ => return Ok(None),
            };
            let of = |partition| commit(commits.get(&name(partition)), facts.incarnation);
            groups.push((0..facts.partitions).map(of).collect());
        }
        Ok(Some(ProbeSample {
            asked: self.asked,
            incarnation: facts.incarnation,
            logs: (0..facts.partitions).map(span).collect(),
            groups,
        }))
    }
}

/// The partitions to ask each group for.
fn wanted(
    followers: &[Arc<dyn Follower>],
    facts: &Facts,
) -> Vec<(String, Vec<TopicPartition>, Asked<Commits>)> {
    let mut groups: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for follower in followers {
        for group in follower.groups() {
            groups.entry(group).or_default().insert(follower.topic());
        }
    }
    let partitions = |topic: &str| match facts.get(topic) {
        Some(Ok(facts)) => facts.partitions,
        _ => 0,
    };
    let mut wanted = Vec::new();
    for (group, topics) in groups {
        let names = topics.into_iter().flat_map(|topic| {
            (0..partitions(topic)).map(move |p| TopicPartition::new(topic, p as i32))
        });
        let names: Vec<_> = names.collect();
        if !names.is_empty() {
            wanted.push((group.to_owned(), names, Asked::NotYet));
        }
    }
    wanted
}

fn topic_failure(code: Code) -> ProbeFailure {
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic => ProbeFailure::UnknownTopic,
        Code::TopicAuthorizationFailed => ProbeFailure::TopicNotAuthorized,
        _ => ProbeFailure::Unreachable,
    }
}

/// What a commit says; one of an earlier topic of the name says nothing about this one.
fn commit(answer: Option<&Answer>, incarnation: u64) -> Commit {
    let Some(answer) = answer.filter(|answer| answer.error.is_none()) else {
        return Commit::Unknown;
    };
    if answer.offset < 0 {
        return Commit::None;
    }
    let offset = Offset(answer.offset);
    match Metadata::decode(&answer.metadata, offset) {
        Ok(metadata) if is_other(metadata.incarnation, incarnation) => Commit::None,
        Ok(metadata) => Commit::At { offset, finished: metadata.finished },
        Err(_) => Commit::At { offset, finished: FinishedRanges::default() },
    }
}

fn is_other(then: u64, now: u64) -> bool {
    then != 0 && now != 0 && then != now
}

/// Offsets of the log; a partition that was not answered for is left out.
fn offsets(answer: AdminAnswer) -> Offsets {
    let AdminAnswer::Offsets(answers) = answer else { return HashMap::new() };
    let valid = answers.into_iter().filter(|a| a.error.is_none() && a.offset >= 0);
    valid.map(|answer| (answer.partition, answer.offset)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(offset: i64, metadata: &str) -> Answer {
        Answer {
            partition: TopicPartition::new("t", 0),
            offset,
            leader_epoch: -1,
            metadata: metadata.to_owned(),
            error: None,
        }
    }

    #[test]
    fn a_commit_is_unknown_none_or_an_offset() {
        assert_eq!(commit(None, 1), Commit::Unknown);
        let failed = Answer { error: Some(Code::UnstableOffsetCommit), ..answer(5, "") };
        assert_eq!(commit(Some(&failed), 1), Commit::Unknown);
        assert_eq!(commit(Some(&answer(-1_001, "")), 1), Commit::None);
        let plain = Commit::At { offset: Offset(5), finished: FinishedRanges::default() };
        assert_eq!(commit(Some(&answer(5, "")), 1), plain);
        assert_eq!(commit(Some(&answer(5, "another program's")), 1), plain);
    }
}
