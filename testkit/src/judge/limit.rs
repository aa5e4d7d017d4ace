//! A member never has more handlers in flight than its limit.

use std::collections::HashMap;

use super::Violation;
use crate::history::{Happened, History};

/// The most handlers that each member had in flight at once.
pub(super) fn peaks(history: &History) -> HashMap<&str, usize> {
    let mut peaks = HashMap::new();
    walk(history, |member, in_flight, _| {
        let peak = peaks.entry(member).or_insert(0);
        *peak = in_flight.max(*peak);
    });
    peaks
}

/// Every time that a member rises above the limit.
#[must_use]
pub fn limit(history: &History, limit: usize) -> Vec<Violation> {
    let mut violations = Vec::new();
    walk(history, |member, in_flight, record| {
        if in_flight == limit + 1 {
            let text = format!("{member} starts {record} as number {in_flight}, limit {limit}");
            violations.push(Violation { checker: "limit", text });
        }
    });
    violations
}

/// Calls `at_start` with the member, what it has in flight by then, and the record.
fn walk<'a>(
    history: &'a History,
    mut at_start: impl FnMut(&'a str, usize, &crate::history::RecordAt),
) {
    let mut in_flight: HashMap<&str, usize> = HashMap::new();
    for event in history.events() {
        let now = in_flight.entry(&event.member).or_default();
        match &event.happened {
            Happened::Start { record, .. } => {
                *now += 1;
                at_start(&event.member, *now, record);
            }
            // An end without a start: the judge was given a part of a history.
            Happened::End { .. } => *now = now.saturating_sub(1),
            Happened::Killed => *now = 0,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Ending::*, judge::testing::*};

    #[test]
    fn one_too_many_is_named_and_a_kill_starts_anew() {
        let mut run = Run::new("m");
        run.start(0, 1, 1).start(0, 2, 2);
        assert_eq!(limit(&run.history(), 2), []);
        run.killed().start(0, 1, 1).start(0, 2, 2).end(0, 1, Done).start(0, 3, 3);
        assert_eq!(limit(&run.history(), 2), []);
        run.start(0, 4, 4);
        let found = limit(&run.history(), 2);
        assert_eq!(texts(&found), ["m starts t/0 offset 4 as number 3, limit 2"]);
        assert_eq!(peaks(&run.history())["m"], 3);
    }
}
