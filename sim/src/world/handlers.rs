//! Handlers: how long they take, what they say, and what becomes of their records.

use std::time::Duration;

use tidegate_engine::{LetterOutcome, Outcome, Ticket, Verdict};

use super::plan::Service;
use super::{Happens, SECOND, World};
use crate::Reached;
use crate::history::{Ending, RecordAt, What};

/// A handler that runs, or whose dead letter is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handler {
    pub(super) ticket: Ticket,
    pub(super) serial: u32,
    pub(super) record: RecordAt,
    attempt: u32,
    pub(super) writing: bool,
}

impl World<'_> {
    pub(super) fn dispatch(&mut self, slot: usize) {
        loop {
            let now = self.instant();
            let Some(member) = &mut self.members[slot] else { return };
            let (life, most) = (member.life, self.plan.take);
            let mut out = Vec::new();
            member.engine.poll_dispatch(&mut out, most, now);
            let heads = out.len();
            if heads == 0 {
                return;
            }
            if self.tape.chance(self.plan.followers_per_mille)
                && let Some(member) = &mut self.members[slot]
            {
                member.engine.poll_followers(&mut out, most);
            }
            self.coverage.add(Reached::Follower, (out.len() - heads) as u64);
            if heads > most || out.len() - heads > most {
                return self.broken("bounds", format!("asked for {most}, {} came", out.len()));
            }
            let mut serials = Vec::new();
            for dispatch in &out {
                let Some(member) = &mut self.members[slot] else { return };
                member.serials += 1;
                let serial = member.serials;
                serials.push(serial);
                if dispatch.after.is_none() {
                    self.start(
                        slot,
                        dispatch.ticket,
                        serial,
                        dispatch.payload.at,
                        dispatch.attempt,
                    );
                }
            }
            for head in 0..heads {
                // What is followed is done at once; the rest of a line is given back when one is
                // not.
                let mut last = head;
                let follower = |last: usize| {
                    let mut followers = out[heads..].iter();
                    followers.position(|d| d.after == Some(last as u32)).map(|i| heads + i)
                };
                while let Some(next) = follower(last) {
                    if self.tape.chance(200) {
                        self.hit(Reached::Unstarted);
                        if let Some(member) = &mut self.members[slot] {
                            member.engine.handle_unstarted(out[last].ticket);
                        }
                        break;
                    }
                    self.end(slot, serials[last], Ending::Done);
                    let dispatch = &out[next];
                    let (ticket, serial) = (dispatch.ticket, serials[next]);
                    self.start(slot, ticket, serial, dispatch.payload.at, dispatch.attempt);
                    last = next;
                }
                let delay = self.service_time();
                self.later(life, delay, Happens::HandlerEnds { serial: serials[last] });
            }
        }
    }

    fn start(&mut self, slot: usize, ticket: Ticket, serial: u32, record: RecordAt, attempt: u32) {
        let Some(member) = &mut self.members[slot] else { return };
        let life = member.life;
        member.handlers.push(Handler { ticket, serial, record, attempt, writing: false });
        self.tell(life, What::Start { record, attempt });
    }

    fn service_time(&mut self) -> u64 {
        let mean = self.plan.service_mean;
        let mut time = 1 + match self.plan.service {
            Service::Constant => mean,
            Service::Spread => self.tape.up_to(mean * 3),
            Service::HeavyTail if self.tape.chance(20) => mean * 30,
            Service::HeavyTail => self.tape.up_to(mean),
        };
        if self.fault(self.plan.hang_per_mille) {
            self.hit(Reached::HandlerHang);
            time += 5 * SECOND;
        }
        // A handler that takes longer than it is given is a fault too, which ends with the others:
        // where each of them stops its partition, a group would get on by a record for each restart.
        match self.plan.config.handler_timeout {
            Some(timeout) if self.calm => time.min(timeout.as_nanos() as u64 / 2),
            _ => time,
        }
    }

    pub(super) fn handler_ends(&mut self, slot: usize, serial: u32) {
        let ending = if self.fault(self.plan.fail_per_mille) {
            self.hit(Reached::Failure);
            Ending::Retry
        } else if self.fault(self.plan.panic_per_mille) {
            self.hit(Reached::Panic);
            Ending::Panicked
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
    }

    pub(super) fn cancel(&mut self, slot: usize, ticket: Ticket, ending: Ending) {
        let Some(member) = &mut self.members[slot] else { return };
        let Some(handler) = member.handlers.iter().find(|h| h.ticket == ticket) else { return };
        let Handler { serial, writing, .. } = *handler;
        if writing {
            return self.letter(slot, serial, LetterOutcome::Abandoned);
        }
        if self.tape.chance(self.plan.late_per_mille) {
            let life = member.life;
            member.late.push((serial, ticket));
            let delay = self.tape.up_to(SECOND);
            self.later(life, delay, Happens::LateWord { serial });
        }
        if ending == Ending::TimedOut {
            self.hit(Reached::TimedOut);
        }
        self.end(slot, serial, ending);
    }

    /// A handler that was cancelled and is over says that it is done.
    pub(super) fn late_word(&mut self, slot: usize, serial: u32) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let Some(index) = member.late.iter().position(|(s, _)| *s == serial) else { return };
        let (_, ticket) = member.late.swap_remove(index);
        member.engine.handle_outcome(ticket, Outcome::Done, now);
        self.hit(Reached::LateWord);
    }

    /// A handler ends and hands its outcome in.
    fn end(&mut self, slot: usize, serial: u32, ending: Ending) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let running = |h: &Handler| h.serial == serial && !h.writing;
        let Some(index) = member.handlers.iter().position(running) else { return };
        let handler = member.handlers.swap_remove(index);
        let Handler { ticket, record, attempt, .. } = handler;
        let life = member.life;
        let after = self.tape.chance(self.plan.own_delay_per_mille);
        let after = after.then(|| Duration::from_nanos(self.tape.up_to(SECOND)));
        let outcome = match ending {
            Ending::Done => Outcome::Done,
            Ending::Skip => Outcome::Skip,
            Ending::Overloaded => Outcome::Overloaded { retry_after: after },
            Ending::DeadLetter => Outcome::DeadLetter,
            Ending::Retry => Outcome::Retry { after },
            Ending::Panicked | Ending::TimedOut | Ending::Cancelled => {
                Outcome::Retry { after: None }
            }
        };
        let Some(member) = &mut self.members[slot] else { return };
        let verdict = member.engine.handle_outcome(ticket, outcome, now);
        // Being held for want of credit charges no attempt.
        let ending = match verdict {
            Verdict::Held { .. } => Ending::DeadLetter,
            _ => ending,
        };
        self.tell(life, What::End { record, attempt, ending });
        self.judge(slot, handler, verdict);
    }

    pub(super) fn judge(&mut self, slot: usize, handler: Handler, verdict: Verdict) {
        let Some(member) = &mut self.members[slot] else { return };
        let (life, record) = (member.life, handler.record);
        match verdict {
            Verdict::GivenUp { .. } => {
                self.hit(Reached::GivenUp);
                self.tell(life, What::GivenUp { record });
            }
            Verdict::Stopped { .. } => {
                let partition = record.partition;
                if let Some(held) = member.held(partition) {
                    held.stopped = true;
                }
                self.tell(life, What::Stopped { partition });
                self.call_operator(life);
            }
            Verdict::DeadLetter { .. } => {
                member.handlers.push(Handler { writing: true, ..handler });
                let delay = 1 + self.tape.up_to(self.plan.network * 4);
                let serial = handler.serial;
                self.later(life, delay, Happens::LetterAnswered { serial });
            }
            Verdict::Unfinished => self.hit(Reached::Unfinished),
            Verdict::Stale => self.hit(Reached::Orphan),
            _ => {}
        }
    }
}
