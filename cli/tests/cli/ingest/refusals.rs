//! What is not taken, and how that is said. Nothing of it reaches the topic.

use tidegate_testkit::kafka::{Broker, NewTopic};

use super::{Server, head, read, topic};

/// Status, path, headers, body, and what the answer names.
type Case<'a> = (u16, String, Vec<(&'a str, &'a str)>, &'a [u8], &'a str);

#[test]
fn each_refusal_has_its_status_and_says_why() {
    topic("ingest-refused", 2);
    let server = Server::ready("ingest-refused", &["--max-body", "1000B"]);
    let path = "/topics/ingest-refused";
    let query = |query: &str| format!("{path}{query}");
    let (lines, json) = (
        ("Content-Type", "application/x-ndjson"),
        ("Content-Type", "application/vnd.kafka.json.v2+json"),
    );
    let avro = ("Content-Type", "application/vnd.kafka.avro.v2+json");
    let large = vec![b'x'; 1_001];
    let many = b"{}\n".repeat(300);
    let cases: Vec<Case<'_>> = vec![
        (404, "/topics/other".into(), vec![], b"v", "not served"),
        (404, "/".into(), vec![], b"v", "not served"),
        (404, "/topics/".into(), vec![], b"v", "not served"),
        (404, query("/0"), vec![], b"v", "not served"),
        (403, path.into(), vec![("Origin", "http://evil.example")], b"v", "token"),
        (413, path.into(), vec![], &large, "1000 bytes"),
        (415, path.into(), vec![avro], b"{}", "json.v2+json"),
        (415, path.into(), vec![("Content-Encoding", "gzip")], b"v", "Content-Encoding"),
        (400, path.into(), vec![lines], b"{\"value\":\"1\"}\n{oops", "line 2"),
        (400, path.into(), vec![lines], b"[]", "line 1"),
        (400, path.into(), vec![lines], b"", "no record"),
        (400, path.into(), vec![json], b"{\"record\":[]}", "record"),
        (400, path.into(), vec![json], &many, "list of records"),
        (400, query("?key=a"), vec![("X-Tidegate-Key", "b")], b"v", "twice"),
        (400, query("?kye=a"), vec![], b"v", "query"),
        (400, query("?tombstone=true"), vec![], b"v", "no body"),
        (400, path.into(), vec![("X-Tidegate-Kye", "b")], b"v", "x-tidegate-kye"),
        (422, query("?partition=2"), vec![], b"v", "no partition 2"),
        (422, path.into(), vec![lines], b"{}\n{\"partition\":9}", "record 2"),
    ];
    for (status, path, headers, body, named) in cases {
        let answer = server.post(&path, &headers, body);
        assert_eq!(answer.status, status, "{path} {headers:?}: {answer:?}");
        assert_eq!(answer.body["error_code"], status, "{answer:?}");
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.contains(named), "{path} {headers:?}: {message}");
        assert!(!message.contains("ingest-refused") || status == 422, "no topic is named");
    }
    assert!(read("ingest-refused").is_empty(), "nothing of it was sent");
    assert_eq!(server.post(path, &[], b"v").status, 202, "it serves on");
}

#[test]
fn methods_are_told_and_health_is_answered() {
    topic("ingest-methods", 1);
    let server = Server::ready("ingest-methods", &[]);
    let ask = |method: &str, path: &str| {
        let mut client = server.connect();
        client.send(&head(method, path, &[], Some(0)));
        client.answer().unwrap()
    };
    let answer = ask("GET", "/topics/ingest-methods");
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    assert_eq!(ask("DELETE", "/topics/ingest-methods").status, 405);
    assert_eq!(ask("GET", "/topics/other").status, 404);
    let answer = ask("GET", "/healthz");
    assert_eq!((answer.status, &answer.body["status"]), (200, &"up".into()));
    assert_eq!(ask("POST", "/healthz").status, 405);
}

#[test]
fn a_body_in_pieces_ends_at_the_bound() {
    topic("ingest-pieces", 1);
    let server = Server::ready("ingest-pieces", &["--max-body", "100kB"]);
    let mut client = server.connect();
    client.send(&head("POST", "/topics/ingest-pieces", &[("Transfer-Encoding", "chunked")], None));
    for _ in 0..100 {
        // It may have hung up before all of it is sent.
        if std::io::Write::write_all(
            &mut client.stream,
            &[b"400\r\n", &[b'x'; 1024][..], b"\r\n"].concat(),
        )
        .is_err()
        {
            break;
        }
    }
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (413, "close"));
    assert!(read("ingest-pieces").is_empty());
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    topic("ingest-head", 1);
    let server = Server::ready("ingest-head", &[]);
    let value = "x".repeat(20_000);
    assert_eq!(server.post("/topics/ingest-head", &[("X-Large", &value)], b"").status, 431);
    let name: Vec<_> = (0..200).map(|n| format!("X-{n}")).collect();
    let many: Vec<_> = name.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(server.post("/topics/ingest-head", &many, b"").status, 431);
    assert_eq!(
        server.post("/topics/ingest-head", &[("X-Fits", &value[..10_000])], b"").status,
        202
    );
}

#[test]
fn what_the_topic_does_not_take_is_the_senders_fault() {
    let new = NewTopic::new("ingest-small").config("max.message.bytes", 1_000);
    Broker::shared().admin().create_topic(new);
    let server = Server::ready("ingest-small", &[]);
    let answer = server.post("/topics/ingest-small", &[], &vec![b'x'; 5_000]);
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(server.post("/topics/ingest-small", &[], b"small").status, 202);
}
