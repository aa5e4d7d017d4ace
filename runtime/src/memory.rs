//! A log in memory with partitions, groups and committed offsets: the whole library without Kafka,
//! for tests, examples and experiments.
//!
//! [`MemoryLog`] is the broker: topics are created and records produced there, and
//! [`MemoryLog::source`] makes a member of a group for a [`Consumer`](crate::Consumer). Members
//! share partitions as a cooperative Kafka group does: what moves is revoked first, drained,
//! committed, released, and then assigned to the next.
//!
//! `partition` is one partition's records, `group` who has which, `source` a member, `faults`
//! what a test can break.

mod faults;
mod group;
mod log;
mod partition;
mod produce;
mod sink;
mod source;

pub use log::{MemoryError, MemoryLog};
pub use produce::NewRecord;
pub use sink::MemorySink;
pub use source::{MemorySource, StartFrom};
