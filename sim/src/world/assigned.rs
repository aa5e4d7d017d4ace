//! Partitions come to a member and go, and turn out not to be what was committed.

use tidegate_engine::{MetadataError, Offset, PartitionId, Start};

use super::group::Owner;
use super::member::Held;
use super::{Happens, MILLI, Timer, World};
use crate::Reached;
use crate::history::{NOBODY, What};

impl World<'_> {
    pub(super) fn assigned(&mut self, slot: usize, partition: u32, assignment: u32) {
        let index = partition as usize;
        let owner = &mut self.group.owners[index];
        let Some(owner) = owner.as_mut().filter(|o| o.assignment == assignment) else { return };
        owner.told = true;
        // What it had of a topic that is gone.
        self.lose(slot, partition);
        self.mend_committed(partition);
        let committed = self.group.committed[index].clone();
        let is_older = self.members[slot].as_ref().is_some_and(|m| m.is_older);
        let metadata = match &committed {
            Some(committed) if !is_older => committed.metadata.as_str(),
            _ => "",
        };
        let offset = committed.as_ref().map(|c| c.offset);
        let refused = self.begin(slot, partition, assignment, offset, metadata, false);
        match (&refused, &committed) {
            (Err(error), Some(committed)) if committed.is_ours => {
                let text = format!("a member cannot read its group's metadata: {error}");
                self.broken("metadata", text);
            }
            (Err(_), _) => self.hit(Reached::ForeignSeen),
            (Ok(()), _) if metadata.len() > 4 => self.hit(Reached::RangesUsed),
            (Ok(()), _) => {}
        }
    }

    /// Somebody sets a committed offset right that is not in the log (any more).
    fn mend_committed(&mut self, partition: u32) {
        let log = &self.logs[partition as usize];
        let Some(committed) = &mut self.group.committed[partition as usize] else { return };
        let Some(to) = log.gap(committed.offset, committed.epoch) else { return };
        (committed.offset, committed.epoch) = (to, log.epoch());
        committed.metadata.clear();
        self.hit(Reached::GapAtStart);
        self.tell(NOBODY, What::Reset { partition, offset: to });
    }

    fn begin(
        &mut self,
        slot: usize,
        partition: u32,
        assignment: u32,
        committed: Option<i64>,
        metadata: &str,
        again: bool,
    ) -> Result<(), MetadataError> {
        let now = self.instant();
        let log = &self.logs[partition as usize];
        let position = committed.unwrap_or(log.start);
        let epoch = match committed {
            Some(_) => self.group.committed[partition as usize].as_ref().map_or(-1, |c| c.epoch),
            None => -1,
        };
        let incarnation = self.incarnation(partition as usize);
        let Some(member) = &mut self.members[slot] else { return Ok(()) };
        let (life, is_older) = (member.life, member.is_older);
        let start = Start { committed: committed.map(Offset), metadata, incarnation };
        let refused = member.engine.handle_assigned(PartitionId(partition), start, now);
        member.begins += 1;
        member.held.push(Held {
            partition,
            assignment,
            begun: member.begins,
            position,
            epoch,
            topic: log.topic,
            base: log.base,
            revoking: false,
            drained: false,
            stopped: false,
        });
        self.tell(life, What::Assigned { partition, committed, ranges: !is_older, again });
        refused
    }

    pub(super) fn revoke_asked(&mut self, slot: usize, partition: u32, assignment: u32) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let life = member.life;
        let Some(held) = member.held(partition) else { return };
        if held.revoking || held.assignment != assignment {
            return;
        }
        held.revoking = true;
        member.engine.handle_revoking(PartitionId(partition), now);
        self.tell(life, What::Revoking { partition });
        self.later(life, self.plan.drain, Happens::DrainEnds { partition, assignment });
    }

    /// First the handlers are cancelled; the second time it is given back as it is.
    pub(super) fn drain_ends(&mut self, slot: usize, partition: u32, assignment: u32) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let life = member.life;
        let held = member.held.iter().find(|h| h.assignment == assignment);
        let Some(held) = held.copied() else { return };
        let id = PartitionId(partition);
        if !held.drained && !member.engine.is_idle(id) {
            member.engine.cancel_partition(id, now);
            self.hit(Reached::DrainDeadline);
            let again = Happens::DrainEnds { partition, assignment };
            return self.later(life, self.plan.drain, again);
        }
        self.release(slot, partition);
    }

    pub(super) fn release(&mut self, slot: usize, partition: u32) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let (life, id) = (member.life, PartitionId(partition));
        let engine = &mut member.engine;
        let clean = engine.is_idle(id) && !engine.has_uncommitted(id) && !engine.is_committing(id);
        member.held.retain(|h| h.partition != partition);
        engine.handle_revoked(id, now);
        self.hit(if clean { Reached::ReleaseClean } else { Reached::ReleaseDirty });
        self.tell(life, What::Released { partition, clean });
        let owner = &mut self.group.owners[partition as usize];
        if owner.take_if(|o: &mut Owner| o.life == life).is_some() {
            self.rebalance();
        }
    }

    /// A member hears that the topic it reads is gone.
    pub(super) fn topic_gone(&mut self, slot: usize, partition: u32, assignment: u32) {
        let Some(member) = &mut self.members[slot] else { return };
        if member.held(partition).is_some_and(|held| held.assignment == assignment) {
            self.lose(slot, partition);
        }
    }

    pub(super) fn lose(&mut self, slot: usize, partition: u32) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let Some(index) = member.held.iter().position(|h| h.partition == partition) else { return };
        let life = member.life;
        member.held.swap_remove(index);
        member.engine.handle_lost(PartitionId(partition), now);
        self.tell(life, What::Lost { partition });
    }

    /// A reader finds that the log has not what it would read next: it stops, or begins again with
    /// the first record that there is.
    pub(super) fn gap_found(&mut self, slot: usize, index: usize) {
        let Some(member) = &mut self.members[slot] else { return };
        let (life, held) = (member.life, &mut member.held[index]);
        let (partition, assignment) = (held.partition, held.assignment);
        if self.plan.stops_at_gaps {
            held.stopped = true;
            member.engine.stop_partition(PartitionId(partition));
            self.hit(Reached::GapStop);
            self.tell(life, What::Stopped { partition });
            return self.call_operator(life);
        }
        let to = self.logs[partition as usize].start;
        self.hit(Reached::GapReset);
        self.lose(slot, partition);
        self.tell(life, What::Reset { partition, offset: to });
        // What the engine says of no metadata is of no interest.
        let _ = self.begin(slot, partition, assignment, Some(to), "", true);
        let epoch = self.logs[partition as usize].epoch();
        if let Some(member) = &mut self.members[slot]
            && let Some(held) = member.held(partition)
        {
            held.epoch = epoch;
        }
    }

    /// Somebody looks after a member that has stopped a partition.
    pub(super) fn call_operator(&mut self, life: u32) {
        self.hit(Reached::Stopped);
        self.after(300 * MILLI, Timer::Stop { life });
    }
}
