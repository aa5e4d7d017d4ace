//! Reads a property file and finds librdkafka's words for it.

use std::collections::BTreeMap;
use std::io::Read;

use encoding_rs::UTF_8;
use java_properties::PropertiesIter;
use tidegate::StartFrom;

use super::{jaas, stores};

/// What a file came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Translated {
    /// librdkafka properties, in alphabetical order.
    pub(crate) properties: Vec<(String, String)>,
    /// The start that `auto.offset.reset` means.
    pub(crate) reset: Option<StartFrom>,
}

/// The same thing under another name.
const RENAMED: &[(&str, &str)] = &[
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("request.timeout.ms", "socket.timeout.ms"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("socket.connection.setup.timeout.max.ms", "socket.connection.setup.timeout.ms"),
];

/// What has no meaning here: parts of the Java client, and what Tidegate decides by itself (only
/// finished records are committed, and no more is read than fits).
const WITHOUT_MEANING: &[&str] = &[
    "auto.commit.interval.ms",
    "default.api.timeout.ms",
    "enable.auto.commit",
    "exclude.internal.topics",
    "interceptor.classes",
    "key.deserializer",
    "key.serializer",
    "max.poll.records",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "sasl.client.callback.handler.class",
    "security.providers",
    "socket.connection.setup.timeout.ms",
    "ssl.enabled.protocols",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    "value.deserializer",
    "value.serializer",
];

/// Reads and translates a file.
///
/// # Errors
/// When it cannot be read, or has something that has no counterpart here; the message names the
/// line or the property.
pub(crate) fn read(mut file: impl Read) -> Result<Translated, String> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let mut properties = BTreeMap::new();
    PropertiesIter::new_with_encoding(text(&bytes).as_bytes(), UTF_8)
        .read_into(|name, value| drop(properties.insert(name, value)))
        .map_err(|error| error.to_string())?;
    translate(properties)
}

/// Java reads Latin-1. Editors that write UTF-8 with a byte order mark say so by it.
///
/// The parser is given UTF-8, whatever the file has: at a file that ends within what might have
/// become a byte order mark its decoder panics.
fn text(bytes: &[u8]) -> String {
    match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(utf_8) => String::from_utf8_lossy(utf_8).into_owned(),
        None => bytes.iter().copied().map(char::from).collect(),
    }
}

fn translate(mut from: BTreeMap<String, String>) -> Result<Translated, String> {
    let mut to = Translated::default();
    if let Some(config) = from.remove("sasl.jaas.config") {
        to.properties.extend(jaas::translate(&config)?);
    }
    to.properties.extend(stores::translate(&mut from)?);
    if let Some(reset) = from.remove("auto.offset.reset") {
        to.reset = Some(match reset.as_str() {
            "earliest" => StartFrom::Earliest,
            "latest" => StartFrom::Latest,
            _ => {
                return Err(format!(
                    "auto.offset.reset={reset} has no counterpart: use earliest or latest, or \
                     take it out and give --from"
                ));
            }
        });
    }
    if let Some(assignors) = from.remove("partition.assignment.strategy") {
        let names: Result<Vec<_>, _> = assignors.split(',').map(assignor).collect();
        to.properties.push(("partition.assignment.strategy".to_owned(), names?.join(",")));
    }
    for (name, value) in from {
        if WITHOUT_MEANING.contains(&name.as_str()) {
            continue;
        }
        let renamed = RENAMED.iter().find(|(java, _)| *java == name);
        let name = renamed.map_or(name, |(_, here)| (*here).to_owned());
        // -1 lets the system decide, which is 0 in librdkafka's words.
        let system_decides = name.ends_with(".buffer.bytes") && value == "-1";
        let value = if system_decides { "0".to_owned() } else { value };
        to.properties.push((name, value));
    }
    to.properties.sort();
    Ok(to)
}

/// librdkafka's name of an assignor that Java names by its class.
fn assignor(class: &str) -> Result<&str, String> {
    let class = class.trim();
    match class.rsplit('.').next().unwrap_or(class) {
        "CooperativeStickyAssignor" | "cooperative-sticky" => Ok("cooperative-sticky"),
        "RangeAssignor" | "range" => Ok("range"),
        "RoundRobinAssignor" | "roundrobin" => Ok("roundrobin"),
        _ => Err(format!(
            "partition.assignment.strategy: there is no {class} here; use \
             CooperativeStickyAssignor, RangeAssignor or RoundRobinAssignor"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Result<Translated, String> {
        read(text.as_bytes())
    }

    fn get<'a>(translated: &'a Translated, name: &str) -> Option<&'a str> {
        let found = translated.properties.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_usual_file_is_understood() {
        let translated = from(
            "# a comment\n\
             bootstrap.servers=a:1,b:2\n\
             security.protocol=SASL_SSL\n\
             sasl.mechanism=SCRAM-SHA-512\n\
             sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n\
             \x20   username=\"paula\" \\\n\
             \x20   password=\"pa\\\\\"ss; word\";\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location=/etc/ca.pem\n\
             auto.offset.reset=latest\n\
             enable.auto.commit=true\n\
             fetch.max.wait.ms=77\n\
             receive.buffer.bytes=-1\n\
             partition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor\n",
        )
        .unwrap();
        assert_eq!(get(&translated, "bootstrap.servers"), Some("a:1,b:2"));
        assert_eq!(get(&translated, "security.protocol"), Some("SASL_SSL"));
        assert_eq!(get(&translated, "sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(get(&translated, "sasl.username"), Some("paula"));
        assert_eq!(get(&translated, "sasl.password"), Some("pa\"ss; word"));
        assert_eq!(get(&translated, "ssl.ca.location"), Some("/etc/ca.pem"));
        assert_eq!(get(&translated, "enable.auto.commit"), None);
        assert_eq!(get(&translated, "fetch.wait.max.ms"), Some("77"));
        assert_eq!(get(&translated, "socket.receive.buffer.bytes"), Some("0"));
        assert_eq!(get(&translated, "partition.assignment.strategy"), Some("range"));
        assert_eq!(translated.reset, Some(StartFrom::Latest));
    }

    #[test]
    fn latin_1_is_read_as_java_does_and_a_byte_order_mark_means_utf_8() {
        let client = |file: &[u8]| {
            let translated = read(file).unwrap();
            get(&translated, "client.id").map(str::to_owned)
        };
        assert_eq!(client(b"client.id=caf\xe9\x80").as_deref(), Some("caf\u{e9}\u{80}"));
        assert_eq!(client(b"\xef\xbb\xbfclient.id=caf\xc3\xa9").as_deref(), Some("caf\u{e9}"));
        assert_eq!(client(b"client.id=caf\\u00e9").as_deref(), Some("caf\u{e9}"));
        for begun in [b"\xff".as_slice(), b"\xfe", b"\xef\xbb", b"\xff\xfe\x41"] {
            assert_eq!(read(begun).unwrap().properties.len(), 1, "{begun:?}");
        }
        assert_eq!(read(b"\xef\xbb\xbf".as_slice()), Ok(Translated::default()));
    }

    #[test]
    fn what_is_malformed_is_told_by_its_line() {
        let refused = from("a=1\nb=\\u00g0\n").unwrap_err();
        assert!(refused.contains('2'), "{refused}");
    }

    #[test]
    fn what_has_no_counterpart_is_named() {
        let refused = from("auto.offset.reset=none").unwrap_err();
        assert!(refused.contains("auto.offset.reset"), "{refused}");
        let refused = from("partition.assignment.strategy=com.example.Own").unwrap_err();
        assert!(refused.contains("com.example.Own"), "{refused}");
        // librdkafka refuses it later, by this name.
        assert_eq!(get(&from("no.such=1").unwrap(), "no.such"), Some("1"));
    }
}
