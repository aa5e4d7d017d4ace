//! Time: retries that are due, handlers that run too long, partitions that do not move.

use core::time::Duration;

use super::Engine;
use crate::partition::Phase;
use crate::slab::{NIL, State};
use crate::{Action, CancelReason, Instant, PartitionId};

impl<P: Clone> Engine<P> {
    /// When [`handle_timeout`](Self::handle_timeout) should be called next, if nothing else
    /// happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let handler = self.config.handler_timeout.and_then(|t| self.due(self.timeout_cursor, t));
        let stuck = self.due(self.stuck_cursor, self.config.stuck_after);
        let watch = (self.assigned > 0).then_some(self.next_watch);
        let stall = (self.assigned > 0).then_some(self.next_stall_check);
        [self.retries.next_at(), handler, stuck, watch, stall].into_iter().flatten().min()
    }

    /// Does what is due at `now`. Calling it too early or too often does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.end_backoffs(now);
        if let Some(timeout) = self.config.handler_timeout {
            while self.due(self.timeout_cursor, timeout).is_some_and(|at| at <= now) {
                let slot = self.timeout_cursor;
                self.timeout_cursor = self.slab[slot].turn_next;
                if self.slab[slot].state == State::InFlight {
                    self.counters.timed_out += 1;
                    let ticket = self.slab.ticket(slot);
                    let reason = CancelReason::Timeout;
                    self.actions.push_back(Action::Cancel { ticket, reason });
                }
            }
        }
        while self.due(self.stuck_cursor, self.config.stuck_after).is_some_and(|at| at <= now) {
            let attempt = self.slab.attempt(self.stuck_cursor);
            let entry = &self.slab[self.stuck_cursor];
            self.stuck_cursor = entry.turn_next;
            self.actions.push_back(Action::Stuck {
                partition: entry.partition,
                offset: entry.offset,
                attempt: attempt.failed + u32::from(entry.state != State::Writing),
                running: now.saturating_since(attempt.since),
            });
        }
        if self.next_stall_check <= now {
            self.next_stall_check = now + self.config.commit_stall / 4;
            self.check_stalls(now);
        }
        if self.next_watch <= now {
            self.next_watch = now + self.config.stuck_after / 4;
            self.look_for_progress(now);
        }
    }

    /// Begins the next attempt of what is due.
    fn end_backoffs(&mut self, now: Instant) {
        while let Some(ticket) = self.retries.pop_due(now) {
            if self.slab.get(ticket).is_some_and(|e| e.state == State::Backoff) {
                self.backing_off -= 1;
                self.make_ready(ticket.slot);
            }
        }
    }

    fn due(&self, cursor: u32, after: Duration) -> Option<Instant> {
        (cursor != NIL).then(|| self.slab.attempt(cursor).since + after)
    }

    fn look_for_progress(&mut self, now: Instant) {
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            let Some(partition) = partition else { continue };
            let since = now.saturating_since(partition.progress);
            let waits = partition.phase == Phase::Active && partition.unfinished > 0;
            if waits && since >= self.config.stuck_after && !partition.no_progress_told {
                partition.no_progress_told = true;
                self.actions.push_back(Action::NoProgress {
                    partition: PartitionId(index as u32),
                    offset: self.slab[partition.track.head].offset,
                    unfinished: partition.unfinished,
                    since,
                });
            }
        }
    }
}
