//! Committed offsets with their metadata, and where logs begin and end: read by a client of its
//! own that does not join the group.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

use super::{CALL, Properties, client};

/// Topic and partition.
pub type Partition = (String, i32);

/// What a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to process after a restart.
    pub offset: i64,
    /// The string that was committed with it.
    pub metadata: String,
}

/// Where a partition's log begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset that still exists.
    pub begin: i64,
    /// The offset that the next record will get.
    pub end: i64,
}

/// What `group` has committed for the partitions of `topic`; those without a commit are left out.
///
/// # Panics
/// When the broker does not answer.
#[must_use]
pub fn committed(
    properties: &Properties,
    group: &str,
    topic: &str,
) -> BTreeMap<Partition, Committed> {
    let consumer: BaseConsumer = client(properties)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()
        .expect("a client to read offsets with");
    let mut list = TopicPartitionList::new();
    for partition in partitions(&consumer, topic) {
        list.add_partition(topic, partition);
    }
    let answer = consumer
        .committed_offsets(list, CALL)
        .unwrap_or_else(|error| panic!("no offsets of the group {group}: {error}"));
    let mut found = BTreeMap::new();
    for element in answer.elements() {
        if let Err(error) = element.error() {
            panic!("no offset of the group {group} for {topic}/{}: {error}", element.partition());
        }
        if let Offset::Offset(offset) = element.offset() {
            let metadata = element.metadata().to_owned();
            found.insert((topic.to_owned(), element.partition()), Committed { offset, metadata });
        }
    }
    found
}

/// The sum of all committed offsets of a topic; a partition without a commit counts as 0.
///
/// # Panics
/// When the broker does not answer.
#[must_use]
pub fn committed_sum(properties: &Properties, group: &str, topic: &str) -> i64 {
    committed(properties, group, topic).values().map(|committed| committed.offset).sum()
}

/// Where the logs of a topic's partitions begin and end.
///
/// # Panics
/// When the broker does not answer.
#[must_use]
pub fn watermarks(properties: &Properties, topic: &str) -> BTreeMap<Partition, Watermarks> {
    let consumer: BaseConsumer =
        client(properties).set("group.id", "tidegate-test-reader").create().expect("a client");
    partitions(&consumer, topic)
        .into_iter()
        .map(|partition| {
            ((topic.to_owned(), partition), watermarks_of(&consumer, topic, partition))
        })
        .collect()
}

/// Asks again for a while: a leader that is new does not know them yet.
fn watermarks_of(consumer: &BaseConsumer, topic: &str, partition: i32) -> Watermarks {
    let until = Instant::now() + CALL;
    loop {
        match consumer.fetch_watermarks(topic, partition, CALL) {
            Ok((begin, end)) => return Watermarks { begin, end },
            Err(error) if Instant::now() >= until => {
                panic!("no watermarks of {topic}/{partition}: {error}")
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer
        .fetch_metadata(Some(topic), CALL)
        .unwrap_or_else(|error| panic!("no metadata of {topic}: {error}"));
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.unwrap_or_else(|| panic!("no topic {topic}"));
    found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect()
}
