//! A stream that does not wait for ever.
//!
//! A connection is idle, or a head is coming in, or a request is served. The first two have their
//! time here; the third has it where it is served. A connection that somebody holds open without
//! using it, or feeds a byte at a time, is cut off without an answer: nobody was promised one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// When a connection is cut off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// It waits for its first or next request.
    pub(crate) idle: Duration,
    /// A head is coming in, or a handshake goes on.
    pub(crate) head: Duration,
    /// The client does not read its answer.
    pub(crate) write: Duration,
}

/// Which requests of a connection are served: an odd number while one is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Arc<AtomicU32>);

/// A request that is served, until it is dropped.
pub(crate) struct Serving<'a>(&'a Turn);

impl Turn {
    /// A head is complete.
    pub(crate) fn begin(&self) -> Serving<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Serving(self)
    }

    fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream with its times.
pub(crate) struct Timed<S> {
    stream: S,
    times: Times,
    turn: Turn,
    /// The turn that `since` belongs to.
    seen: u32,
    /// Since when nothing, or only a part of a head, has come.
    since: Instant,
    head_begun: bool,
    reading: Alarm,
    writing: Alarm,
}

impl<S> Timed<S> {
    /// A connection that is idle from now on.
    pub(crate) fn new(stream: S, times: Times, turn: Turn) -> Self {
        let (seen, since) = (turn.now(), Instant::now());
        let (reading, writing) = (Alarm::default(), Alarm::default());
        Self { stream, times, turn, seen, since, head_begun: false, reading, writing }
    }

    /// Until when the next byte has to come; `None` while a request is served.
    fn read_deadline(&mut self) -> Option<Instant> {
        let turn = self.turn.now();
        if turn != self.seen {
            (self.seen, self.since, self.head_begun) = (turn, Instant::now(), false);
        }
        let time = if self.head_begun { self.times.head } else { self.times.idle };
        turn.is_multiple_of(2).then(|| self.since + time)
    }

    /// What a write came to: when it makes no progress the alarm is set, or goes off.
    fn written<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.writing.disarm();
            return result;
        }
        let until = *self.writing.until.get_or_insert_with(|| Instant::now() + self.times.write);
        ready!(self.writing.poll(until, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        let deadline = this.read_deadline();
        if result.is_ready() {
            // The time of a head counts from its first byte, and not anew from each.
            if buf.filled().len() > before && deadline.is_some() && !this.head_begun {
                (this.head_begun, this.since) = (true, Instant::now());
            }
            return result;
        }
        let Some(deadline) = deadline else { return Poll::Pending };
        ready!(this.reading.poll(deadline, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.written(result, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_flush(cx);
        this.written(result, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.written(result, cx)
    }
}

/// A timer that is set only when it matters: moving a deadline further away costs nothing, the timer
/// then goes off too early and is set again.
#[derive(Default)]
struct Alarm {
    until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn disarm(&mut self) {
        self.until = None;
    }

    /// Ready when `deadline` has passed.
    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn timed() -> (Timed<DuplexStream>, DuplexStream, Turn) {
        let (ours, theirs) = duplex(4);
        let turn = Turn::default();
        let times = Times { idle: 60 * S, head: 10 * S, write: 30 * S };
        (Timed::new(ours, times, turn.clone()), theirs, turn)
    }

    async fn times_out(read: impl Future<Output = io::Result<usize>>) -> Duration {
        let since = Instant::now();
        assert_eq!(read.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        since.elapsed()
    }

    fn runtime() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    }

    #[test]
    fn an_idle_connection_and_a_slow_head_end_and_a_request_that_is_served_does_not() {
        runtime().block_on(async {
            let (mut timed, mut theirs, turn) = timed();
            let mut buf = [0; 1];
            theirs.write_all(b"a").await.unwrap();
            timed.read_exact(&mut buf).await.unwrap();
            let serving = turn.begin();
            let waits = tokio::time::timeout(3_600 * S, timed.read(&mut buf)).await;
            assert!(waits.is_err(), "a request takes as long as it takes");
            drop(serving);
            let idle = times_out(timed.read(&mut buf)).await;
            assert!(idle >= 60 * S && idle < 61 * S, "{idle:?}");
        });
        runtime().block_on(async {
            let (mut timed, mut theirs, _turn) = timed();
            tokio::spawn(async move {
                while theirs.write_all(b"a").await.is_ok() {
                    tokio::time::sleep(S).await;
                }
            });
            let since = Instant::now();
            let mut buf = [0; 1];
            let error = loop {
                if let Err(error) = timed.read_exact(&mut buf).await {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(
                since.elapsed() < 11 * S,
                "a trickle does not extend it: {:?}",
                since.elapsed()
            );
        });
    }

    #[test]
    fn an_answer_that_is_not_read_ends_it_but_a_slow_reader_does_not() {
        runtime().block_on(async {
            let (mut timed, mut theirs, _turn) = timed();
            let reader = tokio::spawn(async move {
                let mut buf = [0; 4];
                for _ in 0..5 {
                    tokio::time::sleep(20 * S).await;
                    theirs.read_exact(&mut buf).await.unwrap();
                }
                theirs
            });
            timed.write_all(&[0; 24]).await.unwrap();
            let _theirs = reader.await.unwrap();
            let waited = times_out(timed.write(&[0; 24])).await;
            assert!(waited >= 30 * S && waited < 31 * S, "{waited:?}");
        });
    }
}
