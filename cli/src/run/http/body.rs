//! Bodies: a record's value on its way out, and what of an answer is kept.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tidegate::Record;

/// So much of an answer's body is read; the connection of a longer one is closed.
pub(super) const LARGEST_ANSWER: usize = 64 << 10;

/// The value of a record, which stays where it is: it is in the budget of the consumer already.
#[derive(Debug)]
pub(super) struct Value(Option<Rest>);

/// What is still to be sent.
#[derive(Debug)]
pub(super) struct Rest {
    record: Arc<Record>,
    sent: usize,
}

impl Value {
    /// Nothing.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// That of a record; a tombstone's is empty.
    pub(super) fn of(record: Arc<Record>) -> Self {
        let rest = Rest { record, sent: 0 };
        Self((rest.remaining() > 0).then_some(rest))
    }
}

impl Body for Value {
    type Data = Rest;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Rest>, Infallible>>> {
        Poll::Ready(self.0.take().map(|rest| Ok(Frame::data(rest))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |rest| rest.remaining() as u64))
    }
}

impl Buf for Rest {
    fn remaining(&self) -> usize {
        self.chunk().len()
    }

    fn chunk(&self) -> &[u8] {
        self.record.value().and_then(|value| value.get(self.sent..)).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
    }
}

/// What was read of an answer's body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// All of it.
    Whole(Vec<u8>),
    /// It is larger than anything that is looked at.
    TooLarge,
}

/// Reads the body of an answer, within its bound.
///
/// # Errors
/// When it breaks off.
pub(super) async fn read(mut body: Incoming) -> Result<Read, hyper::Error> {
    if body.is_end_stream() {
        return Ok(Read::Whole(Vec::new()));
    }
    if body.size_hint().lower() > LARGEST_ANSWER as u64 {
        return Ok(Read::TooLarge);
    }
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if all.len() + data.len() > LARGEST_ANSWER {
            return Ok(Read::TooLarge);
        }
        all.extend_from_slice(&data);
    }
    Ok(Read::Whole(all))
}
