//! Every expected record finished at least once.

use std::collections::HashSet;

use super::{Expected, Finishing, Violation};
use crate::history::History;

/// The expected records that no handler finished: one violation for each run of offsets.
#[must_use]
pub fn lost(expected: &Expected, history: &History, finishing: Finishing) -> Vec<Violation> {
    let mut finished: HashSet<(&str, i32, i64)> = HashSet::new();
    for event in history.events() {
        if let Some(record) = finishing.finished(event) {
            finished.insert((&record.topic, record.partition, record.offset));
        }
    }
    let mut violations = Vec::new();
    for ((topic, partition), offsets) in expected.partitions() {
        let mut run: Option<(i64, i64, usize)> = None;
        let mut report = |run: Option<(i64, i64, usize)>| {
            if let Some((first, last, count)) = run {
                let text = format!(
                    "{topic}/{partition} offset {first} to {last}: {count} records never finished"
                );
                violations.push(Violation { checker: "lost", text });
            }
        };
        for offset in offsets.keys() {
            if finished.contains(&(topic, *partition, *offset)) {
                report(run.take());
            } else {
                let (first, _, count) = run.unwrap_or((*offset, *offset, 0));
                run = Some((first, *offset, count + 1));
            }
        }
        report(run);
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Ending::*, judge::testing::*};

    #[test]
    fn a_record_that_never_finished_is_named() {
        let mut expected = Expected::new();
        expected.add_range("t", 2, 0..3);
        let mut run = Run::new("m");
        run.handled(2, 0, 1, Done).handled(2, 1, 1, Retry).handled(2, 2, 1, Skip);
        let found = lost(&expected, &run.history(), Finishing::default());
        assert_eq!(texts(&found), ["t/2 offset 1 to 1: 1 records never finished"]);

        let give_up = Finishing { last_attempt: Some(1) };
        assert_eq!(lost(&expected, &run.history(), give_up), []);
        run.handled(2, 1, 1, Done);
        assert_eq!(lost(&expected, &run.history(), Finishing::default()), []);
    }
}
