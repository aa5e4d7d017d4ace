//! The lab: a producer, Kafka and a consumer on virtual time, under several strategies on one tape.
//!
//! Where the simulated world (`world`) looks for broken promises, the lab shows what a
//! configuration does: where the records are, how old they get, what is killed, lost and repeated.
//! Engine and gate are the real ones.
//!
//! Reading order: `scenario` (what is played; `limits` says what is refused), `strategy` (how it is
//! consumed), then the world from left to right: `producer`, `topic`, `member` with its two kinds
//! `unbounded` and `tidegate`, `downstream`; `group` moves partitions, `run` is the loop, `meter`
//! and `histogram` measure, `report` is what comes out.

mod downstream;
mod group;
mod histogram;
mod limits;
mod member;
mod meter;
mod producer;
mod random;
mod report;
mod run;
mod scenario;
mod strategy;
mod tidegate;
mod topic;
mod unbounded;

pub use limits::ScenarioError;
pub use random::{Keys, mix};
pub use report::{Peak, Played, Point};
pub use run::play;
pub use scenario::{
    Burst, Change, Consumers, Credit, Downstream, Event, Producer, Scenario, ServiceTime, Topic,
    WhenFull,
};
pub use strategy::{Strategy, StrategyError};

/// Nanoseconds of virtual time.
const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND as f64
}
