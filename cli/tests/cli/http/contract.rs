//! What answers mean for records, and that order holds.

use tidegate_testkit::kafka::{Broker, NewRecord, NewTopic};

use super::target::{Reply, Target, status};
use super::{assert_ordered, letters, numbered, topic, until_end};
use crate::committed_sum;

#[test]
fn a_key_keeps_its_order_while_a_tenth_of_the_calls_fail() {
    topic("http-order", numbered(1_000, 20));
    let target = Target::new(|request| match request.number % 10 {
        3 if request.number % 20 == 3 => status(500),
        3 if request.number % 3 == 0 => status(409),
        3 => Reply::Bytes(Vec::new()),
        _ => status(200),
    });
    until_end("http-order", &target.url("/"), &["--concurrency", "16", "--retries", "50"]);
    let seen = target.seen();
    assert!(seen.len() >= 1_100, "{}", seen.len());
    assert_ordered(&seen, 1_000);
    let again = seen.iter().find(|request| request.header("x-tidegate-attempt") == "2");
    let again = again.expect("a second attempt");
    let same = |request: &&super::Request| request.place() == again.place();
    let first = seen.iter().find(same).unwrap();
    assert_eq!(first.header("idempotency-key"), again.header("idempotency-key"));
    assert_eq!(first.header("traceparent")[..35], again.header("traceparent")[..35], "one trace");
    assert_eq!(committed_sum("http-order", "http-order"), 1_000);
}

#[test]
fn statuses_and_bodies_decide() {
    Broker::shared().admin().create_topic(NewTopic::new("http-decide-dead"));
    let cases = [
        "200",
        "201",
        "204",
        "299",
        "body RETRY",
        "body DROP",
        "body DEADLETTER",
        "body other",
        "404",
        "408",
        "409",
        "425",
        "500",
        "502",
        "504",
        "301",
        "302",
        "400",
        "410",
        "422",
        "418",
    ];
    topic("http-decide", cases.map(|case| NewRecord::new().key(case).value(case)));
    let target = Target::new(|request| {
        let first = request.header("x-tidegate-attempt") == "1";
        let case = String::from_utf8_lossy(&request.body);
        match case.strip_prefix("body ") {
            Some("RETRY") if !first => status(200),
            Some(word) => {
                let body = format!("{{\"status\":\"{word}\"}}").into_bytes();
                Reply::Answer(200, Vec::new(), body)
            }
            None => {
                let code: u16 = case.parse().unwrap();
                let location = vec![("Location", "http://127.0.0.1:1/".to_owned())];
                match code {
                    300..=399 if first => Reply::Answer(code, location, Vec::new()),
                    404 | 408 | 409 | 425 | 500.. if !first => status(200),
                    300..=399 => status(200),
                    code => status(code),
                }
            }
        }
    });
    let more = ["--dead-letter", "http-decide-dead"];
    let ended = until_end("http-decide", &target.url("/"), &more);
    let mut dead: Vec<_> = letters("http-decide-dead")
        .iter()
        .map(|letter| String::from_utf8(letter.value.clone().unwrap()).unwrap())
        .collect();
    dead.sort();
    assert_eq!(dead, ["400", "410", "418", "422", "body DEADLETTER"]);
    let summary = &ended.events("summary")[0];
    assert_eq!((&summary["skipped"], &summary["dead_lettered"]), (&1.into(), &5.into()));
    let mut again: Vec<_> = target
        .seen()
        .iter()
        .filter(|request| request.header("x-tidegate-attempt") == "2")
        .map(|request| String::from_utf8(request.body.clone()).unwrap())
        .collect();
    again.sort();
    let expected = ["301", "302", "404", "408", "409", "425", "500", "502", "504", "body RETRY"];
    assert_eq!(again, expected);
    assert_eq!(committed_sum("http-decide", "http-decide"), cases.len() as i64);
}

#[test]
fn what_a_status_means_can_be_changed() {
    topic("http-status", numbered(2, 2));
    let target = Target::new(|request| status(if request.number == 0 { 422 } else { 302 }));
    let more = ["--on-status", "422=drop", "--on-status", "3xx=done", "--concurrency", "1"];
    let ended = until_end("http-status", &target.url("/"), &more);
    let summary = &ended.events("summary")[0];
    assert_eq!((&summary["skipped"], &summary["done"]), (&1.into(), &1.into()));
}

#[test]
fn without_a_dead_letter_topic_a_refused_record_stops_its_partition() {
    topic("http-stop", numbered(3, 1));
    let target = Target::new(|request| status(if request.place().1 == 1 { 400 } else { 200 }));
    let ended = super::call("http-stop", &target.url("/"), &[]).fail(1, "offset 1");
    assert!(ended.stderr.contains("the target answers 400 Bad Request"), "{}", ended.stderr);
    assert_eq!(committed_sum("http-stop", "http-stop"), 1);
}

#[test]
fn what_no_request_can_carry_is_a_dead_letter_without_a_call() {
    Broker::shared().admin().create_topic(NewTopic::new("http-carry-dead"));
    let many = (0..101).fold(NewRecord::new(), |record, n| record.header(&format!("h{n}"), "v"));
    topic(
        "http-carry",
        [
            NewRecord::new().key("..").value("climbs"),
            NewRecord::new().key(vec![b'k'; 40_000]).value("large key"),
            NewRecord::new().header("h", vec![0; 20_000]).value("large header"),
            many.value("many headers"),
            NewRecord::new().key("good").value(vec![b'v'; 900_000]),
        ],
    );
    let target = Target::new(|_| status(200));
    let more = ["--dead-letter", "http-carry-dead"];
    until_end("http-carry", &target.url("/a/{key}"), &more);
    assert_eq!(letters("http-carry-dead").len(), 4);
    let seen = target.seen();
    assert_eq!((seen.len(), seen[0].body.len()), (1, 900_000));
}
