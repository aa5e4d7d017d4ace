//! How much may be on its way to the broker, in records and in bytes, over all topics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, Semaphore};

/// The room for records on their way. One count keeps both bounds: it is in bytes, and a record takes
/// at least so many that no more records fit than may.
#[derive(Debug)]
pub(super) struct Room {
    bytes: Semaphore,
    max_bytes: u32,
    /// What a small record takes.
    least: u32,
    /// Records on their way.
    on_their_way: AtomicU64,
    empty: Notify,
}

/// The place of one record, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    bytes: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.bytes.add_permits(self.bytes as usize);
    }
}

impl Room {
    pub(super) fn new(records: u32, bytes: u32) -> Self {
        Self {
            bytes: Semaphore::new(bytes as usize),
            max_bytes: bytes,
            least: bytes.div_ceil(records).max(1),
            on_their_way: AtomicU64::new(0),
            empty: Notify::new(),
        }
    }

    /// A record that is larger than all of the room takes all of it: one always fits.
    fn share(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).clamp(self.least, self.max_bytes)
    }

    /// A place, first come, first served. `None` once it is closed.
    pub(super) async fn take(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let bytes = self.share(bytes);
        // The place gives it back.
        self.bytes.acquire_many(bytes).await.ok()?.forget();
        Some(Place { room: Arc::clone(self), bytes })
    }

    /// A place if there is one now.
    pub(super) fn try_take(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let bytes = self.share(bytes);
        self.bytes.try_acquire_many(bytes).ok()?.forget();
        Some(Place { room: Arc::clone(self), bytes })
    }

    /// Nobody gets a place any more.
    pub(super) fn close(&self) {
        self.bytes.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.bytes.is_closed()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_bytes_are_bounded_and_one_always_fits() {
        let room = Arc::new(Room::new(4, 1_000));
        let small: Vec<_> = std::iter::from_fn(|| room.try_take(1)).collect();
        assert_eq!(small.len(), 4);
        drop(small);
        let large: Vec<_> = std::iter::from_fn(|| room.try_take(400)).collect();
        assert_eq!(large.len(), 2);
        drop(large);
        let huge = room.try_take(1_000_000);
        assert!(huge.is_some() && room.try_take(1).is_none());
        drop(huge);
        assert!(Arc::new(Room::new(1_000_000, 1_024)).try_take(0).is_some());
    }
}
