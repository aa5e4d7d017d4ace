//! Nothing unfinished lies below a committed offset or in a finished range of a commit, and no
//! commit goes back.

use super::book::{Book, Entry};
use super::{Checker, Violation, broken, entry};
use crate::history::{Event, NOBODY, What};

#[derive(Clone, Debug, Default)]
struct Partition {
    committed: Option<i64>,
    /// Who began again elsewhere since the last commit, and when: what was sent before may arrive
    /// after.
    resets: Vec<(u32, u64)>,
}

/// Every commit beyond an unfinished record, every range with one in it, and every commit below an
/// earlier one, unless the log was reset between them.
///
/// A commit of a member that had read records which an unclean election cut off speaks of a log
/// that is gone, and so may its ranges; whoever reads them finds that out by their leader epoch,
/// and so does this checker.
#[derive(Debug, Default)]
pub struct Commit {
    book: Book,
    partitions: Vec<Partition>,
}

impl Commit {
    fn commit(
        &mut self,
        event: &Event,
        partition: u32,
        offset: i64,
        epoch: i32,
        sent: u64,
    ) -> Result<(), Violation> {
        let member = event.member;
        if self.book.was_cut(partition, offset, epoch) {
            return Ok(());
        }
        let beyond = self.book.head(partition).filter(|head| offset > *head as i64);
        let state = entry(&mut self.partitions, partition);
        let before = state.take(member, offset, sent);
        let problem = match (beyond, before) {
            (Some(head), _) => format!("while offset {head} is unfinished"),
            (None, Some(before)) => format!("after offset {before}: backwards"),
            (None, None) => return Ok(()),
        };
        let text = format!("member {member} commits {partition}/{offset} {problem}");
        Err(broken("commit", event, text))
    }
}

impl Partition {
    /// Takes a commit, and names the one that it goes behind without an excuse.
    fn take(&mut self, member: u32, offset: i64, sent: u64) -> Option<i64> {
        let mine = |(who, _): &(u32, u64)| *who == member || *who == NOBODY;
        if let Some(index) = self.resets.iter().position(mine) {
            if sent > self.resets[index].1 {
                self.resets.swap_remove(index);
                self.committed = Some(offset);
            }
            // Of the same moment it may be from before or after.
            self.committed = self.committed.map(|before| before.min(offset));
            return None;
        }
        self.committed.replace(offset).filter(|before| offset < *before)
    }
}

impl Checker for Commit {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        let member = event.member;
        self.book.see(event);
        match event.what {
            What::Reset { partition, .. } => {
                let resets = &mut entry(&mut self.partitions, partition).resets;
                resets.retain(|(who, _)| *who != member);
                resets.push((member, event.at));
            }
            What::Commit { partition, offset, epoch, sent, .. } => {
                return self.commit(event, partition, offset, epoch, sent);
            }
            What::Range { partition, start, end, epoch } => {
                let from = self.book.start(partition).max(start as usize);
                let entries = self.book.entries(partition);
                let last = entries.len().min(end as usize);
                let named = entries.get(from..last).unwrap_or_default();
                let meant = |e: &Entry| e.written && (e.epoch <= epoch || epoch < 0);
                if let Some(index) = named.iter().position(|e| meant(e) && !e.finished) {
                    let offset = from + index;
                    let text = format!(
                        "member {member} names {partition}/{start} to {end} as finished, but {offset} is not"
                    );
                    return Err(broken("commit", event, text));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::history::{Ending::*, RecordAt};

    #[test]
    fn a_commit_over_an_unfinished_record_is_named() {
        let mut run = Run::new();
        run.written(0, 5, 1).written(0, 6, 2).start(0, 5, 1).handled(0, 6, 1, Done);
        run.commit(0, 5, &[(6, 7)]);
        assert!(run.violations(Commit::default()).is_empty());
        run.commit(0, 7, &[]);
        let text = "member 0 commits 0/7 while offset 5 is unfinished";
        assert_eq!(run.violations(Commit::default()), [text]);
    }

    #[test]
    fn a_failed_record_holds_the_commit() {
        let mut run = Run::new();
        run.written(0, 0, 1).handled(0, 0, 1, Retry).commit(0, 1, &[]);
        assert_eq!(run.violations(Commit::default()).len(), 1);
    }

    #[test]
    fn a_range_with_an_unfinished_record_is_named() {
        let mut run = Run::new();
        run.written(0, 5, 1).written(0, 6, 2).written(0, 7, 2).handled(0, 6, 1, Done);
        run.commit(0, 5, &[(6, 8)]);
        let text = "member 0 names 0/6 to 8 as finished, but 7 is not";
        assert_eq!(run.violations(Commit::default()), [text]);
    }

    #[test]
    fn a_commit_that_goes_back_is_named_unless_the_log_was_reset() {
        let mut run = Run::new();
        run.written(0, 0, 1).written(0, 1, 1).handled(0, 0, 1, Done).handled(0, 1, 1, Done);
        run.commit(0, 2, &[]).commit(0, 1, &[]);
        assert_eq!(run.violations(Commit::default()).len(), 1);
        run.push(What::Reset { partition: 0, offset: 0 }).commit(0, 0, &[]);
        assert_eq!(run.violations(Commit::default()).len(), 1);
    }

    #[test]
    fn a_finished_record_at_a_cut_offset_does_not_finish_the_new_one() {
        let mut run = Run::new();
        run.written(0, 0, 1).handled(0, 0, 1, Done);
        run.push(What::Truncated { partition: 0, offset: 0, epoch: 1 });
        let record = RecordAt { partition: 0, offset: 0, epoch: 1 };
        run.push(What::Written { record, key: None, bytes: 1 });
        run.commit(0, 1, &[]);
        assert!(run.violations(Commit::default()).is_empty(), "it speaks of the old log");
        let of_the_new_log =
            What::Commit { partition: 0, offset: 1, epoch: 1, sent: 9, ranges: 0, partial: false };
        run.push(of_the_new_log);
        assert_eq!(run.violations(Commit::default()).len(), 1);
    }
}
