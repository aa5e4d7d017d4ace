//! What arrives is what was sent.

use serde_json::json;

use super::{Answer, Server, at, head, place, read, topic};

const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");
const JSON: (&str, &str) = ("Content-Type", "application/vnd.kafka.json.v2+json");
const BINARY: (&str, &str) =
    ("Content-Type", "application/vnd.kafka.binary.v2+json; charset=utf-8");

/// Query, headers and body.
type Sent<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8]);
/// Key and value.
type Arrives = (Option<Vec<u8>>, Option<Vec<u8>>);

#[test]
fn one_record_arrives_as_it_was_sent() {
    topic("ingest-one", 3);
    let server = Server::ready("ingest-one", &[]);
    let all: Vec<u8> = (0..=255).collect();
    let key = Some(b"k".to_vec());
    let cases: [(Sent<'_>, Arrives); 8] = [
        (("", &[], b"plain"), (None, Some(b"plain".to_vec()))),
        (("", &[("X-Tidegate-Key", "k")], &all), (key.clone(), Some(all.clone()))),
        (("?key=k", &[], b""), (key.clone(), Some(Vec::new()))),
        (("?key=%FF%00a+b", &[], b"v"), (Some(b"\xff\0a b".to_vec()), Some(b"v".to_vec()))),
        (
            ("", &[("X-Tidegate-Key-Base64", "AP8=")], b"v"),
            (Some(vec![0, 255]), Some(b"v".to_vec())),
        ),
        (("", &[("X-Tidegate-Key", "")], b"v"), (Some(Vec::new()), Some(b"v".to_vec()))),
        (("?key=k&tombstone=true", &[], b""), (key.clone(), None)),
        (("", &[("X-Tidegate-Key", "k"), ("X-Tidegate-Tombstone", "true")], b""), (key, None)),
    ];
    let mut client = server.connect();
    let places: Vec<_> = cases
        .iter()
        .map(|((query, headers, body), _)| {
            client.post(&format!("/topics/ingest-one{query}"), headers, body).place()
        })
        .collect();
    let records = read("ingest-one");
    assert_eq!(records.len(), cases.len());
    for ((sent, (key, value)), place) in cases.iter().zip(&places) {
        let record = at(&records, *place);
        assert_eq!((&record.key, &record.value), (key, value), "{:?}", sent.0);
    }
    let same_key = |i: usize| places[i].0;
    assert_eq!(same_key(1), same_key(2), "a key has one partition");
}

#[test]
fn headers_and_partition_are_those_of_the_request() {
    topic("ingest-headers", 4);
    let server = Server::ready("ingest-headers", &[]);
    let headers = [
        ("X-Tidegate-Header", "Trace-Id=a=b"),
        ("X-Tidegate-Header", "empty="),
        ("X-Tidegate-Partition", "3"),
        ("X-Other", "stays here"),
        ("Content-Type", "text/plain"),
    ];
    let place = server.post("/topics/ingest-headers", &headers, b"v").place();
    assert_eq!(place, (3, 0));
    let expected = [("Trace-Id", "a=b"), ("empty", "")];
    let expected = expected.map(|(n, v)| (n.to_owned(), Some(v.as_bytes().to_vec())));
    assert_eq!(at(&read("ingest-headers"), place).headers, expected);
    assert_eq!(server.post("/topics/ingest-headers?partition=2", &[], b"v").place().0, 2);
}

#[test]
fn a_body_in_pieces_is_one_value() {
    topic("ingest-chunked", 1);
    let server = Server::ready("ingest-chunked", &[]);
    let mut client = server.connect();
    client.send(&head("POST", "/topics/ingest-chunked", &[("Transfer-Encoding", "chunked")], None));
    let mut expected = Vec::new();
    for piece in 0..200_u8 {
        client.send(b"400\r\n");
        client.send(&[piece; 1024]);
        client.send(b"\r\n");
        expected.extend([piece; 1024]);
    }
    client.send(b"0\r\n\r\n");
    let place = client.answer().unwrap().place();
    assert_eq!(at(&read("ingest-chunked"), place).value.as_deref(), Some(&expected[..]));
}

fn delivered(answer: &Answer) -> Vec<(i32, i64)> {
    for record in answer.records() {
        assert!(record["error_code"].is_null() && record["error"].is_null(), "{record}");
    }
    answer.records().iter().map(place).collect()
}

#[test]
fn json_lines_are_answered_one_by_one() {
    topic("ingest-lines", 2);
    let server = Server::ready("ingest-lines", &[]);
    let body = concat!(
        r#"{"key":"k","value":"v","headers":[["h","x"]],"partition":1,"timestamp":17}"#,
        "\n\n",
        r#"{"key":"/w==","key_encoding":"base64","value":null}"#,
        "\r\n",
        r#"{"value":""}"#,
    );
    let answer = server.post("/topics/ingest-lines", &[NDJSON], body.as_bytes());
    assert_eq!((answer.status, answer.header("content-type")), (202, "application/json"));
    let places = delivered(&answer);
    let records = read("ingest-lines");
    let first = at(&records, places[0]);
    assert_eq!((first.partition, first.timestamp), (1, Some(17)));
    assert_eq!(first.headers, [("h".to_owned(), Some(b"x".to_vec()))]);
    let second = at(&records, places[1]);
    assert_eq!((&second.key, &second.value), (&Some(vec![255]), &None));
    let third = at(&records, places[2]);
    assert_eq!((&third.key, &third.value), (&None, &Some(Vec::new())));
}

#[test]
fn the_forms_of_the_rest_proxy_are_taken_and_answered_like_it() {
    topic("ingest-proxy", 2);
    let server = Server::ready("ingest-proxy", &[]);
    let json =
        r#"{"records":[{"key":{"id": 1},"value":["é", 1.50]},{"value":null,"partition":1}]}"#;
    let answer = server.post("/topics/ingest-proxy", &[JSON], json.as_bytes());
    let kind = answer.header("content-type").to_owned();
    assert_eq!((answer.status, kind.as_str()), (200, "application/vnd.kafka.v2+json"));
    let places = delivered(&answer);
    let binary = json!({ "records": [{ "key": "AAE=", "value": "/wA=" }] }).to_string();
    let answer = server.post("/topics/ingest-proxy", &[BINARY], binary.as_bytes());
    assert_eq!(answer.status, 200);
    let binary = delivered(&answer)[0];
    let records = read("ingest-proxy");
    let first = at(&records, places[0]);
    assert_eq!(first.key.as_deref(), Some(&br#"{"id": 1}"#[..]));
    assert_eq!(first.value.as_deref(), Some("[\"é\", 1.50]".as_bytes()));
    assert_eq!((places[1].0, &at(&records, places[1]).value), (1, &None));
    let last = at(&records, binary);
    assert_eq!((&last.key, &last.value), (&Some(vec![0, 1]), &Some(vec![255, 0])));
}

#[test]
fn records_of_a_request_keep_their_order() {
    topic("ingest-order", 3);
    let server = Server::ready("ingest-order", &[]);
    let line = |n: usize| format!("{{\"key\":\"{}\",\"value\":\"{n}\"}}\n", n % 7);
    let body: String = (0..5_000).map(line).collect();
    let answer = server.post("/topics/ingest-order", &[NDJSON], body.as_bytes());
    assert_eq!((answer.status, delivered(&answer).len()), (202, 5_000));
    let mut last = std::collections::HashMap::new();
    for record in read("ingest-order") {
        let number: u32 = String::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
        let before = last.insert(record.key, number);
        assert!(before.is_none_or(|before| before < number));
    }
}
