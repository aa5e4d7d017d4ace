//! Letting records run: permits, fairly over the partitions.

use alloc::vec::Vec;

use super::Engine;
use crate::list::Turn;
use crate::slab::{NIL, State};
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

            self.running.push_back::<P, Turn>(&mut self.slab, slot);
            for cursor in [&mut self.timeout_cursor, &mut self.stuck_cursor] {
                if *cursor == NIL {
                    *cursor = slot;
                }
            }
            // A ticket is good for one attempt: a late word about an earlier one means nothing.
            let ticket = self.slab.renew(slot);
            let attempt = self.slab.attempt_mut(slot);
            attempt.since = now;
            let number = attempt.failed + 1;
            let entry = &mut self.slab[slot];
            entry.state = State::InFlight;
            let Some(payload) = entry.payload.clone() else {
                debug_assert!(false, "a ready record has a payload");
                continue;
            };
            out.push(Dispatch {
                ticket,
                partition: id,
                offset: entry.offset,
                attempt: number,
                payload,
            });
        }
        let started = out.len() - before;
        self.counters.started += started as u64;
        started
    }
}
