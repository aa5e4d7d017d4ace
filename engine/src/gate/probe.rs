//! What a probe brings: how far the groups are, and what the log holds.

use alloc::vec::Vec;
use core::time::Duration;

use crate::{FinishedRanges, Instant, Offset};

/// One of the groups that a gate follows, numbered from 0 as the caller listed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// The answer of a probe for one topic. Everything is by partition number; what is shorter than the
/// topic, or `None`, was not learned this time, and what was known before stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeSample {
    /// When the probe began to ask. Answers may come late and in any order: one that was asked for
    /// before the newest that is known changes nothing.
    pub asked: Instant,
    /// A hash of the topic's id, 0 if unknown: a topic that was deleted and created again under its
    /// name has offsets that mean something else.
    pub incarnation: u64,
    /// What the log of each partition holds.
    pub logs: Vec<Option<LogSpan>>,
    /// For each group, in the order of [`GroupId`], what it has committed.
    pub groups: Vec<Vec<Commit>>,
}

/// The offsets that a partition's log holds: from `start` up to but not including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSpan {
    /// The first offset there is.
    pub start: Offset,
    /// The offset that the next record gets.
    pub end: Offset,
}

/// What a group has committed for one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// It was not learned.
    #[default]
    Unknown,
    /// Nothing.
    None,
    /// An offset, and with a Tidegate consumer what is finished above it. Ranges of another
    /// incarnation of the topic, or of metadata that was not understood, must not be passed.
    At {
        /// The committed offset.
        offset: Offset,
        /// The finished ranges above it.
        finished: FinishedRanges,
    },
}

/// The time from one probe to the next: from a fifth of the interval up to all of it, as `random`
/// decides, of which every value must be as likely.
///
/// Two producers that probe at a fixed distance, of a group that commits at a rhythm of its own, meet
/// it at the same places of that rhythm, and of each other's, again and again: one always just after
/// a commit, the other just before the next. What they read differs by a tenth, and their windows by
/// much more, for as long as that lasts. With waits that vary so much, each has seen all of the rhythm
/// after two or three probes.
pub fn until_next_probe(interval: Duration, random: u64) -> Duration {
    interval.mul_f64(0.2 + 0.8 * (random as f64 / u64::MAX as f64))
}

/// Why a probe brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeFailure {
    /// No broker, or none that answers in time.
    Unreachable,
    /// The permission to describe this group is missing.
    GroupNotAuthorized(GroupId),
    /// The permission to describe the topic is missing.
    TopicNotAuthorized,
    /// The topic is not there.
    UnknownTopic,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_probe_is_a_fifth_of_the_interval_to_all_of_it_away() {
        let after = |random| until_next_probe(Duration::from_millis(500), random).as_millis();
        assert_eq!([0, u64::MAX / 2, u64::MAX].map(after), [100, 300, 500]);
    }
}
