//! Kafka as a source, by librdkafka.
//!
//! `settings` says how the client is configured, `source` is the [`Source`] with a partition's
//! life, `assign` finds out where a partition begins, `read` takes its records, `trouble` puts
//! the client's errors into words. `native` is the only unsafe code.
//!
//! [`Source`]: tidegate_runtime::Source

mod assign;
pub(crate) mod bare;
mod context;
mod gap;
mod native;
mod read;
mod settings;
mod source;
mod trouble;

pub use settings::{KafkaSettings, OnGap, SettingsError, StartFrom};
pub use source::KafkaSource;
