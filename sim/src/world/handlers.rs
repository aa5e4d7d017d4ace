//! Handlers, and the dead letters that some records become.

use tidegate_engine::{LetterOutcome, Outcome, Ticket, Verdict};

use super::{SECOND, Timer, World};
use crate::Reached;
use crate::history::{Ending, RecordAt, What};

/// A handler that runs, or whose dead letter is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handler {
    ticket: Ticket,
    serial: u32,
    record: RecordAt,
    attempt: u32,
    writing: bool,
}

impl World<'_> {
    pub(super) fn dispatch(&mut self, slot: usize) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let mut out = Vec::new();
        member.engine.poll_dispatch(&mut out, usize::MAX, now);
        if out.is_empty() {
            return;
        }
        let life = member.life;
        let heads = out.len();
        if self.tape.chance(self.plan.followers_per_mille)
            && let Some(member) = &mut self.members[slot]
        {
            member.engine.poll_followers(&mut out, 64);
        }
        let mut serials = Vec::new();
        for dispatch in &out {
            let Some(member) = &mut self.members[slot] else { return };
            member.serials += 1;
            serials.push(member.serials);
            let (record, attempt) = (dispatch.payload.at, dispatch.attempt);
            let (ticket, serial) = (dispatch.ticket, member.serials);
            if dispatch.after.is_none() {
                member.handlers.push(Handler { ticket, serial, record, attempt, writing: false });
                self.tell(life, What::Start { record, attempt });
            }
        }
        for head in 0..heads {
            // What is followed is done at once; the rest of a line is given back when one is not.
            let mut last = head;
            let follower = |last: usize| {
                out[heads..].iter().position(|d| d.after == Some(last as u32)).map(|i| heads + i)
            };
            while let Some(next) = follower(last) {
                if self.tape.chance(200) {
                    if let Some(member) = &mut self.members[slot] {
                        member.engine.handle_unstarted(out[last].ticket);
                    }
                    break;
                }
                self.end(slot, serials[last], Ending::Done);
                let Some(member) = &mut self.members[slot] else { return };
                let (record, attempt) = (out[next].payload.at, out[next].attempt);
                let (ticket, serial) = (out[next].ticket, serials[next]);
                member.handlers.push(Handler { ticket, serial, record, attempt, writing: false });
                self.tell(life, What::Start { record, attempt });
                last = next;
            }
            let mut delay = 1 + self.tape.up_to(self.plan.service * 3);
            if self.fault(self.plan.hang_per_mille) {
                self.hit(Reached::HandlerHang);
                delay += 5 * SECOND;
            }
            self.after(delay, Timer::HandlerEnds { life, serial: serials[last] });
        }
    }

    pub(super) fn handler_ends(&mut self, life: u32, serial: u32) {
        let Some(slot) = self.slot(life) else { return };
        let ending = if self.fault(self.plan.fail_per_mille) {
            self.hit(Reached::Failure);
            Ending::Retry
        } else if self.fault(self.plan.overload_per_mille) {
            self.hit(Reached::Overloaded);
            Ending::Overloaded
        } else if self.fault(self.plan.skip_per_mille) {
            self.hit(Reached::Skip);
            Ending::Skip
        } else if self.fault(self.plan.letter_per_mille) {
            Ending::DeadLetter
        } else {
            Ending::Done
        };
        self.end(slot, serial, ending);
        self.turn(slot);
    }

    pub(super) fn cancel(&mut self, slot: usize, ticket: Ticket, ending: Ending) {
        let Some(member) = &self.members[slot] else { return };
        let Some(handler) = member.handlers.iter().find(|h| h.ticket == ticket) else { return };
        let Handler { serial, writing, .. } = *handler;
        if writing {
            return self.letter(slot, serial, LetterOutcome::Abandoned);
        }
        if ending == Ending::TimedOut {
            self.hit(Reached::TimedOut);
        }
        self.end(slot, serial, ending);
    }

    /// A handler ends and hands its outcome in.
    fn end(&mut self, slot: usize, serial: u32, ending: Ending) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let running = |h: &super::handlers::Handler| h.serial == serial && !h.writing;
        let Some(index) = member.handlers.iter().position(running) else { return };
        let handler = member.handlers.swap_remove(index);
        let Handler { ticket, record, attempt, .. } = handler;
        let outcome = match ending {
            Ending::Done => Outcome::Done,
            Ending::Skip => Outcome::Skip,
            Ending::Overloaded => Outcome::Overloaded { retry_after: None },
            Ending::DeadLetter => Outcome::DeadLetter,
            _ => Outcome::Retry { after: None },
        };
        let life = member.life;
        let verdict = member.engine.handle_outcome(ticket, outcome, now);
        // Being held for want of credit charges no attempt.
        let ending = match verdict {
            Verdict::Held { .. } => Ending::DeadLetter,
            _ => ending,
        };
        self.tell(life, What::End { record, attempt, ending });
        self.judge(slot, handler, verdict);
    }

    fn judge(&mut self, slot: usize, handler: Handler, verdict: Verdict) {
        let Some(member) = &mut self.members[slot] else { return };
        let (life, record) = (member.life, handler.record);
        let partition = record.partition;
        match verdict {
            Verdict::GivenUp { .. } => {
                self.hit(Reached::GivenUp);
                self.tell(life, What::GivenUp { record });
            }
            Verdict::Stopped { .. } => {
                self.tell(life, What::Stopped { partition });
                self.call_operator(life);
            }
            Verdict::DeadLetter { .. } => {
                member.handlers.push(Handler { writing: true, ..handler });
                let delay = 1 + self.tape.up_to(self.plan.network * 4);
                self.after(delay, Timer::LetterAnswered { life, serial: handler.serial });
            }
            Verdict::Unfinished => self.hit(Reached::Unfinished),
            Verdict::Stale => self.hit(Reached::Orphan),
            _ => {}
        }
    }

    pub(super) fn letter_answered(&mut self, life: u32, serial: u32) {
        let Some(slot) = self.slot(life) else { return };
        let outcome = match self.fault(self.plan.refuse_per_mille) {
            true => LetterOutcome::Refused,
            false => LetterOutcome::Written,
        };
        self.letter(slot, serial, outcome);
        self.turn(slot);
    }

    fn letter(&mut self, slot: usize, serial: u32, outcome: LetterOutcome) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let written = |h: &Handler| h.serial == serial && h.writing;
        let Some(index) = member.handlers.iter().position(written) else { return };
        let handler = member.handlers.swap_remove(index);
        let (life, record) = (member.life, handler.record);
        let verdict = member.engine.handle_dead_letter(handler.ticket, outcome, now);
        if outcome == LetterOutcome::Written {
            self.tell(life, What::LetterWritten { record });
        }
        if verdict == Verdict::Finished {
            self.tell(life, What::LetterAnswered { record });
        }
        self.judge(slot, handler, verdict);
    }
}
