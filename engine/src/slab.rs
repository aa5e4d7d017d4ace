//! One entry for each admitted record.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use crate::canary::{Canary, is_planted};
use crate::lanes::Lane;
use crate::{Instant, KeyHash, Offset, PartitionId, Ticket};

/// No slot.
pub(crate) const NIL: u32 = u32::MAX;

/// Where an admitted record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The slot is free.
    Free,
    /// Behind another record of its lane.
    Waiting,
    /// Its turn, without a permit yet.
    Ready,
    /// Its handler runs.
    InFlight,
    /// Given out with the record before it in its lane, whose outcome has not come. Holds a permit.
    Following,
    /// Its handler has ended and its dead letter is being written. Holds permit and lane.
    Writing,
    /// Its handler still runs (or its letter is still written), but its partition is gone: the outcome frees permit and lane, and
    /// says nothing of the record.
    Orphaned,
    /// As [`Following`](Self::Following), of a partition that is gone.
    OrphanedFollowing,
    /// Until the next attempt.
    Backoff,
    /// Unfinished, and not to be processed by this member: only its offset still counts.
    Parked,
}

/// What every step of a record's life touches: one cache line, because the steps are taken by
/// different threads and a line that another core wrote last is most of what a record costs.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Entry<P> {
    pub(crate) offset: Offset,
    pub(crate) payload: Option<P>,
    key: KeyHash,
    has_lane: bool,
    pub(crate) state: State,
    pub(crate) partition: PartitionId,
    pub(crate) bytes: u32,
    pub(crate) generation: u32,
    pub(crate) track_prev: u32,
    pub(crate) track_next: u32,
    pub(crate) turn_next: u32,
    /// The next record of its lane.
    pub(crate) lane_next: u32,
}

/// What only attempts touch.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Start of the one that is in flight.
    pub(crate) since: Instant,
    /// The engine's count of successes at the first overload answer.
    pub(crate) successes_at_overload: u64,
    /// Attempts that failed.
    pub(crate) failed: u32,
    /// How often it waited for the credit of a dead letter.
    pub(crate) held: u32,
    /// Overload answers since the last attempt that counted.
    pub(crate) overloads: u32,
    pub(crate) turn_prev: u32,
}

impl Attempt {
    const NONE: Self = Self {
        since: Instant::from_nanos(0),
        successes_at_overload: 0,
        failed: 0,
        held: 0,
        overloads: 0,
        turn_prev: NIL,
    };
}

impl State {
    /// Whether it was given out behind a record whose outcome has not come.
    pub(crate) fn follows(self) -> bool {
        matches!(self, Self::Following | Self::OrphanedFollowing)
    }
}

impl<P> Entry<P> {
    pub(crate) fn lane(&self) -> Option<Lane> {
        self.has_lane.then_some(Lane { partition: self.partition, key: self.key })
    }
}

/// The entries; a slot is reused with another generation.
#[derive(Debug)]
pub(crate) struct Slab<P> {
    entries: Vec<Entry<P>>,
    /// By slot; one of a free slot is as new.
    attempts: Vec<Attempt>,
    free: Vec<u32>,
}

impl<P> Slab<P> {
    pub(crate) fn with_capacity(entries: usize) -> Self {
        Self {
            entries: Vec::with_capacity(entries),
            attempts: Vec::with_capacity(entries),
            free: Vec::with_capacity(entries),
        }
    }

    /// Puts an entry into a free slot. Its links and generation are the slab's.
    pub(crate) fn insert(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        bytes: u32,
        key: Option<KeyHash>,
        payload: P,
    ) -> u32 {
        let mut entry = Entry {
            offset,
            payload: Some(payload),
            key: key.unwrap_or(KeyHash(0)),
            has_lane: key.is_some(),
            state: State::Waiting,
            partition,
            bytes,
            generation: 0,
            track_prev: NIL,
            track_next: NIL,
            turn_next: NIL,
            lane_next: NIL,
        };
        match self.free.pop() {
            Some(slot) => {
                entry.generation = self[slot].generation;
                self[slot] = entry;
                slot
            }
            None => {
                let slot = self.entries.len();
                assert!(slot < NIL as usize, "more than 2^32 - 1 admitted records");
                self.entries.push(entry);
                self.attempts.push(Attempt::NONE);
                slot as u32
            }
        }
    }

    /// Frees a slot; its tickets become stale.
    pub(crate) fn remove(&mut self, slot: u32) {
        let entry = &mut self[slot];
        debug_assert_ne!(entry.state, State::Free, "slot {slot} freed twice");
        entry.state = State::Free;
        entry.payload = None;
        entry.generation = entry.generation.wrapping_add(1);
        self.attempts[slot as usize] = Attempt::NONE;
        self.free.push(slot);
    }

    /// Makes earlier tickets of a slot stale and gives a new one.
    pub(crate) fn renew(&mut self, slot: u32) -> Ticket {
        let entry = &mut self[slot];
        entry.generation = entry.generation.wrapping_add(1);
        Ticket { slot, generation: entry.generation }
    }

    /// Whether the next record of its lane was given out behind this one.
    pub(crate) fn is_followed(&self, slot: u32) -> bool {
        let next = self[slot].lane_next;
        next != NIL && self[next].state.follows()
    }

    pub(crate) fn attempt(&self, slot: u32) -> &Attempt {
        &self.attempts[slot as usize]
    }

    pub(crate) fn attempt_mut(&mut self, slot: u32) -> &mut Attempt {
        &mut self.attempts[slot as usize]
    }

    pub(crate) fn ticket(&self, slot: u32) -> Ticket {
        Ticket { slot, generation: self[slot].generation }
    }

    /// The ticket's entry, if it is still of the ticket's life.
    pub(crate) fn get(&self, ticket: Ticket) -> Option<&Entry<P>> {
        self.entries
            .get(ticket.slot as usize)
            .filter(|e| e.generation == ticket.generation || is_planted(Canary::TicketNotChecked))
            .filter(|e| e.state != State::Free)
    }
}

impl<P> Index<u32> for Slab<P> {
    type Output = Entry<P>;

    fn index(&self, slot: u32) -> &Entry<P> {
        &self.entries[slot as usize]
    }
}

impl<P> IndexMut<u32> for Slab<P> {
    fn index_mut(&mut self, slot: u32) -> &mut Entry<P> {
        &mut self.entries[slot as usize]
    }
}
