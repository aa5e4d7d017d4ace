//! Kafka as a source, by librdkafka.
//!
//! `settings` says how the client is configured, `source` is the [`Source`] with the client's
//! life, `rebalance` a partition's, `assign` finds out where it begins, `read` takes its records,
//! `commits` matches commits with their answers, `gap` deals with an offset that is not in the log,
//! `truncation` has the client check the log below a committed offset, `dead_letter` writes
//! what no attempt processes, `trouble` puts the client's errors into words, `probe` asks how far
//! groups are without being in one. `native` is the only unsafe code.
//!
//! [`Source`]: tidegate_runtime::Source

mod assign;
pub(crate) mod bare;
mod commits;
pub(crate) mod context;
mod dead_letter;
mod gap;
pub(crate) mod native;
pub(crate) mod probe;
mod read;
mod rebalance;
mod settings;
mod source;
mod trouble;
mod truncation;

pub use dead_letter::KafkaDeadLetters;
#[cfg(test)]
pub(crate) use native::fail_fatally;
pub use settings::{KafkaSettings, OnGap, SettingsError, StartFrom};
pub(crate) use settings::{accept, no_nul};
pub use source::KafkaSource;
pub(crate) use trouble::explain;
