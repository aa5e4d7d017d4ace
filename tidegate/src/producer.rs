//! The producer half: records go out as far as the groups that consume them keep up.
//!
//! `builder` makes a [`Producer`], `record` is what it sends, `topic` the gate of one topic with its
//! part in the probe, `room` what may be on its way in all, `client` the Kafka client and its
//! delivery reports, `delivery` what becomes of a record, `send` the calls, `event` what is told.

mod builder;
mod client;
mod delivery;
mod error;
mod event;
mod record;
mod room;
mod send;
mod topic;

pub use builder::{ProducerBuildError, ProducerBuilder, TopicGate};
pub use delivery::{Delivered, Delivery, DeliveryError};
pub use error::{NotSent, SendError, Undelivered};
pub use event::ProducerEvent;
pub use record::ProducerRecord;
pub use send::Producer;
pub use topic::TopicSnapshot;
