//! The bytes that decide everything.

/// A source of decisions. A seed makes an endless one and records what was read of it, so that a
/// run can be written down; a given tape ends, and reads zeros from then on.
///
/// Zero is always the calmest choice (no fault, the least delay, the fewest members), so that a
/// tape that is cut short or zeroed still is a tape, and a simpler one.
#[derive(Clone, Debug)]
pub struct Tape {
    bytes: Vec<u8>,
    at: usize,
    random: Option<u64>,
}

/// One in so many, as odds of [`Tape::chance`].
const WHOLE: u32 = 65_536;

impl Tape {
    /// An endless tape. Equal seeds make equal tapes.
    pub fn from_seed(seed: u64) -> Self {
        Self { bytes: Vec::with_capacity(8_192), at: 0, random: Some(seed) }
    }

    /// The given bytes, then zeros.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0, random: None }
    }

    /// What was read so far.
    pub fn read(&self) -> &[u8] {
        &self.bytes[..self.at]
    }

    /// The next byte.
    #[inline]
    pub fn byte(&mut self) -> u8 {
        if self.at == self.bytes.len() && !self.extend() {
            return 0;
        }
        let byte = self.bytes[self.at];
        self.at += 1;
        byte
    }

    /// SplitMix64, a block at a time.
    fn extend(&mut self) -> bool {
        let Some(state) = &mut self.random else { return false };
        for _ in 0..32 {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            self.bytes.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
        }
        true
    }

    /// Two bytes as a number.
    #[inline]
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A number below `count` (at most 65,536; 0 if `count` is 0).
    pub fn below(&mut self, count: u32) -> u32 {
        match count {
            0 | 1 => 0,
            2..=64 => u32::from(self.byte()) * count / 256,
            _ => (u64::from(self.short()) * u64::from(count) / u64::from(WHOLE)) as u32,
        }
    }

    /// A number from `least` to `most`, `least` being the calmest.
    pub fn between(&mut self, least: u32, most: u32) -> u32 {
        least + self.below(most - least + 1)
    }

    /// True with odds of `per_mille` in 1,000. Reads nothing if they are zero.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && u32::from(self.short()) >= WHOLE - per_mille.min(1_000) * WHOLE / 1_000
    }

    /// One of some choices, the first being the calmest.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }

    /// A duration of up to `most` nanoseconds: short ones are likelier.
    pub fn up_to(&mut self, most: u64) -> u64 {
        if most == 0 {
            return 0;
        }
        let part = u64::from(self.byte());
        most / 255 * part / 255 * part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_can_be_played_again() {
        let mut tape = Tape::from_seed(7);
        let first: Vec<_> = (0..1_000).map(|n| tape.below(n)).collect();
        let mut again = Tape::from_bytes(tape.read().to_vec());
        let second: Vec<_> = (0..1_000).map(|n| again.below(n)).collect();
        assert_eq!(first, second);
        assert_eq!(tape.read(), again.read());
    }

    #[test]
    fn past_the_end_everything_is_calm() {
        let mut tape = Tape::from_bytes(vec![255]);
        assert_eq!(tape.byte(), 255);
        assert_eq!(tape.between(3, 9), 3);
        assert!(!tape.chance(999));
        assert_eq!(tape.up_to(1_000_000), 0);
        assert_eq!(tape.pick(&["calm", "wild"]), "calm");
    }

    #[test]
    fn a_certain_chance_is_taken_even_by_zeros() {
        assert!(Tape::from_bytes(Vec::new()).chance(1_000));
    }
}
