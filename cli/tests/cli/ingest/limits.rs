//! Slow, large and many clients do not stop it, and do not make it grow.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Server, head, topic};
use crate::process::eventually;

const MIB: u64 = 1 << 20;

/// The most memory that it had so far, in bytes.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// How long it takes until the connection is closed, while a byte is sent now and then.
fn closed_after(mut stream: TcpStream, byte: Option<u8>) -> Duration {
    let since = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    loop {
        if let Some(byte) = byte {
            let _ = stream.write_all(&[byte]);
        }
        match stream.read(&mut [0; 64]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => return since.elapsed(),
        }
        assert!(since.elapsed() < Duration::from_secs(20), "it is held open");
    }
}

#[test]
fn a_trickle_and_an_idle_connection_are_cut_off() {
    topic("ingest-slow", 1);
    let flags = [
        "--header-timeout",
        "1s",
        "--idle-timeout",
        "3s",
        "--body-timeout",
        "1s",
        "--max-wait",
        "0",
    ];
    let server = Server::ready("ingest-slow", &flags);
    let second = Duration::from_secs(1);
    // A header that never ends.
    let mut client = server.connect();
    client.send(b"POST /topics/ingest-slow HTTP/1.1\r\nX-Slow: ");
    let cut = closed_after(client.stream, Some(b'x'));
    assert!(cut >= second / 2 && cut < 3 * second, "{cut:?}");
    // Nothing at all, from the start and after a request.
    let cut = closed_after(server.connect().stream, None);
    assert!(cut >= 2 * second && cut < 8 * second, "{cut:?}");
    let mut client = server.connect();
    assert_eq!(client.post("/topics/ingest-slow", &[], b"v").status, 202);
    let cut = closed_after(client.stream, None);
    assert!(cut >= 2 * second && cut < 8 * second, "{cut:?}");
    // A body that never ends is told so.
    let mut client = server.connect();
    client.send(&head("POST", "/topics/ingest-slow", &[], Some(1_000)));
    client.send(b"x");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (408, "close"));
}

#[test]
fn a_connection_that_is_used_now_and_then_is_kept() {
    topic("ingest-kept", 1);
    let server =
        Server::ready("ingest-kept", &["--header-timeout", "300ms", "--idle-timeout", "1s"]);
    let mut client = server.connect();
    for _ in 0..8 {
        sleep(Duration::from_millis(500));
        assert_eq!(client.post("/topics/ingest-kept", &[], b"v").status, 202);
    }
}

#[test]
fn one_connection_too_many_is_told_so() {
    topic("ingest-many", 1);
    let server = Server::ready("ingest-many", &["--max-connections", "20"]);
    let mut held = Vec::new();
    // Those that learned that the partitions are known may not be gone yet.
    eventually("twenty are served", || {
        let mut client = server.connect();
        let answer = client.post("/topics/ingest-many", &[], b"v");
        if answer.status == 202 {
            held.push(client);
        }
        held.len() == 20
    });
    let answer = server.connect().answer().unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.body["message"], "too many connections");
    held.pop();
    eventually("there is a place again", || {
        server.post("/topics/ingest-many", &[], b"v").status == 202
    });
    assert!(server.stderr().contains("there are 20 connections"));
}

#[test]
fn ten_thousand_idle_and_slow_connections_do_not_stop_it() {
    topic("ingest-idle", 1);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let count = usize::try_from(hard - 1_000).unwrap().min(10_000);
    let server =
        Server::ready("ingest-idle", &["--idle-timeout", "10m", "--header-timeout", "10m"]);
    let mut held = Vec::new();
    for n in 0..count {
        let mut client = server.connect();
        match n % 3 {
            0 => {}
            1 => client.send(b"POST /topics/ingest-idle HTTP/1.1\r\nX-Slow: "),
            _ => client.send(&head("POST", "/topics/ingest-idle", &[], Some(1 << 20))),
        }
        held.push(client);
    }
    for _ in 0..20 {
        let since = Instant::now();
        assert_eq!(server.post("/topics/ingest-idle", &[], b"v").status, 202);
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    }
    let peak = peak(&server);
    assert!(peak < 400 * MIB, "{} MiB for {count} connections", peak / MIB);
}

#[test]
fn large_bodies_at_a_shut_gate_take_no_memory() {
    topic("ingest-memory", 1);
    let flags = ["--fixed-window", "1", "--floor-rate", "0", "--max-body", "8MiB"];
    let server = Server::ready("ingest-memory=nobody", &flags);
    assert_eq!(server.post("/topics/ingest-memory", &[], b"v").status, 202);
    let before = peak(&server);
    let body = vec![b'x'; 8 << 20];
    scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                for _ in 0..4 {
                    assert_eq!(server.post("/topics/ingest-memory", &[], &body).status, 429);
                }
            });
        }
    });
    let grown = peak(&server) - before;
    assert!(grown < 32 * MIB, "200 bodies of 8 MiB took {} MiB", grown / MIB);
}

#[test]
fn bodies_that_do_not_fit_into_the_budget_are_refused_and_it_comes_back() {
    topic("ingest-budget", 1);
    let flags = ["--max-bytes", "8MiB", "--body-timeout", "3s"];
    let server = Server::ready("ingest-budget", &flags);
    let before = peak(&server);
    // Each sends nearly all of its body and then nothing.
    let mut stalled = Vec::new();
    for _ in 0..60 {
        let mut client = server.connect();
        client.send(&head("POST", "/topics/ingest-budget", &[], Some(900_000)));
        let _ = client.stream.write_all(&vec![b'x'; 800_000]);
        stalled.push(client);
    }
    let answers: Vec<_> = stalled.iter_mut().map(|client| client.answer()).collect();
    let status =
        |wanted: u16| answers.iter().flatten().filter(|answer| answer.status == wanted).count();
    assert!((1..=9).contains(&status(408)), "these had room: {answers:?}");
    assert_eq!(status(408) + status(503), 60, "{answers:?}");
    let refused = answers.iter().flatten().find(|answer| answer.status == 503).unwrap();
    assert_eq!(refused.header("retry-after"), "1");
    let grown = peak(&server) - before;
    assert!(grown < 40 * MIB, "48 MiB of bodies took {} MiB", grown / MIB);
    let answer = server.post("/topics/ingest-budget", &[], &vec![b'x'; 900_000]);
    assert_eq!(answer.status, 202, "the budget came back: {answer:?}");
}
