//! `tidegate ingest`, over sockets: `records` (what arrives), `refusals` (each status), `gate`,
//! `limits` (slow, large, many), `ends` (signals and kills), `security`.

mod ends;
mod gate;
mod limits;
mod records;
mod refusals;
mod security;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use serde_json::Value;
use tidegate_testkit::kafka::{Broker, Isolation, NewTopic, ReadBack, read_topic};

use crate::process::{Call, Running, eventually, json_lines};

/// A topic on the shared broker.
fn topic(name: &str, partitions: i32) {
    Broker::shared().admin().create_topic(NewTopic::new(name).partitions(partitions));
}

fn read(topic: &str) -> Vec<ReadBack> {
    read_topic(&Broker::shared().properties(), topic, Isolation::Committed)
}

/// A server that runs.
struct Server {
    running: Running,
    address: SocketAddr,
}

impl Deref for Server {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}

/// A call on the shared broker, on a free port.
fn call(topic: &str, more: &[&str]) -> Call {
    call_on(Broker::shared().bootstrap(), topic, more)
}

fn call_on(broker: &str, topic: &str, more: &[&str]) -> Call {
    let args = ["ingest", "-b", broker, "-t", topic, "--listen", "127.0.0.1:0"];
    let listens = more.contains(&"--listen");
    Call::new(&[if listens { &args[..5] } else { &args[..] }, more].concat())
}

impl Server {
    fn start(topic: &str, more: &[&str]) -> Self {
        Self::of(call(topic, more))
    }

    fn of(call: Call) -> Self {
        let mut running = call.spawn();
        let listening = |running: &Running| -> Option<SocketAddr> {
            let lines = json_lines(&running.stderr());
            let line = lines.iter().find(|line| line["event"] == "listening")?;
            line["address"].as_str()?.parse().ok()
        };
        running.until("it listens", |running| listening(running).is_some());
        let mut address = listening(&running).unwrap();
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        Self { running, address }
    }

    /// Waits until the partitions are known: before that the gate is shut.
    fn ready(topic: &str, more: &[&str]) -> Self {
        let server = Self::start(topic, more);
        server.until_known(topic);
        server
    }

    fn until_known(&self, topic: &str) {
        let name = topic.split('=').next().unwrap();
        // A partition that no topic has is told from one that is not known yet.
        let path = format!("/topics/{name}?partition=1000000");
        eventually("the partitions are known", || self.post(&path, &[], b"").status == 422);
    }

    fn connect(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    /// One request on a connection of its own.
    fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.connect().post(path, headers, body)
    }
}

/// A client that does what it is told, also what no good client does.
struct Client<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send(&head("POST", path, headers, Some(body.len())));
        // A server that refuses it may be gone.
        let _ = self.stream.write_all(body);
        self.answer().expect("an answer")
    }

    /// The next answer; none if the connection ended.
    fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more() {
                return None;
            }
        };
        let text = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let mut lines = text.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.more(), "it ended within an answer: {text}");
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Some(Answer { status, headers, body })
    }

    fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&piece[..n]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("neither an answer nor an end")
            }
            Err(_) => false,
        }
    }
}

fn head(method: &str, path: &str, headers: &[(&str, &str)], length: Option<usize>) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(length) = length {
        head += &format!("Content-Length: {length}\r\n");
    }
    (head + "\r\n").into_bytes()
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Partition and offset of one record that was taken.
    fn place(&self) -> (i32, i64) {
        assert_eq!(self.status, 202, "{self:?}");
        place(&self.body)
    }

    fn records(&self) -> &[Value] {
        self.body["offsets"].as_array().unwrap_or_else(|| panic!("{self:?}"))
    }
}

fn place(value: &Value) -> (i32, i64) {
    let partition = value["partition"].as_i64().unwrap_or_else(|| panic!("{value}"));
    (partition.try_into().unwrap(), value["offset"].as_i64().unwrap())
}

/// What lies at a place of a topic.
fn at(records: &[ReadBack], (partition, offset): (i32, i64)) -> &ReadBack {
    let found = records.iter().find(|r| (r.partition, r.offset) == (partition, offset));
    found.unwrap_or_else(|| panic!("nothing at {partition}/{offset}"))
}
