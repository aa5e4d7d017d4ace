//! Which letters are wanted, and where they go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::letter::Letter;

/// The form of a selection as a commit's metadata carries it.
const VERSION: u32 = 1;

/// What was asked for.
pub(super) struct Wanted {
    /// The topic that they go to, instead of the one that each came from.
    pub(super) to: Option<String>,
    pub(super) topics: Vec<String>,
    pub(super) reason: Option<String>,
    pub(super) keys: Vec<Vec<u8>>,
    /// From this time on, in milliseconds since 1970.
    pub(super) since: Option<i64>,
    /// Before this time.
    pub(super) until: Option<i64>,
}

/// The same, in one form for what is the same selection.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    topics: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// In base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
}

impl Selection {
    pub(super) fn new(wanted: Wanted) -> Self {
        let Wanted { to, mut topics, reason, keys, since, until } = wanted;
        let mut keys: Vec<_> = keys.iter().map(|key| STANDARD.encode(key)).collect();
        for names in [&mut topics, &mut keys] {
            names.sort_unstable();
            names.dedup();
        }
        Self { version: VERSION, to, topics, reason, keys, since, until }
    }

    /// Reads what [`text`](Self::text) wrote.
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|selection: &Self| selection.version == VERSION)
    }

    /// As text; the same for the same selection.
    pub(super) fn text(&self) -> String {
        // Plain data always has a form in JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it leaves nothing out and sends each letter back.
    pub(super) fn is_all(&self) -> bool {
        let all = Wanted {
            to: None,
            topics: Vec::new(),
            reason: None,
            keys: Vec::new(),
            since: None,
            until: None,
        };
        *self == Self::new(all)
    }

    /// Whether both send letters to the same place.
    pub(super) fn goes_where(&self, other: &Self) -> bool {
        self.to == other.to
    }

    /// Where a letter goes; `None` if it does not say where it comes from, and no topic is named.
    pub(super) fn target<'a>(&'a self, letter: &Letter<'a>) -> Option<&'a str> {
        self.to.as_deref().or_else(|| letter.origin())
    }

    /// Whether a letter is wanted. Where it goes is not looked at.
    pub(super) fn wants(&self, letter: &Letter<'_>) -> bool {
        let topic = |origin: &str| self.topics.iter().any(|topic| topic == origin);
        if !self.topics.is_empty() && !letter.origin().is_some_and(topic) {
            return false;
        }
        if let Some(reason) = &self.reason
            && !letter.reason().contains(reason)
            && !letter.cause().contains(reason)
        {
            return false;
        }
        if !self.keys.is_empty() {
            let Some(key) = letter.key else { return false };
            if self.keys.binary_search(&STANDARD.encode(key)).is_err() {
                return false;
            }
        }
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let Some(at) = letter.timestamp else { return false };
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Wanted {
        Wanted { to: None, topics: vec![], reason: None, keys: vec![], since: None, until: None }
    }

    fn letter<'a>(topic: &'a str, reason: &'a str) -> Letter<'a> {
        let headers = vec![
            ("kafka_dlt-original-topic", Some(topic.as_bytes())),
            ("kafka_dlt-exception-fqcn", Some(&b"tidegate.TimedOut"[..])),
            ("kafka_dlt-exception-message", Some(reason.as_bytes())),
        ];
        Letter { key: Some(b"k"), value: None, timestamp: Some(100), headers }
    }

    #[test]
    fn each_filter_leaves_out_what_it_does_not_name() {
        let wants = |wanted: Wanted| Selection::new(wanted).wants(&letter("a", "no route"));
        assert!(wants(all()));
        assert!(wants(Wanted { topics: vec!["b".to_owned(), "a".to_owned()], ..all() }));
        assert!(!wants(Wanted { topics: vec!["b".to_owned()], ..all() }));
        assert!(wants(Wanted { reason: Some("route".to_owned()), ..all() }));
        assert!(wants(Wanted { reason: Some("TimedOut".to_owned()), ..all() }));
        assert!(!wants(Wanted { reason: Some("Route".to_owned()), ..all() }));
        assert!(wants(Wanted { keys: vec![b"j".to_vec(), b"k".to_vec()], ..all() }));
        assert!(!wants(Wanted { keys: vec![b"kk".to_vec()], ..all() }));
        assert!(wants(Wanted { since: Some(100), until: Some(101), ..all() }));
        assert!(!wants(Wanted { since: Some(101), ..all() }));
        assert!(!wants(Wanted { until: Some(100), ..all() }));
    }

    #[test]
    fn the_same_selection_is_the_same_text() {
        let keys = |keys: &[&str]| {
            let keys = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
            Selection::new(Wanted { keys, ..all() })
        };
        assert_eq!(keys(&["a", "b", "a"]).text(), keys(&["b", "a"]).text());
        let one = Selection::new(Wanted { reason: Some("x".to_owned()), since: Some(3), ..all() });
        assert!(Selection::read(&one.text()).is_some_and(|read| read == one));
        assert!(!one.is_all() && Selection::new(all()).is_all());
        assert!(Selection::read("").is_none() && Selection::read("{\"version\":2}").is_none());
        let to = Selection::new(Wanted { to: Some("t".to_owned()), ..all() });
        assert!(!to.goes_where(&one) && !to.is_all());
        assert_eq!(to.target(&letter("a", "")), Some("t"));
        assert_eq!(one.target(&letter("a", "")), Some("a"));
    }
}
