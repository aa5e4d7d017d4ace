//! What arrives at a target.

use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_testkit::kafka::NewRecord;

use super::target::{Request, Target, status};
use super::{numbered, topic, until_end};
use crate::committed_sum;

fn one(target: &Target) -> Request {
    let seen = target.seen();
    assert_eq!(seen.len(), 1, "{seen:#?}");
    seen[0].clone()
}

#[test]
fn a_record_arrives_with_everything_it_has() {
    let headers = [("X-Trace", "a b"), ("x-trace", "second"), ("Host", "evil.example")];
    let record = NewRecord::new().key("paula").value(vec![0, 255, b'\n']);
    let record = headers.iter().fold(record, |record, (name, value)| record.header(name, *value));
    let record = record.header("ümlaut", "ä").header("x-tidegate-key", "mallory");
    topic("http-one", [record]);
    let target = Target::new(|_| status(200));
    until_end("http-one", &target.url("/in?x=1"), &[]);
    let request = one(&target);
    assert_eq!((request.path.as_str(), request.body.as_slice()), ("/in?x=1", &[0, 255, b'\n'][..]));
    assert_eq!(request.header("host"), target.address.to_string());
    for (name, value) in [
        ("x-tidegate-topic", "http-one"),
        ("x-tidegate-partition", "0"),
        ("x-tidegate-offset", "0"),
        ("x-tidegate-attempt", "1"),
        ("x-tidegate-key", "paula"),
        ("x-tidegate-key-base64", ""),
        ("x-tidegate-tombstone", ""),
        ("idempotency-key", "http-one/0/0"),
        ("content-type", "application/octet-stream"),
        ("ce-specversion", "1.0"),
        ("ce-id", "http-one/0/0"),
        ("ce-source", "kafka:http-one"),
        ("ce-type", "dev.tidegate.record"),
        ("ce-partitionkey", "paula"),
        ("content-length", "3"),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
        - request.header("x-tidegate-timestamp").parse::<u64>().unwrap();
    assert!(age < 600_000, "{age}");
    assert!(request.header("ce-time").ends_with('Z'));
    assert!(request.header("user-agent").starts_with("tidegate/"));
    assert_eq!(request.header("traceparent").len(), 55);
    assert_eq!(request.all("x-trace"), ["a b", "second"]);
    let escaped = ["Host=evil.example", "%C3%BCmlaut=%C3%A4", "x-tidegate-key=mallory"];
    assert_eq!(request.all("x-tidegate-header"), escaped);
    assert_eq!(committed_sum("http-one", "http-one"), 1);
}

#[test]
fn null_empty_and_binary_have_their_forms() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    topic(
        "http-forms",
        [
            NewRecord::new().key(vec![0, 1]),
            NewRecord::new().value(""),
            NewRecord::new().key("").value("{}").header("content-type", "application/json"),
            NewRecord::new()
                .value("v")
                .header("traceparent", trace)
                .header("ce_type", "order made"),
        ],
    );
    let target = Target::new(|_| status(204));
    until_end("http-forms", &target.url("/{key}/x?{header.ce_type}"), &["--ordering", "partition"]);
    let seen = target.seen();
    let header = |n: usize, name| seen[n].header(name).to_owned();
    assert_eq!(
        (header(0, "x-tidegate-key-base64"), header(0, "x-tidegate-key")),
        ("AAE=".into(), "".into())
    );
    assert_eq!(
        (header(0, "x-tidegate-tombstone"), header(0, "content-type")),
        ("true".into(), "".into())
    );
    assert_eq!((header(0, "content-length"), seen[0].path.as_str()), ("0".into(), "/%00%01/x?"));
    assert!(
        seen[1].all("x-tidegate-key").is_empty() && seen[1].all("x-tidegate-tombstone").is_empty()
    );
    assert_eq!((seen[1].path.as_str(), seen[1].body.len()), ("//x?", 0));
    assert_eq!(seen[2].all("x-tidegate-key"), [""]);
    assert_eq!(header(2, "content-type"), "application/json");
    assert_eq!(
        (header(3, "traceparent"), header(3, "ce-type")),
        (trace.into(), "order made".into())
    );
    assert_eq!(seen[3].path, "//x?order%20made");
    assert!(seen[3].all("x-tidegate-header").is_empty());
}

#[test]
fn credentials_and_flags_do_what_they_say() {
    topic("http-flags", numbered(1, 1));
    let target = Target::new(|_| status(200));
    let more = ["--cloudevents", "none", "--content-type", "application/json"];
    let call = super::call("http-flags", &target.url(""), &more).env("TIDEGATE_TOKEN", "secret-17");
    let ended = call.succeed();
    assert!(!ended.stderr.contains("secret-17"));
    let request = one(&target);
    assert_eq!(request.header("authorization"), "Bearer secret-17");
    assert_eq!((request.path.as_str(), request.header("content-type")), ("/", "application/json"));
    assert!(request.headers.iter().all(|(name, _)| !name.starts_with("ce-")));
}

#[test]
fn connections_are_kept() {
    topic("http-kept", numbered(500, 50));
    let target = Target::new(|_| status(200));
    let started = until_end("http-kept", &target.url("/"), &["--concurrency", "8"]);
    assert_eq!(target.seen().len(), 500, "{started:?}");
    assert!(target.connections() <= 16, "{}", target.connections());
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let nowhere = |more: &[&str]| {
        let args = ["run", "-b", "127.0.0.1:1", "-t", "t", "-G", "g"];
        crate::process::Call::new(&[&args[..], more].concat())
    };
    for to in ["http://", "http://{key}/", "http://a:b@h/", "http://h/{no}", "ftp://h/"] {
        nowhere(&["--to", to]).fail(2, "--to");
    }
    let to = ["--to", "https://localhost/"];
    for (flag, value) in [
        ("--cloudevents", "structured"),
        ("--content-type", "json"),
        ("--on-status", "404=maybe"),
        ("--on-status", "42=retry"),
        ("--http-version", "3"),
        ("--connect-timeout", "0"),
        ("--first-byte-timeout", "2h"),
        ("--client-cert", "/no/such/file"),
    ] {
        nowhere(&[&to[..], &[flag, value]].concat()).fail(2, flag);
    }
    for flag in ["--token-file", "--basic-file", "--ca"] {
        nowhere(&[&to[..], &[flag, "/no/such/file"]].concat()).fail(78, "/no/such/file");
    }
}
