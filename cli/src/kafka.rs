//! What is asked of the cluster beside the consumer, by clients of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use crate::exit::Failure;
use crate::settings::Connection;

/// How long one question may take.
const CALL: Duration = Duration::from_secs(15);
/// How long the coordinator of a group is waited for before it is seen whether it refuses.
const STEP: Duration = Duration::from_secs(2);

/// How long reading one record of each partition may take.
const READ: Duration = Duration::from_secs(5);

/// A topic that is asked for where none is named, since all of them would come. It need not be there.
pub(crate) const NOBODYS: &str = "tidegate-check";

/// What a failed question comes to: a refused property is bad configuration.
fn failure(what: &str, error: &KafkaError) -> Failure {
    match error {
        KafkaError::ClientConfig(_, detail, name, _) => {
            Failure::Config(format!("property {name} is not accepted: {detail}"))
        }
        _ => Failure::Failed(format!("{what}: {error}")),
    }
}

/// Asks about topics and groups, and never joins one. Its calls block.
pub(crate) struct Observer {
    client: BaseConsumer,
}

impl Observer {
    /// A client that asks for `group`; connects at the first question.
    ///
    /// # Errors
    /// When a property is not accepted.
    pub(crate) fn new(connection: &Connection, group: &str) -> Result<Self, Failure> {
        let client = connection
            .client()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            // It reads one record of a partition at most.
            .set("queued.min.messages", "1")
            .set("max.partition.fetch.bytes", "65536")
            .set_log_level(RDKafkaLogLevel::Emerg)
            .create()
            .map_err(|error| failure("cannot make a client", &error))?;
        Ok(Self { client })
    }

    /// The partitions of a topic; none if it does not exist.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Vec<i32>, Failure> {
        let failed = |error| failure(&format!("cannot ask for topic {topic}"), &error);
        let metadata = self.client.fetch_metadata(Some(topic), CALL).map_err(failed)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        Ok(found.map_or_else(Vec::new, |found| found.partitions().iter().map(|p| p.id()).collect()))
    }

    /// The id of some broker of the cluster, if it answers.
    pub(crate) fn a_broker(&self) -> Option<i32> {
        let metadata = self.client.fetch_metadata(Some(NOBODYS), CALL).ok()?;
        metadata.brokers().first().map(|broker| broker.id())
    }

    /// Where the log of a partition begins and ends.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(crate) fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), Failure> {
        let asked = self.client.fetch_watermarks(topic, partition, CALL);
        asked.map_err(|error| {
            failure(&format!("cannot ask for the end of {topic}/{partition}"), &error)
        })
    }

    /// How many offsets there are in a topic.
    ///
    /// # Errors
    /// When the topic does not exist, or the cluster does not answer.
    pub(crate) fn offsets(&self, topic: &str) -> Result<u64, Failure> {
        let partitions = self.partitions(topic)?;
        if partitions.is_empty() {
            return Err(Failure::Failed(format!(
                "topic {topic} does not exist; create it, for example with tidegate bench load"
            )));
        }
        let mut sum = 0;
        for partition in partitions {
            let (begin, end) = self.watermarks(topic, partition)?;
            sum += end.saturating_sub(begin).unsigned_abs();
        }
        Ok(sum)
    }

    /// The sum of what the group has committed over the partitions of a topic.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(crate) fn committed(&self, topic: &str) -> Result<i64, Failure> {
        let mut list = TopicPartitionList::new();
        for partition in self.partitions(topic)? {
            list.add_partition(topic, partition);
        }
        let failed = |error| failure("cannot ask for committed offsets", &error);
        let answer = self.client.committed_offsets(list, CALL).map_err(failed)?;
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        Ok(answer.elements().iter().map(|element| offset(element.offset())).sum())
    }
}

fn is_denied(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

/// Topic and partition.
type Place = (String, i32);

impl Observer {
    /// The topics in which the group has committed something.
    ///
    /// # Errors
    /// When the cluster does not answer, or does not let the group be described.
    pub(crate) fn topics_of_group(&self) -> Result<Vec<String>, Failure> {
        let failed = |error| failure("cannot ask for topics", &error);
        let metadata = self.client.fetch_metadata(None, CALL).map_err(failed)?;
        let mut list = TopicPartitionList::new();
        for topic in metadata.topics() {
            for partition in topic.partitions() {
                list.add_partition(topic.name(), partition.id());
            }
        }
        let failed = |error| failure("cannot ask for committed offsets", &error);
        let answer = self.client.committed_offsets(list, CALL).map_err(failed)?;
        let committed = answer.elements().into_iter().filter(|element| {
            element.error().is_ok() && matches!(element.offset(), Offset::Offset(_))
        });
        let topics: BTreeSet<_> = committed.map(|element| element.topic().to_owned()).collect();
        Ok(topics.into_iter().collect())
    }

    /// The timestamps of the first records at or behind these offsets; one that does not come in
    /// time is left out.
    ///
    /// # Errors
    /// When the topic may not be read.
    pub(crate) fn timestamps(
        &self,
        places: &[(String, i32, i64)],
    ) -> Result<Vec<(Place, i64)>, Failure> {
        let failed = |error| failure("cannot read the age of what waits", &error);
        let mut list = TopicPartitionList::new();
        for (topic, partition, offset) in places {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .map_err(failed)?;
        }
        self.client.assign(&list).map_err(failed)?;
        let mut found = BTreeMap::new();
        let deadline = Instant::now() + READ;
        while found.len() < places.len() && Instant::now() < deadline {
            match self.client.poll(Duration::from_millis(50)) {
                Some(Ok(record)) => {
                    let place = (record.topic().to_owned(), record.partition());
                    if let Some(millis) = record.timestamp().to_millis() {
                        found.entry(place).or_insert(millis);
                    }
                }
                // What is passed by retention meanwhile, or has no leader, has no age this time.
                Some(Err(error)) if is_denied(&error) => return Err(failed(error)),
                Some(Err(_)) | None => {}
            }
        }
        self.client.unassign().map_err(failed)?;
        Ok(found.into_iter().collect())
    }
}

/// What a group has committed in one partition.
pub(crate) struct Committed {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) metadata: String,
}

impl Observer {
    /// The names of all groups that begin with `prefix`.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub(crate) fn groups(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let failed = |error| failure("cannot ask for the groups of the cluster", &error);
        let groups = self.client.fetch_group_list(None, CALL).map_err(failed)?;
        let names = groups.groups().iter().map(|group| group.name().to_owned());
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }

    /// What this one's group has committed in the partitions of a topic.
    ///
    /// # Errors
    /// When the cluster does not answer, or does not let the group be described.
    pub(crate) fn commits(
        &self,
        group: &str,
        topic: &str,
        partitions: &[i32],
    ) -> Result<Vec<Committed>, Failure> {
        let what = format!("cannot ask what group {group} has committed in topic {topic}");
        self.try_commits(topic, partitions).map_err(|error| failure(&what, &error))
    }

    /// The same with the error as the cluster gave it.
    ///
    /// # Errors
    /// As those of [`commits`](Self::commits).
    pub(crate) fn try_commits(
        &self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<Vec<Committed>, KafkaError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(topic, *partition);
        }
        let ask = || {
            let answer = self.client.committed_offsets(list.clone(), STEP)?;
            let first = answer.elements().iter().find_map(|element| element.error().err());
            first.map_or(Ok(answer), Err)
        };
        let answer = self.once_coordinated(ask)?;
        let mut found = Vec::new();
        for element in answer.elements() {
            if let Offset::Offset(offset) = element.offset() {
                let (partition, metadata) = (element.partition(), element.metadata().to_owned());
                found.push(Committed { partition, offset, metadata });
            }
        }
        Ok(found)
    }

    /// Commits an offset with metadata for this one's group, which must have no members.
    ///
    /// # Errors
    /// When the cluster refuses, or does not answer.
    pub(crate) fn commit(&self, topic: &str, commit: &Committed) -> Result<(), Failure> {
        let failed = |error| failure(&format!("cannot commit in topic {topic}"), &error);
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(topic, commit.partition);
        element.set_offset(Offset::Offset(commit.offset)).map_err(failed)?;
        element.set_metadata(&commit.metadata);
        self.once_coordinated(|| self.client.commit(&list, CommitMode::Sync)).map_err(failed)
    }

    /// Asks again for a while where the group has no coordinator yet, or another one than before. A
    /// login that may not ask for it is waited for as well by the client, which says so beside.
    fn once_coordinated<T>(
        &self,
        ask: impl Fn() -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let deadline = Instant::now() + CALL;
        loop {
            let result = ask();
            let code = result.as_ref().err().and_then(KafkaError::rdkafka_error_code);
            let passing = matches!(
                code,
                Some(
                    RDKafkaErrorCode::NotCoordinator
                        | RDKafkaErrorCode::CoordinatorNotAvailable
                        | RDKafkaErrorCode::CoordinatorLoadInProgress
                        | RDKafkaErrorCode::WaitingForCoordinator
                        | RDKafkaErrorCode::OperationTimedOut
                )
            );
            if !passing || Instant::now() > deadline {
                return result;
            }
            if let Some(refused) = self.refused() {
                return Err(refused);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// That this login may do nothing with the group, if the client was told so.
    fn refused(&self) -> Option<KafkaError> {
        let told = std::iter::from_fn(|| self.client.poll(Duration::ZERO));
        told.filter_map(Result::err).find(|error| {
            error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
        })
    }
}

/// Changes topics and groups.
pub(crate) struct Admin {
    client: AdminClient<DefaultClientContext>,
    options: AdminOptions,
}

impl Admin {
    /// A client; connects at the first question.
    ///
    /// # Errors
    /// When a property is not accepted.
    pub(crate) fn new(connection: &Connection) -> Result<Self, Failure> {
        let client = connection
            .client()
            .set_log_level(RDKafkaLogLevel::Emerg)
            .create()
            .map_err(|error| failure("cannot make a client", &error))?;
        Ok(Self { client, options: AdminOptions::new().operation_timeout(Some(CALL)) })
    }

    /// Creates a topic with one replica.
    ///
    /// # Errors
    /// When the cluster refuses, or does not answer.
    pub(crate) async fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), Failure> {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let what = format!("cannot create topic {topic}");
        let results = self.client.create_topics([&new], &self.options).await;
        first(&what, results)
    }

    /// The settings of a topic, by name.
    ///
    /// # Errors
    /// When they may not be read, or the cluster does not answer.
    pub(crate) async fn topic_settings(
        &self,
        topic: &str,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let what = format!("cannot ask for the settings of topic {topic}");
        self.settings_of(&what, &ResourceSpecifier::Topic(topic)).await
    }

    /// Those of a broker.
    ///
    /// # Errors
    /// As those of [`topic_settings`](Self::topic_settings).
    pub(crate) async fn broker_settings(
        &self,
        broker: i32,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let what = format!("cannot ask for the settings of broker {broker}");
        self.settings_of(&what, &ResourceSpecifier::Broker(broker)).await
    }

    async fn settings_of(
        &self,
        what: &str,
        of: &ResourceSpecifier<'_>,
    ) -> Result<BTreeMap<String, String>, Failure> {
        // What bounds a change on the broker does not bound a question: without this one, the client would
        // wait for a broker that hangs as long as its sockets do.
        let options = AdminOptions::new().request_timeout(Some(CALL));
        let answer = self.client.describe_configs([of], &options).await;
        let answer = answer.map_err(|error| failure(what, &error))?;
        match answer.into_iter().next() {
            Some(Ok(settings)) => {
                let entries = settings.entries.into_iter();
                Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
            }
            Some(Err(code)) => Err(Failure::Failed(format!("{what}: {code}"))),
            None => Err(Failure::Failed(format!("{what}: no answer"))),
        }
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// When the cluster refuses, or does not answer.
    pub(crate) async fn delete_topic(&self, topic: &str) -> Result<(), Failure> {
        let what = format!("cannot delete topic {topic}");
        first(&what, self.client.delete_topics(&[topic], &self.options).await)
    }

    /// Deletes a group that has no members.
    ///
    /// # Errors
    /// When the cluster refuses, or does not answer.
    pub(crate) async fn delete_group(&self, group: &str) -> Result<(), Failure> {
        let what = format!("cannot delete group {group}");
        first(&what, self.client.delete_groups(&[group], &self.options).await)
    }
}

type Results = Result<Vec<Result<String, (String, RDKafkaErrorCode)>>, KafkaError>;

/// The answer to a question about one thing.
fn first(what: &str, results: Results) -> Result<(), Failure> {
    let results = results.map_err(|error| failure(what, &error))?;
    match results.into_iter().next() {
        Some(Err((_, code))) => Err(Failure::Failed(format!("{what}: {code}"))),
        _ => Ok(()),
    }
}

/// librdkafka properties over which the connection's come.
pub(crate) fn producer(connection: &Connection, defaults: &[(&str, &str)]) -> ClientConfig {
    let given: BTreeMap<_, _> = connection.properties.iter().cloned().collect();
    let mut config = connection.client();
    for (name, value) in defaults {
        if !given.contains_key(*name) {
            config.set(*name, *value);
        }
    }
    config.set_log_level(RDKafkaLogLevel::Emerg);
    config
}

/// A producer's error in our words.
pub(crate) fn producer_failure(error: &KafkaError) -> Failure {
    failure("cannot produce", error)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_broker_that_hangs_is_not_waited_for_beyond_the_time_of_a_question() {
        // It takes connections, and nobody answers.
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let brokers = mute.local_addr().unwrap().to_string();
        let connection = Connection { brokers, group: None, properties: Vec::new(), reset: None };
        let admin = Admin::new(&connection).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let since = Instant::now();
        assert!(runtime.block_on(admin.topic_settings("orders")).is_err());
        assert!(since.elapsed() < CALL + Duration::from_secs(5), "{:?}", since.elapsed());
    }
}
