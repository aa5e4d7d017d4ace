//! What is played, as plain data.

use std::ops::RangeInclusive;
use std::time::Duration;

use tidegate_engine::Ordering;

use super::Strategy;

/// A scenario: who produces, what lies between, who consumes, and what happens meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows, in a sentence or two.
    pub about: String,
    /// For how long producers produce. Afterwards the backlog drains.
    pub duration: Duration,
    /// Decides everything that is random.
    pub seed: u64,
    /// What is compared unless somebody asks for something else.
    pub strategies: Vec<Strategy>,
    /// Who produces.
    pub producers: Vec<Producer>,
    /// What lies between.
    pub topic: Topic,
    /// Who consumes.
    pub consumers: Consumers,
    /// What the closed loop aims for.
    pub credit: Credit,
    /// What the consumers call for each record.
    pub downstream: Downstream,
    /// What happens meanwhile, in the order of time.
    pub events: Vec<Event>,
}

/// A producer.
#[derive(Clone, Debug, PartialEq)]
pub struct Producer {
    /// Its name.
    pub name: String,
    /// Records a second that it makes while nothing holds it back. One that has to wait does not
    /// catch up afterwards.
    pub rate: f64,
    /// Records that arrive at once, on top.
    pub burst: Option<Burst>,
    /// How many records fit between it and Kafka.
    pub channel: u32,
    /// What it does when the channel is full, or the gate shut.
    pub when_full: WhenFull,
    /// Key, value and headers of a record, in bytes: evenly spread over this range.
    pub size: RangeInclusive<u32>,
    /// How many keys there are; 0 for none.
    pub keys: u32,
    /// How uneven they are: key `n` has a weight of `1 / n^zipf`; 0 makes all alike.
    pub zipf: f64,
}

/// Records that arrive at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// How often, the first time after one such interval.
    pub every: Duration,
    /// How many.
    pub records: u32,
}

/// What a producer does that is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits.
    Wait,
    /// The record is refused (a 429, say) and counted.
    Refuse,
}

/// The topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Partitions.
    pub partitions: u32,
    /// How many unread records Kafka holds; then the producers' channels fill.
    pub quota: u64,
}

/// The consumer group.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumers {
    /// How many processes it begins with.
    pub members: u32,
    /// How many records one poll brings, without Tidegate.
    pub poll: u32,
    /// Memory of one process. At this limit it still finishes work, but takes a new record only
    /// when one is done.
    pub memory: u64,
    /// What one running task costs beside its record.
    pub task_memory: u64,
    /// A process that has been at its memory limit for so long is killed.
    pub killed_after: Duration,
    /// How long a process takes to come again.
    pub restarts_after: Duration,
    /// When the group gives the partitions of a dead process to others.
    pub session: Duration,
    /// Without Tidegate, how often offsets are committed.
    pub auto_commit: Duration,
    /// With Tidegate, how often.
    pub commit: Duration,
    /// With Tidegate, which records wait for which.
    pub ordering: Ordering,
    /// With Tidegate, how many records may wait in memory for a permit.
    pub max_queued: u32,
    /// With Tidegate, bytes of all records in memory.
    pub max_bytes: u64,
    /// Attempts for one record, the first included. Then it is given up without Tidegate, and a
    /// dead letter with it.
    pub attempts: u32,
}

/// What the closed loop aims for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// How long the group should need for what waits.
    pub target: Duration,
    /// How often the producers ask how far it is.
    pub probe: Duration,
}

/// What the consumers call for each record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Downstream {
    /// How many requests it serves at once.
    pub servers: u32,
    /// How long one takes.
    pub service: ServiceTime,
    /// How many requests may wait for a server; one more is answered "overloaded". `None` for no
    /// bound.
    pub waiting: Option<u32>,
    /// The part of the requests that fails.
    pub failures: f64,
}

/// How long a request takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ServiceTime {
    /// Always so long.
    Constant(Duration),
    /// Evenly from the first to the second.
    Uniform(Duration, Duration),
    /// Exponentially distributed, with this mean.
    Exponential(Duration),
    /// Lognormally distributed: half take less than the median, one in a hundred more than `p99`.
    Lognormal {
        /// The median.
        median: Duration,
        /// The 99th percentile.
        p99: Duration,
    },
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Duration,
    /// What.
    pub change: Change,
}

/// What an event changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The downstream; what is `None` stays as it is.
    Downstream {
        /// How many requests it serves at once.
        servers: Option<u32>,
        /// How long one takes.
        service: Option<ServiceTime>,
        /// The part that fails.
        failures: Option<f64>,
    },
    /// A producer's rate: of the one with this name, or of all.
    Rate {
        /// Which.
        producer: Option<String>,
        /// Records a second.
        rate: f64,
    },
    /// So large a part of all further records has one and the same key.
    HotKey {
        /// From 0 to 1.
        share: f64,
    },
    /// The next so many records cannot be processed, however often it is tried.
    Poison {
        /// How many.
        records: u32,
    },
    /// A process dies and comes again.
    Crash {
        /// Which, from 1.
        member: u32,
    },
    /// Processes join.
    AddMembers(u32),
    /// The youngest processes are asked to end.
    RemoveMembers(u32),
}

impl Downstream {
    /// Requests a second that it can serve.
    pub fn capacity(&self) -> f64 {
        f64::from(self.servers) / self.service.mean().as_secs_f64()
    }
}

impl ServiceTime {
    /// The mean.
    pub fn mean(&self) -> Duration {
        match *self {
            Self::Constant(time) | Self::Exponential(time) => time,
            Self::Uniform(least, most) => (least + most) / 2,
            Self::Lognormal { median, p99 } => {
                let sigma = Self::sigma(median, p99);
                median.mul_f64((sigma * sigma / 2.0).exp())
            }
        }
    }

    /// Of a lognormal distribution: 2.326 standard deviations lie between the two.
    pub(super) fn sigma(median: Duration, p99: Duration) -> f64 {
        (p99.as_secs_f64() / median.as_secs_f64()).ln() / 2.326_347_9
    }
}

impl Consumers {
    /// How many tasks of records of this size fit into a process.
    pub fn tasks(&self, record: u32) -> u64 {
        self.memory / (self.task_memory + u64::from(record)).max(1)
    }
}
