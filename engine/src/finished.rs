//! Offsets that are finished though something below them is not.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::Offset;

/// Offsets from `start` up to but not including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetRange {
    /// The first offset in it.
    pub start: Offset,
    /// The first offset behind it.
    pub end: Offset,
}

impl OffsetRange {
    /// Whether `offset` lies in it.
    pub fn contains(&self, offset: Offset) -> bool {
        self.start <= offset && offset < self.end
    }
}

/// Finished ranges above a committed offset: sorted, not empty, not touching one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinishedRanges(VecDeque<OffsetRange>);

impl FinishedRanges {
    /// Sorts, joins and cleans any ranges.
    pub fn from_any(ranges: impl IntoIterator<Item = OffsetRange>) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|r| r.start < r.end).collect();
        sorted.sort_unstable();
        let mut joined: VecDeque<OffsetRange> = VecDeque::with_capacity(sorted.len());
        for range in sorted {
            match joined.back_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push_back(range),
            }
        }
        Self(joined)
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = OffsetRange> + '_ {
        self.0.iter().copied()
    }

    /// Forgets what lies below `offset` and says whether `offset` itself is finished. Reads in
    /// offset order, so that each call costs what it forgets.
    pub(crate) fn advance(&mut self, offset: Offset) -> bool {
        while self.0.front().is_some_and(|r| r.end <= offset) {
            self.0.pop_front();
        }
        self.0.front().is_some_and(|r| r.contains(offset))
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64) -> OffsetRange {
        OffsetRange { start: Offset(start), end: Offset(end) }
    }

    #[test]
    fn overlapping_and_touching_ranges_are_joined() {
        let joined = FinishedRanges::from_any([
            range(8, 9),
            range(1, 3),
            range(3, 5),
            range(4, 6),
            range(7, 7),
        ]);
        assert!(joined.iter().eq([range(1, 6), range(8, 9)]));
    }

    #[test]
    fn advance_forgets_what_was_passed() {
        let mut ranges = FinishedRanges::from_any([range(2, 4), range(6, 7)]);
        let seen: Vec<_> = (1..8).map(|o| ranges.advance(Offset(o))).collect();
        assert_eq!(seen, [false, true, true, false, false, true, false]);
        assert!(ranges.is_empty());
    }
}
