//! Deterministic records: the same numbers give the same keys and values on every machine.

/// SplitMix64 (Steele, Lea and Flood, 2014): 64 well spread bits for each step.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix(u64);

impl SplitMix {
    /// A sequence that follows from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number from 0 to below 1.
    fn next_unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Chooses ranks: rank r of n has a weight of `1 / (r + 1)^s` (Zipf's law); all are alike when
/// `s` is 0.
#[derive(Debug)]
pub(crate) struct Zipf {
    /// For each rank, the share of all ranks up to it.
    shares: Vec<f64>,
}

impl Zipf {
    /// Ranks 0 to below `ranks`, with exponent `s`.
    pub(crate) fn new(ranks: u32, s: f64) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=ranks)
            .map(|rank| {
                sum += f64::from(rank).powf(-s);
                sum
            })
            .collect();
        for share in &mut shares {
            *share /= sum;
        }
        Self { shares }
    }

    /// The next rank; none if there are no ranks.
    pub(crate) fn next(&self, random: &mut SplitMix) -> Option<usize> {
        let last = self.shares.len().checked_sub(1)?;
        let at = random.next_unit();
        Some(self.shares.partition_point(|share| *share <= at).min(last))
    }
}

/// Fills `value` with letters and digits, which no codec makes much smaller.
pub(crate) fn fill(value: &mut [u8], random: &mut SplitMix) {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    for chunk in value.chunks_mut(10) {
        let mut bits = random.next();
        for byte in chunk {
            *byte = LETTERS[(bits & 63) as usize];
            bits >>= 6;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(ranks: u32, s: f64, records: usize) -> Vec<usize> {
        let zipf = Zipf::new(ranks, s);
        let mut random = SplitMix::new(1);
        let mut counts = vec![0; ranks as usize];
        for _ in 0..records {
            counts[zipf.next(&mut random).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn ranks_follow_their_weights() {
        let even = counts(10, 0.0, 100_000);
        assert!(even.iter().all(|count| (9_000..11_000).contains(count)), "{even:?}");
        let skewed = counts(10_000, 1.0, 100_000);
        // The harmonic number of 10,000 is 9.79.
        assert!((9_700..10_700).contains(&skewed[0]), "{}", skewed[0]);
        assert!((4_800..5_400).contains(&skewed[1]), "{}", skewed[1]);
        assert_eq!(Zipf::new(0, 1.0).next(&mut SplitMix::new(1)), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_records() {
        let value = |seed| {
            let mut value = [0; 23];
            fill(&mut value, &mut SplitMix::new(seed));
            value
        };
        assert_eq!(value(7), value(7));
        assert_ne!(value(7), value(8));
        assert_eq!(SplitMix::new(0).next(), 0xe220_a839_7b1d_cdaf);
    }
}
