//! A look at a consumer from outside.

use std::sync::Arc;

use tidegate_engine::{Config, ConfigChange, ConfigError, PartitionSnapshot, Snapshot};

use crate::batch::TopicPartition;
use crate::settings::SettingsChange;
use crate::shared::{Core, Shared};
use crate::summary::StoppedPartition;

/// Looks at a running consumer. Cheap to clone; works before, during and after the run, and from
/// any thread.
#[derive(Clone, Debug)]
pub struct Monitor {
    shared: Arc<Shared>,
}

/// A consumer at a moment, everything taken in one look.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerSnapshot {
    /// The engine: limit, in flight, queued, bytes, counters.
    pub engine: Snapshot,
    /// The partitions that this member has now, by name.
    pub partitions: Vec<PartitionStatus>,
    /// Handlers that panicked.
    pub panics: u64,
    /// Records that were finished and whose commit is not confirmed: together with the admitted
    /// ones they would be delivered again if the process were killed now.
    pub uncommitted: u64,
}

/// One partition of a [`ConsumerSnapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionStatus {
    /// Its name.
    pub partition: TopicPartition,
    /// The numbers.
    pub numbers: PartitionSnapshot,
    /// Why nothing more of it is processed, if so.
    pub stopped: Option<StoppedPartition>,
}

impl ConsumerSnapshot {
    /// How many records would be delivered again if the process were killed now.
    pub fn repeats_after_kill(&self) -> u64 {
        u64::from(self.engine.in_flight) + u64::from(self.engine.queued) + self.uncommitted
    }
}

impl Monitor {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The consumer now. Takes the lock for a moment and allocates: meant for a few times a
    /// second.
    pub fn snapshot(&self) -> ConsumerSnapshot {
        let core = self.shared.lock();
        let engine = core.engine.snapshot(self.shared.clock.now());
        let status = |numbers: &PartitionSnapshot| {
            let known = core.partitions.get(numbers.partition.index())?;
            let partition = known.name.clone();
            let stopped = known.stopped.as_ref().map(|stopped| stopped.of(&partition));
            Some(PartitionStatus { partition, numbers: numbers.clone(), stopped })
        };
        ConsumerSnapshot {
            partitions: engine.partitions.iter().filter_map(status).collect(),
            uncommitted: engine.partitions.iter().map(|p| p.uncommitted).sum(),
            panics: core.panics,
            engine,
        }
    }
}

impl Monitor {
    /// Changes how many handlers may run at once, from now on. Those that run go on; nothing new
    /// starts until fewer do.
    ///
    /// # Errors
    /// When it is outside the range of [`Config::max_in_flight`](tidegate_engine::Config).
    pub fn set_max_in_flight(&self, limit: u32) -> Result<(), ConfigError> {
        let engine = ConfigChange { max_in_flight: Some(limit), ..ConfigChange::default() };
        self.change(&SettingsChange { engine, ..SettingsChange::default() })
    }

    /// Changes settings of a consumer, all of them or none, from now on. Nothing that is admitted is
    /// given back, and the group is not told: where a budget shrinks below what is held, nothing new is
    /// admitted until less is. A batch that is being read meanwhile still comes in.
    ///
    /// # Errors
    /// When a setting would be [outside its range](crate::Settings::validate).
    pub fn change(&self, change: &SettingsChange) -> Result<(), ConfigError> {
        self.shared.lock().change(change, self.shared.clock.now())?;
        self.shared.ring_all();
        self.shared.pump.notify_one();
        Ok(())
    }

    /// Limits and policies as they are now.
    pub fn config(&self) -> Config {
        self.shared.lock().engine.config().clone()
    }
}

impl Core {
    /// The partitions that stopped, those that were given back at the end included.
    pub(crate) fn stopped(&self) -> Vec<StoppedPartition> {
        let stopped = |known: &crate::shared::Known| Some(known.stopped.as_ref()?.of(&known.name));
        self.partitions.iter().filter_map(stopped).collect()
    }
}

impl crate::shared::Stopped {
    fn of(&self, partition: &TopicPartition) -> StoppedPartition {
        let reason = self.reason.clone();
        StoppedPartition { partition: partition.clone(), offset: self.offset, reason }
    }
}
