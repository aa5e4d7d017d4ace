//! What a producer tells.

use std::fmt;

use tidegate_engine::gate::{Alert, GroupId, ProbeFailure};

/// Something that an operator should know. Its `Display` is a sentence with the names in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProducerEvent {
    /// How far the groups are is not known any more. The last window is kept for the grace time.
    ProbeFailed {
        /// The topic.
        topic: String,
        /// Why.
        failure: ProbeFailure,
        /// The broker's or the client's words, with names.
        detail: String,
    },
    /// It is known again.
    ProbeRecovered {
        /// The topic.
        topic: String,
    },
    /// The gate noticed something.
    Alert {
        /// The topic.
        topic: String,
        /// The group, if it is about one.
        group: Option<String>,
        /// What it is.
        alert: Alert,
    },
    /// The client could not go on (a fatal error of the idempotent producer) and was replaced.
    /// Records whose [`Delivery`](super::Delivery) says so may be in the log or not.
    Rebuilt {
        /// The client's words.
        detail: String,
    },
}

impl ProducerEvent {
    pub(super) fn alert(topic: &str, groups: &[String], alert: Alert) -> Self {
        let group = match &alert {
            Alert::RetentionPassed { group, .. }
            | Alert::PartitionStuck { group, .. }
            | Alert::PartitionMoves { group, .. } => Some(*group),
            _ => None,
        };
        let name = |group: GroupId| groups.get(group.0 as usize).cloned();
        Self::Alert { topic: topic.to_owned(), group: group.and_then(name), alert }
    }

    /// Whether it is good news.
    pub fn is_recovery(&self) -> bool {
        let moves =
            |event: &Self| matches!(event, Self::Alert { alert: Alert::PartitionMoves { .. }, .. });
        matches!(self, Self::ProbeRecovered { .. }) || moves(self)
    }
}

impl fmt::Display for ProducerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProbeFailed { topic, failure, detail } => {
                let advice = match failure {
                    ProbeFailure::GroupNotAuthorized(_) => ", it needs Describe on the group",
                    ProbeFailure::TopicNotAuthorized => ", it needs Describe on the topic",
                    ProbeFailure::UnknownTopic => ", create the topic",
                    _ => "",
                };
                write!(f, "topic {topic}: how far its groups are is not known{advice}: {detail}")
            }
            Self::ProbeRecovered { topic } => {
                write!(f, "topic {topic}: how far its groups are is known again")
            }
            Self::Alert { topic, group, alert } => {
                let group = group.as_deref().unwrap_or_default();
                match alert {
                    Alert::RetentionPassed { partition, committed, start, .. } => write!(
                        f,
                        "topic {topic} partition {partition}: retention passed group {group}, \
                         which is at {committed} while the log begins at {start}"
                    ),
                    Alert::LogTruncated { partition, end, records } => write!(
                        f,
                        "topic {topic} partition {partition}: the log ends at {end} and {records} \
                         records that were delivered are gone"
                    ),
                    Alert::TopicRecreated => {
                        write!(f, "topic {topic} was deleted and created again")
                    }
                    Alert::PartitionsRemoved { partitions } => {
                        write!(f, "topic {topic} has only {partitions} partitions now")
                    }
                    Alert::PartitionStuck { partition, .. } => write!(
                        f,
                        "topic {topic} partition {partition}: group {group} does not move there, \
                         though it moves elsewhere; only this partition is held back"
                    ),
                    Alert::PartitionMoves { partition, .. } => {
                        write!(f, "topic {topic} partition {partition}: group {group} moves again")
                    }
                    other => write!(f, "topic {topic}: {other:?}"),
                }
            }
            Self::Rebuilt { detail } => write!(f, "the client was replaced: {detail}"),
        }
    }
}
