//! What a request's head asks for.
//!
//! | in the head | in the record |
//! |---|---|
//! | `X-Tidegate-Key: TEXT`, or `?key=TEXT` | the key: the header's bytes as they are, the query's percent-decoded |
//! | `X-Tidegate-Key-Base64: BASE64` | the key, for bytes that no header can carry |
//! | `X-Tidegate-Partition: N`, or `?partition=N` | the partition, instead of that of the key |
//! | `X-Tidegate-Header: NAME=VALUE`, any number of times | a header |
//! | `X-Tidegate-Tombstone: true`, or `?tombstone=true` | no value; the body must be empty |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, StatusCode};
use percent_encoding::percent_decode;
use tidegate::ProducerRecord;

use super::answer::Problem;
use super::forms::Form;

const OURS: &str = "x-tidegate-";
const KEY: &str = "x-tidegate-key";
const KEY_BASE64: &str = "x-tidegate-key-base64";
const PARTITION: &str = "x-tidegate-partition";
const HEADER: &str = "x-tidegate-header";
const TOMBSTONE: &str = "x-tidegate-tombstone";

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// What the body is.
    pub(super) form: Form,
    /// The record, without its value. Of a body of many only the topic is known.
    pub(super) record: ProducerRecord,
    /// It has no value.
    pub(super) tombstone: bool,
}

/// Reads a head.
///
/// # Errors
/// What is wrong with it, with its status.
pub(super) fn read(head: &Parts, topic: &str) -> Result<Asked, Problem> {
    let encoding = head.headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let words = "a body with a Content-Encoding is not taken: send it as it is";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    let media_type = head.headers.get(CONTENT_TYPE).map_or(Ok(""), |value| value.to_str());
    let form = media_type.ok().and_then(Form::of).ok_or_else(|| {
        let words = "of application/vnd.kafka.* only json.v2+json and binary.v2+json are taken";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words)
    })?;
    let mut found = Found::default();
    found.headers(&head.headers)?;
    found.query(head.uri.query().unwrap_or_default())?;
    if form.is_many() && found.any() {
        return Err(bad("key, partition, headers and tombstone of many records are in the body"));
    }
    let mut record = ProducerRecord::to(topic);
    if let Some(key) = found.key {
        record = record.with_key(key);
    }
    if let Some(partition) = found.partition {
        record = record.with_partition(partition);
    }
    for (name, value) in found.headers {
        record = record.with_header(name, Some(value));
    }
    Ok(Asked { form, record, tombstone: found.tombstone.unwrap_or(false) })
}

fn bad(words: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, words)
}

/// What was found so far; nothing is taken twice.
#[derive(Default)]
struct Found {
    key: Option<Vec<u8>>,
    partition: Option<u32>,
    tombstone: Option<bool>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Found {
    fn any(&self) -> bool {
        let one = self.key.is_some() || self.partition.is_some() || self.tombstone.is_some();
        one || !self.headers.is_empty()
    }

    fn headers(&mut self, headers: &HeaderMap) -> Result<(), Problem> {
        for (name, value) in headers {
            let name = name.as_str();
            if !name.starts_with(OURS) {
                continue;
            }
            match name {
                KEY => once(&mut self.key, "key", value.as_bytes().to_vec())?,
                KEY_BASE64 => {
                    let key = STANDARD.decode(value.as_bytes());
                    let key = key.map_err(|_| bad("X-Tidegate-Key-Base64 is not base64"))?;
                    once(&mut self.key, "key", key)?;
                }
                PARTITION => {
                    once(&mut self.partition, "partition", partition(value.as_bytes())?)?;
                }
                TOMBSTONE => {
                    once(&mut self.tombstone, "tombstone", truth(value.as_bytes())?)?;
                }
                HEADER => self.headers.push(header(value.as_bytes())?),
                _ => return Err(bad(format!("the header {name} is not known"))),
            }
        }
        Ok(())
    }

    fn query(&mut self, query: &str) -> Result<(), Problem> {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // As forms and curl's --data-urlencode write it, a plus is a space.
            let spaced = value.replace('+', " ");
            let value: Vec<u8> = percent_decode(spaced.as_bytes()).collect();
            match name {
                "key" => once(&mut self.key, "key", value)?,
                "partition" => once(&mut self.partition, "partition", partition(&value)?)?,
                "tombstone" => once(&mut self.tombstone, "tombstone", truth(&value)?)?,
                _ => return Err(bad("the query has more than key, partition and tombstone")),
            }
        }
        Ok(())
    }
}

fn once<T>(slot: &mut Option<T>, what: &str, value: T) -> Result<(), Problem> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(bad(format!("the {what} is given twice"))),
    }
}

fn partition(text: &[u8]) -> Result<u32, Problem> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<i32>().ok());
    number
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| bad("the partition is not a number from 0 to 2147483647"))
}

fn truth(text: &[u8]) -> Result<bool, Problem> {
    match text.to_ascii_lowercase().as_slice() {
        b"true" => Ok(true),
        b"false" => Ok(false),
        _ => Err(bad("tombstone is true or false")),
    }
}

fn header(text: &[u8]) -> Result<(String, Vec<u8>), Problem> {
    let at = text.iter().position(|byte| *byte == b'=').filter(|at| *at > 0);
    let split = at.and_then(|at| {
        let name = std::str::from_utf8(&text[..at]).ok()?;
        Some((name.trim().to_owned(), text[at + 1..].to_vec()))
    });
    split.ok_or_else(|| bad("X-Tidegate-Header is written as NAME=VALUE, with the name in UTF-8"))
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn ask(query: &str, headers: &[(&str, &str)]) -> Result<Asked, Problem> {
        let mut request = Request::builder().uri(format!("/topics/t{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(&request.body(()).unwrap().into_parts().0, "t")
    }

    fn record(query: &str, headers: &[(&str, &str)]) -> ProducerRecord {
        ask(query, headers).unwrap().record
    }

    #[test]
    fn the_head_names_all_but_the_value() {
        let to = || ProducerRecord::to("t");
        assert_eq!(record("", &[]), to());
        assert_eq!(record("", &[("X-Tidegate-Key", "k 1")]), to().with_key("k 1"));
        assert_eq!(record("", &[("X-Tidegate-Key", "")]), to().with_key(""));
        assert_eq!(record("?key=a%20b+c%ff", &[]), to().with_key(b"a b c\xff"));
        assert_eq!(record("", &[("x-tidegate-key-base64", "AP8=")]), to().with_key([0, 255]));
        let several = [("X-Tidegate-Header", "Case=a=b"), ("X-Tidegate-Header", "e=")];
        let with = to().with_header("Case", Some(b"a=b".to_vec())).with_header("e", Some(vec![]));
        assert_eq!(record("?partition=7", &several), with.with_partition(7));
        assert!(ask("?tombstone=true", &[]).unwrap().tombstone);
        assert!(!ask("", &[("X-Tidegate-Tombstone", "false")]).unwrap().tombstone);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let many = ("Content-Type", "application/x-ndjson");
        for (query, headers, status, named) in [
            ("?key=a", vec![("X-Tidegate-Key", "b")], 400, "key is given twice"),
            ("?key=a&key=b", vec![], 400, "key is given twice"),
            ("", vec![("X-Tidegate-Key-Base64", "?")], 400, "base64"),
            ("?partition=-1", vec![], 400, "partition"),
            ("?partition=2147483648", vec![], 400, "partition"),
            ("?tombstone=yes", vec![], 400, "tombstone"),
            ("?kee=a", vec![], 400, "query"),
            ("", vec![("X-Tidegate-Keys", "b")], 400, "x-tidegate-keys"),
            ("", vec![("X-Tidegate-Header", "novalue")], 400, "NAME=VALUE"),
            ("", vec![("X-Tidegate-Header", "=v")], 400, "NAME=VALUE"),
            ("?key=a", vec![many], 400, "in the body"),
            ("", vec![many, ("X-Tidegate-Header", "a=b")], 400, "in the body"),
            ("", vec![("Content-Encoding", "gzip")], 415, "Content-Encoding"),
            ("", vec![("Content-Type", "application/vnd.kafka.avro.v2+json")], 415, "json.v2"),
        ] {
            let problem = ask(query, &headers).unwrap_err();
            assert_eq!(problem.status.as_u16(), status, "{query} {headers:?}");
            assert!(problem.words.contains(named), "{query} {headers:?}: {}", problem.words);
        }
    }
}
