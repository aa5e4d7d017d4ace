//! Bodies: read within a budget, or thrown away.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What is taken for a body before its first byte has come: enough for most records, and little
/// enough for ten thousand clients that announce a body and do not send it.
const FIRST: usize = 4 << 10;
/// A refused body of up to this size is read and forgotten, so that the connection can go on.
const SMALL: u64 = 64 << 10;
/// For how long the rest of a larger one is taken before the connection is closed. A connection that
/// is closed with unread bytes is reset, and the client may never see the answer.
const LINGER: Duration = Duration::from_secs(2);
/// So much of it at most.
const LINGER_BYTES: u64 = 4 << 20;

/// How much all bodies together may take.
#[derive(Debug)]
pub(super) struct Budget(Arc<Semaphore>);

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share(Option<OwnedSemaphorePermit>);

impl Budget {
    /// So many bytes.
    pub(super) fn new(bytes: u32) -> Self {
        Self(Arc::new(Semaphore::new(bytes as usize)))
    }

    /// Whether a body of this size could be taken now.
    fn fits(&self, bytes: usize) -> bool {
        self.0.available_permits() >= bytes
    }

    /// Adds to a share; `false` if there is no room, and then it is as before.
    pub(super) fn grow(&self, share: &mut Share, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        match (Arc::clone(&self.0).try_acquire_many_owned(bytes), &mut share.0) {
            (Err(_), _) => return false,
            (Ok(more), Some(held)) => held.merge(more),
            (Ok(more), none) => *none = Some(more),
        }
        true
    }
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is larger than a body may be.
    TooLarge,
    /// There is no room for it now.
    NoRoom,
    /// It took too long.
    TooSlow,
    /// It ended early, or is not what its head says.
    Broken,
}

/// A body in memory, with its share of the budget.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) share: Share,
}

/// Reads a body of at most `most` bytes. Nothing is read unless all that it announces has room; what
/// it takes of the budget grows with what has come, so that slow clients hold little.
///
/// # Errors
/// When it is not read to its end. The rest may still come.
pub(super) async fn read(
    body: &mut Incoming,
    budget: &Budget,
    most: usize,
    time: Duration,
) -> Result<Body, Unread> {
    let announced =
        body.size_hint().exact().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    // One in pieces may become as large as any.
    let expected = announced.unwrap_or(most).min(most);
    if !budget.fits(expected) {
        return Err(Unread::NoRoom);
    }
    timeout(time, collect(body, budget, expected)).await.unwrap_or(Err(Unread::TooSlow))
}

async fn collect(body: &mut Incoming, budget: &Budget, most: usize) -> Result<Body, Unread> {
    let mut all = Body { bytes: Vec::new(), share: Share(None) };
    let mut room = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unread::Broken)?;
        let Ok(data) = frame.into_data() else { continue };
        let needed = all.bytes.len() + data.len();
        if needed > most {
            return Err(Unread::TooLarge);
        }
        if needed > room {
            let larger = needed.max(2 * room).max(FIRST).min(most);
            if !budget.grow(&mut all.share, larger - room) {
                return Err(Unread::NoRoom);
            }
            all.bytes.reserve_exact(larger - all.bytes.len());
            room = larger;
        }
        all.bytes.extend_from_slice(&data);
    }
    Ok(all)
}

/// Throws a body away that nobody will look at, beside the answer. `false` if the connection must
/// end with the answer.
pub(super) fn discard(mut body: Incoming, waits_for_continue: bool, time: Duration) -> bool {
    if body.is_end_stream() {
        return true;
    }
    if waits_for_continue {
        // Reading would ask the client to send it.
        return false;
    }
    let small = body.size_hint().exact().is_some_and(|size| size <= SMALL);
    let (most, time) = if small { (SMALL, time) } else { (LINGER_BYTES, LINGER) };
    // In a task of its own: the answer does not wait for it.
    tokio::spawn(timeout(time, async move {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, |data| data.len() as u64);
            if seen > most {
                break;
            }
        }
    }));
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_gives_what_it_has_and_gets_it_back() {
        let budget = Budget::new(100);
        let (mut a, mut b) = (Share(None), Share(None));
        assert!(budget.grow(&mut a, 60) && !budget.grow(&mut b, 60) && budget.grow(&mut b, 30));
        assert!(budget.fits(10) && !budget.fits(11));
        assert!(budget.grow(&mut a, 10) && !budget.grow(&mut a, 1));
        drop(a);
        assert!(budget.fits(70) && !budget.fits(71));
        drop(b);
        assert!(budget.fits(100));
    }
}
