//! Targets that mean harm: whatever they send, the run goes on and its memory stays small.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::target::{Reply, Target, status};
use super::{assert_ordered, call, numbered, topic};
use crate::committed_sum;

/// The most memory a process had, in KiB.
fn peak(pid: nix::unistd::Pid) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn head(rest: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes()
}

/// So many answers that no server should give.
fn harm(kind: usize) -> Reply {
    let repeat = |begin: &str, more: &str, bytes: usize| {
        [head(begin), more.repeat(bytes / more.len()).into_bytes()].concat()
    };
    match kind {
        0 => Reply::Bytes(repeat("", "a: b\r\n", 4 << 20)),
        1 => Reply::Bytes(repeat("a: ", "b", 4 << 20)),
        2 => Reply::Bytes([b"HTTP/1.1 200 ".to_vec(), vec![b'O'; 4 << 20]].concat()),
        3 => Reply::Bytes(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000)),
        4 => Reply::Answer(200, Vec::new(), vec![b'{'; 10 << 20]),
        5 => Reply::Bytes(repeat("Transfer-Encoding: chunked\r\n\r\n", "4\r\nabcd\r\n", 10 << 20)),
        6 => Reply::Bytes(repeat("Transfer-Encoding: chunked\r\n\r\n1;", "x", 4 << 20)),
        7 => Reply::Bytes(repeat("Transfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n", 4 << 20)),
        8 => Reply::Trickle(head("a: "), b"b".to_vec()),
        9 => Reply::Trickle(head("Content-Length: 60000\r\n\r\n"), b"b".to_vec()),
        10 => Reply::Bytes(head("Content-Length: 100\r\n\r\nabc")),
        11 => Reply::Bytes(head("Content-Length: 1\r\nContent-Length: 2\r\n\r\na")),
        12 => Reply::Bytes(head("Content-Length: -1\r\n\r\n")),
        13 => Reply::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        14 => Reply::Bytes(vec![0; 1 << 20]),
        15 => Reply::Bytes(Vec::new()),
        16 => Reply::Hang,
        17 => Reply::Answer(429, vec![("Retry-After", "-1".to_owned())], Vec::new()),
        18 => Reply::Answer(503, vec![("Retry-After", "9".repeat(5_000))], Vec::new()),
        19 => Reply::Answer(200, Vec::new(), [b"{\"a\":".to_vec(), vec![b'['; 60_000]].concat()),
        20 => Reply::Bytes(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_vec()),
        21 => Reply::Bytes(b"HTTP/1.1 999 Whatever\r\nContent-Length: 0\r\n\r\n".to_vec()),
        _ => Reply::Bytes(head("a\0b: c\r\n\r\n")),
    }
}

const KINDS: usize = 23;

#[test]
fn whatever_a_target_sends_the_run_goes_on_in_bounded_memory() {
    topic("http-hostile", numbered(KINDS * 20, KINDS * 4));
    let first = Mutex::new(HashSet::new());
    let target = Target::new(move |request| {
        // Every fifth record is harmed once.
        let offset = request.place().1 as usize;
        match offset.is_multiple_of(5) && first.lock().unwrap().insert(offset) {
            true => harm(offset / 5 % KINDS),
            false => status(200),
        }
    });
    let more = ["--first-byte-timeout", "500ms", "--timeout", "1s", "--concurrency", "20"];
    let mut run = call("http-hostile", &target.url("/"), &more).spawn();
    let (mut most, begun) = (0, Instant::now());
    while run.runs() {
        assert!(begun.elapsed() < Duration::from_secs(90), "{}", run.stderr());
        most = most.max(peak(run.pid()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = run.wait(Duration::from_secs(1));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(!ended.stderr.contains("panic"), "{}", ended.stderr);
    println!("{} MiB at most, {:?}", most >> 10, begun.elapsed());
    assert!(most < 100 << 10, "{} MiB", most >> 10);
    assert_ordered(&target.seen(), KINDS * 20);
    assert_eq!(committed_sum("http-hostile", "http-hostile"), (KINDS * 20) as i64);
}

#[test]
fn an_answer_that_is_too_large_is_one_all_the_same_and_a_part_of_one_is_none() {
    topic("http-large", numbered(4, 1));
    let target = Target::new(|request| match request.number {
        // Without an end, and without one that is asked for.
        3 => Reply::Trickle(b"HTTP/1.1 500 No\r\n\r\n".to_vec(), b"b".to_vec()),
        // Done, by its status.
        0 => Reply::Answer(200, Vec::new(), vec![b' '; 10 << 20]),
        1 => Reply::Bytes(head("Content-Length: 100\r\n\r\n{\"status\":")),
        2 => Reply::Bytes(head("Content-Length: 1000000\r\n\r\n{\"status\":")),
        _ => status(200),
    });
    let ended = super::until_end("http-large", &target.url("/"), &[]);
    let offsets: Vec<_> = target.seen().iter().map(|request| request.place().1).collect();
    assert_eq!(offsets, [0, 1, 1, 2, 2, 3]);
    let failed = ended.events("attempt-failed");
    assert_eq!(failed.len(), 2);
    assert_eq!(failed[1]["reason"], "the target answers 500 Internal Server Error");
}
