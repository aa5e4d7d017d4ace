//! Finished ranges in the metadata string of a commit.
//!
//! `tg1:` and, in URL-safe base64 without padding: a CRC-32 of the rest, the committed offset the
//! ranges belong to, the leader epoch up to which they are valid, the topic's incarnation, then
//! for each range the distance from the end of the one before (from the committed offset for the
//! first) and its length, as LEB128 varints.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

use crate::{FinishedRanges, Offset, OffsetRange};

const PREFIX: &str = "tg1:";
/// CRC, two varints of at most 9 and 5 bytes, incarnation.
const HEADER_BYTES: usize = 4 + 9 + 5 + 8;

/// What a commit's metadata says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The committed offset it belongs to.
    pub committed: Option<Offset>,
    /// The highest leader epoch of the records the ranges speak of, -1 if unknown. A record with
    /// a later one is a new record at an old offset and not meant.
    pub leader_epoch: i32,
    /// A hash of the topic's id, 0 if unknown.
    pub incarnation: u64,
    /// The finished ranges above the committed offset.
    pub finished: FinishedRanges,
}

/// Why a metadata string was not used. The records it may have spoken of are delivered again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// Another program wrote it.
    #[error("the commit's metadata was not written by Tidegate; finished ranges are unknown")]
    Foreign,
    /// It is damaged.
    #[error("the commit's metadata is damaged; finished ranges are unknown")]
    Corrupt,
    /// It belongs to another committed offset.
    #[error("the commit's metadata belongs to offset {named}, not to the committed {committed}")]
    Mismatch {
        /// The offset it names.
        named: Offset,
        /// The offset it was found with.
        committed: Offset,
    },
    /// It speaks of an earlier topic of the same name.
    #[error("the commit's metadata speaks of an earlier topic of this name")]
    OtherIncarnation,
}

/// The string for these ranges within `max_bytes`, and how many of the highest ranges did not fit.
/// Empty if there is nothing to say: no ranges, and an unknown incarnation.
pub(crate) fn encode(
    committed: Offset,
    leader_epoch: i32,
    incarnation: u64,
    ranges: impl Iterator<Item = OffsetRange>,
    max_bytes: usize,
) -> (String, u32) {
    let room = raw_bytes(max_bytes);
    let committed = committed.max(Offset(0));
    let mut body = Vec::with_capacity(64);
    body.extend_from_slice(&[0; 4]);
    put_varint(&mut body, committed.0.unsigned_abs());
    put_varint(&mut body, (i64::from(leader_epoch.max(-1)) + 1).unsigned_abs());
    body.extend_from_slice(&incarnation.to_le_bytes());
    let empty = body.len();
    let (mut end, mut dropped) = (committed, 0);
    for range in ranges {
        let before = body.len();
        if dropped == 0 {
            put_varint(&mut body, (range.start.0 - end.0).unsigned_abs());
            put_varint(&mut body, (range.end.0 - range.start.0).unsigned_abs());
            end = range.end;
        }
        if dropped > 0 || body.len() > room {
            body.truncate(before);
            dropped += 1;
        }
    }
    if body.len() == empty && (incarnation == 0 || empty > room) {
        return (String::new(), dropped);
    }
    let crc = crc32fast::hash(&body[4..]);
    body[..4].copy_from_slice(&crc.to_le_bytes());
    let mut text = String::from(PREFIX);
    URL_SAFE_NO_PAD.encode_string(&body, &mut text);
    (text, dropped)
}

impl Metadata {
    /// The metadata string of a commit, in at most `max_bytes`, and how many of the highest ranges
    /// did not fit: the records in them would be delivered again. What is not above the committed
    /// offset is left out. Empty if there is nothing to say (no ranges, and an unknown
    /// incarnation), if nothing fits, and without a committed offset.
    pub fn encode(&self, max_bytes: usize) -> (String, u32) {
        let Some(committed) = self.committed else {
            return (String::new(), u32::try_from(self.finished.len()).unwrap_or(u32::MAX));
        };
        let above = committed.max(Offset(0));
        let ranges = self.finished.iter().filter(|range| range.end > above);
        let ranges = ranges.map(|range| OffsetRange { start: range.start.max(above), ..range });
        encode(committed, self.leader_epoch, self.incarnation, ranges, max_bytes)
    }

    /// Reads the metadata string of a commit at `committed`. An empty string has no ranges.
    ///
    /// # Errors
    /// When it is foreign, damaged, or belongs to another committed offset. Never panics.
    pub fn decode(text: &str, committed: Offset) -> Result<Self, MetadataError> {
        if text.is_empty() {
            return Ok(Self { committed: Some(committed), leader_epoch: -1, ..Self::default() });
        }
        let text = text.strip_prefix(PREFIX).ok_or(MetadataError::Foreign)?;
        let body = URL_SAFE_NO_PAD.decode(text).map_err(|_| MetadataError::Corrupt)?;
        let decoded = Self::decode_body(&body).ok_or(MetadataError::Corrupt)?;
        match decoded.committed {
            Some(named) if named != committed => Err(MetadataError::Mismatch { named, committed }),
            _ => Ok(decoded),
        }
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let (crc, mut rest) = body.split_first_chunk::<4>()?;
        if crc32fast::hash(rest) != u32::from_le_bytes(*crc) {
            return None;
        }
        let committed = i64::try_from(take_varint(&mut rest)?).ok()?;
        let leader_epoch = i32::try_from(i64::try_from(take_varint(&mut rest)?).ok()? - 1).ok()?;
        let (incarnation, mut rest) = rest.split_first_chunk::<8>()?;
        let (mut ranges, mut end) = (Vec::new(), committed);
        while !rest.is_empty() {
            let distance = i64::try_from(take_varint(&mut rest)?).ok()?;
            let length = i64::try_from(take_varint(&mut rest)?).ok()?;
            // Only what comes first may begin right at the committed offset: read before, not yet
            // read again.
            if length == 0 || (distance == 0 && !ranges.is_empty()) {
                return None;
            }
            let start = end.checked_add(distance)?;
            end = start.checked_add(length)?;
            ranges.push(OffsetRange { start: Offset(start), end: Offset(end) });
        }
        Some(Self {
            committed: Some(Offset(committed)),
            leader_epoch,
            incarnation: u64::from_le_bytes(*incarnation),
            finished: FinishedRanges::from_any(ranges),
        })
    }
}

/// Bytes before base64 that fit into a string of `max_bytes`.
fn raw_bytes(max_bytes: usize) -> usize {
    max_bytes.saturating_sub(PREFIX.len()) * 3 / 4
}

/// How many unfinished records within `window` offsets can always be described in `max_bytes`.
///
/// There are no more finished ranges than unfinished records, `u`. A distance or length takes one
/// byte, one more from 2^7, one more from 2^14 and so on. The distances add up to `u` (they cover
/// unfinished offsets only), the lengths to `window` at most, so no more than `u >> 7k` distances
/// and `window >> 7k` lengths take the `k`-th extra byte.
pub(crate) fn unfinished_that_fit(max_bytes: usize, window: u64) -> u32 {
    let room = raw_bytes(max_bytes).saturating_sub(HEADER_BYTES) as u64;
    let needed = |u: u64| -> u64 {
        let extra = |total: u64| (1..9).map(|k| (total >> (7 * k)).min(u)).sum::<u64>();
        2 * u + extra(u) + extra(window)
    };
    let (mut low, mut high) = (0, room);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if needed(middle) <= room {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    u32::try_from(low).unwrap_or(u32::MAX)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges_above(committed: i64, steps: &[(u32, u32)]) -> Vec<OffsetRange> {
        let mut end = committed;
        steps
            .iter()
            .map(|&(gap, len)| {
                let start = end + i64::from(gap) + 1;
                end = start + i64::from(len) + 1;
                OffsetRange { start: Offset(start), end: Offset(end) }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn round_trip(
            committed in 0i64..1 << 50,
            epoch in prop_oneof![-1i32..=i32::MAX, -1i32..2, Just(i32::MAX)],
            incarnation: u64,
            steps in prop::collection::vec((0u32..1 << 20, 0u32..1 << 20), 0..200),
        ) {
            let ranges = ranges_above(committed, &steps);
            let (text, dropped) =
                encode(Offset(committed), epoch, incarnation, ranges.iter().copied(), 4096);
            prop_assert_eq!(dropped, 0);
            let back = Metadata::decode(&text, Offset(committed)).unwrap();
            prop_assert!(back.finished.iter().eq(ranges.iter().copied()));
            if !text.is_empty() {
                prop_assert_eq!((back.leader_epoch, back.incarnation), (epoch, incarnation));
            }
        }

        #[test]
        fn too_many_ranges_drop_the_highest(
            steps in prop::collection::vec((0u32..1 << 20, 0u32..1 << 20), 100..400),
            max in 128usize..600,
        ) {
            let ranges = ranges_above(5, &steps);
            let (text, dropped) = encode(Offset(5), 1, 2, ranges.iter().copied(), max);
            prop_assert!(text.len() <= max);
            let back = Metadata::decode(&text, Offset(5)).unwrap();
            let kept = ranges.len() - dropped as usize;
            prop_assert!(back.finished.iter().eq(ranges[..kept].iter().copied()));
        }

        #[test]
        fn damaged_text_is_refused(
            steps in prop::collection::vec((0u32..99, 0u32..99), 1..50),
            at: prop::sample::Index,
            to in "[A-Za-z0-9_-]",
        ) {
            let (text, _) = encode(Offset(9), 1, 2, ranges_above(9, &steps).into_iter(), 4096);
            let at = PREFIX.len() + at.index(text.len() - PREFIX.len());
            let mut damaged = text.clone();
            damaged.replace_range(at..=at, &to);
            match Metadata::decode(&damaged, Offset(9)) {
                Ok(back) => prop_assert_eq!(back, Metadata::decode(&text, Offset(9)).unwrap()),
                Err(e) => prop_assert_eq!(e, MetadataError::Corrupt),
            }
        }

        #[test]
        fn arbitrary_input_never_panics(text in ".*", committed: i64) {
            let _ = Metadata::decode(&text, Offset(committed));
            let mut prefixed = String::from(PREFIX);
            prefixed.push_str(&text);
            let _ = Metadata::decode(&prefixed, Offset(committed));
        }

        /// The bound that admission relies on: whatever the pattern, it fits.
        #[test]
        fn unfinished_within_the_bound_always_fit(
            max in 256usize..8192,
            window_bits in 8u32..24,
            seed: u64,
        ) {
            let window = 1i64 << window_bits;
            let most = i64::from(unfinished_that_fit(max, window as u64));
            // Spread the unfinished offsets evenly but for a jitter: long ranges between them all.
            let step = (window / most.max(1)).max(2);
            let mut ranges = Vec::new();
            let (mut at, mut left, mut state) = (10i64, most, seed);
            while left > 0 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                let gap = (1 + (state >> 60) as i64 % 3).min(left);
                left -= gap;
                let start = at + gap;
                let end = (start + step - gap).max(start + 1);
                if end > 10 + window {
                    break;
                }
                ranges.push(OffsetRange { start: Offset(start), end: Offset(end) });
                at = end;
            }
            let (_, dropped) = encode(Offset(10), i32::MAX - 1, u64::MAX, ranges.into_iter(), max);
            prop_assert_eq!(dropped, 0);
        }
    }

    /// A string that says nothing of its own, or more than there is room for, is no string.
    #[test]
    fn what_does_not_fit_is_not_said() {
        let finished = FinishedRanges::from_any(ranges_above(5, &[(1, 1), (1, 1)]));
        let whole =
            Metadata { committed: Some(Offset(5)), leader_epoch: 1, incarnation: 2, finished };
        let needed = whole.encode(4_096).0.len();
        assert_eq!((whole.encode(needed).1, whole.encode(needed - 1).1), (0, 1));
        for max_bytes in 0..=needed {
            let (text, dropped) = whole.encode(max_bytes);
            assert!(text.len() <= max_bytes);
            let back = Metadata::decode(&text, Offset(5)).unwrap();
            assert_eq!(back.finished.len() + dropped as usize, 2);
        }
        assert_eq!(Metadata { committed: None, ..whole }.encode(4_096), (String::new(), 2));
    }

    #[test]
    fn only_what_says_something_is_a_string() {
        let said = |incarnation, ranges: &[OffsetRange]| {
            encode(Offset(5), 1, incarnation, ranges.iter().copied(), 4_096).0
        };
        let one = ranges_above(5, &[(1, 1)]);
        assert!(said(0, &[]).is_empty());
        assert!(!said(2, &[]).is_empty() && !said(0, &one).is_empty() && !said(2, &one).is_empty());
        let nothing =
            Metadata { committed: Some(Offset(5)), leader_epoch: -1, ..Default::default() };
        assert_eq!(Metadata::decode("", Offset(5)), Ok(nothing));
    }

    #[test]
    fn the_longest_header_is_counted_whole() {
        let within = |max_bytes| {
            encode(Offset(i64::MAX), i32::MAX, u64::MAX, core::iter::empty(), max_bytes).0
        };
        let text = within(4_096);
        assert_eq!(raw_bytes(text.len()), HEADER_BYTES);
        assert_eq!((within(text.len()), within(text.len() - 1)), (text, String::new()));
    }

    #[test]
    fn ranges_that_are_empty_or_touch_are_refused() {
        let body = |numbers: &[u64]| {
            let mut body = Vec::from([0; 4]);
            put_varint(&mut body, 5);
            put_varint(&mut body, 2);
            body.extend_from_slice(&[0; 8]);
            numbers.iter().for_each(|number| put_varint(&mut body, *number));
            let crc = crc32fast::hash(&body[4..]);
            body[..4].copy_from_slice(&crc.to_le_bytes());
            body
        };
        let ranges = |numbers| Some(Metadata::decode_body(&body(numbers))?.finished.len());
        assert_eq!(ranges(&[0, 1, 1, 1]), Some(2));
        assert_eq!(ranges(&[3, 0]), None);
        assert_eq!(ranges(&[0, 1, 0, 1]), None);
        assert_eq!(ranges(&[1, u64::MAX >> 1]), None, "beyond every offset");
        assert_eq!(ranges(&[1]), None, "half a range");
    }

    #[test]
    fn a_varint_has_64_bits() {
        let read = |mut bytes: &[u8]| take_varint(&mut bytes);
        for value in [0, 127, 128, 1 << 62, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(read(&bytes), Some(value));
        }
        let with_last = |last| [[0xff; 9].as_slice(), &[last]].concat();
        assert_eq!(read(&with_last(0)), Some(u64::MAX >> 1));
        assert_eq!(read(&with_last(2)), None);
        assert_eq!(read(&[0x80; 11]), None);
    }

    /// Worked out by hand: room for so many bytes of ranges, and what each of them takes at most.
    #[test]
    fn the_bound_is_as_tight_as_its_reasons() {
        // 67 bytes. Two for each range; in a window of 1,000 seven lengths take a third one; in
        // one of 2^14 every length does, and one of them a fourth.
        for (window, most) in [(100, 33), (1_000, 30), (1 << 14, 22)] {
            assert_eq!(unfinished_that_fit(128, window), most);
        }
        // 739 bytes: two distances and one length take a byte more.
        assert_eq!(unfinished_that_fit(1_024, 128), 368);
    }

    #[test]
    fn what_is_not_above_the_committed_offset_is_left_out() {
        let range = |start, end| OffsetRange { start: Offset(start), end: Offset(end) };
        let finished = FinishedRanges::from_any([range(-4, 3), range(4, 7), range(9, 10)]);
        let mut said = Metadata { committed: Some(Offset(5)), finished, ..Metadata::default() };
        let (text, _) = said.encode(4_096);
        let back = Metadata::decode(&text, Offset(5)).unwrap();
        assert!(back.finished.iter().eq([range(5, 7), range(9, 10)]));
        said.committed = Some(Offset(7));
        let (text, _) = said.encode(4_096);
        let back = Metadata::decode(&text, Offset(7)).unwrap();
        assert!(back.finished.iter().eq([range(9, 10)]), "what ends at it is below it");
        said.committed = Some(Offset(-2));
        let (text, _) = said.encode(4_096);
        let back = Metadata::decode(&text, Offset(0)).unwrap();
        assert!(back.finished.iter().eq([range(0, 3), range(4, 7), range(9, 10)]));
    }

    #[test]
    fn a_mismatch_is_refused_and_foreign_text_told() {
        let (text, _) = encode(Offset(9), 1, 2, ranges_above(9, &[(1, 1)]).into_iter(), 4096);
        let expected = MetadataError::Mismatch { named: Offset(9), committed: Offset(10) };
        assert_eq!(Metadata::decode(&text, Offset(10)), Err(expected));
        assert_eq!(Metadata::decode("1:abc", Offset(10)), Err(MetadataError::Foreign));
    }

    #[test]
    fn about_a_thousand_unfinished_records_fit_by_default() {
        let config = crate::Config::default();
        let most = unfinished_that_fit(config.metadata_max_bytes as usize, config.max_window);
        assert!((1_000..1_100).contains(&most), "{most}");
    }
}
