//! The pure half of Tidegate's consumer: what to admit, what may run, in which order, and what
//! may be committed.
//!
//! [`Engine`] is one plain struct with `&mut self` methods. Time, randomness and I/O are
//! arguments: it reads no clock, starts no thread and knows no Kafka, so the same code runs under
//! a simulator, in tests and in production. Its documentation is the manual.
//!
//! Reading order: `config` (limits), `action` (what goes in and out), `engine` (the verbs),
//! then the three lists it is made of: `partition` (unfinished records), `lanes` (order),
//! `slab` (one entry per admitted record). [`gate`] is the producer half, [`limit`] how many calls a
//! target gets.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod action;
mod canary;
mod config;
mod engine;
mod finished;
pub mod gate;
mod ids;
mod lanes;
pub mod limit;
mod list;
mod metadata;
mod outcome;
mod partition;
mod retry;
mod slab;
mod snapshot;
mod time;

pub use action::{Action, Arrival, CancelReason, Capacity, CommitPoint, Dispatch, Position, Start};
#[cfg(tidegate_canary)]
pub use canary::Canary;
pub use config::{AfterLastAttempt, Backoff, Config, ConfigChange, ConfigError, Ordering};
pub use engine::Engine;
pub use finished::{FinishedRanges, OffsetRange};
pub use ids::{KeyHash, Offset, PartitionId, Ticket};
pub use lanes::KeyHasher;
pub use metadata::{Metadata, MetadataError};
pub use outcome::{LetterOutcome, Outcome, Verdict};
pub use snapshot::{Counters, PartitionSnapshot, PartitionState, Snapshot};
pub use time::Instant;
