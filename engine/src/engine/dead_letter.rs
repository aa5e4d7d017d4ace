//! Dead letters: records that no attempt will process go to a topic of their own.
//!
//! The record is finished, and its lane goes on, when the letter was acknowledged and not before.
//! Until then it keeps its permit: with a dead-letter topic that is down, no more than the limit
//! of letters wait, and then the consumer stands still.
//!
//! Letters are paid from successes. Something that the handler needs and that is down makes every
//! record fail; after the first few letters nothing succeeds, nothing more is paid, and records are
//! tried again instead, which is also how it is seen that the trouble is over. The idea is that of
//! retry budgets, which bound what a failing dependency may cause by what it still does.

use super::Engine;
use crate::canary::{Canary, is_planted};
use crate::partition::Phase;
use crate::slab::State;
use crate::{AfterLastAttempt, Instant, LetterOutcome, Ticket, Verdict};

impl<P: Clone> Engine<P> {
    /// Takes what became of a dead letter ([`Verdict::DeadLetter`]), by the ticket of its record's
    /// last attempt.
    pub fn handle_dead_letter(
        &mut self,
        ticket: Ticket,
        outcome: LetterOutcome,
        now: Instant,
    ) -> Verdict {
        let slot = ticket.slot;
        if self.slab.get(ticket).is_none_or(|e| e.state != State::Writing) {
            return self.stale(ticket, now);
        }
        let (id, offset) = (self.slab[slot].partition, self.slab[slot].offset);
        let attempts = self.slab.attempt(slot).failed;
        let Some(phase) = self.end_attempt(slot) else { return Verdict::Stale };
        self.writing -= 1;
        let verdict = match outcome {
            LetterOutcome::Written => {
                self.counters.dead_lettered += 1;
                self.finish(slot, now)
            }
            LetterOutcome::Refused if phase == Phase::Active => {
                self.earn_letter();
                self.stop_at(slot, now);
                Verdict::Stopped { partition: id, offset, attempts }
            }
            // Of a partition that is given away the next owner finds out for itself.
            LetterOutcome::Refused | LetterOutcome::Abandoned => {
                self.earn_letter();
                if phase == Phase::Active {
                    Verdict::Held { at: self.hold(slot, now) }
                } else {
                    self.park_in_flight(slot, now);
                    Verdict::Unfinished
                }
            }
        };
        self.tell_if_drained(id);
        verdict
    }

    /// A handler wants no more attempts at a record.
    pub(super) fn give_up_at_once(&mut self, slot: u32, phase: Phase, now: Instant) -> Verdict {
        let attempt = self.slab.attempt_mut(slot);
        attempt.failed += 1;
        attempt.overloads = 0;
        let letters = self.config.after_last_attempt == AfterLastAttempt::DeadLetter;
        if phase == Phase::Active || (letters && phase == Phase::Draining) {
            return self.give_up(slot, now);
        }
        self.park_in_flight(slot, now);
        Verdict::Unfinished
    }

    /// The record's letter is to be written now, if there is credit.
    pub(super) fn begin_letter(&mut self, slot: u32, now: Instant) -> Verdict {
        let (id, offset) = (self.slab[slot].partition, self.slab[slot].offset);
        let attempts = self.slab.attempt(slot).failed;
        if self.letter_credit == 0 {
            self.counters.held += 1;
            if self.partition(id).is_some_and(|p| p.phase == Phase::Active) {
                return Verdict::Held { at: self.hold(slot, now) };
            }
            self.park_in_flight(slot, now);
            return Verdict::Unfinished;
        }
        if is_planted(Canary::LetterCountedEarly) {
            self.finish(slot, now);
            return Verdict::DeadLetter { partition: id, offset, attempts };
        }
        self.letter_credit -= 1;
        self.writing += 1;
        self.in_flight += 1;
        if let Some(partition) = self.partition_mut(id) {
            partition.in_flight += 1;
        }
        self.begin_running(slot, now);
        self.slab[slot].state = State::Writing;
        Verdict::DeadLetter { partition: id, offset, attempts }
    }

    /// A success, or a letter that was not written.
    pub(super) fn earn_letter(&mut self) {
        self.letter_credit = (self.letter_credit + 1).min(self.config.dead_letter_credit);
    }

    /// Tries a record again later, at no charge.
    fn hold(&mut self, slot: u32, now: Instant) -> Instant {
        let attempt = self.slab.attempt_mut(slot);
        attempt.failed -= 1;
        attempt.held += 1;
        let times = attempt.held;
        let delay = self.jitter.delay(self.config.backoff, times);
        self.try_again(slot, delay, now);
        now + delay
    }
}
