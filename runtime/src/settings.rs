//! What can be set for a run beside the engine's limits.

use std::time::Duration;

use tidegate_engine::{Config, ConfigChange, ConfigError};

/// Settings of a [`Consumer`](crate::Consumer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Order, limits, attempts, timeouts.
    pub engine: Config,
    /// How often finished records are committed. 1 ms to 60 s; 200 ms by default: what was
    /// finished within the last interval is repeated after a crash, and a broker bears it easily.
    /// At most half of the engine's `commit_stall`.
    pub commit_interval: Duration,
    /// How long handlers may go on when their partition is being given away. 0 to 5 min; 5 s by
    /// default: other partitions may get nothing new meanwhile, so it should be short. Then they
    /// are cancelled, and their records are delivered again to the next owner.
    pub drain_timeout: Duration,
    /// How long a graceful shutdown may take in all. 100 ms to 1 h; 25 s by default, a little
    /// less than what orchestrators grant. Handlers get four fifths of it to finish; then they
    /// are cancelled, and the rest is for the last commit and for leaving the group.
    pub shutdown_timeout: Duration,
    /// How many worker tasks poll handlers. 1 to 64; `None` (the default) is as many as the tokio
    /// runtime has worker threads. They join one after another, only while there is work that
    /// those before them cannot do.
    pub workers: Option<usize>,
    /// Whether to stop when every partition has been handled up to the end that its log had when
    /// it was assigned. Off by default.
    pub until_end: bool,
    /// Admit at most so many records, handle them and stop. At least 1; `None` (no bound) by
    /// default.
    pub max_records: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: Config::default(),
            commit_interval: Duration::from_millis(200),
            drain_timeout: Duration::from_secs(5),
            shutdown_timeout: Duration::from_secs(25),
            workers: None,
            until_end: false,
            max_records: None,
        }
    }
}

/// What of [`Settings`] may change while a consumer runs; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// Limits and policies.
    pub engine: ConfigChange,
    /// [`Settings::commit_interval`].
    pub commit_interval: Option<Duration>,
    /// [`Settings::shutdown_timeout`]. A shutdown that has begun keeps its deadline.
    pub shutdown_timeout: Option<Duration>,
}

impl SettingsChange {
    /// The settings with this change.
    pub fn of(&self, settings: &Settings) -> Settings {
        Settings {
            engine: self.engine.of(&settings.engine),
            commit_interval: self.commit_interval.unwrap_or(settings.commit_interval),
            shutdown_timeout: self.shutdown_timeout.unwrap_or(settings.shutdown_timeout),
            ..settings.clone()
        }
    }
}

/// The most worker tasks there may be.
pub(crate) const MAX_WORKERS: usize = 64;

impl Settings {
    /// Checks everything against its range, the engine's limits included.
    ///
    /// # Errors
    /// The first setting that is outside of its range, with its name and range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.engine.validate()?;
        let ms = Duration::from_millis;
        ConfigError::duration("commit_interval", self.commit_interval, ms(1), ms(60_000))?;
        // A stall is told from the silence of commits, so there must be more than one in it.
        let most = self.engine.commit_stall / 2;
        ConfigError::duration(
            "commit_interval (at most half of commit_stall)",
            self.commit_interval,
            ms(1),
            most,
        )?;
        ConfigError::duration("drain_timeout", self.drain_timeout, ms(0), ms(300_000))?;
        ConfigError::duration("shutdown_timeout", self.shutdown_timeout, ms(100), ms(3_600_000))?;
        ConfigError::number("workers", self.workers.unwrap_or(1) as u64, 1, MAX_WORKERS as u64)?;
        ConfigError::number("max_records", self.max_records.unwrap_or(1), 1, u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_settings_are_refused_by_name() {
        assert_eq!(Settings::default().validate(), Ok(()));
        let refused = |settings: Settings, name: &str| {
            let message = settings.validate().unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        };
        let zero = Duration::ZERO;
        refused(Settings { commit_interval: zero, ..Settings::default() }, "commit_interval");
        let late = Duration::from_secs(2);
        refused(Settings { commit_interval: late, ..Settings::default() }, "half of commit_stall");
        refused(Settings { shutdown_timeout: zero, ..Settings::default() }, "shutdown_timeout");
        refused(Settings { workers: Some(0), ..Settings::default() }, "workers");
        refused(Settings { workers: Some(65), ..Settings::default() }, "workers");
        refused(Settings { max_records: Some(0), ..Settings::default() }, "max_records");
        let engine = Config { max_in_flight: 0, ..Config::default() };
        refused(Settings { engine, ..Settings::default() }, "max_in_flight");
    }
}
