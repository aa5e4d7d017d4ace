//! When the sleeping pump is worth waking.

use std::time::Duration;

use tidegate_engine::{Config, Engine, Instant, PartitionId};

use crate::record::RecordRef;

/// So much free budget is worth a wake-up.
const ENOUGH_RECORDS: u32 = 256;
const ENOUGH_BYTES: u64 = 256 << 10;
/// Even less is, after so long.
const LONGEST: Duration = Duration::from_millis(5);
/// Of the partitions that wait for room, so many are looked at for one hand-in, while there is
/// something to run.
const LOOKS: usize = 4;

/// A partition that has records and no capacity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) partition: PartitionId,
    /// The size of its next record if that was too large, or 0.
    pub(crate) bytes: u64,
}

/// What the pump wrote down before it slept.
///
/// While the budget is full, every outcome frees a little. Waking the pump for each would make it
/// read a record at a time, so it is woken when a good deal is free; at once when handlers could
/// run and nothing is ready for them; and after 5 ms of outcomes that brought neither. Capacity
/// only grows when outcomes are handed in or queued records start (or by events that wake the pump
/// anyway), so no timer is needed: without them there is nothing new to read for.
#[derive(Debug)]
pub(crate) struct PumpSleep {
    enough_records: u32,
    enough_bytes: u64,
    asleep: bool,
    since: Instant,
    /// When it wakes by itself.
    until: Option<Instant>,
    /// Whether it wants to know that nothing is unfinished.
    wants_empty: bool,
    waiting: Vec<Waiting>,
    next_look: usize,
}

impl PumpSleep {
    pub(crate) fn new(config: &Config) -> Self {
        let mut sleep = Self {
            enough_records: 1,
            enough_bytes: 1,
            asleep: false,
            since: Instant::default(),
            until: None,
            wants_empty: false,
            waiting: Vec::new(),
            next_look: 0,
        };
        sleep.suit(config);
        sleep
    }

    /// What is enough within these budgets.
    pub(crate) fn suit(&mut self, config: &Config) {
        let records = u64::from(config.max_queued) + u64::from(config.max_in_flight);
        self.enough_records = (records / 4).clamp(1, ENOUGH_RECORDS.into()) as u32;
        self.enough_bytes = (config.max_bytes / 4).min(ENOUGH_BYTES);
    }

    /// The pump goes to sleep, unless something is to be done already.
    pub(crate) fn begin(
        &mut self,
        engine: &Engine<RecordRef>,
        waiting: &mut Vec<Waiting>,
        until: Option<Instant>,
        wants_empty: bool,
        now: Instant,
    ) -> bool {
        std::mem::swap(&mut self.waiting, waiting);
        waiting.clear();
        self.asleep = true;
        self.since = now;
        self.until = until;
        self.wants_empty = wants_empty;
        !self.is_over(engine, now)
    }

    pub(crate) fn end(&mut self) {
        self.asleep = false;
    }

    /// Whether to wake it, now that the engine has changed. Says so once.
    pub(crate) fn is_over(&mut self, engine: &Engine<RecordRef>, now: Instant) -> bool {
        if !self.asleep {
            return false;
        }
        let over = engine.has_actions()
            || (self.wants_empty && engine.admitted() == 0)
            || self.is_late(engine)
            || self.has_room(engine, now);
        self.asleep = !over;
        over
    }

    /// Whether the engine has a timer before the one that the pump set.
    fn is_late(&self, engine: &Engine<RecordRef>) -> bool {
        match (engine.poll_timeout(), self.until) {
            (Some(due), Some(until)) => due < until,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    fn has_room(&mut self, engine: &Engine<RecordRef>, now: Instant) -> bool {
        let hungry = engine.is_hungry();
        let any = hungry || now.saturating_since(self.since) >= LONGEST;
        // A partition that is overlooked is seen at a later outcome. When handlers are idle there
        // may be none for long.
        let looks = if hungry { self.waiting.len() } else { self.waiting.len().min(LOOKS) };
        (0..looks).any(|_| {
            self.next_look = (self.next_look + 1) % self.waiting.len();
            let waiting = self.waiting[self.next_look];
            let capacity = engine.capacity(waiting.partition, now);
            if waiting.bytes > 0 {
                return capacity.records > 0 && capacity.first >= waiting.bytes;
            }
            let enough =
                capacity.records >= self.enough_records && capacity.bytes >= self.enough_bytes;
            enough || (any && capacity.records > 0)
        })
    }
}
