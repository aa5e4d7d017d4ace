//! Reads a topic back without a group.

use std::time::{Duration, Instant};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{Headers as _, Message as _},
};

use super::{CALL, Properties, client, offsets};

/// Which records of transactions a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Only those of committed transactions.
    Committed,
    /// All.
    Uncommitted,
}

/// A record as it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBack {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its value; none for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: Option<i64>,
}

/// All records of a topic up to the ends that the partitions have now, by partition and offset.
///
/// # Panics
/// When the broker does not answer.
#[must_use]
pub fn read_topic(properties: &Properties, topic: &str, isolation: Isolation) -> Vec<ReadBack> {
    let mut config = client(properties);
    config
        .set("group.id", "tidegate-test-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.queue.backoff.ms", "1");
    match isolation {
        Isolation::Committed => config.set("isolation.level", "read_committed"),
        Isolation::Uncommitted => config.set("isolation.level", "read_uncommitted"),
    };
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for ((_, partition), _) in offsets::watermarks(properties, topic) {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&list).expect("assign all partitions");

    let mut records = Vec::new();
    let mut unfinished = list.count();
    let mut last_news = Instant::now();
    while unfinished > 0 {
        match consumer.poll(Duration::from_millis(100)) {
            None => {
                let silent = last_news.elapsed();
                assert!(silent < CALL, "{topic}: no record and no end for {silent:?}");
                continue;
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => unfinished -= 1,
            Some(Err(error)) => panic!("cannot read {topic}: {error}"),
            Some(Ok(message)) => records.push(ReadBack {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: message.headers().map_or_else(Vec::new, |headers| {
                    headers
                        .iter()
                        .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                        .collect()
                }),
                timestamp: message.timestamp().to_millis(),
            }),
        }
        last_news = Instant::now();
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}
