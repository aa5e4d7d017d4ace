#![allow(unsafe_code)]
//! Events of the main queue, copied into plain data.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::slice;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;
use tidegate_runtime::TopicPartition;

use super::admin;

/// What a rebalance event asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rebalance {
    Assign,
    Revoke,
}

/// A partition in an event, with its offset and error.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    pub(crate) error: Option<RDKafkaErrorCode>,
}

/// An event of the main queue.
#[derive(Debug)]
pub(crate) enum NativeEvent {
    Rebalance(Rebalance, Vec<TopicPartition>),
    /// The answer to the commit with this number.
    Commit {
        number: usize,
        error: Option<RDKafkaErrorCode>,
        answers: Vec<Answer>,
    },
    /// Something went wrong; `topic` if it is one topic's.
    Error {
        code: RDKafkaErrorCode,
        text: String,
        fatal: bool,
        topic: Option<String>,
    },
    /// The answer to an admin request with this number.
    Admin {
        request: usize,
        result: Result<admin::AdminAnswer, (RDKafkaErrorCode, String)>,
    },
    /// A log line of the client.
    Log {
        level: i32,
        facility: String,
        text: String,
    },
    /// Of no interest here.
    Other,
}

/// Copies an event and destroys it.
///
/// # Safety
/// `raw` is an event that the caller owns.
pub(super) unsafe fn take(raw: *mut sys::rd_kafka_event_t) -> NativeEvent {
    // SAFETY: the event is alive until it is destroyed below; all results are copied.
    unsafe {
        let event = copy(raw);
        sys::rd_kafka_event_destroy(raw);
        event
    }
}

unsafe fn copy(raw: *mut sys::rd_kafka_event_t) -> NativeEvent {
    // SAFETY: `take` says that the event is alive.
    unsafe {
        let code = sys::rd_kafka_event_error(raw);
        let error = to_error(code);
        match sys::rd_kafka_event_type(raw) {
            sys::RD_KAFKA_EVENT_REBALANCE => {
                let kind = match code {
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign,
                    _ => Rebalance::Revoke,
                };
                let list = answers(sys::rd_kafka_event_topic_partition_list(raw));
                NativeEvent::Rebalance(kind, list.into_iter().map(|a| a.partition).collect())
            }
            sys::RD_KAFKA_EVENT_OFFSET_COMMIT => NativeEvent::Commit {
                number: sys::rd_kafka_event_opaque(raw).addr(),
                error,
                answers: answers(sys::rd_kafka_event_topic_partition_list(raw)),
            },
            sys::RD_KAFKA_EVENT_ERROR => {
                let partition = sys::rd_kafka_event_topic_partition(raw);
                let topic = (!partition.is_null()).then(|| {
                    let topic = text((*partition).topic);
                    sys::rd_kafka_topic_partition_destroy(partition);
                    topic
                });
                NativeEvent::Error {
                    code: code.into(),
                    text: text(sys::rd_kafka_event_error_string(raw)),
                    fatal: sys::rd_kafka_event_error_is_fatal(raw) != 0,
                    topic,
                }
            }
            sys::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                sys::rd_kafka_event_log(raw, &mut facility, &mut line, &mut level);
                NativeEvent::Log { level, facility: text(facility), text: text(line) }
            }
            kind => match admin::answer(kind, raw) {
                Some(answer) => NativeEvent::Admin {
                    request: sys::rd_kafka_event_opaque(raw) as usize,
                    result: match error {
                        Some(error) => Err((error, text(sys::rd_kafka_event_error_string(raw)))),
                        None => Ok(answer),
                    },
                },
                None => NativeEvent::Other,
            },
        }
    }
}

pub(super) fn to_error(code: RDKafkaRespErr) -> Option<RDKafkaErrorCode> {
    (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
}

/// # Safety
/// `list` is null or a list that stays alive during the call.
pub(super) unsafe fn answers(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Answer> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise; a list has `cnt` elements from `elems`, none if that is null.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        if count == 0 {
            return Vec::new();
        }
        slice::from_raw_parts((*list).elems, count).iter().map(|element| answer(element)).collect()
    }
}

/// # Safety
/// `element` is a valid element of a list that stays alive during the call.
pub(super) unsafe fn answer(element: &sys::rd_kafka_topic_partition_t) -> Answer {
    // SAFETY: the caller's promise; metadata has the given size.
    unsafe {
        let metadata = match element.metadata.is_null() {
            true => String::new(),
            false => {
                let bytes =
                    slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size);
                String::from_utf8_lossy(bytes).into_owned()
            }
        };
        Answer {
            partition: TopicPartition::new(text(element.topic), element.partition),
            offset: element.offset,
            leader_epoch: sys::rd_kafka_topic_partition_get_leader_epoch(element),
            metadata,
            error: to_error(element.err),
        }
    }
}

/// # Safety
/// `pointer` is null or a C string that stays alive during the call.
pub(super) unsafe fn text(pointer: *const c_char) -> String {
    match pointer.is_null() {
        true => String::new(),
        // SAFETY: the caller's promise.
        false => unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned(),
    }
}
