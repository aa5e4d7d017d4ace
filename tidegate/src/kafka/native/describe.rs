#![allow(unsafe_code)]
//! What a cluster says of topics and groups, with what this login may do there. Each question waits for
//! its answer.

use std::ffi::{CStr, CString, c_int};
use std::ptr;
use std::slice;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rdkafka_sys as sys;

use super::client::Queue;
use super::event::{text, to_error};
use crate::describe::{
    GroupDescription, GroupKind, Operation, PartitionReplicas, TopicDescription,
};

/// An answer comes so long after its deadline at the latest, if only to say that there is none.
const MARGIN: Duration = Duration::from_secs(1);
/// How often it is seen whether the client complains meanwhile.
const LOOK: Duration = Duration::from_millis(100);
/// What no patience helps against.
const REFUSED: [Code; 3] = [Code::Authentication, Code::SaslAuthenticationFailed, Code::SSL];

/// A client that only asks.
pub(crate) struct DescribingClient {
    consumer: BaseConsumer,
}

/// Why a question has no answer.
pub(crate) type NoAnswer = (Code, String);

impl DescribingClient {
    /// It connects at the first question.
    pub(crate) fn new(config: &ClientConfig) -> KafkaResult<Self> {
        Ok(Self { consumer: config.create()? })
    }

    /// Topics, in the order of these names; or why one could not be described.
    pub(crate) fn topics(
        &self,
        names: &[CString],
        within: Duration,
    ) -> Result<Vec<Result<TopicDescription, Code>>, NoAnswer> {
        let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        // SAFETY: the collection copies the names and is destroyed after the call, which copies it in
        // turn. The answer is read before its event is destroyed.
        unsafe {
            let wanted =
                sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let event = self.ask(kind, within, |options, queue| {
                sys::rd_kafka_DescribeTopics(self.raw(), wanted, options, queue);
            });
            sys::rd_kafka_TopicCollection_destroy(wanted);
            let event = event?;
            let result = sys::rd_kafka_event_DescribeTopics_result(event.0);
            let mut count = 0;
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            Ok(array(topics.cast_const(), count)
                .iter()
                .map(|topic| describe_topic(*topic))
                .collect())
        }
    }

    /// A group; one that nobody knows is described as dead.
    ///
    /// The group's coordinator must be known to the cluster: where it is looked for until the time is
    /// over, the client would use what it has freed.
    pub(crate) fn group(
        &self,
        name: &CStr,
        within: Duration,
    ) -> Result<Result<GroupDescription, Code>, NoAnswer> {
        let mut names = [name.as_ptr()];
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        // SAFETY: the call copies the name. The answer is read before its event is destroyed.
        unsafe {
            let event = self.ask(kind, within, |options, queue| {
                let client = self.raw();
                sys::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), 1, options, queue);
            })?;
            let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.0);
            let mut count = 0;
            let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
            let group = array(groups.cast_const(), count).first();
            group
                .map(|group| describe_group(*group))
                .ok_or_else(|| no_answer(Code::GroupIdNotFound))
        }
    }

    fn raw(&self) -> *mut sys::rd_kafka_t {
        self.consumer.client().native_ptr()
    }

    /// Asks, and waits for the answer.
    ///
    /// # Safety
    /// `call` makes one admin request of this kind with the options and the queue that it is given.
    unsafe fn ask(
        &self,
        kind: sys::rd_kafka_admin_op_t,
        within: Duration,
        call: impl FnOnce(*mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Event, NoAnswer> {
        let millis = |time: Duration| c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the client is alive; queue, options and error are destroyed once. A request keeps its
        // queue by a reference of its own.
        unsafe {
            let queue = Queue(sys::rd_kafka_queue_new(self.raw()));
            let options = sys::rd_kafka_AdminOptions_new(self.raw(), kind);
            let (no_text, no_size) = (ptr::null_mut(), 0);
            sys::rd_kafka_AdminOptions_set_request_timeout(
                options,
                millis(within),
                no_text,
                no_size,
            );
            let error = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
            if !error.is_null() {
                sys::rd_kafka_error_destroy(error);
            }
            call(options, queue.0);
            sys::rd_kafka_AdminOptions_destroy(options);
            let (deadline, mut complaint) = (Instant::now() + within + MARGIN, None);
            let event = loop {
                let event = sys::rd_kafka_queue_poll(queue.0, millis(LOOK));
                if !event.is_null() {
                    break event;
                }
                for code in self.complaints() {
                    if REFUSED.contains(&code) {
                        return Err(no_answer(code));
                    }
                    complaint = complaint.or(Some(code));
                }
                if Instant::now() > deadline {
                    return Err(no_answer(complaint.unwrap_or(Code::OperationTimedOut)));
                }
            };
            let event = Event(event);
            match to_error(sys::rd_kafka_event_error(event.0)) {
                None => Ok(event),
                // Why it could not be asked says more than that it took too long.
                Some(Code::OperationTimedOut) if complaint.is_some() => {
                    Err(no_answer(complaint.unwrap_or(Code::OperationTimedOut)))
                }
                Some(code) => Err((code, text(sys::rd_kafka_event_error_string(event.0)))),
            }
        }
    }

    /// What the client complained about since it was asked last.
    fn complaints(&self) -> Vec<Code> {
        let mut codes = Vec::new();
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            codes.extend(event.err().and_then(|error| error.rdkafka_error_code()));
        }
        codes
    }
}

fn no_answer(code: Code) -> NoAnswer {
    (code, code.to_string())
}

/// An event that is destroyed when dropped.
struct Event(*mut sys::rd_kafka_event_t);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: it came from the poll of a queue, and nobody else has it.
        unsafe { sys::rd_kafka_event_destroy(self.0) }
    }
}

/// # Safety
/// `topic` stays alive during the call.
unsafe fn describe_topic(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> Result<TopicDescription, Code> {
    // SAFETY: the caller's promise; arrays have the length that the call wrote.
    unsafe {
        failed(sys::rd_kafka_TopicDescription_error(topic))?;
        let mut count = 0;
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let partitions = array(partitions.cast_const(), count).iter().map(|partition| {
            let (mut replicas, mut in_sync) = (0, 0);
            sys::rd_kafka_TopicPartitionInfo_replicas(*partition, &mut replicas);
            sys::rd_kafka_TopicPartitionInfo_isr(*partition, &mut in_sync);
            PartitionReplicas {
                replicas,
                in_sync,
                has_leader: !sys::rd_kafka_TopicPartitionInfo_leader(*partition).is_null(),
            }
        });
        let partitions = partitions.collect();
        let mut count = 0;
        let allowed = sys::rd_kafka_TopicDescription_authorized_operations(topic, &mut count);
        Ok(TopicDescription { partitions, allowed: operations(allowed, count) })
    }
}

/// # Safety
/// `group` stays alive during the call.
unsafe fn describe_group(
    group: *const sys::rd_kafka_ConsumerGroupDescription_t,
) -> Result<GroupDescription, Code> {
    use sys::rd_kafka_consumer_group_state_t as State;
    use sys::rd_kafka_consumer_group_type_t as Type;
    // SAFETY: the caller's promise; arrays have the length that the call wrote.
    unsafe {
        failed(sys::rd_kafka_ConsumerGroupDescription_error(group))?;
        let state = sys::rd_kafka_ConsumerGroupDescription_state(group);
        let kind = match sys::rd_kafka_ConsumerGroupDescription_type(group) {
            Type::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER => GroupKind::Consumer,
            _ => GroupKind::Classic,
        };
        let mut count = 0;
        let allowed =
            sys::rd_kafka_ConsumerGroupDescription_authorized_operations(group, &mut count);
        Ok(GroupDescription {
            exists: state != State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD,
            state: text(sys::rd_kafka_consumer_group_state_name(state)),
            kind,
            members: sys::rd_kafka_ConsumerGroupDescription_member_count(group),
            assignor: text(sys::rd_kafka_ConsumerGroupDescription_partition_assignor(group)),
            allowed: operations(allowed, count),
        })
    }
}

/// # Safety
/// `error` is null or stays alive during the call.
unsafe fn failed(error: *const sys::rd_kafka_error_t) -> Result<(), Code> {
    // SAFETY: the caller's promise.
    match error.is_null().then_some(()).ok_or_else(|| unsafe { sys::rd_kafka_error_code(error) }) {
        Ok(()) => Ok(()),
        Err(code) => to_error(code).map_or(Ok(()), Err),
    }
}

/// # Safety
/// `first` is null or the first of `count` operations that stay alive during the call.
unsafe fn operations(
    first: *const sys::rd_kafka_AclOperation_t,
    count: usize,
) -> Option<Vec<Operation>> {
    use sys::rd_kafka_AclOperation_t as Raw;
    // SAFETY: the caller's promise.
    let all = (!first.is_null()).then(|| unsafe { slice::from_raw_parts(first, count) })?;
    let known = all.iter().filter_map(|operation| match operation {
        Raw::RD_KAFKA_ACL_OPERATION_READ => Some(Operation::Read),
        Raw::RD_KAFKA_ACL_OPERATION_WRITE => Some(Operation::Write),
        Raw::RD_KAFKA_ACL_OPERATION_DESCRIBE => Some(Operation::Describe),
        Raw::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => Some(Operation::DescribeConfigs),
        _ => None,
    });
    Some(known.collect())
}

/// # Safety
/// `first` is null or the first of `count` elements that stay alive for `'a`.
unsafe fn array<'a, T>(first: *const *const T, count: usize) -> &'a [*const T] {
    match first.is_null() {
        true => &[],
        // SAFETY: the caller's promise.
        false => unsafe { slice::from_raw_parts(first, count) },
    }
}
