//! Outstanding records: sent, and not yet released by every group.

use alloc::vec::Vec;

use super::owned::OwnedOffsets;
use crate::{FinishedRanges, Offset, OffsetRange};

/// What one partition has outstanding.
#[derive(Debug, Default)]
struct Account {
    /// Credits that are out: the record is sent, or about to be, and has no offset yet.
    sending: u64,
    /// Delivered and not released.
    owned: OwnedOffsets,
    /// Everything below is released; a delivery that is told late does not come back to life.
    released_below: Option<Offset>,
    /// Bounded by its own cap only, and not part of what the window counts.
    set_aside: bool,
}

impl Account {
    fn outstanding(&self) -> u64 {
        self.sending + self.owned.len()
    }
}

/// The outstanding records of a gate, by partition. Partitions that the topic lost keep their
/// account: credits of theirs still come back.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: Vec<Account>,
    outstanding: u64,
    set_aside: u64,
}

impl Ledger {
    /// Makes room for so many partitions.
    pub(super) fn grow(&mut self, partitions: usize) {
        if partitions > self.accounts.len() {
            self.accounts.resize_with(partitions, Account::default);
        }
    }

    /// All that is outstanding.
    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// What the window counts: all that is outstanding but for partitions that are set aside.
    pub(super) fn counted(&self) -> u64 {
        self.outstanding - self.set_aside
    }

    /// What a partition has outstanding.
    pub(super) fn of(&self, partition: usize) -> u64 {
        self.accounts.get(partition).map_or(0, Account::outstanding)
    }

    /// Delivered records of a partition that are not released.
    pub(super) fn delivered_count(&self, partition: usize) -> u64 {
        self.accounts.get(partition).map_or(0, |account| account.owned.len())
    }

    /// Behind the last of them.
    pub(super) fn delivered_end(&self, partition: usize) -> Option<Offset> {
        self.accounts.get(partition)?.owned.end()
    }

    /// A credit goes out.
    pub(super) fn take(&mut self, partition: usize) {
        self.change(partition, |account| account.sending += 1);
    }

    /// A credit comes back unused: the record was not sent, or not delivered.
    pub(super) fn give_back(&mut self, partition: usize) {
        self.change(partition, |account| account.sending = account.sending.saturating_sub(1));
    }

    /// The record of a credit was delivered.
    pub(super) fn delivered(&mut self, partition: usize, offset: Offset) {
        self.change(partition, |account| {
            account.sending = account.sending.saturating_sub(1);
            if account.released_below.is_none_or(|below| below <= offset) {
                account.owned.insert(offset);
            }
        });
    }

    /// Releases what lies below an offset or in the ranges, and says how much that was.
    pub(super) fn release(
        &mut self,
        partition: usize,
        below: Offset,
        finished: &FinishedRanges,
    ) -> u64 {
        let mut released = 0;
        self.change(partition, |account| {
            account.released_below = account.released_below.max(Some(below));
            released = account.owned.remove_below(below) + account.owned.remove_all(finished);
        });
        released
    }

    /// Forgets delivered records at `end` or above: the log does not have them any more.
    pub(super) fn truncate(&mut self, partition: usize, end: Offset) -> u64 {
        let mut gone = 0;
        self.change(partition, |account| gone = account.owned.remove_from(end));
        gone
    }

    /// The log ends here, perhaps before what was released: what is written there from now on is
    /// something else, and not released.
    pub(super) fn log_ends(&mut self, partition: usize, end: Offset) {
        if let Some(account) = self.accounts.get_mut(partition) {
            account.released_below = account.released_below.map(|below| below.min(end));
        }
    }

    /// Forgets every delivered record of a partition: its log is another one now, or gone.
    pub(super) fn forget(&mut self, partition: usize) -> u64 {
        let mut gone = 0;
        self.change(partition, |account| {
            account.released_below = None;
            gone = account.owned.clear();
        });
        gone
    }

    /// Takes a partition out of what the window counts, or back into it.
    pub(super) fn set_aside(&mut self, partition: usize, aside: bool) {
        self.change(partition, |account| account.set_aside = aside);
    }

    /// Changes one account and keeps the sums.
    fn change(&mut self, partition: usize, change: impl FnOnce(&mut Account)) {
        let Some(account) = self.accounts.get_mut(partition) else { return };
        let share = |account: &Account| if account.set_aside { account.outstanding() } else { 0 };
        self.outstanding -= account.outstanding();
        self.set_aside -= share(account);
        change(account);
        self.outstanding += account.outstanding();
        self.set_aside += share(account);
    }
}

/// What one group has released of a partition: all below an offset, and ranges above it.
#[derive(Clone, Debug)]
pub(super) struct Released {
    pub(super) below: Offset,
    pub(super) finished: FinishedRanges,
}

impl Released {
    /// The log ends here: what was released behind it is not there any more.
    pub(super) fn log_ends(&mut self, end: Offset) {
        self.below = self.below.min(end);
        if self.finished.iter().any(|range| range.end > end) {
            let up_to = |r: OffsetRange| OffsetRange { start: r.start, end: r.end.min(end) };
            self.finished = FinishedRanges::from_any(self.finished.iter().map(up_to));
        }
    }

    /// What both have released.
    pub(super) fn and(&self, other: &Self) -> Self {
        let below = self.below.min(other.below);
        let from = |one: &Self| {
            let base = OffsetRange { start: below, end: one.below };
            FinishedRanges::from_any(one.finished.iter().chain([base]))
        };
        let (left, right) = (from(self), from(other));
        let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (left.peek().copied(), right.peek().copied()) {
            let (start, end) = (a.start.max(b.start), a.end.min(b.end));
            if start < end {
                both.push(OffsetRange { start, end });
            }
            if a.end <= b.end {
                left.next()
            } else {
                right.next()
            };
        }
        Self { below, finished: FinishedRanges::from_any(both) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn released(below: i64, ranges: &[(i64, i64)]) -> Released {
        let ranges = ranges.iter().map(|(start, length)| OffsetRange {
            start: Offset(*start),
            end: Offset(start + length),
        });
        Released { below: Offset(below), finished: FinishedRanges::from_any(ranges) }
    }

    fn as_set(released: &Released) -> BTreeSet<i64> {
        let within = |o: &i64| {
            *o < released.below.0 || released.finished.iter().any(|r| r.contains(Offset(*o)))
        };
        (0..100).filter(within).collect()
    }

    proptest! {
        #[test]
        fn what_both_released_is_the_intersection(
            a in 0i64..60, b in 0i64..60,
            left in prop::collection::vec((0i64..80, 1i64..12), 0..6),
            right in prop::collection::vec((0i64..80, 1i64..12), 0..6),
        ) {
            let (a, b) = (released(a, &left), released(b, &right));
            let both: BTreeSet<_> = as_set(&a).intersection(&as_set(&b)).copied().collect();
            prop_assert_eq!(as_set(&a.and(&b)), both);
        }
    }

    #[test]
    fn a_delivery_that_is_told_after_its_release_stays_released() {
        let mut ledger = Ledger::default();
        ledger.grow(1);
        ledger.take(0);
        ledger.release(0, Offset(10), &FinishedRanges::default());
        ledger.delivered(0, Offset(9));
        assert_eq!(ledger.outstanding(), 0);
    }

    #[test]
    fn what_is_set_aside_is_outstanding_and_not_counted() {
        let mut ledger = Ledger::default();
        ledger.grow(2);
        ledger.take(0);
        ledger.take(1);
        ledger.set_aside(0, true);
        ledger.take(0);
        ledger.delivered(0, Offset(3));
        assert_eq!((ledger.outstanding(), ledger.counted(), ledger.of(0)), (3, 1, 2));
        ledger.set_aside(0, false);
        assert_eq!(ledger.counted(), 3);
    }
}
