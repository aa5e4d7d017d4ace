//! The tokio runtime of Tidegate: drives the [engine](tidegate_engine) with a [`Source`] and a
//! [`Handler`], and brings an [in-memory log](memory).
//!
//! A [`Consumer`] is made of a source and [`Settings`]; [`Consumer::run`] runs a handler for each
//! record. Reading order: `source` and `batch` (where records come from), `record`, `outcome` and
//! `handler` (what a handler sees), `shared` (the engine behind its lock), `pump` (between source
//! and engine), `worker` (between engine and handlers), `sink` and `letters` (dead letters), `run`
//! (start and end of it all).

#![forbid(unsafe_code)]

mod batch;
mod cancellation;
mod clock;
mod consumer;
mod event;
mod handler;
mod letters;
pub mod memory;
mod monitor;
mod outcome;
mod pump;
mod record;
mod run;
mod settings;
mod shared;
mod sink;
mod source;
mod summary;
mod worker;

pub use batch::{Batch, BatchBuilder, Header, RecordParts, Timestamp, TopicPartition};
pub use cancellation::Cancellation;
pub use consumer::Consumer;
pub use event::{Event, FailureCause, Level};
pub use handler::{Blocking, BlockingFuture, Handler, OnCancel, blocking};
#[cfg(feature = "tower")]
pub use handler::{Tower, TowerFuture, service};
pub use monitor::{ConsumerSnapshot, Monitor, PartitionStatus};
pub use outcome::{IntoOutcome, Outcome};
pub use record::Record;
pub use run::Run;
pub use settings::{Settings, SettingsChange};
pub use sink::{Letter, Sink, SinkError, SinkFuture};
pub use source::{Assignment, NextRead, Read, Source, SourceError, SourceEvent, SourceWaker};
pub use summary::{RunError, StoppedPartition, Summary};
