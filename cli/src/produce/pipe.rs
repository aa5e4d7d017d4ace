//! Reads lines, sends them, and keeps count of what became of each.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tidegate::{Delivery, DeliveryError, NotSent, Producer, SendError};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::input::{Common, Form, record};

/// So many failures are told one by one.
const MOST_FAILURES: usize = 5;
/// Standard input is read in pieces of this size.
const PIECE: usize = 256 << 10;

/// What is counted while it runs.
#[derive(Debug, Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    delivered: AtomicU64,
}

impl Counts {
    /// Sent and delivered so far.
    pub(super) fn now(&self) -> (u64, u64) {
        let delivered = self.delivered.load(Ordering::Relaxed);
        (self.sent.load(Ordering::Relaxed).max(delivered), delivered)
    }
}

/// Why no more is read.
#[derive(Debug)]
pub(super) enum Stop {
    /// Standard input has ended.
    End,
    /// A signal came.
    Signal,
    /// Something was not delivered.
    Undelivered,
    /// A line is not a record.
    BadLine { line: u64, why: String },
    /// Standard input cannot be read.
    Unreadable(String),
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Lines that were read.
    pub(super) read: u64,
    pub(super) delivered: u64,
    /// The first line that was not delivered, counted from 1; those behind it may have been.
    pub(super) resume_from: Option<u64>,
    /// The first few of what was not delivered.
    pub(super) failures: Vec<(u64, DeliveryError)>,
    pub(super) stop: Stop,
}

/// From standard input to a topic.
pub(super) struct Pipe {
    pub(super) producer: Producer,
    pub(super) form: Form,
    pub(super) common: Common,
    pub(super) counts: Arc<Counts>,
}

impl Pipe {
    /// Sends every line until the input ends, something is not delivered, or the signal completes.
    /// What is under way then has `patience` after a signal, and as long as the client tries
    /// otherwise.
    pub(super) async fn run(self, signal: impl Future<Output = ()>, patience: Duration) -> Ended {
        tokio::pin!(signal);
        let mut ledger = Ledger { counts: Arc::clone(&self.counts), ..Ledger::default() };
        let mut input = BufReader::with_capacity(PIECE, tokio::io::stdin());
        let stop = self.pump(&mut input, &mut ledger, signal.as_mut()).await;
        let all = async {
            while let Some((line, delivery)) = ledger.waiting.pop_front() {
                let result = delivery.await;
                ledger.settle(line, result);
            }
        };
        match stop {
            Stop::Signal => {
                // Those that are cut off here are settled below.
                let _ = tokio::time::timeout(patience, all).await;
            }
            _ => tokio::select! {
                () = all => {}
                () = signal => {}
            },
        }
        // Everything that is still under way is given up, and says so.
        let _ = self.producer.close(Duration::from_millis(100)).await;
        while let Some((line, delivery)) = ledger.waiting.pop_front() {
            ledger.settle(line, delivery.await);
        }
        let (_, delivered) = self.counts.now();
        Ended {
            read: ledger.read,
            delivered,
            resume_from: ledger.first_failed,
            failures: ledger.failures,
            stop,
        }
    }

    async fn pump<R: AsyncRead + Unpin>(
        &self,
        input: &mut BufReader<R>,
        ledger: &mut Ledger,
        mut signal: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Stop {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = tokio::select! {
                biased;
                () = signal.as_mut() => return Stop::Signal,
                read = input.read_until(b'\n', &mut line) => read,
            };
            match read {
                Ok(0) => return Stop::End,
                Ok(_) => {}
                Err(error) => return Stop::Unreadable(error.to_string()),
            }
            ledger.read += 1;
            let number = ledger.read;
            let record = match record(&self.form, &self.common, without_end(&line)) {
                Ok(record) => record,
                Err(why) => {
                    ledger.fail(number);
                    return Stop::BadLine { line: number, why };
                }
            };
            let sent = tokio::select! {
                biased;
                sent = self.send(record) => sent,
                () = signal.as_mut() => {
                    ledger.fail(number);
                    return Stop::Signal;
                }
            };
            match sent {
                Ok(delivery) => {
                    ledger.counts.sent.fetch_add(1, Ordering::Relaxed);
                    ledger.waiting.push_back((number, delivery));
                }
                Err(SendError { cause, .. }) => {
                    ledger.fail(number);
                    return Stop::Unreadable(cause.to_string());
                }
            }
            ledger.settle_ready().await;
            if ledger.first_failed.is_some() {
                return Stop::Undelivered;
            }
        }
    }

    /// Sends, and waits for a shut gate for as long as it takes.
    async fn send(&self, mut record: tidegate::ProducerRecord) -> Result<Delivery, SendError> {
        loop {
            match self.producer.send(record).await {
                Err(SendError { record: back, cause: NotSent::Shut { .. } }) => record = back,
                result => return result,
            }
        }
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What is under way, in the order of the lines, and what became of the rest.
#[derive(Default)]
struct Ledger {
    counts: Arc<Counts>,
    waiting: VecDeque<(u64, Delivery)>,
    read: u64,
    first_failed: Option<u64>,
    failures: Vec<(u64, DeliveryError)>,
}

impl Ledger {
    fn fail(&mut self, line: u64) {
        self.first_failed = Some(self.first_failed.map_or(line, |first| first.min(line)));
    }

    fn settle(&mut self, line: u64, result: Result<tidegate::Delivered, DeliveryError>) {
        match result {
            Ok(_) => {
                self.counts.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.fail(line);
                if self.failures.len() < MOST_FAILURES {
                    self.failures.push((line, error));
                }
            }
        }
    }

    /// Settles those at the front that are known, without waiting.
    async fn settle_ready(&mut self) {
        while let Some((line, delivery)) = self.waiting.front_mut() {
            let line = *line;
            let mut delivery = std::pin::Pin::new(delivery);
            let ready = std::future::poll_fn(|cx| {
                Poll::Ready(match delivery.as_mut().poll(cx) {
                    Poll::Ready(result) => Some(result),
                    Poll::Pending => None,
                })
            });
            let Some(result) = ready.await else { return };
            self.waiting.pop_front();
            self.settle(line, result);
        }
    }
}
