//! Commits of a partition that do not succeed for long, told once when it begins and once when it
//! is over.

use std::collections::HashMap;

use tidegate_engine::{Instant, PartitionId};

use super::turn::Pump;
use crate::event::Event;
use crate::source::Source;

/// Since when each partition waits for a commit that succeeds, and whether that was told.
#[derive(Debug, Default)]
pub(super) struct Stalls(HashMap<PartitionId, Waiting>);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: Instant,
    told: bool,
}

impl Stalls {
    /// A commit was sent.
    pub(super) fn sent(&mut self, id: PartitionId, now: Instant) {
        self.0.entry(id).or_insert(Waiting { since: now, told: false });
    }

    /// The partition is not this member's any more.
    pub(super) fn forget(&mut self, id: PartitionId) {
        self.0.remove(&id);
    }
}

impl<S: Source> Pump<S> {
    /// A commit succeeded: tells it if the partition was told to be stalled.
    pub(super) fn commit_succeeded(&mut self, id: PartitionId, now: Instant) {
        let Some(Waiting { since, told: true }) = self.stalls.0.remove(&id) else { return };
        let after = now.saturating_since(since);
        self.tell_each(&[id], |_, partition| Event::CommitsResumed { partition, after });
    }

    /// Tells of partitions that have waited for longer than the stall time, each once.
    pub(super) fn tell_stalls(&mut self, now: Instant) {
        let most = self.settings.engine.commit_stall;
        let mut stalled: Vec<_> = Vec::new();
        for (&id, waiting) in &mut self.stalls.0 {
            let since = now.saturating_since(waiting.since);
            if since > most && !std::mem::replace(&mut waiting.told, true) {
                stalled.push((id, since));
            }
        }
        stalled.sort_unstable_by_key(|(id, _)| *id);
        for (id, since) in stalled {
            self.tell_each(&[id], |_, partition| Event::CommitsStalled { partition, since });
        }
    }
}
