//! How much may be on its way to the broker, in records and in bytes, over all topics.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The room for records on their way. One count keeps both bounds: it is in bytes, and a record takes
/// at least so many that no more records fit than may.
#[derive(Debug)]
pub(super) struct Room {
    bytes: Semaphore,
    max_bytes: u32,
    /// What a small record takes.
    least: u32,
}

/// The place of one record, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    permit: SemaphorePermit<'a>,
    bytes: u32,
}

impl Place<'_> {
    /// Keeps it beyond its life: returns the bytes that are to be [given back](Room::give_back).
    pub(super) fn keep(self) -> u32 {
        self.permit.forget();
        self.bytes
    }
}

impl Room {
    pub(super) fn new(records: u32, bytes: u32) -> Self {
        let least = bytes.div_ceil(records).max(1);
        Self { bytes: Semaphore::new(bytes as usize), max_bytes: bytes, least }
    }

    /// A record that is larger than all of the room takes all of it: one always fits.
    fn share(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).clamp(self.least, self.max_bytes)
    }

    /// A place, first come, first served. `None` once it is closed.
    pub(super) async fn take(&self, bytes: usize) -> Option<Place<'_>> {
        let bytes = self.share(bytes);
        let permit = self.bytes.acquire_many(bytes).await.ok()?;
        Some(Place { permit, bytes })
    }

    /// A place if there is one now.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Place<'_>> {
        let bytes = self.share(bytes);
        let permit = self.bytes.try_acquire_many(bytes).ok()?;
        Some(Place { permit, bytes })
    }

    /// Of places that were kept.
    pub(super) fn give_back(&self, bytes: usize) {
        self.bytes.add_permits(bytes);
    }

    /// Nobody gets a place any more.
    pub(super) fn close(&self) {
        self.bytes.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.bytes.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_bytes_are_bounded_and_one_always_fits() {
        let room = Room::new(4, 1_000);
        let small: Vec<_> = std::iter::from_fn(|| room.try_take(1)).collect();
        assert_eq!(small.len(), 4);
        drop(small);
        let large: Vec<_> = std::iter::from_fn(|| room.try_take(400)).collect();
        assert_eq!(large.len(), 2);
        drop(large);
        let huge = room.try_take(1_000_000);
        assert!(huge.is_some() && room.try_take(1).is_none());
        drop(huge);
        assert!(Room::new(1_000_000, 1_024).try_take(0).is_some());
        let kept = room.try_take(1_000).unwrap().keep();
        assert!(room.try_take(1).is_none());
        room.give_back(kept as usize);
        assert!(room.try_take(1_000).is_some());
    }
}
