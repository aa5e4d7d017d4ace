#![allow(unsafe_code)]
//! The admin requests of assignments and probes: log offsets, topics.

use std::ffi::{CString, c_int};
use std::ptr;
use std::slice;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use tidegate_runtime::TopicPartition;

use super::client::{NativeClient, OffsetPoint, to_list};
use super::event::{Answer, answer as element, text, to_error};

/// How long one request may take before it is answered with an error.
const TIMEOUT_MS: c_int = 5_000;

/// What a question at an assignment brought.
#[derive(Debug)]
pub(crate) enum AdminAnswer {
    /// The group's committed offsets with their metadata.
    Committed(Vec<Answer>),
    /// Offsets of the log.
    Offsets(Vec<Answer>),
    /// Topics, or why a topic could not be described.
    Topics(Vec<(String, Result<TopicFacts, RDKafkaErrorCode>)>),
}

/// What a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicFacts {
    /// A hash of its id.
    pub(crate) incarnation: u64,
    /// How many partitions it has.
    pub(crate) partitions: u32,
}

impl NativeClient {
    /// Asks for offsets of the log: `spec` is a timestamp in milliseconds, or
    /// [`LOG_START`](Self::LOG_START) or [`LOG_END`](Self::LOG_END).
    pub(crate) fn ask_offsets(
        &self,
        request: usize,
        names: &[TopicPartition],
        spec: i64,
        read_committed: bool,
    ) {
        let points: Vec<_> = names.iter().map(|name| point(name, spec)).collect();
        let Ok(list) = to_list(&points) else { return };
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        let isolation = match read_committed {
            true => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            false => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
        };
        // SAFETY: the call copies the list.
        unsafe {
            self.with_options(kind, request, |options| {
                let error = sys::rd_kafka_AdminOptions_set_isolation_level(options, isolation);
                if !error.is_null() {
                    sys::rd_kafka_error_destroy(error);
                }
                sys::rd_kafka_ListOffsets(self.raw(), list.ptr(), options, self.main_queue());
            });
        }
    }

    /// Asks what topics are.
    pub(crate) fn ask_topics(&self, request: usize, topics: &[&str]) {
        let names: Vec<_> = topics.iter().filter_map(|name| CString::new(*name).ok()).collect();
        let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        // SAFETY: the collection copies the names and is destroyed after the call, which copies
        // it in turn.
        unsafe {
            let wanted =
                sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            self.with_options(kind, request, |options| {
                sys::rd_kafka_DescribeTopics(self.raw(), wanted, options, self.main_queue());
            });
            sys::rd_kafka_TopicCollection_destroy(wanted);
        }
    }

    /// The first offset of the log.
    pub(crate) const LOG_START: i64 = -2;
    /// The offset behind the last one of the log.
    pub(crate) const LOG_END: i64 = -1;

    unsafe fn with_options(
        &self,
        kind: sys::rd_kafka_admin_op_t,
        request: usize,
        call: impl FnOnce(*mut sys::rd_kafka_AdminOptions_t),
    ) {
        // SAFETY: the client is alive, the options are destroyed after the call. The opaque is a
        // number that is never followed.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(self.raw(), kind);
            let (no_text, no_size) = (ptr::null_mut(), 0);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, TIMEOUT_MS, no_text, no_size);
            sys::rd_kafka_AdminOptions_set_opaque(options, request as *mut _);
            call(options);
            sys::rd_kafka_AdminOptions_destroy(options);
        }
    }
}

fn point(partition: &TopicPartition, offset: i64) -> OffsetPoint<'_> {
    OffsetPoint { partition, offset, leader_epoch: -1, metadata: "" }
}

/// # Safety
/// `raw` is an event that stays alive during the call.
pub(super) unsafe fn answer(kind: i32, raw: *mut sys::rd_kafka_event_t) -> Option<AdminAnswer> {
    // SAFETY: the caller's promise; arrays have the length that the call wrote.
    unsafe {
        let mut count = 0;
        Some(match kind {
            sys::RD_KAFKA_EVENT_LISTOFFSETS_RESULT => {
                let result = sys::rd_kafka_event_ListOffsets_result(raw);
                let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
                let partition = |info: &*const sys::rd_kafka_ListOffsetsResultInfo_t| {
                    element(&*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info))
                };
                AdminAnswer::Offsets(array(infos, count).iter().map(partition).collect())
            }
            sys::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT => {
                let result = sys::rd_kafka_event_DescribeTopics_result(raw);
                let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
                let id = |topic: &*const sys::rd_kafka_TopicDescription_t| {
                    let name = text(sys::rd_kafka_TopicDescription_name(*topic));
                    let error = sys::rd_kafka_TopicDescription_error(*topic);
                    let code = match error.is_null() {
                        true => None,
                        false => to_error(sys::rd_kafka_error_code(error)),
                    };
                    let id = sys::rd_kafka_TopicDescription_topic_id(*topic);
                    let high = sys::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
                    let low = sys::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned();
                    let mut partitions = 0;
                    sys::rd_kafka_TopicDescription_partitions(*topic, &mut partitions);
                    let facts = TopicFacts {
                        incarnation: high ^ low.rotate_left(32),
                        partitions: u32::try_from(partitions).unwrap_or(u32::MAX),
                    };
                    (name, code.map_or(Ok(facts), Err))
                };
                AdminAnswer::Topics(array(topics, count).iter().map(id).collect())
            }
            _ => return None,
        })
    }
}

/// # Safety
/// `first` is null or the first of `count` elements that stay alive for `'a`.
unsafe fn array<'a, T>(first: *mut *const T, count: usize) -> &'a [*const T] {
    match first.is_null() {
        true => &[],
        // SAFETY: the caller's promise.
        false => unsafe { slice::from_raw_parts(first, count) },
    }
}
