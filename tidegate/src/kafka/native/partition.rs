#![allow(unsafe_code)]
//! One partition's queue, and the messages taken from it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;
use tidegate_engine::Offset;
use tidegate_runtime::{RecordParts, SourceWaker, Timestamp, TopicPartition};

use super::client::Queue;
use crate::kafka::context::Context;

/// As many messages as one read takes at most.
const BATCH: usize = 256;

/// Whether the linked librdkafka is of a version whose source was read for what
/// [`Message::has_no_headers`] relies on: 2.12.x.
static PAYLOAD_IS_IN_RESPONSE: LazyLock<bool> = LazyLock::new(|| {
    // SAFETY: it has no preconditions.
    unsafe { sys::rd_kafka_version() >> 16 == 0x020c }
});

/// Set by the client when the queue goes from empty to one.
struct Bell {
    rung: AtomicBool,
    waker: SourceWaker,
}

/// The queue of one partition, split from the client's main queue.
///
/// The client rings when the queue goes from empty to one, and only then: a queue that was left
/// non-empty never rings again, so a read that came back full remembers that by itself.
pub(crate) struct PartitionQueue {
    /// Taken from the client, not yet handed on. Destroyed first.
    messages: VecDeque<Message>,
    queue: Queue,
    bell: Arc<Bell>,
    /// Keeps the client alive for queue and messages.
    _client: Arc<BaseConsumer<Context>>,
}

unsafe extern "C" fn ring(_client: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the `Bell` of a `PartitionQueue`, which disables this callback (under
    // the lock that is held during it) before it lets go of the bell.
    let bell = unsafe { &*opaque.cast::<Bell>() };
    bell.rung.store(true, Ordering::Release);
    bell.waker.wake();
}

impl PartitionQueue {
    pub(super) fn split(
        client: &Arc<BaseConsumer<Context>>,
        partition: &TopicPartition,
        waker: SourceWaker,
    ) -> Option<Self> {
        let topic = CString::new(&*partition.topic).ok()?;
        // The first read is worth a try: it learns the position even if nothing is there.
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), waker });
        // SAFETY: the client is alive. The bell outlives the callback, see `ring` and `Drop`.
        unsafe {
            let raw = sys::rd_kafka_queue_get_partition(
                client.client().native_ptr(),
                topic.as_ptr(),
                partition.partition,
            );
            if raw.is_null() {
                return None;
            }
            sys::rd_kafka_queue_forward(raw, ptr::null_mut());
            let opaque = Arc::as_ptr(&bell).cast_mut().cast::<c_void>();
            sys::rd_kafka_queue_cb_event_enable(raw, Some(ring), opaque);
            Some(Self {
                messages: VecDeque::new(),
                queue: Queue(raw),
                bell,
                _client: Arc::clone(client),
            })
        }
    }

    /// Whether there may be messages.
    pub(crate) fn may_have_messages(&self) -> bool {
        !self.messages.is_empty() || self.bell.rung.load(Ordering::Relaxed)
    }

    /// How many messages the client has, those that it will not hand out any more included.
    pub(crate) fn length(&self) -> usize {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.queue.0) }
    }

    /// Takes up to `max` messages from the client, without waiting. They wait in this queue's
    /// front until [`pop`](Self::pop). Whether the client may have more.
    pub(crate) fn fill(&mut self, max: usize) -> bool {
        // Cleared before the read: what comes during the read rings again.
        self.bell.rung.swap(false, Ordering::Acquire);
        let mut raw = [ptr::null_mut(); BATCH];
        let max = max.min(BATCH);
        // SAFETY: `raw` has room for `max` messages; each one it is filled with is ours.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.queue.0, 0, raw.as_mut_ptr(), max) };
        let count = usize::try_from(count).unwrap_or(0);
        self.messages.extend(raw[..count].iter().map(|raw| Message(*raw)));
        let full = count == max;
        if full {
            self.bell.rung.store(true, Ordering::Relaxed);
        }
        full
    }

    /// The next message, and how many wait.
    pub(crate) fn front(&self) -> Option<&Message> {
        self.messages.front()
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn pop(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive. The call takes the lock under which `ring` runs, so that
        // the bell may go afterwards.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.queue.0, None, ptr::null_mut()) }
    }
}

/// A message of the client: a record, or an error of its partition.
pub(crate) struct Message(*mut sys::rd_kafka_message_t);

// SAFETY: a message belongs to whoever took it from the queue; destroying it from another thread
// is allowed.
unsafe impl Send for Message {}

impl Message {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the pointer is valid until `Drop`.
        unsafe { &*self.0 }
    }

    pub(crate) fn offset(&self) -> Offset {
        Offset(self.raw().offset)
    }

    /// The error it stands for, if it is no record.
    pub(crate) fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let code = self.raw().err;
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: of an error, the payload is a C string that lives as long as the message.
        let text = unsafe { sys::rd_kafka_message_errstr(self.0) };
        let text = match text.is_null() {
            true => String::new(),
            // SAFETY: as above.
            false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
        };
        Some((code.into(), text))
    }

    /// Key and value together, in bytes. Headers are not known before they are parsed.
    pub(crate) fn bytes(&self) -> usize {
        self.raw().len + self.raw().key_len
    }

    pub(crate) fn parts(&self) -> RecordParts<'_> {
        let raw = self.raw();
        RecordParts {
            offset: Offset(raw.offset),
            timestamp: self.timestamp(),
            // SAFETY: the message is alive.
            leader_epoch: unsafe { sys::rd_kafka_message_leader_epoch(self.0) },
            key: part(raw.key, raw.key_len),
            value: part(raw.payload, raw.len),
        }
    }

    fn timestamp(&self) -> Option<Timestamp> {
        use sys::rd_kafka_timestamp_type_t as Kind;
        let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive and `kind` is written by the call.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.0, &mut kind) };
        match kind {
            _ if millis < 0 => None,
            Kind::RD_KAFKA_TIMESTAMP_CREATE_TIME => Some(Timestamp::Created(millis)),
            Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => Some(Timestamp::Appended(millis)),
            Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => None,
        }
    }

    /// Whether the record says, in the response it came in, that it has no headers.
    ///
    /// librdkafka looks for headers by allocating a parser for each record that has none, which
    /// was an eighth of the whole client's work. But in a record of format 2 (the only one that
    /// knows leader epochs) the byte behind the value is the number of headers, and the client's
    /// payload points into the response.
    fn has_no_headers(&self) -> bool {
        let raw = self.raw();
        // SAFETY: the message is alive.
        let is_v2 = unsafe { sys::rd_kafka_message_leader_epoch(self.0) } >= 0;
        // An empty value points anywhere.
        if raw.payload.is_null() || raw.len == 0 || !is_v2 || !*PAYLOAD_IS_IN_RESPONSE {
            return false;
        }
        // SAFETY: in the versions for which `PAYLOAD_IS_IN_RESPONSE` holds, the payload of a
        // format 2 record lies in the buffer of its response (or what that was decompressed to),
        // which is one piece and lives as long as the message. The number of headers follows it
        // there in every well-formed record, and brokers check the form of what is produced: only
        // one that sends a record without that number would have the byte behind it read.
        unsafe { *raw.payload.cast::<u8>().add(raw.len) == 0 }
    }

    /// The headers in their order.
    pub(crate) fn headers(&self) -> Headers<'_> {
        let mut raw = ptr::null_mut();
        if self.has_no_headers() {
            return Headers { raw, next: 0, _message: self };
        }
        // SAFETY: the message is alive and owns the headers; without any the call says so.
        let error = unsafe { sys::rd_kafka_message_headers(self.0, &mut raw) };
        let none = error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        Headers { raw: if none { ptr::null_mut() } else { raw }, next: 0, _message: self }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: it is destroyed once, and its client is alive (see the module's arguments).
        unsafe { sys::rd_kafka_message_destroy(self.0) }
    }
}

/// A null pointer is null, which an empty part is not.
fn part<'a>(pointer: *const c_void, len: usize) -> Option<&'a [u8]> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the client gave pointer and length of one buffer, which lives as long as the
    // message; the caller's signature ties it to that.
    Some(unsafe { slice::from_raw_parts(pointer.cast::<u8>(), len) })
}

/// Iterates over a message's headers.
#[derive(Clone, Copy)]
pub(crate) struct Headers<'a> {
    raw: *mut sys::rd_kafka_headers_t,
    next: usize,
    _message: &'a Message,
}

impl Headers<'_> {
    /// Names and values together, in bytes.
    pub(crate) fn bytes(self) -> usize {
        self.map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum()
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (Cow<'a, str>, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.raw.is_null() {
            return None;
        }
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers live as long as the message; an index behind the last one is
        // answered with an error.
        let error = unsafe {
            sys::rd_kafka_header_get_all(self.raw, self.next, &mut name, &mut value, &mut size)
        };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        self.next += 1;
        // SAFETY: a header's name is a C string that lives as long as the message.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        Some((name, part(value, size)))
    }
}
