//! Reading what fits.

use std::sync::Arc;

use tidegate_engine::{Arrival, Instant, KeyHasher, Ordering, PartitionId};

use super::finish::Stage;
use super::turn::{Held, Pump};
use crate::record::RecordRef;
use crate::shared::Waiting;
use crate::source::{NextRead, Source};

/// Records asked of a partition at once: what is admitted under one lock.
const RECORDS_PER_READ: u32 = 256;
/// An idle worker is woken when so many were read, or when the turn ends: waking one for each read
/// would have it fall asleep again before the next.
const RECORDS_BEFORE_WAKING: usize = 1_024;
/// Records read in one turn, about.
const RECORDS_PER_TURN: usize = 2_048;

impl<S: Source> Pump<S> {
    /// Reads from each partition that has records and room, once, and remembers those without
    /// room. Starts behind the one that was read last. Always starting at the first starves the
    /// last; and so does starting one further each time: while the budget is full, a turn that
    /// reads is followed by one that does not, and every other partition never comes first.
    pub(super) fn read(&mut self, now: Instant) -> bool {
        self.waiting.clear();
        if self.stage != Stage::Running || self.remaining == Some(0) || self.active.is_empty() {
            return false;
        }
        let count = self.active.len();
        let start = self.rotation;
        let mut read = 0;
        let mut progress = false;
        for step in 0..count {
            let index = (start + step) % count;
            let id = self.active[index];
            let Some(Some(held)) = self.held.get(id.index()) else { continue };
            if (!held.more && !self.source.has_records(id)) || self.is_past_end(held) {
                continue;
            }
            let records = self.read_one(id, now);
            let Some(&Held { more, too_large, .. }) = self.held(id) else { continue };
            if records.is_none() || too_large > 0 {
                self.waiting.push(Waiting { partition: id, bytes: too_large });
            }
            if let Some(records @ 1..) = records {
                read += records;
                self.rotation = index + 1;
            }
            progress |= records.is_some_and(|records| records > 0 || more);
            if read >= RECORDS_BEFORE_WAKING {
                self.ring_worker();
            }
            if read >= RECORDS_PER_TURN || self.remaining == Some(0) {
                break;
            }
        }
        self.ring_worker();
        progress
    }

    fn ring_worker(&mut self) {
        if let Some(worker) = self.to_ring.take() {
            self.shared.ring(worker);
        }
    }

    /// A run until the end leaves alone what came later, or it would never end while records come.
    /// Not before the first read: where nothing is committed the position is not known.
    fn is_past_end(&self, held: &Held) -> bool {
        self.settings.until_end && held.end.is_some_and(|end| held.position >= Some(end))
    }

    /// Reads from one partition; `None` if it has no capacity.
    fn read_one(&mut self, id: PartitionId, now: Instant) -> Option<usize> {
        let mut capacity = self.shared.lock().engine.capacity(id, now);
        let most = self.remaining.map_or(RECORDS_PER_READ, |remaining| {
            u32::try_from(remaining).unwrap_or(u32::MAX).min(RECORDS_PER_READ)
        });
        capacity.records = capacity.records.min(most);
        let held = self.held.get_mut(id.index())?.as_mut()?;
        if capacity.records == 0 || capacity.first < held.too_large {
            if held.too_large > 0 {
                self.shared.lock().engine.reserve(id, held.too_large, now);
            }
            return None;
        }

        let read = self.source.read(id, capacity, &mut self.batches);
        held.more = read.next == NextRead::More;
        held.empty = read.next == NextRead::Empty;
        held.position = read.position.map(|p| p.offset).max(held.position);
        held.too_large = if let NextRead::TooLarge(bytes) = read.next { bytes } else { 0 };
        let needs_room = held.too_large;

        let mut records = 0;
        for batch in self.batches.drain(..) {
            records += batch.len();
            for index in 0..batch.len() {
                self.arrivals.push(Arrival {
                    offset: batch.offset(index),
                    bytes: batch.bytes(index),
                    key: None,
                    leader_epoch: batch.leader_epoch(index),
                    payload: RecordRef { batch: Arc::clone(&batch), index: index as u32 },
                });
            }
        }
        if let Some(hasher) = &self.hasher {
            for arrival in &mut self.arrivals {
                let RecordRef { batch, index } = &arrival.payload;
                arrival.key = batch.key(*index as usize).map(|key| hasher.hash(key));
            }
        }

        let worker = {
            let mut core = self.shared.lock();
            let engine = &mut core.engine;
            let admitted = engine.handle_records(id, self.arrivals.drain(..), read.position, now);
            if let Some(remaining) = &mut self.remaining {
                *remaining = remaining.saturating_sub(admitted.into());
            }
            if needs_room > 0 {
                engine.reserve(id, needs_room, now);
            }
            // A worker that is not idle takes more when it is done with what it has.
            if engine.has_ready() && core.all_idle() { core.claim_idle() } else { None }
        };
        self.to_ring = self.to_ring.or(worker);
        if records > 0 || read.position.is_some() {
            self.schedule_commit(now);
        }
        Some(records)
    }
}

/// Hashes keys if the order depends on them.
pub(super) fn key_hasher(config: &tidegate_engine::Config) -> Option<KeyHasher> {
    (config.ordering == Ordering::Key).then(|| KeyHasher::new(config.seed))
}
