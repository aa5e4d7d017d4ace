//! Lines of standard input as records.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tidegate::ProducerRecord;

/// What a line is.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// The value; what is before the delimiter, if there is one, is the key.
    Text { key_delimiter: Option<String> },
    /// A JSON object, as `tidegate run --to stdout` writes it.
    Json,
}

/// What every record of a call has.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: Option<u32>,
    pub(crate) headers: Vec<(String, String)>,
}

/// Makes a record of a line without its line end.
///
/// # Errors
/// In words, when the line is not what it should be.
pub(crate) fn record(form: &Form, common: &Common, line: &[u8]) -> Result<ProducerRecord, String> {
    let mut record = ProducerRecord::to(Arc::clone(&common.topic));
    if let Some(partition) = common.partition {
        record = record.with_partition(partition);
    }
    record = match form {
        Form::Text { key_delimiter: None } => record.with_value(line),
        Form::Text { key_delimiter: Some(delimiter) } => {
            let at = line.windows(delimiter.len()).position(|w| w == delimiter.as_bytes());
            let Some(at) = at else {
                return Err(format!("it has no key: {delimiter:?} is not in it"));
            };
            record.with_key(&line[..at]).with_value(&line[at + delimiter.len()..])
        }
        Form::Json => {
            // An array would be taken for the fields in their order.
            if line.trim_ascii_start().first() != Some(&b'{') {
                return Err("it is not a JSON object".to_owned());
            }
            let line = serde_json::from_slice::<Line>(line).map_err(|error| error.to_string())?;
            line.apply(record)?
        }
    };
    let add = |record: ProducerRecord, (name, value): &(String, String)| {
        record.with_header(name, Some(value.clone().into_bytes()))
    };
    Ok(common.headers.iter().fold(record, add))
}

/// A line of JSON. Topic and offset of a line that `run` wrote say where it was, and are not used.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    key_encoding: Encoding,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    value_encoding: Encoding,
    #[serde(default)]
    headers: Vec<HeaderLine>,
    #[serde(default)]
    partition: Option<u32>,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default, rename = "topic")]
    _topic: Option<String>,
    #[serde(default, rename = "offset")]
    _offset: Option<i64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Text,
    Base64,
}

/// `[name, value]`, or `[name, value, "base64"]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum HeaderLine {
    Encoded(String, Option<String>, Encoding),
    Plain(String, Option<String>),
}

impl Line {
    fn apply(self, mut record: ProducerRecord) -> Result<ProducerRecord, String> {
        if let Some(key) = bytes("key", self.key, self.key_encoding)? {
            record = record.with_key(key);
        }
        if let Some(value) = bytes("value", self.value, self.value_encoding)? {
            record = record.with_value(value);
        }
        for header in self.headers {
            let (name, value, encoding) = match header {
                HeaderLine::Encoded(name, value, encoding) => (name, value, encoding),
                HeaderLine::Plain(name, value) => (name, value, Encoding::Text),
            };
            record = record.with_header(name, bytes("a header", value, encoding)?);
        }
        if let Some(partition) = self.partition {
            record = record.with_partition(partition);
        }
        if let Some(millis) = self.timestamp {
            record = record.with_timestamp(millis);
        }
        Ok(record)
    }
}

fn bytes(what: &str, text: Option<String>, encoding: Encoding) -> Result<Option<Vec<u8>>, String> {
    match (text, encoding) {
        (None, _) => Ok(None),
        (Some(text), Encoding::Text) => Ok(Some(text.into_bytes())),
        (Some(text), Encoding::Base64) => {
            STANDARD.decode(text).map(Some).map_err(|error| format!("{what}: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common() -> Common {
        let headers = vec![("h".to_owned(), "v".to_owned())];
        Common { topic: "t".into(), partition: None, headers }
    }

    fn expected() -> ProducerRecord {
        ProducerRecord::to("t").with_key("k").with_value("a:b")
    }

    fn h(record: ProducerRecord) -> ProducerRecord {
        record.with_header("h", Some(b"v".to_vec()))
    }

    #[test]
    fn text_is_a_value_or_a_key_and_a_value() {
        let plain = Form::Text { key_delimiter: None };
        let value = h(ProducerRecord::to("t").with_value("k:a:b"));
        assert_eq!(record(&plain, &common(), b"k:a:b"), Ok(value));
        let keyed = Form::Text { key_delimiter: Some(":".to_owned()) };
        assert_eq!(record(&keyed, &common(), b"k:a:b"), Ok(h(expected())));
        assert!(record(&keyed, &common(), b"no key").unwrap_err().contains("no key"));
    }

    #[test]
    fn json_is_what_run_writes() {
        let line = br#"{"topic":"x","partition":3,"offset":9,"timestamp":17,"key":"k",
            "value":"YTpi","value_encoding":"base64","headers":[["a","b"],["c",null],["d","AA==","base64"]]}"#;
        let with_headers = expected()
            .with_header("a", Some(b"b".to_vec()))
            .with_header("c", None)
            .with_header("d", Some(vec![0]))
            .with_partition(3)
            .with_timestamp(17);
        assert_eq!(record(&Form::Json, &common(), line), Ok(h(with_headers)));
        let tombstone = h(ProducerRecord::to("t").with_key("k"));
        assert_eq!(record(&Form::Json, &common(), br#"{"key":"k","value":null}"#), Ok(tombstone));
        for wrong in ["", "[]", r#"{"keys":"k"}"#, r#"{"value":"?","value_encoding":"base64"}"#] {
            assert!(record(&Form::Json, &common(), wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
