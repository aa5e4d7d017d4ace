//! What a run came to, as plain data.

use super::Strategy;

/// One strategy, played to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// Which.
    pub strategy: Strategy,
    /// The most there was at any moment.
    pub peak: Peak,
    /// Records in all when a producer had to wait, or was refused one, for the first time.
    pub total_at_first_block: Option<u64>,
    /// Seconds until then.
    pub feedback_s: Option<f64>,
    /// Seconds in all during which a producer waited, or was refused records.
    pub waited_s: f64,
    /// How often a process was killed for its memory.
    pub oom_kills: u32,
    /// Records finished a second over the last three quarters of the run. One that is finished
    /// again does not count again.
    pub throughput_per_s: f64,
    /// What the downstream could have done meanwhile.
    pub capacity_per_s: f64,
    /// Records that producers were refused.
    pub refused: u64,
    /// Handlers begun anew for a record that had been given to one before; attempts do not count.
    pub repeated: u64,
    /// Records that nobody will process: their offset is committed, and who had them is gone or has
    /// given up.
    pub lost: u64,
    /// Records that were finished after a later one of their key.
    pub reordered: u64,
    /// Records that became dead letters.
    pub dead_letters: u64,
    /// Records made.
    pub made: u64,
    /// The age at which records were finished, in seconds, during the run.
    pub age_p50_s: Option<f64>,
    /// The same, of the oldest hundredth.
    pub age_p99_s: Option<f64>,
    /// Seconds from the end of production until nothing was left; `None` if it took ten minutes.
    pub drain_s: Option<f64>,
    /// How it went, at 240 moments.
    pub series: Vec<Point>,
    /// When processes were killed for their memory, in seconds.
    pub kills_s: Vec<f64>,
}

/// The most there was at any moment of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// Records made that were not in Kafka yet.
    pub channel: u64,
    /// Records in Kafka that nobody had read.
    pub kafka: u64,
    /// Records in a consumer that waited for their turn or a permit.
    pub queued: u64,
    /// Records whose handler ran.
    pub in_flight: u64,
    /// All of these together, at one moment.
    pub total: u64,
    /// Memory of records and tasks in all consumers.
    pub bytes: u64,
}

/// A moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Seconds from the beginning.
    pub at_s: f64,
    /// As in [`Peak`].
    pub channel: u64,
    /// As in [`Peak`].
    pub kafka: u64,
    /// As in [`Peak`].
    pub queued: u64,
    /// As in [`Peak`].
    pub in_flight: u64,
    /// As in [`Peak`].
    pub bytes: u64,
    /// Records finished a second, over the last second.
    pub finished_per_s: f64,
    /// The age of those finished since the moment before, in seconds; `None` if there are none.
    pub age_p50_s: Option<f64>,
    /// The same, of the oldest hundredth.
    pub age_p99_s: Option<f64>,
}

impl Point {
    /// All records.
    pub fn total(&self) -> u64 {
        self.channel + self.kafka + self.queued + self.in_flight
    }
}
