//! Records that run: who may start, and what their outcomes come to.

use std::collections::BTreeSet;

use tidegate_engine::*;

use super::{Running, World};

impl World {
    fn same_lane(&self, partition: usize, a: i64, b: i64) -> bool {
        let key = |o: i64| self.logs[partition].iter().find(|r| r.offset == o).unwrap().key;
        match self.config.ordering {
            Ordering::Key => key(a).is_some() && key(a) == key(b),
            Ordering::Partition => true,
            _ => false,
        }
    }

    pub(super) fn dispatch(&mut self, member: usize, max: usize, with_followers: bool) {
        let mut out = Vec::new();
        self.members[member].engine.poll_dispatch(&mut out, max, self.now);
        if with_followers {
            let heads = out.len();
            let followers = self.members[member].engine.poll_followers(&mut out, max);
            assert!(followers <= max && heads + followers == out.len());
        }
        let tickets: Vec<_> = out.iter().map(|dispatch| dispatch.ticket).collect();
        for dispatch in out {
            let after = dispatch.after.map(|index| tickets[index as usize]);
            let (p, offset) = (dispatch.partition.index(), dispatch.offset.0);
            self.started += 1;
            let m = &self.members[member];
            assert!((m.running.len() as u32) < m.limit, "a start above the limit");
            let assigned = m.assigned.get(&p).expect("dispatched while assigned");
            assert!(!assigned.draining && !assigned.stopped, "a start while draining");
            assert!(!assigned.stalled, "a start while no commit succeeds");
            assert!(assigned.held.contains(&offset), "{p}/{offset} is not held");
            assert!(!assigned.finished.contains(&offset), "{p}/{offset} was finished");
            // What goes out behind another one is in line with all that must be done first.
            let mut line = BTreeSet::new();
            let mut next = after;
            while let Some(ticket) = next {
                let before = m.running[&ticket];
                assert!(before.partition == p && self.same_lane(p, before.offset, offset));
                line.insert(before.offset);
                next = before.after;
            }
            for other in m.running.values().filter(|r| r.partition == p) {
                let clash = self.same_lane(p, other.offset, offset);
                let waits = !other.orphan && line.contains(&other.offset);
                assert!(!clash || waits, "{p}: {} and {offset} run at once", other.offset);
            }
            for earlier in self.logs[p].iter().take_while(|r| r.offset < offset) {
                let waits = self.same_lane(p, earlier.offset, offset);
                let ready = assigned.finished.contains(&earlier.offset);
                let ready = ready || line.contains(&earlier.offset);
                assert!(!waits || ready, "{p}/{offset} started before {}", earlier.offset);
            }
            let number = self.started;
            let running =
                Running { number, partition: p, offset, orphan: false, after, writing: false };
            self.members[member].running.insert(dispatch.ticket, running);
        }
        self.check_budgets(member);
    }

    pub(super) fn outcome(&mut self, member: usize, pick: usize, outcome: Outcome) {
        let m = &mut self.members[member];
        let Some(ticket) = m.pick(pick) else { return };
        if outcome == Outcome::Done {
            let followers = m.running.values_mut().filter(|r| r.after == Some(ticket));
            followers.for_each(|r| r.after = None);
        } else {
            self.unstarted(member, ticket);
        }
        let m = &mut self.members[member];
        let run = m.running.remove(&ticket).unwrap();
        let Running { partition: p, offset, orphan, .. } = run;
        let verdict = if run.writing {
            let letter = match outcome {
                Outcome::Done | Outcome::Skip => LetterOutcome::Written,
                Outcome::DeadLetter => LetterOutcome::Refused,
                _ => LetterOutcome::Abandoned,
            };
            if !orphan && letter != LetterOutcome::Written {
                m.credit = (m.credit + 1).min(self.config.dead_letter_credit);
            }
            m.engine.handle_dead_letter(ticket, letter, self.now)
        } else {
            if !orphan && matches!(outcome, Outcome::Done | Outcome::Skip) {
                m.credit = (m.credit + 1).min(self.config.dead_letter_credit);
            }
            m.engine.handle_outcome(ticket, outcome, self.now)
        };
        if let Verdict::DeadLetter { .. } = verdict {
            assert!(!run.writing && m.credit > 0, "a letter without credit");
            m.credit -= 1;
            m.running.insert(ticket, Running { writing: true, ..run });
            return self.check_budgets(member);
        }
        m.spent.push(ticket);
        let old = m.spent[pick % m.spent.len()];
        let again = m.engine.handle_outcome(old, Outcome::Done, self.now);
        assert_eq!(again, Verdict::Stale, "a ticket is good once");
        if orphan {
            assert_eq!(verdict, Verdict::Stale);
            return self.check_budgets(member);
        }
        let assigned = m.assigned.get_mut(&p).unwrap();
        match verdict {
            Verdict::Finished | Verdict::GivenUp { .. } => {
                assigned.held.remove(&offset);
                assigned.finished.insert(offset);
                assigned.uncommitted_since.get_or_insert(self.now);
                m.own.insert((p, offset));
                self.done.insert((p, offset));
            }
            Verdict::Held { .. } if !run.writing => assert_eq!(m.credit, 0, "held with credit"),
            Verdict::Again { .. } | Verdict::Held { .. } => {
                assert!(!assigned.draining && !assigned.stopped)
            }
            Verdict::Stopped { .. } => {
                assigned.stopped = true;
                self.keep_running_only(member, p);
            }
            Verdict::Unfinished => {
                assigned.held.remove(&offset);
            }
            other => panic!("{other:?}"),
        }
        self.check_budgets(member);
    }

    /// What was given out behind a handler that runs is given back.
    pub(super) fn unstarted(&mut self, member: usize, ticket: Ticket) {
        let m = &mut self.members[member];
        m.engine.handle_unstarted(ticket);
        let mut before = ticket;
        while let Some((&next, &run)) = m.running.iter().find(|(_, r)| r.after == Some(before)) {
            m.running.remove(&next);
            m.spent.push(next);
            before = next;
            let assigned = m.assigned.get_mut(&run.partition).filter(|_| !run.orphan);
            if let Some(assigned) = assigned.filter(|a| a.draining || a.stopped) {
                assigned.held.remove(&run.offset);
            }
        }
        self.check_budgets(member);
    }
}
