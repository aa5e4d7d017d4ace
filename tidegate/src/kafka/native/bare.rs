#![allow(unsafe_code)]
//! Batch reads from the main queue, and nothing else.

use std::ptr;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;

use super::client::Queue;

const BATCH: usize = 256;
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// A consumer of all partitions of one topic, without a group's rebalances.
pub(crate) struct BareClient {
    /// Dropped before the consumer.
    queue: Queue,
    consumer: BaseConsumer,
    topic: String,
    /// The next offset of each partition, -1 before the first record.
    next: Vec<i64>,
}

impl BareClient {
    pub(crate) fn new(config: &ClientConfig, topic: &str) -> KafkaResult<Self> {
        let consumer: BaseConsumer = config.create()?;
        let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT)?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition as i32, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        // SAFETY: the consumer is alive; the reference is given back by `Queue`.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        if queue.is_null() {
            return Err(KafkaError::ClientCreation("the consumer has no queue".into()));
        }
        let next = vec![-1; partitions];
        Ok(Self { queue: Queue(queue), consumer, topic: topic.to_owned(), next })
    }

    pub(crate) fn read(&mut self, timeout: Duration) -> KafkaResult<usize> {
        let mut raw = [ptr::null_mut(); BATCH];
        let wait = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `raw` has room for a batch; each message it is filled with is ours.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.queue.0, wait, raw.as_mut_ptr(), BATCH)
        };
        let (mut records, mut failed) = (0, None);
        for message in &raw[..usize::try_from(count).unwrap_or(0)] {
            // SAFETY: the message is valid until it is destroyed, once.
            unsafe {
                let (code, partition, offset) =
                    ((**message).err, (**message).partition, (**message).offset);
                sys::rd_kafka_message_destroy(*message);
                match code {
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                        records += 1;
                        let index = usize::try_from(partition).unwrap_or(usize::MAX);
                        if let Some(next) = self.next.get_mut(index) {
                            *next = offset + 1;
                        }
                    }
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => {}
                    code => failed = Some(KafkaError::MessageConsumption(code.into())),
                }
            }
        }
        failed.map_or(Ok(records), Err)
    }

    pub(crate) fn commit(&self) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (partition, next) in self.next.iter().enumerate().filter(|(_, next)| **next >= 0) {
            list.add_partition_offset(&self.topic, partition as i32, Offset::Offset(*next))?;
        }
        self.consumer.commit(&list, CommitMode::Sync)
    }
}
