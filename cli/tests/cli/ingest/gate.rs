//! The gate, as those see it who send.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Server, head, read, topic};
use crate::process::{Call, eventually, json_lines};

/// Ten records without a commit, and then nothing at all.
const TEN: [&str; 4] = ["--fixed-window", "10", "--floor-rate", "0"];

fn fill(server: &Server, path: &str) {
    for n in 0..10 {
        let answer = server.post(path, &[], b"v");
        assert_eq!(answer.status, 202, "record {n}: {answer:?}");
    }
}

#[test]
fn a_shut_gate_refuses_from_the_head_alone_says_why_and_opens_again() {
    topic("ingest-gate", 1);
    let server = Server::ready("ingest-gate=ingest-gate-group", &TEN);
    let path = "/topics/ingest-gate";
    fill(&server, path);
    let mut client = server.connect();
    client.send(&head("POST", path, &[], Some(5)));
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 429, "before a byte of the body was sent: {answer:?}");
    let after: u64 = answer.header("retry-after").parse().unwrap();
    let exactly = answer.body["retry_after_ms"].as_u64().unwrap();
    assert!(after >= 1 && after == exactly.div_ceil(1_000), "{answer:?}");
    let why = "shut; reason=no-commit; group=ingest-gate-group";
    assert_eq!(answer.header("x-tidegate-gate"), why);
    assert_eq!(answer.body["group"], "ingest-gate-group");
    client.send(b"hello");
    assert_eq!(client.post(path, &[], b"again").status, 429, "the connection goes on");
    assert_eq!(read("ingest-gate").len(), 10, "nothing went through");

    let mut consumer =
        Call::run("ingest-gate", "ingest-gate-group", "null", &["--max-records", "10"]).spawn();
    eventually("it opens", || client.post(path, &[], b"after").status == 202);
    eventually("the consumer is done", || !consumer.runs());
    let refused = json_lines(&server.stderr());
    assert!(!refused.iter().any(|line| line["event"] == "gate-open"), "it follows a group");
}

#[test]
fn the_window_changes_while_it_serves() {
    topic("ingest-reload", 1);
    let file = tempfile::NamedTempFile::new().unwrap();
    let window = |records: u32| {
        let text = format!("[ingest]\nfixed-window = {records}\nfloor-rate = 0\n");
        std::fs::write(file.path(), text).unwrap();
    };
    window(10);
    let more = ["--config", file.path().to_str().unwrap()];
    let server = Server::ready("ingest-reload=nobody", &more);
    let mut read = 0;
    let mut reload = |records| {
        window(records);
        server.signal(Signal::SIGHUP);
        read += 1;
        let told = || server.stderr().matches("\"event\":\"reloaded\"").count();
        eventually("the file is read", || told() == read);
    };
    let path = "/topics/ingest-reload";
    fill(&server, path);
    assert_eq!(server.post(path, &[], b"v").status, 429);
    reload(20);
    fill(&server, path);
    assert_eq!(server.post(path, &[], b"v").status, 429);
    reload(5);
    assert_eq!(server.post(path, &[], b"v").status, 429, "what is outstanding stays so");
}

#[test]
fn a_large_body_at_a_shut_gate_ends_the_connection_after_the_answer() {
    topic("ingest-gate-large", 1);
    let server = Server::ready("ingest-gate-large=nobody", &TEN);
    fill(&server, "/topics/ingest-gate-large");
    // What it goes on sending is taken for a while: a connection that is reset may lose its answer.
    let mut client = server.connect();
    client.send(&head("POST", "/topics/ingest-gate-large", &[], Some(1_000_000)));
    for _ in 0..10 {
        client.send(&[b'x'; 100_000]);
        std::thread::sleep(Duration::from_millis(20));
    }
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (429, "close"));
    assert!(client.answer().is_none(), "and then it ends");
    let mut client = server.connect();
    client.send(&head("POST", "/topics/ingest-gate-large", &[("Expect", "100-continue")], Some(5)));
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 429, "it is not asked to send the body: {answer:?}");
}

#[test]
fn a_client_that_asks_first_is_asked_for_its_body_while_the_gate_is_open() {
    topic("ingest-expect", 1);
    let server = Server::ready("ingest-expect", &[]);
    let mut client = server.connect();
    client.send(&head("POST", "/topics/ingest-expect", &[("Expect", "100-continue")], Some(5)));
    assert_eq!(client.answer().unwrap().status, 100);
    client.send(b"hello");
    assert_eq!(client.answer().unwrap().status, 202);
}

#[test]
fn the_status_of_a_shut_gate_can_be_503() {
    topic("ingest-gate-503", 1);
    let flags = [&TEN[..], &["--shut-status", "503"]].concat();
    let server = Server::ready("ingest-gate-503=nobody", &flags);
    fill(&server, "/topics/ingest-gate-503");
    let answer = server.post("/topics/ingest-gate-503", &[], b"v");
    assert_eq!(answer.status, 503);
    assert!(answer.header("x-tidegate-gate").starts_with("shut; reason="), "{answer:?}");
    assert!(!answer.header("retry-after").is_empty());
}

#[test]
fn a_request_waits_at_a_shut_gate_as_long_as_it_is_told() {
    topic("ingest-wait", 1);
    let flags = [&TEN[..], &["--max-wait", "1s"]].concat();
    let server = Server::ready("ingest-wait=ingest-wait-group", &flags);
    fill(&server, "/topics/ingest-wait");
    let since = Instant::now();
    assert_eq!(server.post("/topics/ingest-wait", &[], b"v").status, 429);
    assert!(since.elapsed() >= Duration::from_secs(1), "{:?}", since.elapsed());
    drop(server);

    let flags = [&TEN[..], &["--max-wait", "50s"]].concat();
    let server = Server::ready("ingest-wait=ingest-wait-group", &flags);
    fill(&server, "/topics/ingest-wait");
    let mut client = server.connect();
    client.send(&head("POST", "/topics/ingest-wait", &[], Some(1)));
    client.send(b"v");
    Call::run("ingest-wait", "ingest-wait-group", "null", &["--max-records", "20"]).succeed();
    assert_eq!(client.answer().unwrap().status, 202, "it was let through");
}

#[test]
fn of_many_records_those_behind_the_first_refused_are_not_sent() {
    topic("ingest-partly", 1);
    let server = Server::ready("ingest-partly=nobody", &TEN);
    let body: String = (0..15).map(|n| format!("{{\"value\":\"{n}\"}}\n")).collect();
    let lines = [("Content-Type", "application/x-ndjson")];
    let answer = server.post("/topics/ingest-partly", &lines, body.as_bytes());
    assert_eq!(answer.status, 207, "{answer:?}");
    assert!(answer.header("x-tidegate-gate").contains("no-commit"), "{answer:?}");
    for (n, record) in answer.records().iter().enumerate() {
        let (code, offset) = (&record["error_code"], &record["offset"]);
        match n {
            0..10 => assert!(code.is_null() && *offset == n, "{record}"),
            _ => assert!(*code == 2 && offset.is_null(), "{record}"),
        }
    }
    assert_eq!(read("ingest-partly").len(), 10);
    let answer = server.post("/topics/ingest-partly", &lines, body.as_bytes());
    assert_eq!(answer.status, 429, "none of them: {answer:?}");
}

#[test]
fn a_topic_without_a_group_has_an_open_gate_and_each_topic_its_own() {
    topic("ingest-open", 1);
    topic("ingest-other", 1);
    let flags = [&TEN[..], &["-t", "ingest-other=nobody"]].concat();
    let server = Server::ready("ingest-open", &flags);
    server.until_known("ingest-other");
    let said = json_lines(&server.stderr());
    let open: Vec<_> = said.iter().filter(|line| line["event"] == "gate-open").collect();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0]["topic"], "ingest-open");
    fill(&server, "/topics/ingest-other");
    assert_eq!(server.post("/topics/ingest-other", &[], b"v").status, 429);
    for _ in 0..50 {
        assert_eq!(server.post("/topics/ingest-open", &[], b"v").status, 202);
    }
}
