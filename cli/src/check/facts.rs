//! What a cluster and a target said, as plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate::describe::Operation;

/// What was asked, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) topics: BTreeMap<String, Seen<Topic>>,
    pub(crate) groups: BTreeMap<String, Seen<Group>>,
    /// Settings of a broker; `None` if they may not be read.
    pub(crate) broker: Option<Broker>,
}

/// One thing that was looked for.
#[derive(Clone, Debug)]
pub(crate) enum Seen<T> {
    It(T),
    Missing,
    /// This login may not even see it.
    Denied,
    /// Anything else that was answered.
    Failed(String),
}

impl<T> Seen<T> {
    pub(crate) fn it(&self) -> Option<&T> {
        match self {
            Self::It(it) => Some(it),
            _ => None,
        }
    }
}

/// A topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topic {
    pub(crate) partitions: usize,
    /// Partitions without a leader.
    pub(crate) leaderless: usize,
    /// Of the partition that has the fewest.
    pub(crate) replicas: usize,
    pub(crate) in_sync: usize,
    /// What this login may do, if the cluster says so.
    pub(crate) allowed: Option<Vec<Operation>>,
    /// `None` if they may not be read.
    pub(crate) settings: Option<TopicSettings>,
}

/// Settings of a topic. What the cluster did not tell is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicSettings {
    /// `None` as well if records are kept for ever, or until a younger one has their key.
    pub(crate) retention: Option<Duration>,
    pub(crate) is_compacted: bool,
    pub(crate) max_message_bytes: Option<u64>,
    pub(crate) min_insync: Option<usize>,
}

/// A group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// It has members, or has committed something.
    pub(crate) exists: bool,
    /// As the cluster calls it.
    pub(crate) state: String,
    /// The broker shares its partitions.
    pub(crate) by_broker: bool,
    pub(crate) members: usize,
    pub(crate) assignor: String,
    pub(crate) allowed: Option<Vec<Operation>>,
    /// By topic.
    pub(crate) commits: BTreeMap<String, Commits>,
    /// Topics that are there, and in which its commits could not be looked at.
    pub(crate) unknown: BTreeSet<String>,
}

/// What a group has committed in a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commits {
    /// In so many partitions.
    pub(crate) partitions: usize,
    /// Records behind what is committed, and in partitions without a commit all there are.
    pub(crate) waiting: u64,
    /// Partitions whose committed offset is not in the log any more, or not yet.
    pub(crate) gaps: Vec<i32>,
}

/// Settings of a broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broker {
    pub(crate) metadata_max_bytes: Option<u64>,
    pub(crate) min_session_timeout: Option<Duration>,
    pub(crate) max_session_timeout: Option<Duration>,
    /// How long it keeps the commits of a group without members.
    pub(crate) offsets_retention: Option<Duration>,
}

/// What a target says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It is there. In words.
    Good(String),
    /// It is there, and would not take records like this.
    Odd(String),
    /// It is not there.
    Bad(String),
}
