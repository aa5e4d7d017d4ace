//! Giving partitions back: drain, cancel, commit, release.

use std::collections::HashMap;
use std::time::Duration;

use tidegate_engine::{Instant, PartitionId};

use super::turn::Pump;
use crate::event::Event;
use crate::source::Source;

/// Cancelled handlers are waited for so long: their drops may have to end a child process.
const CANCEL_WAIT: Duration = Duration::from_secs(1);
/// The answer to the last commit is waited for so long, failed ones repeated within.
const COMMIT_WAIT: Duration = Duration::from_secs(2);

/// Some partitions on their way out, released together.
///
/// The story: the group asks for them (or the run ends). Nothing of them starts any more; what is
/// in flight may go on until the deadline, then it is cancelled. Only when nothing runs, or a
/// short wait for the cancelled has passed, the last commit goes out: it must be taken before the
/// engine forgets the partitions, and be answered before the next owner asks where to start. Then
/// they are released. Everything else goes on meanwhile.
#[derive(Debug)]
pub(super) struct Revocation {
    ids: Vec<PartitionId>,
    phase: Phase,
    until: Instant,
    /// The latest end of each phase.
    limits: Limits,
}

/// When the phases end at the latest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) drain: Instant,
    pub(super) cancel: Instant,
    pub(super) commit: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Draining,
    Cancelling,
    Committing,
}

impl Limits {
    /// Of a revocation by the group.
    pub(super) fn of_drain(drain: Duration, now: Instant) -> Self {
        let drain = now + drain;
        Self { drain, cancel: drain + CANCEL_WAIT, commit: drain + CANCEL_WAIT + COMMIT_WAIT }
    }

    /// Of a shutdown: four fifths of its time for the handlers; the last part is for closing.
    pub(super) fn of_shutdown(timeout: Duration, now: Instant) -> Self {
        let drain = timeout * 4 / 5;
        let cancel = drain + CANCEL_WAIT.min(timeout / 25);
        let commit = cancel + COMMIT_WAIT.min(timeout * 2 / 25);
        Self { drain: now + drain, cancel: now + cancel, commit: now + commit }
    }

    fn min(self, other: Self) -> Self {
        Self {
            drain: self.drain.min(other.drain),
            cancel: self.cancel.min(other.cancel),
            commit: self.commit.min(other.commit),
        }
    }
}

impl Revocation {
    /// These are not ours any more.
    pub(super) fn forget(&mut self, lost: &[PartitionId]) {
        self.ids.retain(|id| !lost.contains(id));
    }

    /// Ends earlier, because the run ends.
    pub(super) fn hurry(&mut self, limits: Limits) {
        self.limits = self.limits.min(limits);
        self.until = self.until.min(match self.phase {
            Phase::Draining => limits.drain,
            Phase::Cancelling => limits.cancel,
            Phase::Committing => limits.commit,
        });
    }

    /// When it must be looked at again.
    pub(super) fn wakes_at(&self, commit_not_before: Instant, now: Instant) -> Instant {
        match self.phase {
            Phase::Committing if commit_not_before > now => self.until.min(commit_not_before),
            _ => self.until,
        }
    }
}

impl<S: Source> Pump<S> {
    /// The group wants these back.
    pub(super) fn revoking(&mut self, ids: Vec<PartitionId>, now: Instant) {
        let limits = Limits::of_drain(self.settings.drain_timeout, now);
        self.revoke(ids, limits, now);
    }

    pub(super) fn revoke(&mut self, mut ids: Vec<PartitionId>, limits: Limits, now: Instant) {
        // One that is not held was given back already: say so again, lest the group wait for it.
        let (held, gone): (Vec<_>, Vec<_>) = ids.iter().partition(|id| self.held(**id).is_some());
        if !gone.is_empty() {
            self.declined.retain(|id| !gone.contains(id));
            self.source.release(&gone);
        }
        ids = held;
        ids.retain(|id| self.active.contains(id));
        if ids.is_empty() {
            return;
        }
        self.active.retain(|id| !ids.contains(id));
        let in_flight = {
            let mut core = self.shared.lock();
            for &id in &ids {
                core.engine.handle_revoking(id, now);
            }
            in_flight(&core.engine.snapshot(now))
        };
        self.tell_each(&ids, |id, partition| Event::Revoking {
            partition,
            in_flight: in_flight.get(&id).copied().unwrap_or(0),
        });
        let until = limits.drain;
        self.revocations.push(Revocation { ids, phase: Phase::Draining, until, limits });
    }

    /// Takes every revocation as far as it goes now.
    pub(super) fn step_revocations(&mut self, now: Instant) -> bool {
        if self.revocations.is_empty() {
            return false;
        }
        let mut progress = false;
        for mut revocation in std::mem::take(&mut self.revocations) {
            while !revocation.ids.is_empty() && self.step_revocation(&mut revocation, now) {
                progress = true;
            }
            if !revocation.ids.is_empty() {
                self.revocations.push(revocation);
            }
        }
        progress
    }

    /// One step; says whether there was one.
    fn step_revocation(&mut self, revocation: &mut Revocation, now: Instant) -> bool {
        let runs = {
            let core = self.shared.lock();
            revocation.ids.iter().any(|&id| !core.engine.is_idle(id))
        };
        let due = now >= revocation.until;
        match revocation.phase {
            Phase::Draining | Phase::Cancelling if !runs => {
                revocation.phase = Phase::Committing;
                revocation.until = revocation.limits.commit.min(now + COMMIT_WAIT);
                self.commit_not_before = now;
            }
            Phase::Draining if due => {
                self.cancel(&revocation.ids, now);
                revocation.phase = Phase::Cancelling;
                revocation.until = revocation.limits.cancel;
            }
            Phase::Cancelling if due => {
                revocation.phase = Phase::Committing;
                revocation.until = revocation.limits.commit;
                self.commit_not_before = now;
            }
            Phase::Draining | Phase::Cancelling => return false,
            Phase::Committing => {
                let (dirty, waits) = {
                    let core = self.shared.lock();
                    let engine = &core.engine;
                    let waits = revocation.ids.iter().any(|&id| engine.is_committing(id));
                    (revocation.ids.iter().any(|&id| engine.has_uncommitted(id)), waits)
                };
                if (!dirty && !waits) || due {
                    self.release(&std::mem::take(&mut revocation.ids), now);
                    return true;
                }
                return self.commit(now);
            }
        }
        true
    }

    fn cancel(&mut self, ids: &[PartitionId], now: Instant) {
        let in_flight = self.change(|core| {
            for &id in ids {
                core.engine.cancel_partition(id, now);
            }
            in_flight(&core.engine.snapshot(now))
        });
        for (&id, &in_flight) in in_flight.iter().filter(|(id, n)| **n > 0 && ids.contains(id)) {
            self.tell_each(&[id], |_, partition| Event::DrainDeadline { partition, in_flight });
        }
    }

    fn release(&mut self, ids: &[PartitionId], now: Instant) {
        let uncommitted = self.uncommitted_of(ids, now);
        if self.is_ending() {
            self.uncommitted += uncommitted.values().sum::<u64>();
        }
        self.change(|core| {
            for &id in ids {
                core.engine.handle_revoked(id, now);
            }
        });
        self.source.release(ids);
        self.tell_each(ids, |id, partition| Event::Released {
            partition,
            uncommitted: uncommitted.get(&id).copied().unwrap_or(0),
        });
        self.forget(ids);
    }

    pub(super) fn forget(&mut self, ids: &[PartitionId]) {
        for id in ids {
            self.stalls.forget(*id);
            if let Some(held) = self.held.get_mut(id.index()) {
                *held = None;
            }
        }
    }

    /// How much of these partitions is finished and not committed.
    pub(super) fn uncommitted_of(
        &self,
        ids: &[PartitionId],
        now: Instant,
    ) -> HashMap<PartitionId, u64> {
        let snapshot = self.shared.lock().engine.snapshot(now);
        let these = snapshot.partitions.iter().filter(|p| ids.contains(&p.partition));
        these.map(|p| (p.partition, p.uncommitted)).collect()
    }
}

fn in_flight(snapshot: &tidegate_engine::Snapshot) -> HashMap<PartitionId, u32> {
    snapshot.partitions.iter().map(|p| (p.partition, p.in_flight)).collect()
}
