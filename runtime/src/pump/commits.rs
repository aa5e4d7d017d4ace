//! Committing at an interval.

use tidegate_engine::Instant;

use super::turn::Pump;
use crate::source::Source;

impl<S: Source> Pump<S> {
    /// There may be something to commit: see to it within the interval.
    pub(super) fn schedule_commit(&mut self, now: Instant) {
        self.commit_at.get_or_insert(now + self.settings.commit_interval);
    }

    pub(super) fn commit_if_due(&mut self, now: Instant) -> bool {
        if self.commit_at.is_none_or(|at| now < at) {
            return false;
        }
        let sent = self.commit(now);
        self.tell_stalls(now);
        let unanswered = {
            let core = self.shared.lock();
            let engine = &core.engine;
            engine.admitted() > 0
                || self.held_ids().any(|id| engine.is_committing(id) || engine.has_uncommitted(id))
        };
        // The tick goes on while it may find something. Once all is finished and committed the
        // next read starts it again.
        self.commit_at = unanswered.then(|| now + self.settings.commit_interval);
        sent
    }

    /// Sends what there is to commit; says whether there was something.
    pub(super) fn commit(&mut self, now: Instant) -> bool {
        if now < self.commit_not_before {
            return false;
        }
        self.shared.lock().engine.poll_commits(&mut self.points);
        // After the lock: if a holder panicked, what it left must not be committed.
        if self.points.is_empty() || self.shared.is_aborted() {
            return false;
        }
        for point in &self.points {
            if let Some(Some(held)) = self.held.get_mut(point.partition.index()) {
                held.sent = Some(point.offset);
                self.stalls.sent(point.partition, now);
            }
        }
        self.source.commit(&self.points);
        self.points.clear();
        true
    }

    pub(super) fn held_ids(&self) -> impl Iterator<Item = tidegate_engine::PartitionId> + '_ {
        let id = |(index, held): (usize, &Option<_>)| {
            held.as_ref().map(|_| tidegate_engine::PartitionId(index as u32))
        };
        self.held.iter().enumerate().filter_map(id)
    }
}
