//! What a cluster says of topics and groups, for those who look before they begin.

use std::ffi::CString;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode as Code;
use thiserror::Error;
use tidegate_runtime::SourceError;

use crate::kafka::native::DescribingClient;
use crate::kafka::{KafkaSettings, SettingsError, explain, no_nul};

/// What a login may do with a topic or a group. Others than these are of no interest here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// Read a topic; join a group, and commit for it.
    Read,
    /// Write to a topic.
    Write,
    /// See that it is there, and what a group has committed.
    Describe,
    /// Read its settings.
    DescribeConfigs,
}

/// The replicas of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionReplicas {
    /// How many there are.
    pub replicas: usize,
    /// How many are in sync with the leader, itself included.
    pub in_sync: usize,
    /// Whether there is a leader now; without it nothing can be read or written.
    pub has_leader: bool,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicDescription {
    /// Its partitions, in no particular order.
    pub partitions: Vec<PartitionReplicas>,
    /// What this login may do; `None` where the cluster does not say so (before Kafka 2.3).
    pub allowed: Option<Vec<Operation>>,
}

/// Which protocol a group speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupKind {
    /// The members share the partitions among themselves.
    Classic,
    /// The broker does (`group.protocol=consumer`).
    Consumer,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// Whether it has members, or has committed something.
    pub exists: bool,
    /// Stable, Empty, PreparingRebalance and so on, as the cluster has it.
    pub state: String,
    /// Its protocol.
    pub kind: GroupKind,
    /// How many members it has now.
    pub members: usize,
    /// How it shares partitions, if somebody is in it.
    pub assignor: String,
    /// What this login may do; `None` where the cluster does not say so (before Kafka 2.3).
    pub allowed: Option<Vec<Operation>>,
}

/// Why something could not be described.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DescribeError {
    /// It is not there.
    #[error("it does not exist")]
    Missing,
    /// This login may not even see it.
    #[error("this login may not see it")]
    Denied,
    /// The cluster was not reached, or refused the login.
    #[error("{0}")]
    Unreachable(String),
    /// Anything else that the cluster answered of it.
    #[error("the cluster answers: {0}")]
    Failed(String),
}

/// Asks what topics and groups are. It joins nothing, reads no record and commits nothing. Its calls
/// block.
pub struct Describer {
    client: DescribingClient,
    settings: KafkaSettings,
}

impl std::fmt::Debug for Describer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Describer")
    }
}

impl Describer {
    /// A client for the cluster of these settings, of which only brokers and properties count. It
    /// connects at the first question.
    ///
    /// # Errors
    /// When librdkafka does not accept the properties.
    pub fn new(settings: &KafkaSettings) -> Result<Self, SettingsError> {
        no_nul("the brokers' address", &settings.brokers)?;
        let mut config = settings.connection();
        // What it would log is in its answers.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let client = DescribingClient::new(&config)
            .map_err(|error| SettingsError::Inconsistent(error.to_string()))?;
        Ok(Self { client, settings: settings.clone() })
    }

    /// Topics, in the order of their names here and as many; each by itself may have failed. Half an hour
    /// is the longest wait.
    ///
    /// # Errors
    /// [`DescribeError::Unreachable`] when the cluster does not answer within this time.
    pub fn topics(
        &self,
        names: &[&str],
        within: Duration,
    ) -> Result<Vec<Result<TopicDescription, DescribeError>>, DescribeError> {
        let Ok(names) = names.iter().map(|name| CString::new(*name)).collect::<Result<Vec<_>, _>>()
        else {
            return Err(DescribeError::Missing);
        };
        let answer = self.client.topics(&names, within);
        let answer = answer.map_err(|(code, words)| self.no_answer(code, words))?;
        Ok(answer.into_iter().map(|topic| topic.map_err(of_code)).collect())
    }

    /// A group. One that nobody has used is described as not existing, with what would be allowed. Each
    /// question makes a connection of its own. Half an hour is the longest wait.
    ///
    /// # Errors
    /// When it may not be seen, or the cluster does not answer within this time.
    pub fn group(&self, name: &str, within: Duration) -> Result<GroupDescription, DescribeError> {
        let Ok(name) = CString::new(name) else { return Err(DescribeError::Missing) };
        let answer = self.client.group(&name, within);
        answer.map_err(|(code, words)| self.no_answer(code, words))?.map_err(of_code)
    }

    /// Why there is no answer.
    fn no_answer(&self, code: Code, words: String) -> DescribeError {
        let brokers = &self.settings.brokers;
        match (of_code(code), explain(&self.settings, code, "", None)) {
            (DescribeError::Failed(_), told @ SourceError::Unreachable { .. })
            | (DescribeError::Failed(_), told @ SourceError::AuthenticationFailed { .. }) => {
                DescribeError::Unreachable(told.to_string())
            }
            (DescribeError::Failed(_), _) => {
                DescribeError::Unreachable(format!("no broker of {brokers} answers: {words}"))
            }
            (error, _) => error,
        }
    }
}

fn of_code(code: Code) -> DescribeError {
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::GroupIdNotFound => {
            DescribeError::Missing
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => DescribeError::Denied,
        code => DescribeError::Failed(code.to_string()),
    }
}
