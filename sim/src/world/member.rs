//! A process with an engine: its life.

use std::fmt::Write as _;

use tidegate_engine::{Engine, PartitionState, Ticket};

use super::handlers::Handler;
use super::{Happens, Record, SECOND, Timer, World};
use crate::Reached;
use crate::history::What;

/// A partition that a member has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) partition: u32,
    pub(super) assignment: u32,
    /// Which time this member begins to read a partition: more often than it is assigned one.
    pub(super) begun: u32,
    /// The next offset to read, and the leader epoch of what was read last.
    pub(super) position: i64,
    pub(super) epoch: i32,
    /// Which topic of this name it reads, and where that one's leader epochs begin.
    pub(super) topic: u32,
    pub(super) base: i32,
    pub(super) revoking: bool,
    pub(super) drained: bool,
    pub(super) stopped: bool,
}

pub(super) struct Member {
    pub(super) life: u32,
    pub(super) engine: Engine<Record>,
    pub(super) held: Vec<Held>,
    pub(super) handlers: Vec<Handler>,
    /// Handlers that were cancelled and will say something nevertheless.
    pub(super) late: Vec<(u32, Ticket)>,
    pub(super) serials: u32,
    pub(super) begins: u32,
    /// When the engine is to be told the time.
    pub(super) due: u64,
    pub(super) hung_until: u64,
    /// When its last commit arrives at the coordinator.
    pub(super) last_arrival: u64,
    pub(super) leaving: bool,
    /// It neither reads nor writes finished ranges.
    pub(super) is_older: bool,
}

impl Member {
    pub(super) fn held(&mut self, partition: u32) -> Option<&mut Held> {
        self.held.iter_mut().find(|h| h.partition == partition)
    }

    pub(super) fn begun(&self, partition: u32) -> Option<u32> {
        self.held.iter().find(|h| h.partition == partition).map(|h| h.begun)
    }

    /// What keeps it from going on, for a reader of a run that came to no end.
    pub(super) fn waits_for(&self) -> String {
        let s = self.engine.snapshot(tidegate_engine::Instant::from_nanos(u64::MAX / 2));
        let mut text = format!(
            "member {}: {} in flight of {}, {} queued ({} ready, {} backing off), {} letters written with credit {}",
            self.life,
            s.in_flight,
            s.limit,
            s.queued,
            s.ready,
            s.backing_off,
            s.writing,
            s.dead_letter_credit
        );
        for p in &s.partitions {
            let state = match p.state {
                PartitionState::Active => "",
                PartitionState::Draining => ", draining",
                _ => ", stopped",
            };
            let _ = write!(
                text,
                ", partition {} has {} unfinished and {} uncommitted{state}",
                p.partition.0, p.unfinished, p.uncommitted
            );
        }
        text
    }
}

impl World<'_> {
    pub(super) fn restart(&mut self, slot: u32) {
        let is_older = self.tape.chance(self.plan.older_per_mille);
        let mut config = self.plan.config.clone();
        if is_older {
            self.hit(Reached::Older);
            config.metadata_max_bytes = 0;
        }
        let limit = config.max_in_flight;
        let engine = match Engine::new(config, self.instant()) {
            Ok(engine) => engine,
            Err(error) => return self.broken("config", error.to_string()),
        };
        let life = self.group.lives;
        self.group.lives += 1;
        if life >= self.plan.members {
            self.hit(Reached::Restart);
        }
        self.members[slot as usize] = Some(Member {
            life,
            engine,
            held: Vec::new(),
            handlers: Vec::new(),
            late: Vec::new(),
            serials: 0,
            begins: 0,
            due: u64::MAX,
            hung_until: 0,
            last_arrival: 0,
            leaving: false,
            is_older,
        });
        self.tell(life, What::Joined { limit });
        self.join(life);
        self.later(life, self.plan.commit_every, Happens::CommitTick);
    }

    /// What a member's engine counted goes into the table.
    pub(super) fn count(&mut self, slot: usize) {
        let Some(member) = &self.members[slot] else { return };
        let counters = member.engine.snapshot(self.instant()).counters;
        self.coverage.add(Reached::RangesDropped, counters.dropped_ranges);
        self.coverage.add(Reached::LetterHeld, counters.held);
    }

    pub(super) fn hung_until(&self, slot: usize) -> Option<u64> {
        let until = self.members[slot].as_ref()?.hung_until;
        (until > self.now).then_some(until)
    }

    /// A process is gone at once; the group notices when its session has ended.
    pub(super) fn kill(&mut self, life: u32) {
        let Some(slot) = self.slot(life) else { return };
        self.count(slot);
        self.members[slot] = None;
        self.tell(life, What::Ended);
        self.after(self.plan.session, Timer::SessionEnds { life });
        let delay = self.tape.up_to(3 * SECOND);
        self.after(delay, Timer::Restart { slot: slot as u32 });
    }

    /// A process is asked to end: it drains and gives everything back.
    pub(super) fn begin_leaving(&mut self, slot: usize) {
        if self.hung_until(slot).is_some() {
            return;
        }
        let Some(member) = &mut self.members[slot] else { return };
        if member.leaving {
            return;
        }
        member.leaving = true;
        let life = member.life;
        let held: Vec<_> = member.held.iter().map(|h| (h.partition, h.assignment)).collect();
        self.hit(Reached::Leaving);
        self.group.joined.retain(|l| *l != life);
        for (partition, assignment) in held {
            self.revoke_asked(slot, partition, assignment);
        }
        self.rebalance();
        self.turn(slot);
        self.end_if_left(slot);
    }

    /// As soon as it runs.
    pub(super) fn stop(&mut self, life: u32) {
        let Some(slot) = self.slot(life) else { return };
        match self.hung_until(slot) {
            Some(until) => self.at(until, Timer::Stop { life }),
            None => self.begin_leaving(slot),
        }
    }

    /// A process that has given everything back ends.
    pub(super) fn end_if_left(&mut self, slot: usize) {
        let Some(member) = &self.members[slot] else { return };
        if !member.leaving || !member.held.is_empty() {
            return;
        }
        let life = member.life;
        self.hit(Reached::Left);
        self.count(slot);
        self.members[slot] = None;
        self.tell(life, What::Ended);
        self.leave(life);
        let delay = self.tape.up_to(3 * SECOND);
        self.after(delay, Timer::Restart { slot: slot as u32 });
    }

    /// An expelled member hears of it, and comes again.
    pub(super) fn learns(&mut self, slot: usize) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let (life, held) = (member.life, std::mem::take(&mut member.held));
        for held in &held {
            if let Some(member) = &mut self.members[slot] {
                member.engine.handle_lost(tidegate_engine::PartitionId(held.partition), now);
            }
            self.tell(life, What::Lost { partition: held.partition });
        }
        self.hit(Reached::Zombie);
        self.turn(slot);
        // One that was leaving is gone now.
        if self.slot(life).is_some() {
            self.join(life);
        }
    }
}
