//! `--to stdout`: one writer for all handlers.
//!
//! A handler appends its line to a shared buffer and waits; a thread takes the whole buffer,
//! writes it and only then completes the handlers whose lines it held. So a record that counts as
//! done has left the process, whatever happens to it next, and under load one write carries as
//! many lines as there are handlers.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate::{Handler, Outcome, Record};
use tokio::sync::Notify;

use super::record;
use crate::exit::Failure;
use crate::report::CLOSED;

/// After the pipe closed, records are told to come again in so long: after the end of the run.
const AGAIN: Duration = Duration::from_secs(3_600);

/// The lines that wait to be written, and who waits for them.
pub(super) struct Lines {
    state: Mutex<State>,
    filled: Condvar,
    closed: Notify,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    /// Lines that were appended so far.
    appended: u64,
    /// Lines that were written so far.
    written: u64,
    /// Handlers that wait, by the number of their line; those of dropped handlers are just woken.
    waiting: VecDeque<(u64, Waker)>,
    /// Why nothing can be written any more.
    failed: Option<io::Error>,
}

impl Lines {
    /// Starts the writing thread. It ends with the process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start() -> Result<Arc<Self>, Failure> {
        let lines = Arc::new(Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            closed: Notify::new(),
        });
        let writer = Arc::clone(&lines);
        std::thread::Builder::new()
            .name("tidegate-stdout".to_owned())
            .spawn(move || writer.write())
            .map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(lines)
    }

    /// Completes when standard output was closed.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Whether everything could be written.
    ///
    /// # Errors
    /// When not.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &self.lock().failed {
            None => Ok(()),
            Some(error) => Err(Failure::Failed(format!(
                "cannot write to standard output: {error}; what was not written is not committed \
                 and comes again"
            ))),
        }
    }

    /// Nothing that holds the lock can panic, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            while state.buffer.is_empty() {
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut batch, &mut state.buffer);
            let upto = state.appended;
            drop(state);

            let mut stdout = io::stdout().lock();
            let result = stdout.write_all(&batch).and_then(|()| stdout.flush());
            drop(stdout);
            batch.clear();
            // One large record should not keep its memory for ever.
            batch.shrink_to(1 << 20);

            let mut state = self.lock();
            match result {
                Ok(()) => state.written = upto,
                Err(error) => state.failed = Some(error),
            }
            let failed = state.failed.is_some();
            let count =
                state.waiting.iter().take_while(|(line, _)| failed || *line <= upto).count();
            let woken: Vec<_> = state.waiting.drain(..count).collect();
            drop(state);
            for (_, waker) in woken {
                waker.wake();
            }
            if failed {
                self.closed.notify_one();
                return;
            }
        }
    }
}

/// Writes each record as a JSON line.
pub(super) struct Stdout {
    lines: Arc<Lines>,
}

impl Stdout {
    /// Writes through `lines`.
    pub(super) fn new(lines: Arc<Lines>) -> Self {
        Self { lines }
    }
}

impl Handler for Stdout {
    type Future = Written;

    fn handle(&self, record: Record) -> Written {
        let mut text = Vec::with_capacity(256 + record.value().map_or(0, <[u8]>::len));
        record::line(&record, &mut text);
        Written { lines: Arc::clone(&self.lines), text, line: None }
    }
}

/// Completes when a line was written.
pub(super) struct Written {
    lines: Arc<Lines>,
    text: Vec<u8>,
    /// The number of the line, once it is in the buffer.
    line: Option<u64>,
}

impl Future for Written {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        let mut state = this.lines.lock();
        if state.failed.is_some() {
            // Not the record's fault: it keeps its attempts, and nothing is committed.
            return Poll::Ready(Outcome::overloaded(Some(AGAIN), CLOSED));
        }
        let line = match this.line {
            Some(line) if line <= state.written => return Poll::Ready(Outcome::Done),
            Some(line) => line,
            None => {
                state.appended += 1;
                state.buffer.extend_from_slice(&std::mem::take(&mut this.text));
                this.lines.filled.notify_one();
                state.appended
            }
        };
        let waiting = state.waiting.iter_mut().rev().find(|(waits, _)| *waits == line);
        match waiting {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => state.waiting.push_back((line, context.waker().clone())),
        }
        this.line = Some(line);
        Poll::Pending
    }
}
