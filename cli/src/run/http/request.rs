//! The request that delivers a record.

use std::fmt::{self, Write as _};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};
use tidegate::Record;

use super::body::Value;
use super::template::Template;

/// Names and values of all headers together may have so many bytes.
const HEADER_BYTES: usize = 32 << 10;
/// And there may be so many in the record.
const HEADERS: usize = 100;

/// What stands for itself in `X-Tidegate-Header`.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
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
const HEADER: HeaderName = HeaderName::from_static("x-tidegate-header");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const CE_SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");
const CE_ID: HeaderName = HeaderName::from_static("ce-id");
const CE_SOURCE: HeaderName = HeaderName::from_static("ce-source");
const CE_TYPE: HeaderName = HeaderName::from_static("ce-type");
const CE_PARTITIONKEY: HeaderName = HeaderName::from_static("ce-partitionkey");
const CE_TIME: HeaderName = HeaderName::from_static("ce-time");
const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

/// Belong to the connection, to the credentials or to Tidegate: one of a record is passed on as
/// `X-Tidegate-Header`.
const RESERVED: [&str; 17] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

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
fn is_traceparent(value: &[u8]) -> bool {
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

fn too_large() -> String {
    format!("key and headers have more than {HEADER_BYTES} bytes, which no request may have")
}

/// What every server reads as it was written: visible ASCII, with spaces in between.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
        && !bytes.starts_with(b" ")
        && !bytes.ends_with(b" ")
}

/// Headers with a bound.
struct Headers {
    map: HeaderMap,
    bytes: usize,
    /// The values of all of them lie in one buffer.
    values: BytesMut,
}

impl Headers {
    fn new() -> Self {
        let (map, values) = (HeaderMap::with_capacity(24), BytesMut::with_capacity(512));
        Self { map, bytes: 0, values }
    }

    /// A value of these bytes.
    fn text(&mut self, bytes: &[u8]) -> Result<HeaderValue, String> {
        self.values.extend_from_slice(bytes);
        self.value()
    }

    /// A value of these words.
    fn words(&mut self, words: fmt::Arguments<'_>) -> Result<HeaderValue, String> {
        self.values.write_fmt(words).map_err(|_| too_large())?;
        self.value()
    }

    fn value(&mut self) -> Result<HeaderValue, String> {
        HeaderValue::from_maybe_shared(self.values.split().freeze())
            .map_err(|_| "it has something that no header can".to_owned())
    }

    /// Sets an attribute that the record does not have itself.
    fn attribute(
        &mut self,
        name: HeaderName,
        value: impl FnOnce(&mut Self) -> Result<HeaderValue, String>,
    ) -> Result<(), String> {
        if self.map.contains_key(&name) {
            return Ok(());
        }
        let value = value(self)?;
        self.set(name, value)
    }

    fn count(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), String> {
        self.bytes += name.as_str().len() + value.len();
        if self.bytes > HEADER_BYTES { Err(too_large()) } else { Ok(()) }
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), String> {
        self.count(&name, &value)?;
        self.map.insert(name, value);
        Ok(())
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), String> {
        self.count(&name, &value)?;
        self.map.append(name, value);
        Ok(())
    }

    /// Those of the record.
    fn pass_on(&mut self, record: &Record, cloudevents: bool) -> Result<(), String> {
        let all = record.headers();
        if all.len() > HEADERS {
            return Err(format!("it has more than {HEADERS} headers, which no request may have"));
        }
        let trace = record.header("traceparent").is_some_and(is_traceparent);
        for header in all {
            let size = header.name.len() + header.value.map_or(0, <[u8]>::len);
            if self.bytes + size > HEADER_BYTES {
                return Err(too_large());
            }
            if trace && header.name == "traceparent" {
                // It goes on as what it is.
                continue;
            }
            match as_it_is(header.name, header.value, cloudevents) {
                // An attribute, a media type: there is one of it, and the last one counts.
                Some((name, value, true)) => self.set(name, value)?,
                Some((name, value, false)) => self.add(name, value)?,
                None => self.escaped(header.name, header.value)?,
            }
        }
        Ok(())
    }

    /// `NAME=VALUE`, or `NAME` if the value is null, with percent-encoded bytes.
    fn escaped(&mut self, name: &str, value: Option<&[u8]>) -> Result<(), String> {
        let mut words = percent_encode(name.as_bytes(), PLAIN).to_string();
        if let Some(value) = value {
            words.push('=');
            words.extend(percent_encode(value, PLAIN));
        }
        let value = self.text(words.as_bytes())?;
        self.add(HEADER, value)
    }
}

/// A record's header as one of HTTP, and whether there is one of it only; `None` where it cannot be
/// one, or must not.
fn as_it_is(
    name: &str,
    value: Option<&[u8]>,
    cloudevents: bool,
) -> Option<(HeaderName, HeaderValue, bool)> {
    let value = value.filter(|value| is_plain(value))?;
    // As CloudEvents are in Kafka.
    let attribute = if cloudevents { name.strip_prefix("ce_") } else { None };
    let name = match attribute {
        Some(attribute)
            if attribute.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) =>
        {
            HeaderName::from_bytes(format!("ce-{attribute}").as_bytes()).ok()?
        }
        Some(_) => return None,
        None => HeaderName::from_bytes(name.as_bytes()).ok()?,
    };
    let reserved = RESERVED.contains(&name.as_str())
        || name.as_str().starts_with("x-tidegate-")
        || (attribute.is_none() && cloudevents && name.as_str().starts_with("ce-"));
    let single = attribute.is_some() || name == CONTENT_TYPE;
    (!reserved).then_some(HeaderValue::from_bytes(value).ok()).flatten().map(|v| (name, v, single))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(name: &str, value: &[u8]) -> Option<(String, bool)> {
        as_it_is(name, Some(value), true).map(|(name, _, single)| (name.to_string(), single))
    }

    #[test]
    fn what_a_server_reads_as_it_was_is_passed_on_and_nothing_else() {
        let as_is = |name: &str| Some((name.to_owned(), false));
        assert_eq!(passed("X-Request-Id", b"a b"), as_is("x-request-id"));
        assert_eq!(passed("empty", b""), as_is("empty"));
        assert_eq!(passed("content-type", b"text/plain"), Some(("content-type".to_owned(), true)));
        for value in [&b"\r\nHost: evil"[..], b"\0", b"\xff", "ä".as_bytes(), b" a", b"a ", b"\t"]
        {
            assert_eq!(passed("x", value), None, "{value:?}");
        }
        for name in ["", "a b", "a:b", "ä", "a\r\nb", "x\0"] {
            assert_eq!(passed(name, b"v"), None, "{name:?}");
        }
        for name in RESERVED.into_iter().chain(["Host", "X-Tidegate-Key", "x-tidegate-other"]) {
            assert_eq!(passed(name, b"v"), None, "{name}");
        }
        assert!(as_it_is("x", None, true).is_none(), "null");
    }

    #[test]
    fn cloudevents_of_kafka_become_those_of_http() {
        assert_eq!(passed("ce_type", b"order.made"), Some(("ce-type".to_owned(), true)));
        assert_eq!(passed("ce_specversion", b"1.0"), Some(("ce-specversion".to_owned(), true)));
        assert_eq!(passed("ce_Type", b"v"), None, "no attribute has this name");
        assert_eq!(passed("ce-type", b"v"), None, "it would be one of ours");
        let without = as_it_is("ce-type", Some(b"v"), false).map(|(name, ..)| name.to_string());
        assert_eq!(without.as_deref(), Some("ce-type"));
        let without = as_it_is("ce_type", Some(b"v"), false).map(|(name, ..)| name.to_string());
        assert_eq!(without.as_deref(), Some("ce_type"));
    }

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

    #[test]
    fn headers_have_a_bound() {
        let mut headers = Headers::new();
        assert!(headers.escaped("a b", Some(&[0; 10_000])).is_ok());
        assert_eq!(headers.map[HEADER].len(), "a%20b=".len() + 30_000);
        assert!(headers.escaped("b", Some(&[0; 10_000])).is_err());
    }
}
