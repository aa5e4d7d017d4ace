//! A target that answers as it is told, also as no good server does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A request that came in.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) at: Instant,
    /// Which one of this target's, from 0.
    pub(super) number: usize,
    /// Of which connection, from 0.
    pub(super) connection: usize,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// All values of a header.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(given, _)| given == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The one value of a header; empty if it is not there.
    pub(super) fn header(&self, name: &str) -> &str {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name}: {all:?}");
        all.first().copied().unwrap_or_default()
    }

    /// Partition and offset.
    pub(super) fn place(&self) -> (i64, i64) {
        let number = |name| self.header(name).parse().unwrap();
        (number("x-tidegate-partition"), number("x-tidegate-offset"))
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// A status, and headers, and a body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// These bytes, and then the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes first, and then one of the others each 20 ms, for ever.
    Trickle(Vec<u8>, Vec<u8>),
    /// Nothing, for ever.
    Hang,
}

/// A status and nothing else.
pub(super) fn status(code: u16) -> Reply {
    Reply::Answer(code, Vec::new(), Vec::new())
}

/// After some time.
pub(super) fn after(ms: u64, reply: Reply) -> Reply {
    thread::sleep(Duration::from_millis(ms));
    reply
}

/// A server in threads. Dropped, its port is closed, and so are its connections.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    seen: Mutex<Vec<Request>>,
    connections: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
    reply: Box<dyn Fn(&Request) -> Reply + Send + Sync>,
}

impl Target {
    pub(super) fn new(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), reply)
    }

    pub(super) fn at(
        address: SocketAddr,
        reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            connections: Mutex::default(),
            ended: AtomicBool::new(false),
            reply: Box::new(reply),
        });
        let accepts = Arc::clone(&shared);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { break };
                if accepts.ended.load(Ordering::SeqCst) {
                    break;
                }
                accepts.connections.lock().unwrap().push(stream.try_clone().unwrap());
                let shared = Arc::clone(&accepts);
                thread::spawn(move || shared.serve(stream, number));
            }
        });
        Self { address, shared }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that came in so far.
    pub(super) fn seen(&self) -> Vec<Request> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the one who accepts.
        let _ = TcpStream::connect(self.address);
        for connection in self.shared.connections.lock().unwrap().iter() {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
        // Until the port is free.
        while TcpStream::connect(self.address).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream, connection: usize) {
        let mut buffer = Vec::new();
        while let Some(mut request) = read(&mut stream, &mut buffer) {
            request.connection = connection;
            {
                let mut seen = self.seen.lock().unwrap();
                request.number = seen.len();
                seen.push(request.clone());
            }
            let reply = (self.reply)(&request);
            if !answer(&mut stream, reply) {
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
        }
    }
}

/// Writes an answer; `false` if the connection ends with it.
fn answer(stream: &mut impl Write, reply: Reply) -> bool {
    match reply {
        Reply::Answer(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} Of course\r\n");
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            head += &format!("Content-Length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.into_bytes(), body].concat()).is_ok()
        }
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes);
            false
        }
        Reply::Trickle(first, then) => {
            let mut more = stream.write_all(&first).is_ok();
            for byte in then.iter().cycle() {
                if !more {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
                more = stream.write_all(&[*byte]).is_ok();
            }
            false
        }
        Reply::Hang => loop {
            thread::sleep(Duration::from_secs(1));
        },
    }
}

/// The next request; none if the connection ended.
pub(super) fn read(stream: &mut impl Read, buffer: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, buffer)?;
    };
    let head: Vec<u8> = buffer.drain(..end).collect();
    let head = String::from_utf8(head).expect("a head is text");
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    assert_eq!(first.next(), Some("POST"));
    let path = first.next()?.to_owned();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    while buffer.len() < length {
        more(stream, buffer)?;
    }
    let body = buffer.drain(..length).collect();
    Some(Request { at: Instant::now(), number: 0, connection: 0, path, headers, body })
}

fn more(stream: &mut impl Read, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 16 << 10];
    match stream.read(&mut piece) {
        Ok(count @ 1..) => {
            buffer.extend_from_slice(&piece[..count]);
            Some(())
        }
        _ => None,
    }
}
