//! What a handler said, and what becomes of its record.

use core::time::Duration;

use super::Engine;
use crate::canary::{Canary, is_planted};
use crate::list::Track;
use crate::partition::Phase;
use crate::slab::State;
use crate::{AfterLastAttempt, Instant, Outcome, Ticket, Verdict};

/// While other records succeed, every so many overload answers for one record cost it an attempt.
const OVERLOADS_PER_ATTEMPT: u32 = 10;

impl<P: Clone> Engine<P> {
    /// Takes the outcome of a dispatch and frees its permit. Any handler that ends without an
    /// outcome of its own (a panic, a cancellation) counts as [`Outcome::Retry`]. Outcomes of a run
    /// ([`poll_followers`](Self::poll_followers)) come in its order.
    pub fn handle_outcome(&mut self, ticket: Ticket, outcome: Outcome, now: Instant) -> Verdict {
        let slot = ticket.slot;
        match self.slab.get(ticket).map(|e| e.state) {
            Some(State::InFlight) => {}
            _ => return self.stale(ticket, now),
        }
        let id = self.slab[slot].partition;
        let Some(phase) = self.end_attempt(slot) else { return Verdict::Stale };
        let verdict = match outcome {
            Outcome::Done => {
                self.counters.done += 1;
                self.earn_letter();
                self.finish(slot, now)
            }
            Outcome::Skip => {
                self.counters.skipped += 1;
                self.earn_letter();
                self.finish(slot, now)
            }
            Outcome::Retry { after } => {
                self.counters.failed += 1;
                self.fail(slot, phase, after, now)
            }
            Outcome::Overloaded { retry_after } => {
                self.counters.overloaded += 1;
                self.overloaded(slot, phase, retry_after, now)
            }
            Outcome::DeadLetter => {
                self.counters.failed += 1;
                self.give_up_at_once(slot, phase, now)
            }
        };
        self.tell_if_drained(id);
        verdict
    }

    /// A word about something that is over, or that is of an earlier epoch: then a permit and a
    /// lane are free now.
    pub(super) fn stale(&mut self, ticket: Ticket, now: Instant) -> Verdict {
        let slot = ticket.slot;
        if self.slab.get(ticket).is_some_and(|e| e.state == State::Orphaned) {
            self.end_running(slot);
            self.bytes -= u64::from(self.slab[slot].bytes);
            self.release_lane(slot, now);
            self.slab.remove(slot);
        }
        self.counters.stale += 1;
        Verdict::Stale
    }

    /// Frees the permit of a handler that ended, or of a letter; gives its partition's phase.
    pub(super) fn end_attempt(&mut self, slot: u32) -> Option<Phase> {
        self.end_running(slot);
        let id = self.slab[slot].partition;
        let Some(partition) = self.partition_mut(id) else {
            debug_assert!(false, "a handler in flight has a partition, or is an orphan");
            return None;
        };
        partition.in_flight -= 1;
        Some(partition.phase)
    }

    pub(super) fn finish(&mut self, slot: u32, now: Instant) -> Verdict {
        self.release_lane(slot, now);
        let (id, bytes) = (self.slab[slot].partition, u64::from(self.slab[slot].bytes));
        self.bytes -= bytes;
        if is_planted(Canary::BytesReleasedTwice) {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        if let Some(Some(partition)) = self.partitions.get_mut(id.index()) {
            partition.bytes -= bytes;
            partition.unfinished -= 1;
            partition.finished += 1;
            if partition.track.head == slot {
                partition.progressed(now);
            }
            partition.track.remove::<P, Track>(&mut self.slab, slot);
            partition.changed(now);
        }
        self.slab.remove(slot);
        Verdict::Finished
    }

    fn fail(&mut self, slot: u32, phase: Phase, after: Option<Duration>, now: Instant) -> Verdict {
        let attempt = self.slab.attempt_mut(slot);
        attempt.failed += 1;
        attempt.overloads = 0;
        let attempts = attempt.failed;
        if phase != Phase::Active {
            self.park_in_flight(slot, now);
            return Verdict::Unfinished;
        }
        if attempts < self.config.max_attempts {
            let delay = after.unwrap_or_else(|| self.jitter.delay(self.config.backoff, attempts));
            return self.try_again(slot, delay, now);
        }
        self.give_up(slot, now)
    }

    /// What becomes of a record that is not tried again.
    pub(super) fn give_up(&mut self, slot: u32, now: Instant) -> Verdict {
        let (id, offset) = (self.slab[slot].partition, self.slab[slot].offset);
        let attempts = self.slab.attempt(slot).failed;
        match self.config.after_last_attempt {
            AfterLastAttempt::DeadLetter => self.begin_letter(slot, now),
            AfterLastAttempt::Skip => {
                self.counters.given_up += 1;
                self.finish(slot, now);
                Verdict::GivenUp { partition: id, offset, attempts }
            }
            AfterLastAttempt::StopPartition => {
                self.stop_at(slot, now);
                Verdict::Stopped { partition: id, offset, attempts }
            }
        }
    }

    /// The partition stops at this record.
    pub(super) fn stop_at(&mut self, slot: u32, now: Instant) {
        let (id, offset) = (self.slab[slot].partition, self.slab[slot].offset);
        self.park_in_flight(slot, now);
        self.stop(id, Some(offset));
    }

    fn overloaded(
        &mut self,
        slot: u32,
        phase: Phase,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Verdict {
        if phase != Phase::Active {
            self.park_in_flight(slot, now);
            return Verdict::Unfinished;
        }
        let successes = self.counters.done + self.counters.skipped;
        let attempt = self.slab.attempt_mut(slot);
        if attempt.overloads == 0 {
            attempt.successes_at_overload = successes;
        }
        attempt.overloads += 1;
        let answers = attempt.overloads;
        if answers >= OVERLOADS_PER_ATTEMPT && successes > attempt.successes_at_overload {
            return self.fail(slot, phase, retry_after, now);
        }
        let delay = match retry_after {
            // "At once" would be asked again and again without a pause.
            Some(delay) => delay.max(self.config.backoff.initial),
            None => self.jitter.delay(self.config.backoff, answers),
        };
        self.try_again(slot, delay, now)
    }

    /// Queues a record for another attempt. It keeps its lane.
    pub(super) fn try_again(&mut self, slot: u32, delay: Duration, now: Instant) -> Verdict {
        let at = now + delay;
        if is_planted(Canary::PermitLeaked) {
            self.in_flight += 1;
        }
        if is_planted(Canary::RetryJumps) {
            self.release_lane(slot, now);
        }
        let ticket = self.slab.ticket(slot);
        let attempt = self.slab.attempt(slot).failed + 1;
        let entry = &mut self.slab[slot];
        entry.state = State::Backoff;
        let id = entry.partition;
        self.retries.push(at, ticket);
        self.backing_off += 1;
        self.queued += 1;
        if let Some(partition) = self.partition_mut(id) {
            partition.queued += 1;
        }
        Verdict::Again { at, attempt }
    }

    /// A record that was in flight stays unfinished and is not processed here any more.
    pub(super) fn park_in_flight(&mut self, slot: u32, now: Instant) {
        self.release_lane(slot, now);
        self.park(slot);
    }

    /// Only the offset of this record counts from now on.
    pub(super) fn park(&mut self, slot: u32) {
        let entry = &mut self.slab[slot];
        entry.state = State::Parked;
        entry.payload = None;
        let (id, bytes) = (entry.partition, u64::from(entry.bytes));
        self.bytes -= bytes;
        if let Some(partition) = self.partition_mut(id) {
            partition.bytes -= bytes;
        }
    }
}
