//! The dead-letter topic, and who writes to it.

use tidegate_engine::LetterOutcome;

use super::handlers::Handler;
use super::{Happens, MILLI, World};
use crate::Reached;
use crate::history::What;

impl World<'_> {
    /// A write comes to an end. One that did not succeed, or whose answer is lost, is made again.
    pub(super) fn letter_answered(&mut self, slot: usize, serial: u32) {
        let Some(member) = &self.members[slot] else { return };
        let writing = |h: &&Handler| h.serial == serial && h.writing;
        let Some(handler) = member.handlers.iter().find(writing) else { return };
        let (life, record) = (member.life, handler.record);
        let again = Happens::LetterAnswered { serial };
        if self.now < self.letters_down_until {
            self.hit(Reached::LetterWaits);
            return self.later(life, 100 * MILLI, again);
        }
        if self.fault(self.plan.refuse_per_mille) {
            self.hit(Reached::LetterRefused);
            return self.letter(slot, serial, LetterOutcome::Refused);
        }
        self.hit(Reached::LetterWritten);
        self.tell(life, What::LetterWritten { record });
        if self.fault(self.plan.letter_answer_lost_per_mille) {
            self.hit(Reached::LetterAnswerLost);
            return self.later(life, 100 * MILLI, again);
        }
        self.letter(slot, serial, LetterOutcome::Written);
    }

    /// Tells the engine what became of a letter.
    pub(super) fn letter(&mut self, slot: usize, serial: u32, outcome: LetterOutcome) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let writing = |h: &Handler| h.serial == serial && h.writing;
        let Some(index) = member.handlers.iter().position(writing) else { return };
        let handler = member.handlers.swap_remove(index);
        let life = member.life;
        let verdict = member.engine.handle_dead_letter(handler.ticket, outcome, now);
        if verdict == tidegate_engine::Verdict::Finished {
            self.tell(life, What::LetterAnswered { record: handler.record });
        }
        self.judge(slot, handler, verdict);
    }
}
