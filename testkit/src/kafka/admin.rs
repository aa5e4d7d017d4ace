//! Topics, configs, groups, and the start of a log.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    admin::{
        AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic as KafkaTopic,
        ResourceSpecifier, TopicReplication,
    },
    client::DefaultClientContext,
    metadata::{Metadata, MetadataPartition},
};

use super::{CALL, Properties, client};

/// A broker that has not answered by then is frozen.
const ONE_ANSWER: Duration = Duration::from_secs(2);

/// A topic to create. One partition, the broker's defaults for the rest.
#[derive(Debug, Clone)]
pub struct NewTopic {
    name: String,
    partitions: i32,
    /// The nodes of every partition; the number of the broker's default if there are none.
    replicas: Vec<i32>,
    configs: Properties,
}

impl NewTopic {
    /// A topic with one partition.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), partitions: 1, replicas: Vec::new(), configs: Vec::new() }
    }

    /// The nodes that have every partition; the first one leads it.
    #[must_use]
    pub fn replicas(mut self, nodes: &[i32]) -> Self {
        self.replicas = nodes.to_vec();
        self
    }

    /// How many partitions.
    #[must_use]
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = count;
        self
    }

    /// A topic config, e.g. `cleanup.policy`.
    #[must_use]
    pub fn config(mut self, name: &str, value: impl ToString) -> Self {
        self.configs.push((name.to_owned(), value.to_string()));
        self
    }

    /// Compacted as fast as a broker can: small segments, no waiting. What is compacted is
    /// every segment but the last, about a second after it was closed.
    #[must_use]
    pub fn compacted(self) -> Self {
        self.config("cleanup.policy", "compact")
            .config("min.cleanable.dirty.ratio", "0.01")
            .config("segment.bytes", 1_048_576)
            .config("segment.ms", 500)
            .config("delete.retention.ms", 100)
            .config("max.compaction.lag.ms", 500)
    }
}

/// Administers a broker. Every call waits until the change is visible, and panics with the
/// broker's answer when it is refused.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
}

impl Admin {
    /// An own client with these librdkafka properties.
    ///
    /// # Panics
    /// When a property is unknown.
    #[must_use]
    pub fn new(properties: &Properties) -> Self {
        Self { client: client(properties).create().expect("an admin client") }
    }

    /// Creates a topic and waits until every partition has a leader.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn create_topic(&self, topic: NewTopic) {
        let on_each: Vec<&[i32]> = (0..topic.partitions).map(|_| &topic.replicas[..]).collect();
        let replication = match topic.replicas.is_empty() {
            // As many as the broker's default.replication.factor says.
            true => TopicReplication::Fixed(-1),
            false => TopicReplication::Variable(&on_each),
        };
        let mut new = KafkaTopic::new(&topic.name, topic.partitions, replication);
        for (name, value) in &topic.configs {
            new = new.set(name, value);
        }
        let results = block_on(self.client.create_topics([&new], &options()));
        first(results, &format!("create the topic {}", topic.name));
        self.wait_for_partitions(&topic.name, topic.partitions);
    }

    /// Deletes a topic and waits until it is gone.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn delete_topic(&self, topic: &str) {
        let results = block_on(self.client.delete_topics(&[topic], &options()));
        first(results, &format!("delete the topic {topic}"));
        wait_until(&format!("the topic {topic} is gone"), || self.partitions(topic) == 0);
    }

    /// Raises the number of partitions to `count`.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn create_partitions(&self, topic: &str, count: i32) {
        let new = NewPartitions::new(topic, usize::try_from(count).expect("a positive count"));
        let results = block_on(self.client.create_partitions([&new], &options()));
        first(results, &format!("give the topic {topic} {count} partitions"));
        self.wait_for_partitions(topic, count);
    }

    /// Moves the start of a partition's log to `before`.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
        let answer =
            block_on(self.client.delete_records(&list, &options())).unwrap_or_else(|error| {
                panic!("cannot delete records of {topic}/{partition}: {error}")
            });
        for element in answer.elements() {
            if let Err(error) = element.error() {
                panic!("cannot delete records of {topic}/{partition}: {error}");
            }
        }
    }

    /// Deletes a group without members.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn delete_group(&self, group: &str) {
        let results = block_on(self.client.delete_groups(&[group], &options()));
        first(results, &format!("delete the group {group}"));
    }

    /// Sets a topic's configs. Those not named go back to their defaults.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn set_topic_configs(&self, topic: &str, configs: &[(&str, &str)]) {
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (name, value) in configs {
            change = change.set(name, value);
        }
        block_on(self.client.alter_configs([&change], &options()))
            .unwrap_or_else(|error| panic!("cannot change {topic}: {error}"))
            .into_iter()
            .for_each(|result| {
                result.unwrap_or_else(|(_, code)| panic!("cannot change {topic}: {code}"));
            });
    }

    /// How many partitions a topic has with a leader; 0 if it does not exist.
    #[must_use]
    pub fn partitions(&self, topic: &str) -> i32 {
        let metadata = self.metadata(Some(topic));
        let led = metadata
            .topics()
            .iter()
            .filter(|found| found.name() == topic && found.error().is_none())
            .flat_map(|found| found.partitions())
            .filter(|partition| partition.leader() >= 0 && partition.error().is_none())
            .count();
        i32::try_from(led).expect("fewer than 2^31 partitions")
    }

    /// The node that leads a partition; -1 if none does.
    #[must_use]
    pub fn leader(&self, topic: &str, partition: i32) -> i32 {
        self.of_partition(topic, partition, |found| found.leader()).unwrap_or(-1)
    }

    /// The nodes whose replica of a partition is in sync with its leader.
    #[must_use]
    pub fn in_sync(&self, topic: &str, partition: i32) -> Vec<i32> {
        self.of_partition(topic, partition, |found| found.isr().to_vec()).unwrap_or_default()
    }

    /// Waits until every partition of every topic has a leader and all of its replicas in sync.
    ///
    /// # Panics
    /// When that does not come.
    pub fn wait_in_sync(&self) {
        wait_until("all replicas are in sync", || {
            let metadata = self.metadata(None);
            let mut all = metadata.topics().iter().flat_map(|topic| topic.partitions());
            all.all(|one| one.leader() >= 0 && one.isr().len() == one.replicas().len())
        });
    }

    fn of_partition<T>(
        &self,
        topic: &str,
        partition: i32,
        what: impl Fn(&MetadataPartition) -> T,
    ) -> Option<T> {
        let metadata = self.metadata(Some(topic));
        let found = metadata.topics().iter().find(|found| found.name() == topic)?;
        found.partitions().iter().find(|found| found.id() == partition).map(what)
    }

    /// Asks one broker after another, since the first may be frozen.
    fn metadata(&self, topic: Option<&str>) -> Metadata {
        let deadline = Instant::now() + CALL;
        loop {
            match self.client.inner().fetch_metadata(topic, ONE_ANSWER) {
                Ok(metadata) => return metadata,
                Err(error) => assert!(Instant::now() < deadline, "no metadata: {error}"),
            }
        }
    }

    fn wait_for_partitions(&self, topic: &str, count: i32) {
        let what = format!("the topic {topic} has {count} partitions with a leader");
        wait_until(&what, || self.partitions(topic) == count);
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(CALL)).operation_timeout(Some(CALL))
}

/// The first result of a call about one thing.
fn first<T, E: std::fmt::Debug>(
    results: rdkafka::error::KafkaResult<Vec<Result<T, (E, rdkafka::types::RDKafkaErrorCode)>>>,
    what: &str,
) {
    let results = results.unwrap_or_else(|error| panic!("cannot {what}: {error}"));
    for result in results {
        if let Err((_, code)) = result {
            panic!("cannot {what}: {code}");
        }
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + CALL;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {} s: {what}", CALL.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
}

/// rdkafka's admin calls are futures that its own thread completes, so this is all it takes to
/// wait for one, and it works on a thread that belongs to an async runtime as well.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
