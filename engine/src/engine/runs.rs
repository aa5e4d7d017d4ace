//! Runs: records of one lane that go out together, to be handled one after another.
//!
//! A lane lets one record go at a time: outcome, lock, next dispatch. With a hot key that is a lock
//! for nearly every record. So whoever handles records that are done as soon as they are started
//! may have a record's successors along with it. Each holds a permit, and counts as in flight, from
//! then on; it starts when the one before it is done. If that takes longer, or fails, the caller
//! gives the rest of the run back.

use alloc::vec::Vec;

use super::Engine;
use crate::partition::Phase;
use crate::slab::{NIL, State};
use crate::{Dispatch, Instant, Ticket};

/// The most that goes out behind one record.
const RUN: usize = 32;

impl<P: Clone> Engine<P> {
    /// Appends successors of the records in `out`, up to `max` in all, and returns how many: only
    /// when nothing else is ready, and while permits last.
    ///
    /// Each names in [`Dispatch::after`] the one that it comes after. Once that one is done (not
    /// merely ended) it may be started, before the outcome was handed in; the outcomes are handed
    /// in in the same order. As soon as it is known that one is not done yet, or failed,
    /// [`handle_unstarted`](Self::handle_unstarted) gives back what was to follow it, before its
    /// own outcome is handed in. To be used where that is known at once, since what is to follow
    /// keeps its permits from others.
    pub fn poll_followers(&mut self, out: &mut Vec<Dispatch<P>>, max: usize) -> usize {
        let heads = out.len();
        if self.ready > 0 {
            return 0;
        }
        for head in 0..heads {
            let mut last = head;
            for _ in 0..RUN {
                if out.len() - heads >= max || self.in_flight >= self.limit {
                    return out.len() - heads;
                }
                let slot = match self.slab.get(out[last].ticket) {
                    Some(entry) => entry.lane_next,
                    None => NIL,
                };
                if slot == NIL || self.slab[slot].state != State::Waiting {
                    break;
                }
                let id = self.slab[slot].partition;
                let Some(partition) = self.partition_mut(id) else { break };
                partition.queued -= 1;
                partition.in_flight += 1;
                self.queued -= 1;
                self.in_flight += 1;
                self.give_out(slot, State::Following, Some(last as u32), out);
                last = out.len() - 1;
            }
        }
        out.len() - heads
    }

    /// What was given out behind this dispatch has not been started and will not be: it waits for
    /// its turn again, under another ticket.
    pub fn handle_unstarted(&mut self, ticket: Ticket) {
        let Some(entry) = self.slab.get(ticket) else { return };
        let is_out = matches!(entry.state, State::InFlight | State::Orphaned);
        if !is_out && !entry.state.follows() {
            return;
        }
        let id = entry.partition;
        let mut last = ticket.slot;
        while self.slab.is_followed(last) {
            let slot = self.slab[last].lane_next;
            self.in_flight -= 1;
            if self.slab[slot].state == State::OrphanedFollowing {
                self.bytes -= u64::from(self.slab[slot].bytes);
                self.unlink(last, slot);
                self.slab.remove(slot);
                continue;
            }
            self.slab.renew(slot);
            let Some(Some(partition)) = self.partitions.get_mut(id.index()) else { break };
            partition.in_flight -= 1;
            if partition.phase == Phase::Active {
                self.slab[slot].state = State::Waiting;
                partition.queued += 1;
                self.queued += 1;
                last = slot;
            } else {
                self.unlink(last, slot);
                self.park(slot);
            }
        }
        self.tell_if_drained(id);
    }

    /// The record before it is done: a follower runs.
    pub(super) fn begin_follower(&mut self, slot: u32, now: Instant) {
        let entry = &mut self.slab[slot];
        entry.state = match entry.state {
            State::OrphanedFollowing => State::Orphaned,
            _ => State::InFlight,
        };
        self.counters.started += 1;
        self.begin_running(slot, now);
    }

    /// Takes a record out of its lane.
    fn unlink(&mut self, before: u32, slot: u32) {
        let next = self.slab[slot].lane_next;
        self.slab[before].lane_next = next;
        let lane = self.slab[slot].lane();
        if let Some(lane) = lane.filter(|_| next == NIL) {
            self.lanes.push(lane, before);
        }
    }
}
