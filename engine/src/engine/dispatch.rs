//! Letting records run: permits, fairly over the partitions.

use alloc::vec::Vec;

use super::Engine;
use crate::canary::{Canary, is_planted};
use crate::slab::State;
use crate::{Dispatch, Instant};

impl<P: Clone> Engine<P> {
    /// Appends up to `max` records whose turn it is, while permits last, and returns how many.
    /// Partitions take turns, one record each; within a partition first come, first served.
    pub fn poll_dispatch(&mut self, out: &mut Vec<Dispatch<P>>, max: usize, now: Instant) -> usize {
        let before = out.len();
        while out.len() - before < max && self.in_flight < self.limit {
            let Some(id) = self.ring.pop_front() else { break };
            let Some(Some(partition)) = self.partitions.get_mut(id.index()) else { continue };
            partition.in_ring = false;
            if partition.stalled {
                continue;
            }
            let Some(slot) = partition.ready.pop_front(&self.slab) else {
                continue;
            };
            if !partition.ready.is_empty() {
                partition.in_ring = true;
                self.ring.push_back(id);
            }
            partition.ready_count -= 1;
            partition.queued -= 1;
            partition.in_flight += 1;
            self.ready -= 1;
            self.queued -= 1;
            self.in_flight += 1;
            assert!(self.in_flight <= self.limit, "a handler would run without a permit");

            self.counters.started += 1;
            self.begin_running(slot, now);
            self.give_out(slot, State::InFlight, None, out);
            if is_planted(Canary::KeyReleased) {
                self.release_lane(slot, now);
            }
        }
        out.len() - before
    }

    /// Appends a record to those that the caller gets, under a new ticket: one is good for one
    /// attempt, and a late word about an earlier attempt means nothing.
    pub(super) fn give_out(
        &mut self,
        slot: u32,
        state: State,
        after: Option<u32>,
        out: &mut Vec<Dispatch<P>>,
    ) {
        let ticket = self.slab.renew(slot);
        let attempt = self.slab.attempt(slot).failed + 1;
        let entry = &mut self.slab[slot];
        entry.state = state;
        let Some(payload) = entry.payload.clone() else {
            debug_assert!(false, "a record that waits has a payload");
            return;
        };
        let (partition, offset) = (entry.partition, entry.offset);
        out.push(Dispatch { ticket, partition, offset, attempt, payload, after });
    }
}
