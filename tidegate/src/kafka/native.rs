//! The part of librdkafka that rdkafka's safe interface does not reach: the project's only
//! unsafe code.
//!
//! What it needs and the safe interface hides: batch reads from one partition's queue, the events
//! of the main queue one by one, an assignment that is acknowledged later than its event, commits
//! with metadata that are answered by an event, the admin requests of assignments and probes (on
//! a consumer's own connection), and descriptions with what a login may do.
//!
//! The safety arguments, once for all of it:
//! - **Lifetime.** Everything here holds an `Arc` of the client, and the client is destroyed only
//!   when the last one is dropped. Messages live in their [`PartitionQueue`] and are destroyed
//!   before it.
//! - **Threads.** librdkafka's calls are thread-safe. Pointers that are not (queue contents) are
//!   used through `&mut self`.
//! - **Strings and lists** that librdkafka returns are copied before the event that owns them is
//!   destroyed.

mod admin;
mod bare;
mod client;
mod committed;
mod describe;
mod event;
mod partition;
#[cfg(test)]
mod testing;

pub(crate) use admin::{AdminAnswer, TopicFacts};
pub(crate) use bare::BareClient;
pub(crate) use client::{NativeClient, OffsetPoint, Sought};
pub(crate) use describe::DescribingClient;
pub(crate) use event::{Answer, NativeEvent, Rebalance};
pub(crate) use partition::PartitionQueue;
#[cfg(test)]
pub(crate) use testing::fail_fatally;
