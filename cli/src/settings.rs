//! The flags that commands share. Each one's name, range, default and words live here and nowhere else;
//! flags of one command only are with that command. Variables are named after flags, by `cli`.
//!
//! `connection` (cluster and properties) with `java` (Java's property files), `group`, `limits` (what
//! every consumer has), `gate` (what a producer follows), `delivery` (attempts, start and end of a run),
//! `output`. `values` reads sizes, durations and dates.

mod connection;
mod delivery;
mod gate;
mod group;
mod java;
mod limits;
mod output;
mod values;

pub(crate) use connection::{Connection, ConnectionArgs};
pub(crate) use delivery::{DeliveryArgs, Gap, LastAttempt};
pub(crate) use gate::{FollowArgs, GateArgs, change_gates};
pub(crate) use group::{GroupArgs, TopicsArgs};
pub(crate) use limits::{LimitArgs, Order};
pub(crate) use output::{Format, OutputArgs, colours_wanted, print};
pub(crate) use values::{duration, instant, property, size, topic};

/// The one topic of commands that take no more.
#[derive(Debug, clap::Args)]
pub(crate) struct OneTopicArgs {
    /// The topic.
    #[arg(
        short,
        long,
        value_name = "TOPIC",
        value_parser = values::topic,
        help_heading = "Kafka"
    )]
    pub(crate) topic: String,
}
