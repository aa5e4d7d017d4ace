//! Consume Kafka with a bounded number of handlers in flight, in order per key, and commit only
//! what is finished.
//!
//! [`Consumer::builder`] is where to begin. A handler is an async closure, a
//! [blocking](blocking()) one, or with the feature `tower` a `tower_service::Service`; what it
//! returns becomes an [`Outcome`]. What a consumer promises, and the test that shows each promise,
//! is in `docs/guarantees.md`.
//!
//! [`Producer::builder`] is where to begin on the other side: a producer that waits, or is refused,
//! when the groups that it follows have enough to do.

#![deny(unsafe_code)]

pub mod bare {
    //! For measurements: the client library without anything of ours.
    pub use crate::kafka::bare::BareConsumer;
    pub use crate::producer::bare::BareProducer;
}
mod builder;
mod clock;
mod consumer;
pub mod describe;
mod kafka;
mod producer;
mod watch;

pub use builder::{BuildError, Builder};
pub use consumer::Consumer;
pub use kafka::probe::Probe;
pub use kafka::{KafkaDeadLetters, KafkaSettings, KafkaSource, OnGap, SettingsError, StartFrom};
pub use producer::{
    Delivered, Delivery, DeliveryError, NotSent, Producer, ProducerBuildError, ProducerBuilder,
    ProducerEvent, ProducerRecord, SendError, TopicGate, TopicSnapshot, Undelivered,
};
pub use tidegate_engine::gate;
pub use tidegate_engine::limit;
pub use tidegate_engine::{
    AfterLastAttempt, Backoff, Config, ConfigChange, ConfigError, Counters, Metadata,
    MetadataError, Offset, OffsetRange, Ordering, PartitionSnapshot, PartitionState, Snapshot,
};
pub use tidegate_runtime::*;
pub use watch::{GroupWatch, PartitionLag, TopicLag, WatchError};
