//! The client's errors in words that say what to do.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use tidegate_runtime::SourceError;
use tokio::time::Instant;

use super::settings::KafkaSettings;

/// The same trouble is told again after so long.
const TELL_AGAIN: Duration = Duration::from_secs(30);
/// A client that does not complain for so long has a broker.
const QUIET: Duration = Duration::from_secs(3);
/// So many troubles are remembered.
const TROUBLES_KEPT: usize = 16;

/// What was told lately.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    told: Vec<(SourceError, Instant)>,
    /// Since when, or since when again.
    unreachable: Option<Instant>,
}

impl Troubles {
    /// Whether this is to be told: the same one was not told lately.
    pub(crate) fn is_new(&mut self, error: &SourceError, now: Instant) -> bool {
        self.told.retain(|(_, told)| now.duration_since(*told) < TELL_AGAIN);
        let unreachable = |e: &SourceError| matches!(e, SourceError::Unreachable { .. });
        if unreachable(error) {
            self.unreachable = Some(now);
        }
        let same = |(told, _): &(SourceError, Instant)| {
            told == error || (unreachable(told) && unreachable(error))
        };
        if self.told.iter().any(same) {
            return false;
        }
        // With many different ones the oldest may be told again early.
        if self.told.len() >= TROUBLES_KEPT {
            self.told.remove(0);
        }
        self.told.push((error.clone(), now));
        true
    }

    /// The broker answers. Whether that is news.
    pub(crate) fn are_over(&mut self) -> bool {
        let over = self.unreachable.take().is_some();
        if over {
            self.told.clear();
        }
        over
    }

    /// Records come. Whether that is news: those that were fetched before are no sign of life, but
    /// a client without a broker tries again and says so at least once a second.
    pub(crate) fn are_over_by_records(&mut self, now: Instant) -> bool {
        let quiet = |since: &Instant| now.duration_since(*since) >= QUIET;
        self.unreachable.as_ref().is_some_and(quiet) && self.are_over()
    }
}

/// What an error of the client means for this consumer.
pub(crate) fn explain(
    settings: &KafkaSettings,
    code: Code,
    text: &str,
    topic: Option<&str>,
) -> SourceError {
    let detail = || match text.is_empty() {
        true => code.to_string(),
        false => text.to_owned(),
    };
    let topic = || match topic {
        Some(topic) => topic.to_owned(),
        None => named_topic(text).unwrap_or_else(|| settings.topics.join(", ")),
    };
    match code {
        Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve => {
            SourceError::Unreachable { brokers: settings.brokers.clone(), detail: detail() }
        }
        Code::Authentication | Code::SaslAuthenticationFailed => {
            SourceError::AuthenticationFailed { detail: detail() }
        }
        Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicId => SourceError::UnknownTopic { topic: topic() },
        Code::TopicAuthorizationFailed => {
            SourceError::Denied { operation: "Read", resource: format!("topic {}", topic()) }
        }
        Code::GroupAuthorizationFailed => {
            SourceError::Denied { operation: "Read", resource: format!("group {}", settings.group) }
        }
        Code::ClusterAuthorizationFailed => {
            SourceError::Denied { operation: "Describe", resource: "the cluster".to_owned() }
        }
        Code::PollExceeded => SourceError::Expelled {
            detail: format!(
                "this process did not run for longer than max.poll.interval.ms ({})",
                detail()
            ),
        },
        Code::InconsistentGroupProtocol => SourceError::Refused {
            group: settings.group.clone(),
            detail: "it has members with another assignment strategy. Tidegate uses \
                     cooperative-sticky, which cannot join a group whose members use an eager one \
                     (range, roundrobin). Stop them, or move them to cooperative-sticky in two \
                     rolling restarts, or set partition.assignment.strategy=range here"
                .to_owned(),
        },
        Code::FencedInstanceId | Code::Fenced => SourceError::Refused {
            group: settings.group.clone(),
            detail: "another member with the same group.instance.id has taken its place; give \
                     each process an id of its own"
                .to_owned(),
        },
        Code::UnsupportedFeature | Code::UnsupportedVersion => SourceError::Refused {
            group: settings.group.clone(),
            detail: format!("the broker does not support this: {}", detail()),
        },
        _ => SourceError::Other(detail()),
    }
}

/// librdkafka's "Subscribed topic not available: NAME: ..." names the topic in the text only.
fn named_topic(text: &str) -> Option<String> {
    let rest = text.strip_prefix("Subscribed topic not available: ")?;
    let name = rest.split(':').next()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_topic_and_the_group() {
        let settings = KafkaSettings::new("b:1", "billing", ["orders"]);
        let text = "Subscribed topic not available: orders: Broker: Unknown topic or partition";
        let unknown = explain(&settings, Code::UnknownTopicOrPartition, text, None);
        assert_eq!(unknown, SourceError::UnknownTopic { topic: "orders".into() });
        let denied = explain(&settings, Code::GroupAuthorizationFailed, "", None);
        assert!(denied.to_string().contains("group billing"), "{denied}");
        let eager = explain(&settings, Code::InconsistentGroupProtocol, "", None);
        assert!(eager.to_string().contains("cooperative-sticky"), "{eager}");
    }

    #[test]
    fn a_trouble_is_told_once_and_again_after_a_while() {
        let mut troubles = Troubles::default();
        let unreachable = |detail: &str| SourceError::Unreachable {
            brokers: "b:1".into(),
            detail: detail.into(),
        };
        let missing = SourceError::UnknownTopic { topic: "t".into() };
        let start = Instant::now();
        assert!(!troubles.are_over(), "there was none");
        assert!(troubles.is_new(&unreachable("refused"), start));
        assert!(!troubles.is_new(&unreachable("in other words"), start), "the same");
        assert!(troubles.is_new(&missing, start));
        assert!(!troubles.is_new(&missing, start + TELL_AGAIN / 2));
        assert!(troubles.is_new(&missing, start + TELL_AGAIN));
        assert!(troubles.are_over());
        assert!(!troubles.are_over(), "told once");
        assert!(troubles.is_new(&unreachable("again"), start + TELL_AGAIN));
        assert!(!troubles.are_over_by_records(start + TELL_AGAIN), "fetched before");
        assert!(troubles.are_over_by_records(start + TELL_AGAIN + QUIET));
    }
}
