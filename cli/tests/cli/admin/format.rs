//! A strict reader of the text format of Prometheus: what it does not know, it does not take.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

impl Sample {
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
pub(super) struct Metrics {
    /// Name and kind.
    kinds: BTreeMap<String, String>,
    pub(super) samples: Vec<Sample>,
}

impl Metrics {
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.kinds.keys().cloned().collect()
    }

    /// The value of the only sample with this name and, among others, these labels.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |s: &&Sample| {
            s.name == name && labels.iter().all(|(name, value)| s.label(name) == Some(value))
        };
        let found: Vec<_> = self.samples.iter().filter(has).collect();
        assert!(found.len() <= 1, "several: {found:?}");
        found.first().map(|sample| sample.value)
    }

    pub(super) fn sum(&self, name: &str) -> f64 {
        self.samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }
}

fn is_name(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().next().is_some_and(|c| c.is_ascii_alphabetic()) && text.chars().all(part)
}

/// Reads all of it.
pub(super) fn parse(text: &str) -> Metrics {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut kinds = BTreeMap::new();
    let mut samples: Vec<Sample> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut help: Option<String> = None;
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').expect(line);
            assert!(is_name(name) && !words.is_empty() && help.is_none(), "{line}");
            help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert_eq!(help.take().as_deref(), Some(name), "{line}");
            assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            family = name.to_owned();
        } else {
            assert!(!line.starts_with('#') && !line.is_empty() && help.is_none(), "{line}");
            let sample = sample(line);
            let end = sample.name.strip_prefix(&family).expect(line);
            match kinds[&family].as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&end), "{line}"),
                _ => assert_eq!(end, "", "{line}"),
            }
            if kinds[&family] == "counter" {
                assert!(sample.value >= 0.0, "{line}");
            }
            assert!(seen.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "twice: {line}");
            samples.push(sample);
        }
    }
    check_buckets(&samples);
    Metrics { kinds, samples }
}

/// Buckets go up, end with +Inf, and the last is the count.
fn check_buckets(samples: &[Sample]) {
    let buckets: Vec<_> = samples.iter().filter(|s| s.name.ends_with("_bucket")).collect();
    assert!(buckets.is_sorted_by_key(|bucket| bucket.value), "{buckets:?}");
    let Some(last) = buckets.last() else { return };
    assert_eq!(last.label("le"), Some("+Inf"));
    let count = last.name.replace("_bucket", "_count");
    let count = samples.iter().find(|sample| sample.name == count).unwrap();
    assert_eq!(count.value, last.value);
}

fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').expect(line);
    let value = match value {
        "+Inf" => f64::INFINITY,
        value => {
            let number = value.parse::<f64>().expect(line);
            assert!(number.is_finite(), "{line}");
            number
        }
    };
    let Some((name, rest)) = head.split_once('{') else {
        assert!(is_name(head), "{line}");
        return Sample { name: head.to_owned(), labels: Vec::new(), value };
    };
    assert!(is_name(name), "{line}");
    let mut rest = rest.strip_suffix('}').expect(line);
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, text) = rest.split_once("=\"").expect(line);
        assert!(is_name(label), "{line}");
        let mut value = String::new();
        let mut chars = text.char_indices();
        let end = loop {
            match chars.next().expect(line) {
                (_, '\\') => match chars.next().expect(line).1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    c => panic!("an escape that there is not: {c} in {line}"),
                },
                (at, '"') => break at,
                (_, c) => value.push(c),
            }
        };
        labels.push((label.to_owned(), value));
        rest = &text[end + 1..];
        if !rest.is_empty() {
            rest = rest.strip_prefix(',').expect(line);
        }
    }
    Sample { name: name.to_owned(), labels, value }
}
