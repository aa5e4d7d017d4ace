//! Calls: connections that are kept, times, and bounds on what a target may send.

use std::error::Error;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, sleep, sleep_until};

use super::body::{self, Read, Value};
use super::connect::Connector;
use super::retry_after;

/// The head of an answer may have so many bytes, from its first one to the blank line, and with
/// HTTP/2 so many in its headers.
const HEAD: usize = 64 << 10;
/// And so many headers.
const HEADERS: usize = 100;
/// A connection without a call is closed after this, before servers do it: what is sent into a
/// connection that is being closed fails.
const IDLE: Duration = Duration::from_secs(4);
/// With HTTP/2, how much of one answer, and of all of a connection, may be on its way.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// With HTTP/2, a connection on which nothing comes is asked so often, and has as long to answer.
const PING: Duration = Duration::from_secs(10);

/// So long the body of an answer is waited for that says all by its status. Some servers send an error
/// without its length and without an end.
const UNASKED: Duration = Duration::from_secs(1);

/// Connections that may be kept: as many as there can ever be calls, whose number may change.
const KEPT: usize = 100_000;

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Until the head of the answer is there, connecting included.
    pub(super) first_byte: Duration,
    /// All of it.
    pub(super) whole: Duration,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    /// Its body, unless that is too large to be looked at.
    pub(super) body: Option<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// There was no connection.
    Unreachable(String),
    /// It broke, took too long, or was none.
    Broken(String),
}

/// Calls the target.
pub(super) struct Client {
    pool: Pool<Connector, Value>,
    times: Mutex<Times>,
}

impl Client {
    /// With HTTP/2 and nothing else if `http2`; otherwise as TLS agrees on, and without it HTTP/1.1.
    pub(super) fn new(connector: Connector, http2: bool, times: Times) -> Self {
        let mut builder = Pool::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(KEPT)
            .http1_max_buf_size(HEAD)
            .http1_max_headers(HEADERS)
            .http2_only(http2)
            .http2_max_header_list_size(HEAD as u32)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING);
        Self { pool: builder.build(connector), times: Mutex::new(times) }
    }

    /// How long a whole call may take, from the next one on.
    pub(super) fn set_whole(&self, whole: Duration) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).whole = whole;
    }

    fn times(&self) -> Times {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the target answers, whatever it says behind that, which is not read.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn status(&self, request: Request<Value>) -> Result<StatusCode, NoAnswer> {
        self.head(request, self.times()).await.map(|response| response.status())
    }

    /// One call.
    ///
    /// # Errors
    /// When there is no answer, or not all of it.
    ///
    /// # Cancel safety
    /// Dropped, it ends its connection, or with HTTP/2 its stream.
    pub(super) async fn call(&self, request: Request<Value>) -> Result<Answer, NoAnswer> {
        let (times, begun) = (self.times(), Instant::now());
        let (head, body) = self.head(request, times).await?.into_parts();
        let whole = begun + times.whole;
        let answer = |retry_after, body| Answer { status: head.status, retry_after, body };
        if !head.status.is_success() {
            // Nobody asks what it says; it is read so that the connection can go on.
            tokio::select! {
                _ = body::read(body) => {}
                () = sleep_until(whole.min(Instant::now() + UNASKED)) => {}
            }
            let retry_after = retry_after::read(&head.headers, SystemTime::now());
            return Ok(answer(retry_after, None));
        }
        let body = tokio::select! {
            biased;
            body = body::read(body) => body,
            () = sleep_until(whole) => {
                return Err(too_slow("the answer was not whole", times.whole));
            }
        };
        match body {
            Ok(Read::Whole(body)) => Ok(answer(None, Some(body))),
            Ok(Read::TooLarge) => Ok(answer(None, None)),
            Err(error) => Err(NoAnswer::Broken(format!("its answer broke off: {}", words(&error)))),
        }
    }
}

impl Client {
    /// The beginning of an answer.
    async fn head(
        &self,
        request: Request<Value>,
        times: Times,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let patience = times.first_byte.min(times.whole);
        let response = tokio::select! {
            biased;
            response = self.pool.request(request) => response,
            () = sleep(patience) => return Err(too_slow("no answer began", patience)),
        };
        response.map_err(|error| {
            let words = words(&error);
            match error.is_connect() {
                true => NoAnswer::Unreachable(words),
                false => NoAnswer::Broken(words),
            }
        })
    }
}

fn too_slow(what: &str, after: Duration) -> NoAnswer {
    let after = humantime::format_duration(after);
    NoAnswer::Broken(format!("{what} within {after}"))
}

/// The cause that says most: the last one.
fn words(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    match last.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::TimedOut) => "it took too long".to_owned(),
        _ => last.to_string(),
    }
}
