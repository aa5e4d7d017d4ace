//! The gate's settings, their ranges and defaults, and the refusal of absurd ones.

use core::time::Duration;

use crate::{Backoff, ConfigError};

/// How the credit window is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Window {
    /// From the groups' drain time, so that the backlog stays near the target.
    #[default]
    Adaptive,
    /// A fixed number of outstanding records, 1 to 10^9, for those who know their consumer. The
    /// drain time is measured and shown, and changes nothing.
    Fixed(u64),
}

/// What a send does that finds the gate shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenShut {
    /// It waits for credit, at most for so long (10 ms to 24 h), and is then refused.
    Wait {
        /// The longest wait.
        max: Duration,
    },
    /// It is refused at once and told when to try again, by the drain rate.
    Refuse,
}

impl Default for WhenShut {
    fn default() -> Self {
        Self::Wait { max: Duration::from_secs(60) }
    }
}

/// Settings of one [`Gate`](super::Gate): those of a topic and the groups that are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateConfig {
    /// How many consumer groups are followed; the slowest counts. 0 to 64; 1 by default. With 0 the
    /// gate knows no backlog: only the rate and the breaker hold it.
    pub groups: u32,
    /// How the credit window is found. [`Window::Adaptive`] by default.
    pub window: Window,
    /// The drain time that is aimed for: how long the slowest group needs for everything that waits
    /// in the topic. 100 ms to 1 h; 2 s by default: long enough to keep a consumer busy over the
    /// delay of commits and probes, short enough that a record is seldom old. Groups that commit
    /// seldom raise it, see [`GateSnapshot::target`](super::GateSnapshot::target).
    pub target: Duration,
    /// The window before a drain time is known, in records, and the most that a group without any
    /// commit is sent at full speed. 1 to 10^6; 1,000 by default. A gate that finds a drain time
    /// beyond the target begins with less.
    pub initial_window: u32,
    /// How often the caller probes. 10 ms to 60 s; 500 ms by default. Probes of different producers
    /// should not keep step with each other: a quarter of the interval more or less, at random, makes each
    /// see the backlog before and behind the others' sends by turns.
    pub probe_interval: Duration,
    /// For how long the last window is kept when the probe fails, or when nothing of a group moves
    /// though it has lag. 0 to 1 h; 10 s by default, and at least twice the target.
    pub grace: Duration,
    /// Records a second that are let through when the grace time is over, or when a group without
    /// any commit has used up the initial window. 0 to 10^6; 1 by default: enough to see the loop
    /// close again, too little to hurt.
    pub floor_rate: u32,
    /// At most so many records a second, whatever the consumers do. 1 to 10^8, or `None` (the
    /// default). Can be changed at any time.
    pub rate: Option<u32>,
    /// Deliveries in a row that must fail for the breaker to open. 1 to 10^6; 10 by default.
    pub breaker_failures: u32,
    /// How long an open breaker lets nothing through, longer each time that its probes fail. 1 s to
    /// 30 s by default.
    pub breaker_open: Backoff,
    /// How many records a half-open breaker lets through to see whether they are delivered. 1 to
    /// 10^4; 3 by default.
    pub breaker_probes: u32,
    /// What a send does that finds the gate shut. Waits for 60 s by default.
    pub when_shut: WhenShut,
    /// Seeds what is random: the jitter of the breaker, and the partition of records without a key.
    pub seed: u64,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            groups: 1,
            window: Window::Adaptive,
            target: Duration::from_secs(2),
            initial_window: 1_000,
            probe_interval: Duration::from_millis(500),
            grace: Duration::from_secs(10),
            floor_rate: 1,
            rate: None,
            breaker_failures: 10,
            breaker_open: Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(30) },
            breaker_probes: 3,
            when_shut: WhenShut::default(),
            seed: 0,
        }
    }
}

/// What of a [`GateConfig`] may change while records are outstanding; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateChange {
    /// [`GateConfig::window`]. An adaptive one is followed also while a fixed one counts.
    pub window: Option<Window>,
    /// [`GateConfig::target`]. It counts from the next probe on.
    pub target: Option<Duration>,
    /// [`GateConfig::grace`].
    pub grace: Option<Duration>,
    /// [`GateConfig::floor_rate`].
    pub floor_rate: Option<u32>,
    /// [`GateConfig::rate`], `Some(None)` for none. What was saved up stays.
    pub rate: Option<Option<u32>>,
    /// [`GateConfig::when_shut`]. A send that waits goes on waiting as it was told.
    pub when_shut: Option<WhenShut>,
}

impl GateChange {
    /// The configuration with this change.
    pub fn of(&self, config: &GateConfig) -> GateConfig {
        GateConfig {
            window: self.window.unwrap_or(config.window),
            target: self.target.unwrap_or(config.target),
            grace: self.grace.unwrap_or(config.grace),
            floor_rate: self.floor_rate.unwrap_or(config.floor_rate),
            rate: self.rate.unwrap_or(config.rate),
            when_shut: self.when_shut.unwrap_or(config.when_shut),
            ..config.clone()
        }
    }
}

impl GateConfig {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// The first setting that is outside of it, with its name and range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        let (hour, day) = (s(3_600), s(86_400));
        ConfigError::number("groups", self.groups.into(), 0, 64)?;
        if let Window::Fixed(records) = self.window {
            ConfigError::number("window", records, 1, 1_000_000_000)?;
        }
        ConfigError::duration("target", self.target, ms(100), hour)?;
        ConfigError::number("initial_window", self.initial_window.into(), 1, 1_000_000)?;
        ConfigError::duration("probe_interval", self.probe_interval, ms(10), s(60))?;
        ConfigError::duration("grace", self.grace, Duration::ZERO, hour)?;
        ConfigError::number("floor_rate", self.floor_rate.into(), 0, 1_000_000)?;
        if let Some(rate) = self.rate {
            ConfigError::number("rate", rate.into(), 1, 100_000_000)?;
        }
        ConfigError::number("breaker_failures", self.breaker_failures.into(), 1, 1_000_000)?;
        ConfigError::number("breaker_probes", self.breaker_probes.into(), 1, 10_000)?;
        let open = self.breaker_open;
        ConfigError::duration("breaker_open.initial", open.initial, ms(1), day)?;
        ConfigError::duration("breaker_open.max", open.max, open.initial, day)?;
        if let WhenShut::Wait { max } = self.when_shut {
            ConfigError::duration("when_shut.max", max, ms(10), day)?;
        }
        Ok(())
    }
}
