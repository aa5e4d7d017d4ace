//! The producer half: how many records a producer may send ahead of the groups that consume them.
//!
//! [`Gate`] is one plain struct with `&mut self` methods, as [`Engine`](crate::Engine) is on the
//! consumer's side; its documentation is the manual. Reading order: `config` (settings), `probe`
//! (what comes in), `state` (what is said), then what it is made of: `ledger` and `owned` (what is
//! outstanding), `drain` (how long a group needs), `window` (the law), `bucket` (an absolute rate),
//! `breaker` (deliveries that fail), `partitioner`.

mod breaker;
mod bucket;
mod config;
mod credit;
mod drain;
mod ledger;
mod math;
mod observe;
mod owned;
mod partitioner;
mod probe;
mod report;
mod snapshot;
mod state;
mod wave;
mod window;

pub use breaker::BreakerState;
pub use config::{GateChange, GateConfig, WhenShut, Window};
pub use credit::{Answer, Credit, Fault};
pub use partitioner::partition_of_key;
pub use probe::{Commit, GroupId, LogSpan, ProbeFailure, ProbeSample, until_next_probe};
pub use snapshot::{GateCounters, GateSnapshot, GroupSnapshot, OutstandingSnapshot};
pub use state::{Alert, Cause, GateState, Reason, Refusal};

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::{ConfigError, Instant, Offset};
use breaker::Breaker;
use bucket::TokenBucket;
use drain::DrainEstimate;
use ledger::{Ledger, Released};
use partitioner::Spreader;
use wave::Wave;
use window::CreditWindow;

/// Decides whether a producer may send its next record to a topic, by how far the consumer groups
/// are that it follows.
///
/// # What it holds to
/// - A record is let through only while fewer are *outstanding* than the window allows: own records
///   that were sent, and that some group has neither committed nor named as finished. When the
///   window is cut, outstanding only falls. There are two exceptions, both bounded: the floor rate,
///   when the groups' progress is not known or there is none; and partitions that are stuck, each of
///   which has a cap of its own (with all but one of them stuck, less than three windows in all).
/// - A probe that is late, lost or out of order costs throughput and never the bound: nothing is
///   released that no answer named as released. (When a log is cut, what is written to it while the
///   answer that shows the cut is on its way counts as cut off as well.)
/// - One stuck partition never shuts the topic.
///
/// # The law
/// Every producer of a topic reads the same signal: the drain time `D` of the slowest group, its lag
/// by the rate of its commits. At each probe, with the target `T`, the group's backlog at the target
/// `B` (its rate times `T`), and `g = 1 - exp(-elapsed / 1 s)`:
///
/// `W <- W (1 + g (min(0.93 T / D, 2) - 1 + 0.06 ln(B / W)))`
///
/// That is FAST TCP (Wei, Jin, Low and Hegde, 2006) with the drain time in the round trip's place, but
/// for the last term. There each sender adds the same number of records; here each is drawn towards
/// `B` by the logarithm of how far it is from it. Either makes the windows equal; but the additive
/// term does so the faster the more producers there are, and adds up to an offset that grows with
/// their number, whereas this one has the same time constant (17 s) for 2 as for 16, and an offset that
/// grows with the logarithm. It needs no number that fits one rate and not another. Of a consumer of
/// 5,000/s, at a target of 2 s: 1, 2, 4 and 16 producers settle at 1.80, 1.91, 2.01 and 2.20 s, with no
/// throughput lost and Jain indices above 0.97; one that joins has 0.7 to 1.1 of its share after 60 to
/// 90 s.
///
/// `D` is the mean between two answers. An answer finds a producer's own records at their fewest, since
/// credit comes with answers and is used at once, and those of the others half-way: a producer adds how
/// many more of its own there were on average. And it takes off what is done and not committed yet,
/// half of a commit's worth.
///
/// The window grows only if it held the producer back since the last two probes (or is smaller than
/// it began with, while the group has next to nothing to do), and falls only when `D` is beyond
/// 0.93 `T`, or, for a producer that is not held back, beyond 1.25 `T`.
///
/// # How it is driven
/// One gate is one topic with the groups that it follows; several topics are several gates.
/// 1. [`handle_partitions`](Self::handle_partitions) when the topic's partitions are known, and
///    whenever they change. Before that nothing goes through.
/// 2. [`pick_partition`](Self::pick_partition), then [`try_acquire`](Self::try_acquire) (or
///    [`acquire`](Self::acquire), which follows the policy): a [`Credit`] for one record.
/// 3. Each credit goes back exactly once: [`handle_delivered`](Self::handle_delivered),
///    [`handle_failed`](Self::handle_failed), or [`cancel`](Self::cancel) if the record was not sent.
/// 4. [`handle_probe`](Self::handle_probe) with what a probe brought, at
///    [`probe_interval`](GateConfig::probe_interval), or
///    [`handle_probe_failed`](Self::handle_probe_failed).
/// 5. [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) is due, and
///    [`poll_alert`](Self::poll_alert) until it is empty.
///
/// Waiters should ask again after any of 3 to 5.
///
/// # Cost
/// A credit and its delivery take O(1) and allocate nothing as long as deliveries come in the order
/// of their offsets. A probe takes a time in proportion to partitions, groups, and ranges.
#[derive(Debug)]
pub struct Gate {
    config: GateConfig,
    partitions: u32,
    ledger: Ledger,
    window: CreditWindow,
    wave: Wave,
    /// The window in records, and what of it one partition may have in any case.
    limit: u64,
    share: u64,
    groups: Vec<Group>,
    logs: Vec<Log>,
    /// A hash of the topic's id, 0 if unknown.
    incarnation: u64,
    /// When the newest answer was asked for, and when it came.
    asked: Option<Instant>,
    answered: Instant,
    failure: Option<ProbeFailure>,
    mode: Mode,
    /// When mode or breaker change by themselves; until then a send need not look.
    due: Instant,
    /// The drain time that is aimed for.
    target: Duration,
    /// What held the producer back since the last probe, and between the two before.
    held_back: [Option<Cause>; 2],
    /// Own records that the groups release in a second.
    release_rate: f64,
    breaker: Breaker,
    bucket: Option<TokenBucket>,
    floor: TokenBucket,
    spreader: Spreader,
    alerts: VecDeque<Alert>,
    counters: GateCounters,
}

/// What is known of one group.
#[derive(Debug, Default)]
struct Group {
    estimate: DrainEstimate,
    /// What it released of each partition.
    released: Vec<Known>,
    /// It has committed something in some partition.
    has_commit: bool,
}

/// What one group is known to have released of one partition.
#[derive(Clone, Debug, Default)]
struct Known {
    released: Option<Released>,
    /// That came from a commit, and not only from where the log begins.
    committed: bool,
    /// Told to have been passed by retention, or to be stuck.
    passed: bool,
    stuck: bool,
}

/// What is known of one partition's log.
#[derive(Clone, Copy, Debug, Default)]
struct Log {
    span: Option<LogSpan>,
    /// Behind the last own record that was delivered by then.
    delivered: Option<(Offset, Instant)>,
    /// The cap when it was found to be stuck.
    stuck_cap: Option<u64>,
}

/// What the window is worth at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The groups' progress is known.
    Following,
    /// A group has no commit, or does not move for longer than the grace time: the window as it is,
    /// and then the floor rate.
    Window(Cause),
    /// No progress is known for longer than the grace time: the floor rate alone.
    Floor(Cause),
}

impl Gate {
    /// A gate that knows nothing yet.
    ///
    /// # Errors
    /// When a setting is [outside its range](GateConfig::validate).
    pub fn new(config: GateConfig, now: Instant) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut gate = Self {
            partitions: 0,
            ledger: Ledger::default(),
            window: CreditWindow::new(config.initial_window),
            wave: Wave::new(now),
            limit: 0,
            share: 0,
            groups: (0..config.groups).map(|_| Group::default()).collect(),
            logs: Vec::new(),
            incarnation: 0,
            asked: None,
            answered: now,
            failure: None,
            mode: Mode::Following,
            due: now,
            target: config.target,
            held_back: [None; 2],
            release_rate: 0.0,
            breaker: Breaker::new(
                config.breaker_failures,
                config.breaker_probes,
                config.breaker_open,
                config.seed,
            ),
            bucket: config.rate.map(|rate| TokenBucket::new(rate, now)),
            floor: TokenBucket::new(config.floor_rate, now),
            spreader: Spreader::new(config.seed),
            alerts: VecDeque::new(),
            counters: GateCounters::default(),
            config,
        };
        gate.set_limit();
        Ok(gate)
    }

    /// The configuration, with what was changed since it was made.
    pub fn config(&self) -> &GateConfig {
        &self.config
    }

    /// How many partitions the topic has; 0 while that is not known.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The topic has so many partitions. More of them share the window from now on. If there are
    /// fewer, the topic was created anew: what is outstanding in the others counts as released.
    pub fn handle_partitions(&mut self, partitions: u32) {
        let before = core::mem::replace(&mut self.partitions, partitions);
        self.ledger.grow(partitions as usize);
        self.logs.resize(partitions as usize, Log::default());
        for partition in partitions..before {
            self.ledger.set_aside(partition as usize, false);
            self.ledger.forget(partition as usize);
        }
        if partitions < before {
            self.alert(Alert::PartitionsRemoved { partitions });
        }
        for group in &mut self.groups {
            group.released.resize(partitions as usize, Known::default());
        }
        self.set_limit();
    }

    /// Changes the absolute rate, in records a second; `None` for none. What was saved up stays.
    ///
    /// # Errors
    /// When it is outside the range of [`GateConfig::rate`].
    pub fn set_rate(&mut self, rate: Option<u32>, now: Instant) -> Result<(), ConfigError> {
        self.change_config(&GateChange { rate: Some(rate), ..GateChange::default() }, now)
    }

    /// Changes settings, all of them or none. Where the window shrinks below what is outstanding,
    /// nothing is sent until less is outstanding than it allows.
    ///
    /// # Errors
    /// When a setting would be [outside its range](GateConfig::validate).
    pub fn change_config(&mut self, change: &GateChange, now: Instant) -> Result<(), ConfigError> {
        let config = change.of(&self.config);
        config.validate()?;
        match (&mut self.bucket, config.rate) {
            (Some(bucket), Some(rate)) => bucket.set_rate(rate, now),
            (bucket, rate) => *bucket = rate.map(|rate| TokenBucket::new(rate, now)),
        }
        if config.floor_rate != self.config.floor_rate {
            self.floor.set_rate(config.floor_rate, now);
        }
        self.config = config;
        // The grace time may be over already, or not be over any more.
        self.due = now;
        self.set_limit();
        Ok(())
    }

    /// The next thing that an operator should know.
    pub fn poll_alert(&mut self) -> Option<Alert> {
        self.alerts.pop_front()
    }

    /// Whether any group is followed. Without one the gate counts nothing as outstanding.
    fn follows(&self) -> bool {
        self.config.groups > 0
    }

    /// Takes the window over into what each send is compared with.
    fn set_limit(&mut self) {
        self.limit = match self.config.window {
            _ if !self.follows() => u64::MAX,
            Window::Adaptive => self.window.records(),
            Window::Fixed(records) => records,
        };
        let partitions = u64::from(self.partitions.max(1));
        self.share = self.limit.saturating_mul(2).div_ceil(partitions).max(1);
    }

    /// Keeps an alert for the caller. There are few kinds, each told once, so that a caller that
    /// never asks costs little; the bound is for one that has many partitions as well.
    fn alert(&mut self, alert: Alert) {
        const MOST: usize = 1_024;
        if self.alerts.len() < MOST {
            self.alerts.push_back(alert);
        }
    }
}
