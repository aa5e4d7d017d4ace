//! The end of a run.

use std::time::Duration;

use tidegate_engine::Instant;

use super::revocation::Limits;
use super::turn::Pump;
use crate::event::Event;
use crate::source::{Source, SourceError};
use crate::summary::finished;

/// Closing is waited for so long.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// How far the end of the run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Running,
    /// Everything is being revoked; all is over at the given moment.
    Draining {
        deadline: Instant,
    },
    /// The source was told to close.
    Closing {
        deadline: Instant,
    },
    Closed,
}

/// What the pump leaves.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) failure: Option<SourceError>,
    /// Records that were finished and are not known to be committed.
    pub(crate) uncommitted: u64,
    /// Records that were admitted and not finished.
    pub(crate) unfinished: u64,
    /// Whether the source left its group in time.
    pub(crate) closed: bool,
}

impl<S: Source> Pump<S> {
    /// Nothing new is admitted or started from now on. Once.
    pub(super) fn begin_shutdown(&mut self, now: Instant) {
        if self.stage != Stage::Running {
            return;
        }
        let timeout = self.settings.shutdown_timeout;
        self.stage = Stage::Draining { deadline: now + timeout };
        let limits = Limits::of_shutdown(timeout, now);
        let (in_flight, queued, finished) = {
            let core = self.shared.lock();
            let in_flight = core.engine.in_flight();
            let queued = core.engine.admitted() - in_flight;
            (in_flight, queued, finished(&core.engine.snapshot(now).counters))
        };
        self.at_end = (u64::from(in_flight + queued), finished);
        if in_flight + queued > 0 {
            let timeout = limits.drain.saturating_since(now);
            self.events.emit(&Event::Draining { in_flight, queued, timeout });
        }
        for revocation in &mut self.revocations {
            revocation.hurry(limits);
        }
        self.revoke(self.active.clone(), limits, now);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.stage != Stage::Running
    }

    /// Begins the end where the settings ask for it, and takes it further; says when all is over.
    pub(super) fn step_finish(&mut self, now: Instant) -> bool {
        match self.stage {
            Stage::Running => {
                if self.is_complete() {
                    self.begin_shutdown(now);
                    self.shared.pump.notify_one();
                }
                false
            }
            Stage::Draining { deadline } => {
                if self.revocations.is_empty() {
                    self.source.release(&std::mem::take(&mut self.declined));
                    self.source.close();
                    let deadline = deadline.min(now + CLOSE_WAIT);
                    self.stage = Stage::Closing { deadline };
                    self.shared.pump.notify_one();
                }
                false
            }
            Stage::Closing { deadline } => now >= deadline,
            Stage::Closed => true,
        }
    }

    /// When the end must be looked at again.
    pub(super) fn finish_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Draining { deadline } | Stage::Closing { deadline } => Some(deadline),
            Stage::Running | Stage::Closed => None,
        }
    }

    pub(super) fn finished(self) -> Finished {
        let (admitted, finished_before) = self.at_end;
        let now = self.shared.clock.now();
        let finished = finished(&self.shared.lock().engine.snapshot(now).counters);
        Finished {
            failure: self.failure,
            uncommitted: self.uncommitted,
            unfinished: admitted.saturating_sub(finished - finished_before),
            closed: self.stage == Stage::Closed,
        }
    }

    /// Whether all that the settings ask for is handled.
    fn is_complete(&mut self) -> bool {
        self.wants_empty = false;
        let all_admitted = self.remaining == Some(0);
        let at_end = self.settings.until_end && self.settled;
        if !(all_admitted || at_end) {
            return false;
        }
        let core = self.shared.lock();
        let engine = &core.engine;
        if engine.admitted() > 0 {
            self.wants_empty = true;
            return false;
        }
        if all_admitted {
            return true;
        }
        self.revocations.is_empty()
            && self.held_ids().all(|id| {
                let stopped = core.partitions.get(id.index()).is_some_and(|k| k.stopped.is_some());
                let Some(held) = self.held(id) else { return true };
                let reached = engine.position(id).max(held.committed);
                stopped || held.end.map_or(held.empty, |end| reached >= Some(end))
            })
    }
}
