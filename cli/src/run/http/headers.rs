//! The headers of a request: those that a record has, and a bound on all of them.

use std::fmt::{self, Write as _};

use bytes::BytesMut;
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use tidegate::Record;

use super::request::is_traceparent;

/// Names and values of all headers together may have so many bytes.
pub(super) const HEADER_BYTES: usize = 32 << 10;
/// And there may be so many in the record.
const HEADERS: usize = 100;

/// What stands for itself in `X-Tidegate-Header`.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const HEADER: HeaderName = HeaderName::from_static("x-tidegate-header");

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

/// Why a request cannot be.
pub(super) fn too_large() -> String {
    format!("key and headers have more than {HEADER_BYTES} bytes, which no request may have")
}

/// What every server reads as it was written: visible ASCII, with spaces in between.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
        && !bytes.starts_with(b" ")
        && !bytes.ends_with(b" ")
}

/// Headers with a bound.
pub(super) struct Headers {
    pub(super) map: HeaderMap,
    bytes: usize,
    /// The values of all of them lie in one buffer.
    values: BytesMut,
}

impl Headers {
    /// None yet.
    pub(super) fn new() -> Self {
        let (map, values) = (HeaderMap::with_capacity(24), BytesMut::with_capacity(512));
        Self { map, bytes: 0, values }
    }

    /// A value of these bytes.
    pub(super) fn text(&mut self, bytes: &[u8]) -> Result<HeaderValue, String> {
        self.values.extend_from_slice(bytes);
        self.value()
    }

    /// A value of these words.
    pub(super) fn words(&mut self, words: fmt::Arguments<'_>) -> Result<HeaderValue, String> {
        self.values.write_fmt(words).map_err(|_| too_large())?;
        self.value()
    }

    fn value(&mut self) -> Result<HeaderValue, String> {
        HeaderValue::from_maybe_shared(self.values.split().freeze())
            .map_err(|_| "it has something that no header can".to_owned())
    }

    /// Sets an attribute that the record does not have itself.
    pub(super) fn attribute(
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

    /// Sets one, instead of any of that name.
    pub(super) fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), String> {
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
    pub(super) fn pass_on(&mut self, record: &Record, cloudevents: bool) -> Result<(), String> {
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
    fn headers_have_a_bound() {
        let mut headers = Headers::new();
        assert!(headers.escaped("a b", Some(&[0; 10_000])).is_ok());
        assert_eq!(headers.map[HEADER].len(), "a%20b=".len() + 30_000);
        assert!(headers.escaped("b", Some(&[0; 10_000])).is_err());
    }
}
