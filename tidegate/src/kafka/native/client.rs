#![allow(unsafe_code)]
//! The client handle and the calls on it.

use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;
use tidegate_engine::Offset;
use tidegate_runtime::{SourceWaker, TopicPartition};

use super::committed::{CommittedOffsets, Wake};
use super::event::{self, NativeEvent};
use super::partition::PartitionQueue;
use crate::kafka::context::Context;

/// A seek begins at once unless the client's own thread is busy; it does not wait for a broker.
const SEEK: Duration = Duration::from_secs(5);

/// What became of a seek.
pub(crate) enum Sought {
    /// It has begun.
    Begun,
    /// The client does not fetch the partition: not yet, or not any more after an error.
    NotFetching,
    /// The client does not do it.
    Refused(KafkaError),
}

/// A partition with an offset (or one of librdkafka's logical offsets), as commits and
/// assignments name it.
#[derive(Clone, Debug)]
pub(crate) struct OffsetPoint<'a> {
    pub(crate) partition: &'a TopicPartition,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: &'a str,
}

pub(super) struct Queue(pub(super) *mut sys::rd_kafka_queue_t);

// SAFETY: librdkafka's queues are locked inside.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a `rd_kafka_queue_get_*` call, which gave a reference.
        unsafe { sys::rd_kafka_queue_destroy(self.0) }
    }
}

/// A consumer that this process polls itself.
pub(crate) struct NativeClient {
    /// The consumer queue, to which the main queue is redirected. Dropped before the consumer.
    main: Queue,
    committed: CommittedOffsets,
    consumer: Arc<BaseConsumer<Context>>,
}

impl NativeClient {
    /// Makes the client; nothing is sent yet. `wake` is called when an event comes.
    pub(crate) fn new(
        config: &ClientConfig,
        context: Context,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> KafkaResult<Self> {
        let mut consumer: BaseConsumer<Context> = config.create_with_context(context)?;
        let wake: Wake = Arc::new(wake);
        let committed = CommittedOffsets::new(Arc::clone(&wake));
        consumer.set_nonempty_callback(move || wake());
        // SAFETY: the consumer is alive; the reference is given back by `Queue`.
        let main = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        if main.is_null() {
            return Err(KafkaError::ClientCreation("the consumer has no queue".into()));
        }
        Ok(Self { main: Queue(main), committed, consumer: Arc::new(consumer) })
    }

    pub(crate) fn subscribe(&self, topics: &[&str]) -> KafkaResult<()> {
        self.consumer.subscribe(topics)
    }

    /// The next event of the main queue, if there is one. Polling it is what keeps the membership.
    pub(crate) fn poll_event(&self) -> Option<NativeEvent> {
        if let Some(answer) = self.committed.poll() {
            return Some(answer);
        }
        // SAFETY: queue and client are alive; `event::take` owns the event.
        unsafe {
            let raw = sys::rd_kafka_queue_poll(self.main.0, 0);
            (!raw.is_null()).then(|| event::take(raw))
        }
    }

    /// Asks for the group's committed offsets; the answer is an event with this number.
    pub(crate) fn ask_committed(&self, request: usize, names: &[TopicPartition]) {
        self.committed.ask(&self.consumer, request, names);
    }

    /// The queue of a partition, split from the main queue. Call it before assigning.
    pub(crate) fn split(
        &self,
        partition: &TopicPartition,
        waker: SourceWaker,
    ) -> Option<PartitionQueue> {
        PartitionQueue::split(&self.consumer, partition, waker)
    }

    pub(crate) fn is_cooperative(&self) -> bool {
        // SAFETY: the client is alive; the string is static.
        let name = unsafe { sys::rd_kafka_rebalance_protocol(self.raw()) };
        // SAFETY: null or a static C string.
        !name.is_null() && unsafe { std::ffi::CStr::from_ptr(name) } == c"COOPERATIVE"
    }

    pub(crate) fn assignment_lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    /// Acknowledges an assign event with these partitions and where each begins.
    pub(crate) fn assign(&self, points: &[OffsetPoint<'_>]) -> KafkaResult<()> {
        let list = to_list(points)?;
        if self.is_cooperative() {
            self.consumer.incremental_assign(&list)
        } else {
            self.consumer.assign(&list)
        }
    }

    /// Goes on with an assigned partition at an offset, after the leader was asked whether the log
    /// still is what it was below: librdkafka does that when a leader changes and when it seeks
    /// with a leader epoch, but not for the offset that an assignment begins at.
    ///
    /// If it is not, the partition's next message is an error. Nothing is fetched before it is
    /// known, and what was fetched is dropped.
    pub(crate) fn seek(&self, point: &OffsetPoint<'_>) -> Sought {
        let list = to_list(std::slice::from_ref(point));
        let answered = list.and_then(|list| self.consumer.seek_partitions(list, SEEK));
        let own = answered.map(|list| {
            list.elements().first().map_or(Err(KafkaError::Canceled), |element| element.error())
        });
        match own {
            Ok(Ok(())) => Sought::Begun,
            Ok(Err(KafkaError::OffsetFetch(Code::State))) => Sought::NotFetching,
            Ok(Err(error)) | Err(error) => Sought::Refused(error),
        }
    }

    /// Acknowledges a revoke event for these partitions.
    pub(crate) fn unassign<'a>(
        &self,
        partitions: impl Iterator<Item = &'a TopicPartition>,
    ) -> KafkaResult<()> {
        if !self.is_cooperative() {
            return self.consumer.unassign();
        }
        let mut list = TopicPartitionList::new();
        for name in partitions {
            list.add_partition(&name.topic, name.partition);
        }
        self.consumer.incremental_unassign(&list)
    }

    /// Adds partitions to the assignment, outside of a rebalance.
    pub(crate) fn assign_more(&self, points: &[OffsetPoint<'_>]) -> KafkaResult<()> {
        self.consumer.incremental_assign(&to_list(points)?)
    }

    /// Takes a partition out of the assignment, outside of a rebalance.
    pub(crate) fn unassign_one(&self, name: &TopicPartition) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&name.topic, name.partition);
        self.consumer.incremental_unassign(&list)
    }

    /// Begins to commit; the answer is an event with this number.
    pub(crate) fn commit(&self, number: usize, points: &[OffsetPoint<'_>]) -> KafkaResult<()> {
        let list = to_list(points)?;
        let number = ptr::without_provenance_mut(number);
        // SAFETY: the list is only read during the call; queue and client are alive. Without a
        // callback the answer is put on the queue. The number is given back and never followed.
        let error = unsafe {
            sys::rd_kafka_commit_queue(self.raw(), list.ptr(), self.main.0, None, number)
        };
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            error => Err(KafkaError::ConsumerCommit(error.into())),
        }
    }

    /// Wakes the client's own thread, whatever its clock says.
    ///
    /// The story: that thread, which sends heartbeats, sleeps until a moment of the wall clock. If
    /// that clock is set back by an hour meanwhile, it sleeps for an hour, unless it is given
    /// something to do. A commit of nothing is that: it sends nothing, and is answered (with
    /// number 0) that there was nothing to commit.
    pub(crate) fn wake(&self) {
        // The answer says no more than an error here would.
        let _ = self.commit(0, &[]);
    }

    /// The next offset the client would hand out, transaction markers passed over included, and
    /// the leader epoch of what lies before it (-1 if unknown).
    pub(crate) fn position(&self, partition: &TopicPartition) -> Option<(Offset, i32)> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&partition.topic, partition.partition);
        // SAFETY: the list is alive and has exactly one element.
        unsafe {
            let error = sys::rd_kafka_position(self.raw(), list.ptr());
            let element = &*(*list.ptr()).elems;
            let known = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && element.offset >= 0;
            let leader_epoch = sys::rd_kafka_topic_partition_get_leader_epoch(element);
            known.then_some((Offset(element.offset), leader_epoch))
        }
    }

    /// Begins to leave the group; events go on until [`is_closed`](Self::is_closed).
    ///
    /// A member without partitions that shares them cooperatively would be closed by librdkafka
    /// without a word to the group, which then waits for it at its next rebalance until its session
    /// is over. But librdkafka lets it leave when it unsubscribes, and then waits for the answer.
    pub(crate) fn close(&self) -> KafkaResult<()> {
        if self.consumer.assignment().is_ok_and(|partitions| partitions.count() == 0) {
            self.consumer.unsubscribe();
        }
        self.consumer.close_queue()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.consumer.closed()
    }

    pub(super) fn raw(&self) -> *mut sys::rd_kafka_t {
        self.consumer.client().native_ptr()
    }

    pub(super) fn main_queue(&self) -> *mut sys::rd_kafka_queue_t {
        self.main.0
    }
}

pub(super) fn to_list(points: &[OffsetPoint<'_>]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(points.len());
    for (index, point) in points.iter().enumerate() {
        let mut element = list.add_partition(&point.partition.topic, point.partition.partition);
        if !point.metadata.is_empty() {
            element.set_metadata(point.metadata);
        }
        // SAFETY: the element with this index was just added. The offset is set here and not by
        // the safe call because that one refuses logical offsets of its own (timestamps).
        unsafe {
            let element = (*list.ptr()).elems.add(index);
            (*element).offset = point.offset;
            sys::rd_kafka_topic_partition_set_leader_epoch(element, point.leader_epoch);
        }
    }
    Ok(list)
}
