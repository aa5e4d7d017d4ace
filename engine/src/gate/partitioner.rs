//! Which partition a record goes to: the one that Java's producer would choose.

use core::time::Duration;

use crate::Instant;
use crate::retry::Jitter;

/// Records without a key stay with a partition for so many records...
const RUN_RECORDS: u32 = 64;
/// ...and for no longer than this, so that they make full batches under load and spread otherwise.
const RUN_TIME: Duration = Duration::from_millis(10);

/// The partition of a key among `partitions`: murmur2, its sign bit cleared, as Java's default
/// partitioner and librdkafka's `murmur2_random` do it. 0 if there are no partitions. An empty key
/// is a key like any other.
pub fn partition_of_key(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff).checked_rem(partitions).unwrap_or(0)
}

/// MurmurHash2 (Austin Appleby, 2008), 32 bits, with the seed that Kafka uses.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let (words, tail) = data.as_chunks::<4>();
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let shifted = tail.iter().enumerate().map(|(index, byte)| u32::from(*byte) << (8 * index));
        hash = (hash ^ shifted.fold(0, |all, byte| all | byte)).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// Spreads records without a key: a random partition for a short run of them.
#[derive(Debug)]
pub(super) struct Spreader {
    random: Jitter,
    partition: u32,
    left: u32,
    until: Instant,
}

impl Spreader {
    pub(super) fn new(seed: u64) -> Self {
        let random = Jitter::new(seed ^ 0x5bd1_e995);
        Self { random, partition: 0, left: 0, until: Instant::default() }
    }

    /// The next one's partition: one that has room, as long as any has.
    pub(super) fn next(
        &mut self,
        partitions: u32,
        now: Instant,
        has_room: impl Fn(u32) -> bool,
    ) -> u32 {
        if partitions == 0 {
            return 0;
        }
        let goes_on = self.left > 0 && now < self.until && self.partition < partitions;
        if !goes_on || !has_room(self.partition) {
            let first = (self.random.next() % u64::from(partitions)) as u32;
            let from_first = (first..partitions).chain(0..first);
            self.partition = from_first.into_iter().find(|p| has_room(*p)).unwrap_or(first);
            self.left = RUN_RECORDS;
            self.until = now + RUN_TIME;
        }
        self.left -= 1;
        self.partition
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn the_hash_is_that_of_kafkas_java_client() {
        for (key, hash) in [
            (&b"21"[..], -973_932_308i32),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key) as i32, hash, "{key:?}");
        }
        assert_eq!(partition_of_key(b"foobar", 12), (-790_332_482i32 & 0x7fff_ffff) as u32 % 12);
        assert_eq!(partition_of_key(b"foobar", 0), 0);
    }

    #[test]
    fn records_without_a_key_spread_in_runs_over_all_partitions_with_room() {
        let mut spreader = Spreader::new(3);
        let mut counts = vec![0; 12];
        let mut changes = 0;
        let mut before = 0;
        for _ in 0..64_000 {
            let partition = spreader.next(12, Instant::from_nanos(1), |p| p != 5);
            counts[partition as usize] += 1;
            changes += u32::from(partition != before);
            before = partition;
        }
        assert_eq!(counts[5], 0);
        assert!(counts.iter().enumerate().all(|(p, c)| p == 5 || *c > 3_000), "{counts:?}");
        assert!(changes <= 1_000);
    }

    #[test]
    fn slow_records_change_partition_each_time_and_none_with_room_is_no_loop() {
        let mut spreader = Spreader::new(3);
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let chosen: alloc::collections::BTreeSet<_> =
            (0..100).map(|i| spreader.next(4, at(i * 20), |_| true)).collect();
        assert_eq!(chosen.len(), 4);
        assert!(spreader.next(4, at(9_000), |_| false) < 4);
        assert_eq!(spreader.next(0, at(9_000), |_| true), 0);
    }
}
