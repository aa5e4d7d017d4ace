//! Whoever breaks things, until the calm.

use tidegate_engine::ConfigChange;

use super::probes::mixed;
use super::{SECOND, Timer, World};
use crate::Reached;
use crate::history::{NOBODY, What};

impl World<'_> {
    /// Looks at one member, and at the log and the group, and perhaps breaks something.
    pub(super) fn chaos(&mut self) {
        if self.calm {
            return;
        }
        self.after(self.plan.chaos_every, Timer::Chaos);
        self.break_log();
        if self.tape.chance(self.plan.letters_down_per_mille) {
            self.hit(Reached::LettersDown);
            self.letters_down_until = self.now + self.tape.up_to(3 * SECOND);
        }
        if self.tape.chance(self.plan.foreign_per_mille) {
            self.foreign_commit();
        }
        if self.plan.gates.producers > 0 {
            self.break_producers();
        }
        let slot = self.tape.below(self.plan.members) as usize;
        let Some(life) = self.members[slot].as_ref().map(|m| m.life) else { return };
        if self.tape.chance(self.plan.kill_per_mille) {
            self.hit(Reached::Kill);
            self.kill(life);
        } else if self.tape.chance(self.plan.expel_per_mille) {
            self.expel(life);
        } else if self.tape.chance(self.plan.hang_member_per_mille) {
            self.hang(slot);
        } else if self.tape.chance(self.plan.leave_per_mille) {
            self.begin_leaving(slot);
        } else if self.tape.chance(self.plan.limit_per_mille) {
            self.change_limit(slot);
        }
    }

    /// Producers with a gate, and what they need of the cluster.
    fn break_producers(&mut self) {
        if self.tape.chance(self.plan.gates.outage_per_mille) {
            self.hit(Reached::BrokerDown);
            self.broker_down_until = self.now + self.tape.up_to(3 * SECOND);
        }
        if self.tape.chance(self.plan.gates.probe.down_per_mille) {
            self.hit(Reached::ProbeDown);
            self.probes_down_until = self.now + self.tape.up_to(5 * SECOND);
        }
        let slot = self.tape.below(self.plan.gates.producers);
        if self.tape.chance(self.plan.gates.crash_per_mille) {
            self.crash_producer(slot);
        } else if self.tape.chance(self.plan.gates.rate_per_mille) {
            self.change_rate(slot);
        }
    }

    fn break_log(&mut self) {
        if self.tape.chance(self.plan.truncate_per_mille) {
            self.truncate();
        }
        if self.tape.chance(self.plan.expire_per_mille) {
            self.expire();
        }
        if self.tape.chance(self.plan.recreate_per_mille) {
            self.recreate();
        }
        if self.tape.chance(self.plan.add_partition_per_mille) {
            self.add_partition();
        }
    }

    /// Another program commits the offset that is committed, with words of its own.
    fn foreign_commit(&mut self) {
        let partition = self.tape.below(self.logs.len() as u32);
        let words = self.tape.pick(&["", "consumer-1@host", "tg1:", "tg1:AAAA"]);
        let Some(committed) = &mut self.group.committed[partition as usize] else { return };
        committed.metadata = words.to_owned();
        committed.is_ours = false;
        self.hit(Reached::Foreign);
        self.tell(NOBODY, What::Foreign { partition });
    }

    /// A process stops for a while (SIGSTOP, a long pause, swap) and does not know it.
    fn hang(&mut self, slot: usize) {
        let duration = self.tape.up_to(3 * self.plan.session);
        let Some(member) = &mut self.members[slot] else { return };
        member.hung_until = self.now + duration;
        let life = member.life;
        self.hit(Reached::Hung);
        self.after(self.plan.session, Timer::SessionTooShort { life });
    }

    pub(super) fn expel_if_hung(&mut self, life: u32) {
        let Some(slot) = self.slot(life) else { return };
        if self.hung_until(slot).is_some() {
            self.hit(Reached::HungTooLong);
            self.expel(life);
        }
    }

    /// Somebody changes what a member may hold at once.
    fn change_limit(&mut self, slot: usize) {
        let limit = 1 + self.tape.below(self.plan.config.max_in_flight);
        // The budgets go along, from a quarter to what they were, and so does what a stall is, which
        // is never less than two commits.
        let random = mixed(self.now);
        let part = 1 + (random % 4) as u32;
        let stall = self.plan.config.commit_stall * (1 + (random >> 8) as u32 % 4);
        let bytes = (self.plan.config.max_bytes * u64::from(part) / 4).max(1_024);
        let queued = (self.plan.config.max_queued * part / 4).max(1);
        let change = ConfigChange {
            max_in_flight: Some(limit),
            max_bytes: Some(bytes),
            max_queued: Some(queued),
            commit_stall: Some(stall),
            ..ConfigChange::default()
        };
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let life = member.life;
        if member.hung_until <= self.now && member.engine.change_config(&change, now).is_ok() {
            self.hit(Reached::LimitChanged);
            self.tell(life, What::Limit { limit });
            self.tell(life, What::Budgets { bytes, queued });
            self.turn(slot);
        }
    }
}
