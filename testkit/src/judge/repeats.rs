//! How many finished records finished again.

use std::collections::HashMap;

use super::{Finishing, Violation};
use crate::history::{History, RecordAt};

/// What was repeated in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repeats {
    /// Finishes beyond the first of each record.
    pub count: u64,
    /// Some of the records, in the order of their second finish.
    pub examples: Vec<RecordAt>,
}

impl Repeats {
    const EXAMPLES: usize = 20;

    /// A violation if there are more than `max`.
    #[must_use]
    pub fn violation(&self, max: u64) -> Option<Violation> {
        (self.count > max).then(|| {
            let named: Vec<_> = self.examples.iter().map(ToString::to_string).collect();
            let (count, named) = (self.count, named.join(", "));
            let text = format!("{count} finished records finished again, at most {max}: {named}");
            Violation { checker: "repeats", text }
        })
    }
}

/// Counts the finishes beyond the first of each record, over all members.
#[must_use]
pub fn repeats(history: &History, finishing: Finishing) -> Repeats {
    let mut finishes: HashMap<&RecordAt, u64> = HashMap::new();
    let mut repeats = Repeats::default();
    for record in history.events().iter().filter_map(|event| finishing.finished(event)) {
        let count = finishes.entry(record).or_default();
        *count += 1;
        if *count > 1 {
            repeats.count += 1;
            if repeats.examples.len() < Repeats::EXAMPLES {
                repeats.examples.push(record.clone());
            }
        }
    }
    repeats
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Ending::*, judge::testing::*};

    #[test]
    fn only_a_second_finish_is_a_repeat() {
        let mut run = Run::new("m");
        run.handled(0, 4, 1, Retry).handled(0, 4, 1, Cancelled).handled(0, 4, 1, Done);
        assert_eq!(repeats(&run.history(), Finishing::default()).count, 0);
        run.handled(0, 4, 1, Done).handled(0, 4, 1, Done);
        let found = repeats(&run.history(), Finishing::default());
        assert_eq!(found.count, 2);
        assert_eq!(found.violation(2), None);
        assert!(found.violation(1).unwrap().text.contains("t/0 offset 4"));
    }
}
