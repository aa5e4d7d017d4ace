//! What a body is: one record, or many in one of three forms.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tidegate::ProducerRecord;

use crate::produce::input::{Common, Form as LineForm, record};

/// The most records of a request.
pub(super) const MOST_RECORDS: usize = 10_000;
/// What a record takes in memory beside its bytes, on its way through here and the client.
pub(super) const SHELL: usize = 512;
/// What the most records take beside their bytes.
pub(super) const LARGEST_SHELL: u64 = (MOST_RECORDS * SHELL) as u64;

/// What a body is, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The value of one record.
    Value,
    /// JSON lines, each a record as `produce --json` takes it and `run --to stdout` writes it.
    Lines,
    /// Records with JSON as key and value, as Confluent's REST proxy takes them.
    Json,
    /// The same with base64 as key and value.
    Binary,
}

/// Why a body is no records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadBody {
    /// It is not what its media type says.
    Malformed(String),
    /// There are more than [`MOST_RECORDS`].
    TooMany,
}

impl Form {
    /// By media type; `None` if it is one of the proxy's that needs a schema. Everything that is not
    /// known to be of many records is a value: what is in it is the consumers' business.
    pub(super) fn of(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-ndjson" => Some(Self::Lines),
            "application/vnd.kafka.json.v2+json" => Some(Self::Json),
            "application/vnd.kafka.binary.v2+json" => Some(Self::Binary),
            other if other.starts_with("application/vnd.kafka.") => None,
            _ => Some(Self::Value),
        }
    }

    /// Whether it is of many records, which are answered one by one.
    pub(super) fn is_many(self) -> bool {
        self != Self::Value
    }

    /// Whether it is one of the proxy's, whose clients know its status and its media type.
    pub(super) fn is_proxy(self) -> bool {
        matches!(self, Self::Json | Self::Binary)
    }
}

/// The records of a body of many. Either all of them can be read, or none is sent.
///
/// # Errors
/// When one of them cannot be read, or there is none, or there are too many.
pub(super) fn records(
    form: Form,
    topic: &str,
    body: &[u8],
) -> Result<Vec<ProducerRecord>, BadBody> {
    let records = match form {
        Form::Lines => lines(topic, body)?,
        Form::Value | Form::Json | Form::Binary => proxy(form, topic, body)?,
    };
    match records.len() {
        0 => Err(BadBody::Malformed("there is no record in it".to_owned())),
        _ => Ok(records),
    }
}

fn lines(topic: &str, body: &[u8]) -> Result<Vec<ProducerRecord>, BadBody> {
    let common = Common { topic: topic.into(), partition: None, headers: Vec::new() };
    let mut records = Vec::new();
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if records.len() == MOST_RECORDS {
            return Err(BadBody::TooMany);
        }
        records.push(record(&LineForm::Json, &common, line).map_err(|error| {
            BadBody::Malformed(format!("line {} is not a record: {error}", index + 1))
        })?);
    }
    Ok(records)
}

fn proxy(form: Form, topic: &str, body: &[u8]) -> Result<Vec<ProducerRecord>, BadBody> {
    let Object(batch): Object<Batch<'_>> = serde_json::from_slice(body)
        .map_err(|error| BadBody::Malformed(format!("it is not a list of records: {error}")))?;
    if batch.records.0.len() > MOST_RECORDS {
        return Err(BadBody::TooMany);
    }
    let make = |(index, entry): (usize, &Entry<'_>)| {
        let bytes = |what: &str, raw: Option<&RawValue>| -> Result<_, BadBody> {
            let Some(raw) = raw else { return Ok(None) };
            if form == Form::Json {
                return Ok(Some(raw.get().as_bytes().to_vec()));
            }
            let text = serde_json::from_str::<std::borrow::Cow<'_, str>>(raw.get()).ok();
            let decoded = text.and_then(|text| STANDARD.decode(text.as_bytes()).ok());
            decoded.map(Some).ok_or_else(|| {
                BadBody::Malformed(format!("the {what} of record {} is not base64", index + 1))
            })
        };
        let mut record = ProducerRecord::to(topic);
        if let Some(key) = bytes("key", entry.key)? {
            record = record.with_key(key);
        }
        if let Some(value) = bytes("value", entry.value)? {
            record = record.with_value(value);
        }
        Ok(match entry.partition {
            Some(partition) => record.with_partition(partition),
            None => record,
        })
    };
    batch.records.0.iter().enumerate().map(make).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    records: Entries<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(default)]
    partition: Option<u32>,
}

/// An object of JSON, and not a list in its place, which serde takes for a struct as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMaps<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMaps<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(OnlyMaps(PhantomData)).map(Self)
    }
}

/// One more than may be, at most: what is too many anyway is not worth the memory.
struct Entries<'a>(Vec<Entry<'a>>);

impl<'a, 'de: 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(Object(entry)) = seq.next_element()? {
                    if entries.len() <= MOST_RECORDS {
                        entries.push(entry);
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to() -> ProducerRecord {
        ProducerRecord::to("t")
    }

    #[test]
    fn the_media_type_says_what_a_body_is() {
        assert_eq!(Form::of("Application/X-NDJSON; charset=utf-8"), Some(Form::Lines));
        assert_eq!(Form::of("application/vnd.kafka.binary.v2+json"), Some(Form::Binary));
        assert_eq!(Form::of("application/json"), Some(Form::Value));
        assert_eq!(Form::of("application/vnd.kafka.avro.v2+json"), None);
    }

    #[test]
    fn json_is_sent_as_it_was_written_and_null_is_a_tombstone() {
        let body = br#"{"records":[{"key":"k","value":{"a": [1, 2.50]},"partition":3},
            {"key":null,"value":null},{"value":""}]}"#;
        let expected = [
            to().with_key("\"k\"").with_value("{\"a\": [1, 2.50]}").with_partition(3),
            to(),
            to().with_value("\"\""),
        ];
        assert_eq!(records(Form::Json, "t", body).unwrap(), expected);
        let body = br#"{"records":[{"key":"/w==","value":"AP8="},{"value":""},{}]}"#;
        let expected = [to().with_key([255]).with_value([0, 255]), to().with_value(""), to()];
        assert_eq!(records(Form::Binary, "t", body).unwrap(), expected);
    }

    #[test]
    fn what_is_no_record_is_named_by_its_number() {
        let bad = |form, body: &str| match records(form, "t", body.as_bytes()) {
            Err(BadBody::Malformed(words)) => words,
            other => panic!("{body}: {other:?}"),
        };
        assert!(bad(Form::Lines, "{}\n\n{oops\n").contains("line 3"));
        assert!(bad(Form::Binary, r#"{"records":[{},{"value":"?"}]}"#).contains("record 2"));
        assert!(bad(Form::Binary, r#"{"records":[{"value":1}]}"#).contains("record 1"));
        for form in [Form::Lines, Form::Json, Form::Binary] {
            bad(form, r#"{"records":[],"more":1}"#);
        }
        assert!(bad(Form::Json, r#"{"records":[]}"#).contains("no record"));
        assert!(bad(Form::Json, r#"{"records":[{"valeu":1}]}"#).contains("valeu"));
        bad(Form::Json, r#"[[{"value":1}]]"#);
        bad(Form::Json, r#"{"records":[["k","v"]]}"#);
        assert!(bad(Form::Lines, "{}\n[]").contains("line 2"));
        assert!(bad(Form::Lines, "\n\n").contains("no record"));
    }

    #[test]
    fn ten_thousand_records_are_enough() {
        let lines = |count| "{}\n".repeat(count);
        assert_eq!(records(Form::Lines, "t", lines(10_000).as_bytes()).unwrap().len(), 10_000);
        assert_eq!(records(Form::Lines, "t", lines(10_001).as_bytes()), Err(BadBody::TooMany));
        let json = |count: usize| format!(r#"{{"records":[{{}}{}]}}"#, ",{}".repeat(count - 1));
        assert_eq!(records(Form::Json, "t", json(10_000).as_bytes()).unwrap().len(), 10_000);
        assert_eq!(records(Form::Json, "t", json(10_001).as_bytes()), Err(BadBody::TooMany));
    }
}
