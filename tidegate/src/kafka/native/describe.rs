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
/// The longest wait for an answer: half of what the client takes as the time of a request.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// What one broker says, and another may not: once all brokers are down, no patience helps against it.
const REFUSED: [Code; 3] = [Code::Authentication, Code::SaslAuthenticationFailed, Code::SSL];

/// A client that only asks.
pub(crate) struct DescribingClient {
    config: ClientConfig,
    consumer: BaseConsumer,
}

/// Why a question has no answer.
pub(crate) type NoAnswer = (Code, String);

impl DescribingClient {
    /// It connects at the first question.
    pub(crate) fn new(config: &ClientConfig) -> KafkaResult<Self> {
        Ok(Self { config: config.clone(), consumer: config.create()? })
    }

    /// Topics, in the order of these names and as many; or why one could not be described.
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
            let times = Times { request: clamped(within), patience: clamped(within) + MARGIN };
            let event = self.ask(kind, times, |options, queue| {
                sys::rd_kafka_DescribeTopics(self.raw(), wanted, options, queue);
            });
            sys::rd_kafka_TopicCollection_destroy(wanted);
            let event = event?;
            let result = sys::rd_kafka_event_DescribeTopics_result(event.0);
            let mut count = 0;
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            let topics = array(topics.cast_const(), count);
            let named = (0..names.len()).map(|index| topics.get(index).copied());
            Ok(named.map(|topic| describe_topic(topic.unwrap_or(ptr::null()))).collect())
        }
    }

    /// A group; one that nobody knows is described as dead.
    ///
    /// The story: where the group's coordinator is looked for until the time of the request is over, and
    /// then found, librdkafka 2.12 uses what it has freed with the request. So the request's time is never
    /// over: it is longer than anybody waits, and the client is this question's own and gone after it, which
    /// ends the search before the request.
    pub(crate) fn group(
        &self,
        name: &CStr,
        within: Duration,
    ) -> Result<Result<GroupDescription, Code>, NoAnswer> {
        let own = Self::new(&self.config);
        let own = own.map_err(|error| {
            (error.rdkafka_error_code().unwrap_or(Code::Fail), error.to_string())
        })?;
        let times = Times { request: 2 * LONGEST, patience: clamped(within) };
        let mut names = [name.as_ptr()];
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        // SAFETY: the call copies the name. The answer is read before its event is destroyed, and that
        // before its client.
        unsafe {
            let event = own.ask(kind, times, |options, queue| {
                let client = own.raw();
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
        times: Times,
        call: impl FnOnce(*mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Event, NoAnswer> {
        let millis = |time: Duration| c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX);
        // What went wrong before says nothing of this question.
        self.complaints();
        // SAFETY: the client is alive; queue, options and error are destroyed once. A request keeps its
        // queue by a reference of its own.
        unsafe {
            let queue = Queue(sys::rd_kafka_queue_new(self.raw()));
            let options = sys::rd_kafka_AdminOptions_new(self.raw(), kind);
            let (no_text, no_size) = (ptr::null_mut(), 0);
            // It takes up to an hour, and no longer one comes here.
            let taken = sys::rd_kafka_AdminOptions_set_request_timeout(
                options,
                millis(times.request),
                no_text,
                no_size,
            );
            if let Some(code) = to_error(taken) {
                sys::rd_kafka_AdminOptions_destroy(options);
                return Err(no_answer(code));
            }
            let error = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
            if !error.is_null() {
                sys::rd_kafka_error_destroy(error);
            }
            call(options, queue.0);
            sys::rd_kafka_AdminOptions_destroy(options);
            let (deadline, mut complaints) =
                (Instant::now() + times.patience, Complaints::default());
            let event = loop {
                let event = sys::rd_kafka_queue_poll(queue.0, millis(LOOK));
                if !event.is_null() {
                    break event;
                }
                self.complaints().into_iter().for_each(|code| complaints.add(code));
                if let Some(code) = complaints.is_final() {
                    return Err(no_answer(code));
                }
                if Instant::now() > deadline {
                    return Err(no_answer(complaints.why().unwrap_or(Code::OperationTimedOut)));
                }
            };
            let event = Event(event);
            match to_error(sys::rd_kafka_event_error(event.0)) {
                None => Ok(event),
                // Why it could not be asked says more than that it took too long.
                Some(code @ Code::OperationTimedOut) if complaints.why().is_some() => {
                    Err(no_answer(complaints.why().unwrap_or(code)))
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

/// How long a question may take.
#[derive(Clone, Copy)]
struct Times {
    /// By the client.
    request: Duration,
    /// By us, who may stop waiting before.
    patience: Duration,
}

/// A wait that is none of years.
fn clamped(within: Duration) -> Duration {
    within.min(LONGEST)
}

/// What the client complains about while a question has no answer.
#[derive(Debug, Default)]
struct Complaints {
    first: Option<Code>,
    refused: Option<Code>,
    all_down: bool,
}

impl Complaints {
    fn add(&mut self, code: Code) {
        self.all_down |= code == Code::AllBrokersDown;
        if REFUSED.contains(&code) {
            self.refused = Some(code);
        }
        self.first = self.first.or(Some(code));
    }

    /// What says most of why there is no answer.
    fn why(&self) -> Option<Code> {
        self.refused.or(self.first)
    }

    /// A refusal that no other broker makes up for.
    fn is_final(&self) -> Option<Code> {
        self.refused.filter(|_| self.all_down)
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
/// `topic` is null (the answer says nothing of it) or stays alive during the call.
unsafe fn describe_topic(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> Result<TopicDescription, Code> {
    if topic.is_null() {
        return Err(Code::BadMessage);
    }
    // SAFETY: the caller's promise; arrays have the length that the call wrote.
    unsafe {
        failed(sys::rd_kafka_TopicDescription_error(topic))?;
        let mut count = 0;
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let partitions = array(partitions.cast_const(), count).iter();
        let partitions = partitions.map(|partition| {
            if partition.is_null() {
                return Err(Code::BadMessage);
            }
            let (mut replicas, mut in_sync) = (0, 0);
            sys::rd_kafka_TopicPartitionInfo_replicas(*partition, &mut replicas);
            sys::rd_kafka_TopicPartitionInfo_isr(*partition, &mut in_sync);
            Ok(PartitionReplicas {
                replicas,
                in_sync,
                has_leader: !sys::rd_kafka_TopicPartitionInfo_leader(*partition).is_null(),
            })
        });
        let partitions = partitions.collect::<Result<_, _>>()?;
        let mut count = 0;
        let allowed = sys::rd_kafka_TopicDescription_authorized_operations(topic, &mut count);
        Ok(TopicDescription { partitions, allowed: operations(allowed, count) })
    }
}

/// # Safety
/// `group` is null (the answer says nothing of it) or stays alive during the call.
unsafe fn describe_group(
    group: *const sys::rd_kafka_ConsumerGroupDescription_t,
) -> Result<GroupDescription, Code> {
    use sys::rd_kafka_consumer_group_state_t as State;
    use sys::rd_kafka_consumer_group_type_t as Type;
    if group.is_null() {
        return Err(Code::BadMessage);
    }
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_hole_in_an_answer_is_an_error_of_its_own() {
        // SAFETY: null is what both allow.
        let (topic, group) = unsafe { (describe_topic(ptr::null()), describe_group(ptr::null())) };
        assert_eq!(topic, Err(Code::BadMessage));
        assert_eq!(group, Err(Code::BadMessage));
    }

    #[test]
    fn a_wait_without_end_has_one() {
        assert_eq!(clamped(Duration::MAX), LONGEST);
        assert_eq!(clamped(Duration::from_secs(3)), Duration::from_secs(3));
    }

    #[test]
    fn a_refusal_is_final_when_no_broker_is_left() {
        let mut complaints = Complaints::default();
        assert_eq!((complaints.is_final(), complaints.why()), (None, None));
        complaints.add(Code::BrokerTransportFailure);
        complaints.add(Code::SSL);
        assert_eq!((complaints.is_final(), complaints.why()), (None, Some(Code::SSL)));
        complaints.add(Code::AllBrokersDown);
        assert_eq!(complaints.is_final(), Some(Code::SSL));
        let mut down = Complaints::default();
        down.add(Code::AllBrokersDown);
        assert_eq!((down.is_final(), down.why()), (None, Some(Code::AllBrokersDown)));
    }

    #[test]
    fn the_only_broker_s_refusal_ends_the_wait_each_time() {
        let plain = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", plain.local_addr().unwrap().to_string());
        config.set("security.protocol", "ssl");
        // It speaks no TLS.
        std::thread::spawn(move || {
            while let Ok((mut connection, _)) = plain.accept() {
                let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        });
        let client = DescribingClient::new(&config).unwrap();
        let within = Duration::from_secs(20);
        let since = Instant::now();
        assert_eq!(client.topics(&[c"orders".to_owned()], within).unwrap_err().0, Code::SSL);
        assert_eq!(client.group(c"billing", within).unwrap_err().0, Code::SSL);
        assert!(since.elapsed() < within, "{:?}", since.elapsed());
    }

    #[test]
    fn who_hangs_is_not_waited_for_beyond_the_time_given() {
        // It takes connections, and nobody answers.
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", mute.local_addr().unwrap().to_string());
        let client = DescribingClient::new(&config).unwrap();
        let within = Duration::from_millis(300);
        let since = Instant::now();
        assert!(client.topics(&[c"orders".to_owned()], within).is_err());
        // Twice: the first client is gone when the second asks.
        assert!(client.group(c"billing", within).is_err());
        assert!(client.group(c"billing", within).is_err());
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    }
}
