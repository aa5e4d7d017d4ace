//! A committed offset has nothing unfinished below it, and never goes backwards.

use std::{collections::HashMap, sync::Arc};

use super::{Expected, Finishing, Violation};
use crate::history::{Happened, History};

/// One partition on the way through the history.
struct Partition {
    /// Its records by offset, and whether each has finished by now.
    records: Vec<(i64, bool)>,
    /// The index of the first that has not.
    head: usize,
    committed: Option<i64>,
}

/// Every commit beyond the first record that is unfinished at that time, and every commit below
/// an earlier one of the same partition.
///
/// Records are those expected and those that a handler was started for at any time.
#[must_use]
pub fn commit(
    expected: &Expected,
    history: &History,
    finishing: Finishing,
    may_go_backwards: bool,
) -> Vec<Violation> {
    let all = expected.and_started(history);
    let mut partitions: HashMap<(Arc<str>, i32), Partition> = all
        .partitions()
        .iter()
        .map(|(key, offsets)| {
            let records = offsets.keys().map(|offset| (*offset, false)).collect();
            (key.clone(), Partition { records, head: 0, committed: None })
        })
        .collect();
    let mut violations = Vec::new();
    let mut violation = |text| violations.push(Violation { checker: "commit", text });

    for event in history.events() {
        if let Some(record) = finishing.finished(event) {
            let key = (Arc::clone(&record.topic), record.partition);
            if let Some(partition) = partitions.get_mut(&key) {
                partition.finish(record.offset);
            }
        }
        let Happened::Commit { next } = &event.happened else { continue };
        let Some(partition) = partitions.get_mut(&(Arc::clone(&next.topic), next.partition)) else {
            continue;
        };
        let (member, at) = (&event.member, event.t_us);
        if let Some((head, _)) = partition.records.get(partition.head)
            && next.offset > *head
        {
            violation(format!(
                "{member} committed {next} at {at} us while offset {head} was unfinished"
            ));
        }
        if let Some(before) = partition.committed
            && next.offset < before
            && !may_go_backwards
        {
            violation(format!("{member} committed {next} at {at} us after {before}: backwards"));
        }
        partition.committed = Some(next.offset);
    }
    violations
}

impl Partition {
    fn finish(&mut self, offset: i64) {
        if let Ok(index) = self.records.binary_search_by_key(&offset, |(offset, _)| *offset) {
            self.records[index].1 = true;
        }
        while self.records.get(self.head).is_some_and(|(_, finished)| *finished) {
            self.head += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Ending::*, judge::testing::*};

    fn check(expected: &Expected, run: &Run) -> Vec<Violation> {
        commit(expected, &run.history(), Finishing::default(), false)
    }

    #[test]
    fn a_commit_over_a_running_record_is_named() {
        let mut run = Run::new("m");
        run.start(0, 5, 1).start(0, 6, 2).end(0, 6, Done).commit(0, 5);
        assert_eq!(check(&Expected::new(), &run), []);
        run.commit(0, 7);
        let found = check(&Expected::new(), &run);
        assert_eq!(found.len(), 1);
        assert!(found[0].text.contains("t/0 offset 7") && found[0].text.contains("offset 5"));
    }

    #[test]
    fn a_commit_over_an_expected_record_that_never_started_is_named() {
        let mut expected = Expected::new();
        expected.add_range("t", 0, 0..3);
        let mut run = Run::new("m");
        run.handled(0, 0, 1, Done).handled(0, 2, 1, Done).commit(0, 1);
        assert_eq!(check(&expected, &run), []);
        run.commit(0, 3);
        assert_eq!(check(&expected, &run).len(), 1);
    }

    #[test]
    fn a_failed_record_holds_the_commit() {
        let mut run = Run::new("m");
        run.handled(0, 0, 1, Retry).commit(0, 1);
        assert_eq!(check(&Expected::new(), &run).len(), 1);
    }

    #[test]
    fn a_commit_that_goes_backwards_is_named() {
        let mut run = Run::new("m");
        run.handled(0, 0, 1, Done).handled(0, 1, 1, Done).commit(0, 2).commit(0, 1);
        assert_eq!(check(&Expected::new(), &run).len(), 1);
        let allowed = commit(&Expected::new(), &run.history(), Finishing::default(), true);
        assert_eq!(allowed, []);
    }
}
