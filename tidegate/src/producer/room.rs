//! How much may be on its way to the broker, in records and in bytes, over all topics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The room for records on their way.
#[derive(Debug)]
pub(super) struct Room {
    records: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    max_bytes: u32,
    /// Records on their way.
    on_their_way: AtomicU64,
    empty: Notify,
}

/// The place of one record, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _record: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new(records: u32, bytes: u32) -> Self {
        Self {
            records: Arc::new(Semaphore::new(records as usize)),
            bytes: Arc::new(Semaphore::new(bytes as usize)),
            max_bytes: bytes,
            on_their_way: AtomicU64::new(0),
            empty: Notify::new(),
        }
    }

    /// A record that is larger than all of the room takes all of it: one always fits.
    fn share(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.max_bytes)
    }

    /// A place, first come, first served. `None` once it is closed.
    pub(super) async fn take(&self, bytes: usize) -> Option<Place> {
        let record = Arc::clone(&self.records).acquire_owned().await.ok()?;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(self.share(bytes)).await.ok()?;
        Some(Place { _record: record, _bytes: bytes })
    }

    /// A place if there is one now.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Place> {
        let record = Arc::clone(&self.records).try_acquire_owned().ok()?;
        let share = self.share(bytes);
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(share).ok()?;
        Some(Place { _record: record, _bytes: bytes })
    }

    /// Nobody gets a place any more.
    pub(super) fn close(&self) {
        self.records.close();
        self.bytes.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.records.is_closed()
    }

    pub(super) fn begin(&self) {
        self.on_their_way.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        if self.on_their_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.empty.notify_waiters();
        }
    }

    pub(super) fn on_their_way(&self) -> u64 {
        self.on_their_way.load(Ordering::Acquire)
    }

    /// Waits until nothing is on its way.
    pub(super) async fn is_empty(&self) {
        loop {
            let empty = self.empty.notified();
            tokio::pin!(empty);
            empty.as_mut().enable();
            if self.on_their_way() == 0 {
                return;
            }
            empty.await;
        }
    }
}
