//! The offsets of own delivered records of one partition that are not released yet.

use alloc::collections::VecDeque;

use crate::{FinishedRanges, Offset, OffsetRange};

/// Ranges of offsets: sorted, not empty, not touching one another. There are never more of them
/// than records, and with one producer there is one.
#[derive(Debug, Default)]
pub(super) struct OwnedOffsets {
    ranges: VecDeque<OffsetRange>,
    count: u64,
}

impl OwnedOffsets {
    /// How many offsets there are.
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    /// Adds one. Deliveries come in order, so that this is nearly always a step at the end.
    pub(super) fn insert(&mut self, offset: Offset) {
        let after = match self.ranges.back() {
            Some(last) if last.end > offset => self.ranges.partition_point(|r| r.end < offset),
            Some(last) if last.end == offset => self.ranges.len() - 1,
            _ => self.ranges.len(),
        };
        // `after` is the first range that ends at the offset or behind it.
        let joins_before = self.ranges.get(after).is_some_and(|r| r.end == offset);
        if self.ranges.get(after).is_some_and(|r| r.contains(offset)) {
            return;
        }
        let next = after + usize::from(joins_before);
        let joins_after = self.ranges.get(next).is_some_and(|r| r.start == offset.next());
        match (joins_before, joins_after) {
            (true, true) => {
                self.ranges[after].end = self.ranges[next].end;
                self.ranges.remove(next);
            }
            (true, false) => self.ranges[after].end = offset.next(),
            (false, true) => self.ranges[next].start = offset,
            (false, false) => {
                self.ranges.insert(next, OffsetRange { start: offset, end: offset.next() });
            }
        }
        self.count += 1;
    }

    /// Takes out what lies below `offset`, and says how many that were.
    pub(super) fn remove_below(&mut self, offset: Offset) -> u64 {
        let before = self.count;
        while let Some(first) = self.ranges.front_mut() {
            if first.end > offset {
                if first.start < offset {
                    self.count -= offset.0.abs_diff(first.start.0);
                    first.start = offset;
                }
                break;
            }
            self.count -= length(*first);
            self.ranges.pop_front();
        }
        before - self.count
    }

    /// Takes out what lies at `offset` or above, and says how many that were.
    pub(super) fn remove_from(&mut self, offset: Offset) -> u64 {
        let before = self.count;
        while let Some(last) = self.ranges.back_mut() {
            if last.start < offset {
                if last.end > offset {
                    self.count -= last.end.0.abs_diff(offset.0);
                    last.end = offset;
                }
                break;
            }
            self.count -= length(*last);
            self.ranges.pop_back();
        }
        before - self.count
    }

    /// Takes out what lies in `finished`, and says how many that were.
    pub(super) fn remove_all(&mut self, finished: &FinishedRanges) -> u64 {
        if finished.is_empty() || self.ranges.is_empty() {
            return 0;
        }
        let before = self.count;
        let mut kept = VecDeque::with_capacity(self.ranges.len() + 1);
        let mut cuts = finished.iter().peekable();
        for mut range in core::mem::take(&mut self.ranges) {
            while let Some(cut) = cuts.peek().copied() {
                if cut.end <= range.start {
                    cuts.next();
                    continue;
                }
                if cut.start >= range.end {
                    break;
                }
                if range.start < cut.start {
                    kept.push_back(OffsetRange { start: range.start, end: cut.start });
                }
                range.start = cut.end.min(range.end);
                if cut.end >= range.end {
                    break;
                }
            }
            if range.start < range.end {
                kept.push_back(range);
            }
        }
        self.count = kept.iter().map(|r| length(*r)).sum();
        self.ranges = kept;
        before - self.count
    }

    /// Takes out everything.
    pub(super) fn clear(&mut self) -> u64 {
        self.ranges.clear();
        core::mem::take(&mut self.count)
    }

    /// Behind the last offset.
    pub(super) fn end(&self) -> Option<Offset> {
        self.ranges.back().map(|r| r.end)
    }
}

fn length(range: OffsetRange) -> u64 {
    range.end.0.abs_diff(range.start.0)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(i64),
        Below(i64),
        From(i64),
        All(Vec<(i64, i64)>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let ranges = prop::collection::vec((0i64..80, 0i64..12), 0..6);
        prop_oneof![
            8 => (0i64..80).prop_map(Step::Insert),
            1 => (0i64..80).prop_map(Step::Below),
            1 => (0i64..90).prop_map(Step::From),
            1 => ranges.prop_map(Step::All),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_offsets(steps in prop::collection::vec(step(), 0..120)) {
            let (mut owned, mut model) = (OwnedOffsets::default(), BTreeSet::new());
            for step in steps {
                let before = model.len() as u64;
                let removed = match step {
                    Step::Insert(offset) => {
                        owned.insert(Offset(offset));
                        model.insert(offset);
                        None
                    }
                    Step::Below(offset) => {
                        model.retain(|o| *o >= offset);
                        Some(owned.remove_below(Offset(offset)))
                    }
                    Step::From(offset) => {
                        model.retain(|o| *o < offset);
                        Some(owned.remove_from(Offset(offset)))
                    }
                    Step::All(ranges) => {
                        let ranges = ranges.into_iter().map(|(start, length)| OffsetRange {
                            start: Offset(start),
                            end: Offset(start + length),
                        });
                        let finished = FinishedRanges::from_any(ranges);
                        model.retain(|o| !finished.iter().any(|r| r.contains(Offset(*o))));
                        Some(owned.remove_all(&finished))
                    }
                };
                if let Some(removed) = removed {
                    prop_assert_eq!(removed, before - model.len() as u64);
                }
                let all: Vec<_> =
                    owned.ranges.iter().flat_map(|r| r.start.0..r.end.0).collect();
                prop_assert!(all.iter().eq(model.iter()));
                prop_assert_eq!(owned.len(), model.len() as u64);
                let apart = |w: (&OffsetRange, &OffsetRange)| w.0.end < w.1.start;
                prop_assert!(owned.ranges.iter().zip(owned.ranges.iter().skip(1)).all(apart));
            }
        }
    }
}
