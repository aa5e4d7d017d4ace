//! What dead-lettering added to a record.
//!
//! Tidegate appends both families of headers behind the record's own, as one run that begins with
//! `__connect.errors.topic`; a letter of a letter has two of them. Kafka Connect and Spring Kafka add
//! only theirs, anywhere. So the last run is taken away where there is one, and everything that has
//! these names where there is none.

use std::borrow::Cow;

use tidegate::{ProducerRecord, Record};

use crate::settings::topic;

/// Counts how often a record was redriven, as text.
pub(super) const REDRIVEN: &str = "tidegate-redriven";

const CONNECT: &str = "__connect.errors.";
const SPRING: &str = "kafka_dlt-";
/// With it a run of ours begins.
const FIRST: &str = "__connect.errors.topic";
/// And this is in it.
const SECOND_FAMILY: &str = "kafka_dlt-original-topic";

/// A record of the dead-letter topic.
pub(super) struct Letter<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    /// When it became a letter, in milliseconds since 1970.
    pub(super) timestamp: Option<i64>,
    pub(super) headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

fn is_added(name: &str) -> bool {
    name.starts_with(CONNECT) || name.starts_with(SPRING)
}

impl<'a> Letter<'a> {
    /// A record as a handler gets it.
    pub(super) fn of(record: &'a Record) -> Self {
        Self {
            key: record.key(),
            value: record.value(),
            timestamp: record.timestamp().map(|timestamp| timestamp.millis()),
            headers: record.headers().map(|header| (header.name, header.value)).collect(),
        }
    }

    /// The last header with this name, as Kafka's own clients choose.
    fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().rev().find(|(known, _)| *known == name).and_then(|(_, value)| *value)
    }

    fn text(&self, names: [&str; 2]) -> Option<Cow<'a, str>> {
        names.iter().find_map(|name| self.header(name)).map(String::from_utf8_lossy)
    }

    /// The topic that it came from, if it says so.
    pub(super) fn origin(&self) -> Option<&'a str> {
        let name = self.header(SECOND_FAMILY).or_else(|| self.header(FIRST))?;
        std::str::from_utf8(name).ok().filter(|name| topic(name).is_ok())
    }

    /// The partition that it came from.
    pub(super) fn partition(&self) -> Option<u32> {
        if let Some(bytes) = self.header("kafka_dlt-original-partition") {
            let number = i32::from_be_bytes(bytes.try_into().ok()?);
            return u32::try_from(number).ok();
        }
        std::str::from_utf8(self.header("__connect.errors.partition")?).ok()?.parse().ok()
    }

    /// The timestamp that it had there.
    fn original_timestamp(&self) -> Option<i64> {
        let bytes = self.header("kafka_dlt-original-timestamp")?;
        Some(i64::from_be_bytes(bytes.try_into().ok()?)).filter(|millis| *millis >= 0)
    }

    /// Why it became a letter; empty if it does not say so.
    pub(super) fn reason(&self) -> Cow<'a, str> {
        self.text(["kafka_dlt-exception-message", "__connect.errors.exception.message"])
            .unwrap_or_default()
    }

    /// Which kind of failure made it one; empty if it does not say so.
    pub(super) fn cause(&self) -> Cow<'a, str> {
        self.text(["kafka_dlt-exception-fqcn", "__connect.errors.exception.class.name"])
            .unwrap_or_default()
    }

    /// Where the run of headers begins that Tidegate appended.
    fn appended(&self) -> Option<usize> {
        let at = self.headers.iter().rposition(|(name, _)| *name == FIRST)?;
        let run = &self.headers[at..];
        let ours = run.iter().any(|(name, _)| *name == SECOND_FAMILY);
        (ours && run.iter().all(|(name, _)| is_added(name))).then_some(at)
    }

    /// The record as it was, for this topic, with how often it was redriven.
    pub(super) fn restored(&self, target: &str, keep: Keep) -> ProducerRecord {
        let mut record = ProducerRecord::to(target);
        if let Some(key) = self.key {
            record = record.with_key(key);
        }
        if let Some(value) = self.value {
            record = record.with_value(value);
        }
        if let Some(partition) = self.partition().filter(|_| keep.partition) {
            record = record.with_partition(partition);
        }
        if let Some(millis) = self.original_timestamp().filter(|_| keep.timestamp) {
            record = record.with_timestamp(millis);
        }
        let run = self.appended();
        let own = self.headers.iter().enumerate().filter(|(at, (name, _))| match run {
            Some(run) => *at < run,
            None => !is_added(name),
        });
        for (_, (name, value)) in own.filter(|(_, (name, _))| *name != REDRIVEN) {
            record = record.with_header(*name, value.map(<[u8]>::to_vec));
        }
        let before = self.header(REDRIVEN).and_then(|text| std::str::from_utf8(text).ok());
        let before: u32 = before.and_then(|text| text.parse().ok()).unwrap_or(0);
        let times = before.saturating_add(1).to_string();
        record.with_header(REDRIVEN, Some(times.into_bytes()))
    }
}

/// What a record keeps beside key, value and headers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keep {
    pub(super) partition: bool,
    pub(super) timestamp: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter<'a>(headers: &[(&'a str, &'a [u8])]) -> Letter<'a> {
        let headers = headers.iter().map(|(name, value)| (*name, Some(*value))).collect();
        Letter { key: Some(b"k"), value: None, timestamp: Some(7), headers }
    }

    const OURS: [(&str, &[u8]); 6] = [
        ("__connect.errors.topic", b"orders"),
        ("__connect.errors.partition", b"3"),
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-exception-message", b"no route"),
        ("kafka_dlt-original-partition", &[0, 0, 0, 3]),
        ("kafka_dlt-original-timestamp", &[0, 0, 0, 0, 0, 0, 0, 9]),
    ];

    fn names(record: &ProducerRecord) -> Vec<(&str, &[u8])> {
        record
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or_default()))
            .collect()
    }

    #[test]
    fn what_was_added_goes_and_the_rest_stays() {
        let own: [(&str, &[u8]); 2] = [("a", b"1"), ("a", b"2")];
        let of = [&own[..], &OURS[..]].concat();
        let letter = letter(&of);
        assert_eq!(letter.origin(), Some("orders"));
        assert_eq!((letter.partition(), &*letter.reason()), (Some(3), "no route"));
        let plain = letter.restored("orders", Keep::default());
        assert_eq!(names(&plain), [own[0], own[1], (REDRIVEN, b"1")]);
        assert_eq!((plain.key(), plain.value()), (Some(&b"k"[..]), None));
        assert_eq!((plain.partition(), plain.timestamp()), (None, None));
        let keep = Keep { partition: true, timestamp: true };
        let kept = letter.restored("other", keep);
        assert_eq!((kept.topic(), kept.partition(), kept.timestamp()), ("other", Some(3), Some(9)));
    }

    #[test]
    fn of_a_letter_of_a_letter_the_last_run_goes() {
        let first: [(&str, &[u8]); 2] =
            [("__connect.errors.topic", b"older"), ("kafka_dlt-original-topic", b"older")];
        let of = [&[(REDRIVEN, &b"4"[..])][..], &first, &OURS].concat();
        let record = letter(&of).restored("orders", Keep::default());
        assert_eq!(names(&record), [first[0], first[1], (REDRIVEN, b"5")]);
    }

    #[test]
    fn letters_of_others_are_read_and_nonsense_is_not() {
        let connect = letter(&[
            ("__connect.errors.topic", b"c"),
            ("x", b"1"),
            ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ]);
        assert_eq!(connect.origin(), Some("c"));
        assert_eq!(
            names(&connect.restored("c", Keep::default())),
            [("x", &b"1"[..]), (REDRIVEN, b"1")]
        );
        let spring = letter(&[("kafka_dlt-original-topic", b"s"), ("x", b"1")]);
        assert_eq!((spring.origin(), spring.partition()), (Some("s"), None));
        assert_eq!(letter(&[("kafka_dlt-original-topic", b"no topic")]).origin(), None);
        assert_eq!(letter(&[("x", b"1")]).origin(), None);
        let odd = letter(&[("kafka_dlt-original-partition", b"x"), (REDRIVEN, b"many")]);
        assert_eq!(odd.partition(), None);
        assert_eq!(names(&odd.restored("t", Keep::default())), [(REDRIVEN, &b"1"[..])]);
    }
}
