//! Many records from a few numbers; the same numbers give the same records.

use super::NewRecord;

/// Describes the records to fill a topic with.
///
/// ```
/// use tidegate_testkit::kafka::Fill;
///
/// let fill = Fill::new("orders").records(1_000).keys(50).value_bytes(100).seed(7);
/// assert!(fill.iter().eq(fill.iter()));
/// ```
#[derive(Debug, Clone)]
pub struct Fill {
    topic: String,
    records: u64,
    keys: u64,
    value_bytes: usize,
    seed: u64,
    round_robin: Option<i32>,
    hot_key_every: Option<u64>,
    first: u64,
}

impl Fill {
    /// 1,000 records of 100 bytes over 100 keys, seed 1.
    #[must_use]
    pub fn new(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            records: 1_000,
            keys: 100,
            value_bytes: 100,
            seed: 1,
            round_robin: None,
            hot_key_every: None,
            first: 0,
        }
    }

    /// How many records.
    #[must_use]
    pub fn records(mut self, count: u64) -> Self {
        self.records = count;
        self
    }

    /// How many different keys, `key-0` and on; 0: none has a key.
    #[must_use]
    pub fn keys(mut self, count: u64) -> Self {
        self.keys = count;
        self
    }

    /// The size of each value. It begins with the record's number as text.
    #[must_use]
    pub fn value_bytes(mut self, bytes: usize) -> Self {
        self.value_bytes = bytes;
        self
    }

    /// Which record gets which key follows from this number.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Record n goes to partition n modulo `partitions`, whatever its key.
    #[must_use]
    pub fn round_robin(mut self, partitions: i32) -> Self {
        self.round_robin = Some(partitions);
        self
    }

    /// Every n-th record has the key `key-hot`.
    #[must_use]
    pub fn hot_key_every(mut self, n: u64) -> Self {
        self.hot_key_every = Some(n);
        self
    }

    /// The number of the first record, to go on where another fill ended.
    #[must_use]
    pub fn first(mut self, number: u64) -> Self {
        self.first = number;
        self
    }

    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The records, one after another.
    pub fn iter(&self) -> impl Iterator<Item = NewRecord> + '_ {
        (self.first..self.first + self.records).map(|number| self.record(number))
    }

    fn record(&self, number: u64) -> NewRecord {
        let mut value = number.to_string().into_bytes();
        value.resize(self.value_bytes, b'.');
        let mut record = NewRecord::new().value(value);
        if let Some(partitions) = self.round_robin {
            let count = u64::try_from(partitions).expect("a positive number of partitions");
            record.partition = i32::try_from(number % count).ok();
        }
        if self.hot_key_every.is_some_and(|n| number.is_multiple_of(n)) {
            record = record.key("key-hot");
        } else if self.keys > 0 {
            record = record.key(format!("key-{}", mix(self.seed ^ mix(number)) % self.keys));
        }
        record
    }
}

/// The finisher of SplitMix64: spreads neighbouring numbers.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
