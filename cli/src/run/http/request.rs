//! The request that delivers a record.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use tidegate::Record;

use super::body::Value;
use super::headers::{HEADER_BYTES, Headers, is_plain, too_large};
use super::template::Template;

/// What CloudEvents have escaped in a header's value.
const CLOUDEVENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

const TOPIC: HeaderName = HeaderName::from_static("x-tidegate-topic");
const PARTITION: HeaderName = HeaderName::from_static("x-tidegate-partition");
const OFFSET: HeaderName = HeaderName::from_static("x-tidegate-offset");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-tidegate-timestamp");
const ATTEMPT: HeaderName = HeaderName::from_static("x-tidegate-attempt");
const KEY: HeaderName = HeaderName::from_static("x-tidegate-key");
const KEY_BASE64: HeaderName = HeaderName::from_static("x-tidegate-key-base64");
const TOMBSTONE: HeaderName = HeaderName::from_static("x-tidegate-tombstone");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const CE_SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");
const CE_ID: HeaderName = HeaderName::from_static("ce-id");
const CE_SOURCE: HeaderName = HeaderName::from_static("ce-source");
const CE_TYPE: HeaderName = HeaderName::from_static("ce-type");
const CE_PARTITIONKEY: HeaderName = HeaderName::from_static("ce-partitionkey");
const CE_TIME: HeaderName = HeaderName::from_static("ce-time");
const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

/// Makes requests of records.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) template: Template,
    pub(super) cloudevents: bool,
    pub(super) content_type: HeaderValue,
    /// For the ids of traces that begin here.
    pub(super) random: RandomState,
}

impl Requests {
    /// The request of an attempt at a record.
    ///
    /// # Errors
    /// When the record can be in no request, and why.
    pub(super) fn of(&self, record: &Arc<Record>) -> Result<Request<Value>, String> {
        let mut request = Request::new(Value::of(Arc::clone(record)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.template.of(record)?;
        let mut headers = Headers::new();
        self.fill(record, &mut headers)?;
        *request.headers_mut() = headers.map;
        Ok(request)
    }

    fn fill(&self, record: &Record, headers: &mut Headers) -> Result<(), String> {
        headers.pass_on(record, self.cloudevents)?;
        if !headers.map.contains_key(CONTENT_TYPE) && record.value().is_some() {
            headers.set(CONTENT_TYPE, self.content_type.clone())?;
        }
        if record.value().is_none_or(<[u8]>::is_empty) {
            // Some servers ask for it, and a body that is not there does not bring it.
            headers.set(CONTENT_LENGTH, HeaderValue::from_static("0"))?;
        }
        let place = format_args!("{}/{}/{}", record.topic(), record.partition(), record.offset());
        let id = headers.words(place)?;
        if self.cloudevents {
            cloudevent(record, &id, headers)?;
        }
        headers.set(IDEMPOTENCY_KEY, id)?;
        let topic = headers.text(record.topic().as_bytes())?;
        headers.set(TOPIC, topic)?;
        let numbers = [
            (PARTITION, Some(record.partition().into())),
            (OFFSET, Some(record.offset())),
            (ATTEMPT, Some(record.attempt().into())),
            (TIMESTAMP, record.timestamp().map(tidegate::Timestamp::millis)),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                let value = headers.words(format_args!("{number}"))?;
                headers.set(name, value)?;
            }
        }
        match record.key() {
            None => {}
            Some(key) if is_plain(key) => {
                let value = headers.text(key)?;
                headers.set(KEY, value)?;
            }
            Some(key) if key.len() > HEADER_BYTES => return Err(too_large()),
            Some(key) => {
                let value = headers.text(STANDARD.encode(key).as_bytes())?;
                headers.set(KEY_BASE64, value)?;
            }
        }
        if record.value().is_none() {
            headers.set(TOMBSTONE, HeaderValue::from_static("true"))?;
        }
        let trace = self.trace(record, headers)?;
        headers.set(TRACEPARENT, trace)?;
        headers.set(USER_AGENT, HeaderValue::from_static(AGENT))
    }

    /// The record's own, or the beginning of a trace: one for all its attempts, and not recorded by
    /// Tidegate (its flags are 00).
    fn trace(&self, record: &Record, headers: &mut Headers) -> Result<HeaderValue, String> {
        if let Some(own) = record.header("traceparent").filter(|own| is_traceparent(own)) {
            return headers.text(own);
        }
        let high = self.random.hash_one((record.topic(), record.partition(), record.offset()));
        let low = self.random.hash_one(high);
        let span = low.rotate_left(32) ^ u64::from(record.attempt());
        // Zero is not allowed.
        headers.words(format_args!("00-{high:016x}{:016x}-{:016x}-00", low.max(1), span.max(1)))
    }
}

/// `version-trace-span-flags`, in lower-case hexadecimal digits (W3C Trace Context).
pub(super) fn is_traceparent(value: &[u8]) -> bool {
    let digits = |range: std::ops::Range<usize>| {
        value[range].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |range: std::ops::Range<usize>| value[range].iter().all(|byte| *byte == b'0');
    value.len() == 55
        && [2, 35, 52].iter().all(|place| value[*place] == b'-')
        && [0..2, 3..35, 36..52, 53..55].into_iter().all(digits)
        && &value[..2] != b"ff"
        && !zero(3..35)
        && !zero(36..52)
}

/// The attributes of a CloudEvent in binary mode; those that the record has (`ce_type` and others)
/// come over them.
fn cloudevent(record: &Record, id: &HeaderValue, headers: &mut Headers) -> Result<(), String> {
    headers.attribute(CE_SPECVERSION, |_| Ok(HeaderValue::from_static("1.0")))?;
    headers.attribute(CE_ID, |_| Ok(id.clone()))?;
    headers
        .attribute(CE_SOURCE, |headers| headers.words(format_args!("kafka:{}", record.topic())))?;
    headers.attribute(CE_TYPE, |_| Ok(HeaderValue::from_static("dev.tidegate.record")))?;
    if let Some(Ok(key)) = record.key().map(std::str::from_utf8) {
        headers.attribute(CE_PARTITIONKEY, |headers| {
            headers.words(format_args!("{}", percent_encode(key.as_bytes(), CLOUDEVENT)))
        })?;
    }
    if let Some(at) = record.timestamp().and_then(|timestamp| time(timestamp.millis())) {
        headers.attribute(CE_TIME, |headers| {
            headers.words(format_args!("{}", humantime::format_rfc3339_millis(at)))
        })?;
    }
    Ok(())
}

/// A time that RFC 3339 can write: from 1970 to the year 9999.
fn time(millis: i64) -> Option<SystemTime> {
    const YEAR_10000: u64 = 253_402_300_800_000;
    let millis = u64::try_from(millis).ok().filter(|millis| *millis < YEAR_10000)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_those_of_the_specification() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good.as_bytes()));
        for bad in [
            "",
            &good[1..],
            &good.to_uppercase(),
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn absurd_times_are_left_out() {
        let date = |millis| Some(humantime::format_rfc3339_millis(time(millis)?).to_string());
        assert_eq!(date(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(date(253_402_300_799_999).as_deref(), Some("9999-12-31T23:59:59.999Z"));
        assert_eq!((time(-1), time(253_402_300_800_000), time(i64::MAX)), (None, None, None));
    }
}
