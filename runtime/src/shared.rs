//! What the pump, the workers and monitors share: the engine behind one lock, and who to wake.

mod sleep;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tidegate_engine::{
    Action, CancelReason, ConfigError, Engine, Instant, Offset, PartitionId, Ticket,
};
use tokio::sync::Notify;

use crate::batch::TopicPartition;
use crate::clock::Clock;
use crate::record::RecordRef;
use crate::settings::{Settings, SettingsChange};
use crate::worker::Doorbell;

pub(crate) use sleep::{PumpSleep, Waiting};

/// Shared by everything that belongs to one consumer.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) clock: Clock,
    /// Wakes the pump. The source's waker is the same.
    pub(crate) pump: Arc<Notify>,
    /// Has letters look whether they are to be given up.
    pub(crate) letters_rung: Notify,
    pub(crate) workers: OnceLock<Vec<Arc<Doorbell>>>,
    /// A graceful shutdown was asked for.
    pub(crate) shutdown: AtomicBool,
    /// The run was dropped or is broken: stop at once and commit nothing more.
    pub(crate) abort: AtomicBool,
}

/// Behind the lock.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) engine: Engine<RecordRef>,
    /// As they are now.
    pub(crate) settings: Settings,
    /// The pump has not taken them over yet.
    pub(crate) settings_changed: bool,
    /// By partition id; an id is never used for another partition.
    pub(crate) partitions: Vec<Known>,
    /// Handlers that panicked.
    pub(crate) panics: u64,
    /// It was told that records wait for the credit of a dead letter, and none was written since.
    pub(crate) held_told: bool,
    /// How many workers there are.
    pub(crate) workers: usize,
    /// A bit for each worker that found nothing to take.
    pub(crate) idle: u64,
    /// Dispatches given to workers, ever.
    pub(crate) taken: u64,
    pub(crate) cancels: Cancels,
    pub(crate) sleep: PumpSleep,
    /// Workers are to end.
    pub(crate) ended: bool,
}

/// What is known of a partition that this consumer has or had.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: TopicPartition,
    /// Why nothing more of it is processed.
    pub(crate) stopped: Option<Stopped>,
}

/// Why a partition stopped.
#[derive(Clone, Debug)]
pub(crate) struct Stopped {
    pub(crate) offset: Option<Offset>,
    pub(crate) reason: String,
}

/// Attempts to be cancelled whose outcome has not come.
#[derive(Debug, Default)]
pub(crate) struct Cancels {
    pub(crate) reasons: HashMap<Ticket, CancelReason>,
    /// Counts up whenever one is added, so that a worker sees whether it must look.
    pub(crate) version: u64,
}

impl Cancels {
    /// The attempt's outcome has come.
    pub(crate) fn answered(&mut self, ticket: Ticket) {
        if !self.reasons.is_empty() {
            self.reasons.remove(&ticket);
        }
    }
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Self>, ConfigError> {
        let clock = Clock::new();
        let engine = Engine::new(settings.engine.clone(), clock.now())?;
        Ok(Arc::new(Self {
            core: Mutex::new(Core {
                sleep: PumpSleep::new(engine.config()),
                engine,
                settings,
                settings_changed: false,
                partitions: Vec::new(),
                panics: 0,
                held_told: false,
                workers: 0,
                idle: 0,
                taken: 0,
                cancels: Cancels::default(),
                ended: false,
            }),
            clock,
            pump: Arc::new(Notify::new()),
            letters_rung: Notify::new(),
            workers: OnceLock::new(),
            shutdown: AtomicBool::new(false),
            abort: AtomicBool::new(false),
        }))
    }

    /// The lock. Held for short, and never while foreign code runs. If a holder panicked, an
    /// invariant of the engine broke: everything stops and nothing more is committed.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(|broken| {
            self.abort.store(true, Ordering::Release);
            PoisonError::into_inner(broken)
        })
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.abort.load(Ordering::Acquire)
    }

    /// Has a worker look at the engine.
    pub(crate) fn ring(&self, worker: usize) {
        if let Some(bell) = self.workers.get().and_then(|workers| workers.get(worker)) {
            bell.ring();
        }
    }

    /// Has every worker look at the engine, and every letter at what is cancelled.
    pub(crate) fn ring_all(&self) {
        self.workers.get().into_iter().flatten().for_each(|bell| bell.ring());
        self.letters_rung.notify_waiters();
    }

    /// Stops everything at once.
    pub(crate) fn abort(&self) {
        self.abort.store(true, Ordering::Release);
        self.lock().ended = true;
        self.ring_all();
        self.pump.notify_one();
    }
}

impl Core {
    /// Changes settings, all of them or none.
    pub(crate) fn change(
        &mut self,
        change: &SettingsChange,
        now: Instant,
    ) -> Result<(), ConfigError> {
        let settings = change.of(&self.settings);
        settings.validate()?;
        self.engine.change_config(&change.engine, now)?;
        self.sleep.suit(self.engine.config());
        self.settings = settings;
        self.settings_changed = true;
        Ok(())
    }

    /// The name of a partition that was assigned at some time.
    pub(crate) fn name(&self, id: PartitionId) -> TopicPartition {
        match self.partitions.get(id.index()) {
            Some(known) => known.name.clone(),
            None => TopicPartition::new("?", -1),
        }
    }

    /// Claims an idle worker that is to be [rung](Shared::ring): the first one, which is the
    /// warmest.
    pub(crate) fn claim_idle(&mut self) -> Option<usize> {
        let first = self.idle.trailing_zeros();
        if first == u64::BITS {
            return None;
        }
        self.idle &= self.idle - 1;
        Some(first as usize)
    }

    /// A record's partition has stopped at it.
    pub(crate) fn stopped_at(&mut self, id: PartitionId, offset: Offset, reason: &str) {
        if let Some(known) = self.partitions.get_mut(id.index()) {
            let reason = reason.to_owned();
            known.stopped = Some(Stopped { offset: Some(offset), reason });
        }
    }

    /// Whether no worker will look at the engine by itself.
    pub(crate) fn all_idle(&self) -> bool {
        self.idle.count_ones() as usize >= self.workers
    }

    /// Takes the engine's actions: adds to the cancels, returns the rest.
    pub(crate) fn take_actions(&mut self, rest: &mut Vec<Action>) -> bool {
        let mut cancels = false;
        while let Some(action) = self.engine.poll_action() {
            if let Action::Cancel { ticket, reason } = action {
                self.cancels.reasons.insert(ticket, reason);
                cancels = true;
            } else {
                rest.push(action);
            }
        }
        self.cancels.version += u64::from(cancels);
        cancels
    }

    /// Whether the pump, if it sleeps, should wake now that outcomes were handed in.
    pub(crate) fn wakes_pump(&mut self, now: Instant) -> bool {
        self.sleep.is_over(&self.engine, now)
    }
}
