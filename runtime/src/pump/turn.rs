//! The pump and its loop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tidegate_engine::{Action, Arrival, CommitPoint, Instant, KeyHasher, Offset, PartitionId};

use super::finish::{Finished, Stage};
use super::reading::key_hasher;
use super::revocation::Revocation;
use super::stalls::Stalls;
use crate::batch::{Batch, TopicPartition};
use crate::event::{Event, Events};
use crate::record::RecordRef;
use crate::settings::Settings;
use crate::shared::{Core, Shared, Waiting};
use crate::source::{Source, SourceError, SourceWaker};

/// When records are ready and permits free for so long and no worker takes them, the ones that
/// could are blocked, and another is woken.
const UNTAKEN: Duration = Duration::from_millis(1);

/// A source with a thread of its own is looked at so often even if nothing happens: polling is what
/// keeps a Kafka client in its group, and it is thrown out when nobody polls for
/// `max.poll.interval.ms` (which may be set to as little as a few seconds).
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// A partition that this member has.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) name: TopicPartition,
    pub(super) committed: Option<Offset>,
    /// What was sent last to be committed. An answer that names another offset is one to an
    /// earlier assignment of the partition.
    pub(super) sent: Option<Offset>,
    /// The next offset to read, once known.
    pub(super) position: Option<Offset>,
    /// Where a run [until the end](Settings::until_end) stops.
    pub(super) end: Option<Offset>,
    /// The last read said that there may be more. True at first, so that each partition is read
    /// once and tells its position, even if it is empty.
    pub(super) more: bool,
    /// The last read found nothing.
    pub(super) empty: bool,
    /// The size of the next record if it did not fit, or 0.
    pub(super) too_large: u64,
}

pub(crate) struct Pump<S> {
    pub(super) source: S,
    pub(super) shared: Arc<Shared>,
    pub(super) events: Events,
    pub(super) settings: Settings,
    /// By partition id.
    pub(super) held: Vec<Option<Held>>,
    /// Held and not being revoked: what is read.
    pub(super) active: Vec<PartitionId>,
    /// Where the next scan starts.
    pub(super) rotation: usize,
    pub(super) waiting: Vec<Waiting>,
    /// An idle worker that was claimed for what was read and is still to be woken.
    pub(super) to_ring: Option<usize>,
    pub(super) batches: Vec<Arc<Batch>>,
    pub(super) arrivals: Vec<Arrival<RecordRef>>,
    pub(super) points: Vec<CommitPoint>,
    pub(super) revocations: Vec<Revocation>,
    /// Assigned when the run was ending already: never held, and released at the very end.
    pub(super) declined: Vec<PartitionId>,
    pub(super) commit_at: Option<Instant>,
    /// A commit failed a moment ago: the next not before this.
    pub(super) commit_not_before: Instant,
    pub(super) stalls: Stalls,
    /// How many records may still be admitted.
    pub(super) remaining: Option<u64>,
    /// The group gave its assignment.
    pub(super) settled: bool,
    pub(super) stage: Stage,
    /// The run would be complete if nothing were unfinished.
    pub(super) wants_empty: bool,
    pub(super) failure: Option<SourceError>,
    /// Finished and not committed when their partition was given back at the end.
    pub(super) uncommitted: u64,
    /// Admitted when the end began, and finished until then.
    pub(super) at_end: (u64, u64),
    /// `None` if the order does not depend on keys.
    pub(super) hasher: Option<KeyHasher>,
    actions: Vec<Action>,
    /// Dispatches at the last look, and since when there were none though there could be.
    untaken: Option<(u64, Instant)>,
}

/// Gives other tasks of this thread their turn.
///
/// The story of why not by `tokio::task::yield_now`: the pump has just woken a worker, which tokio
/// runs next on this very thread, and its handler blocks. A task that yielded waits for its thread
/// to have nothing else to do, and no other thread can take it: all reading would stop. One that
/// wakes itself goes to the end of the thread's queue, from which other threads steal.
async fn give_way() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<S: Source> Pump<S> {
    pub(crate) fn new(source: S, shared: Arc<Shared>, events: Events, settings: Settings) -> Self {
        Self {
            source,
            shared,
            events,
            held: Vec::new(),
            active: Vec::new(),
            rotation: 0,
            waiting: Vec::new(),
            to_ring: None,
            batches: Vec::new(),
            arrivals: Vec::new(),
            points: Vec::new(),
            revocations: Vec::new(),
            declined: Vec::new(),
            commit_at: None,
            commit_not_before: Instant::default(),
            stalls: Stalls::default(),
            remaining: settings.max_records,
            settled: false,
            stage: Stage::Running,
            wants_empty: false,
            failure: None,
            uncommitted: 0,
            at_end: (0, 0),
            hasher: key_hasher(&settings.engine),
            actions: Vec::new(),
            untaken: None,
            settings,
        }
    }

    /// Runs until everything was given back, or until the run is aborted.
    ///
    /// # Errors
    /// When the source cannot even begin.
    pub(crate) async fn run(mut self) -> Result<Finished, SourceError> {
        self.source.start(SourceWaker(Arc::clone(&self.shared.pump)))?;
        loop {
            if self.shared.is_aborted() {
                return Ok(self.finished());
            }
            let now = self.shared.clock.now();
            self.take_settings(now);
            if self.shared.shutdown.load(Ordering::Acquire) {
                self.begin_shutdown(now);
            }
            let mut busy = self.serve_events(now);
            busy |= self.serve_engine(now);
            busy |= self.step_revocations(now);
            busy |= self.commit_if_due(now);
            busy |= self.read(now);
            if self.step_finish(now) {
                return Ok(self.finished());
            }
            if busy {
                give_way().await;
            } else {
                self.sleep().await;
            }
        }
    }

    /// Takes over settings that were changed.
    fn take_settings(&mut self, now: Instant) {
        let mut core = self.shared.lock();
        if std::mem::take(&mut core.settings_changed) {
            self.settings = core.settings.clone();
            drop(core);
            let latest = now + self.settings.commit_interval;
            self.commit_at = self.commit_at.map(|at| at.min(latest));
        }
    }

    /// Fires the engine's timers, passes its actions on, and sees that somebody takes what is
    /// ready.
    fn serve_engine(&mut self, now: Instant) -> bool {
        let mut core = self.shared.lock();
        core.sleep.end();
        let due = core.engine.poll_timeout().is_some_and(|at| at <= now);
        if due {
            core.engine.handle_timeout(now);
        }
        let cancels = core.take_actions(&mut self.actions);
        let ready = core.engine.has_ready();
        let taken = core.taken;
        let overdue = match self.untaken {
            Some((before, since)) if ready && before == taken => {
                now.saturating_since(since) >= UNTAKEN
            }
            _ => {
                self.untaken = ready.then_some((taken, now));
                false
            }
        };
        let worker = if overdue || (due && ready && core.all_idle()) {
            self.untaken = None;
            core.claim_idle()
        } else {
            None
        };
        let to_tell: Vec<Event> = self
            .actions
            .drain(..)
            .filter_map(|action| match action {
                Action::Stuck { partition, offset, attempt, running } => {
                    let partition = core.name(partition);
                    Some(Event::Stuck { partition, offset, attempt, running })
                }
                Action::NoProgress { partition, offset, unfinished, since } => {
                    let partition = core.name(partition);
                    Some(Event::NoProgress { partition, offset, unfinished, since })
                }
                // Revocations look for themselves whether something runs.
                _ => None,
            })
            .collect();
        drop(core);
        if cancels {
            self.shared.ring_all();
        }
        if let Some(worker) = worker {
            self.shared.ring(worker);
        }
        to_tell.iter().for_each(|event| self.events.emit(event));
        cancels || !to_tell.is_empty()
    }

    /// Sleeps until woken, or until the next thing is due.
    async fn sleep(&mut self) {
        let own = [self.commit_at, self.finish_at()];
        let now = self.shared.clock.now();
        let revocations = self.revocations.iter();
        let revocations = revocations.map(|r| r.wakes_at(self.commit_not_before, now));
        let own = own.into_iter().flatten().chain(revocations).min();
        let until = {
            let mut core = self.shared.lock();
            let now = self.shared.clock.now();
            let untaken = core.engine.has_ready().then_some(now + UNTAKEN);
            let keep_alive = S::NEEDS_THREAD.then_some(now + KEEP_ALIVE);
            let timers = [own, core.engine.poll_timeout(), untaken, keep_alive];
            let until = timers.into_iter().flatten().min();
            let core = &mut *core;
            let wants_empty = self.wants_empty;
            if !core.sleep.begin(&core.engine, &mut self.waiting, until, wants_empty, now) {
                return;
            }
            until
        };
        let woken = self.shared.pump.notified();
        match until {
            Some(until) => tokio::select! {
                biased;
                () = woken => {}
                () = tokio::time::sleep_until(self.shared.clock.to_tokio(until)) => {}
            },
            None => woken.await,
        }
    }

    /// Changes the engine, and at once has the workers cancel what it wants cancelled: later, an
    /// attempt could have ended meanwhile and its cancellation would be kept for ever.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Core) -> T) -> T {
        let (result, cancels) = {
            let mut core = self.shared.lock();
            let result = change(&mut core);
            (result, core.take_actions(&mut self.actions))
        };
        if cancels {
            self.shared.ring_all();
        }
        result
    }

    pub(super) fn held(&self, id: PartitionId) -> Option<&Held> {
        self.held.get(id.index())?.as_ref()
    }

    /// Tells an event of each of some partitions.
    pub(super) fn tell_each(
        &self,
        ids: &[PartitionId],
        mut event: impl FnMut(PartitionId, TopicPartition) -> Event,
    ) {
        for &id in ids {
            if let Some(held) = self.held(id) {
                self.events.emit(&event(id, held.name.clone()));
            }
        }
    }
}
