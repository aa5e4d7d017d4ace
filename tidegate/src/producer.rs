//! The producer half: records go out as far as the groups that consume them keep up.
//!
//! `builder` makes a [`Producer`], `record` is what it sends, `topic` the gate of one topic with its
//! part in the probe, `room` what may be on its way in all, `on_their_way` what is, `client` the
//! Kafka client, `reports` how its delivery reports are settled, `delivery` what becomes of a record, `send` the calls, `event` what is told,
//! `bare` the client alone, for measurements.

pub(crate) mod bare;
mod builder;
mod client;
mod delivery;
mod error;
mod event;
mod on_their_way;
mod record;
mod reports;
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
