//! How many handlers each member had in flight.

use std::collections::BTreeMap;

use crate::history::{Happened, History};

/// The most handlers that each member had in flight at once, over all its lives.
pub(super) fn peaks(history: &History) -> BTreeMap<String, usize> {
    let mut members: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for event in history.events() {
        let (now, peak) = members.entry(&event.member).or_default();
        match &event.happened {
            Happened::Start { .. } => *now += 1,
            // An end without a start: the judge was given a part of a history.
            Happened::End { .. } => *now = now.saturating_sub(1),
            Happened::Killed => *now = 0,
            _ => {}
        }
        *peak = (*peak).max(*now);
    }
    members.into_iter().map(|(member, (_, peak))| (member.to_owned(), peak)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Ending::*, judge::testing::*};

    #[test]
    fn a_kill_starts_anew() {
        let mut run = Run::new("m");
        run.start(0, 1, 1).start(0, 2, 2).killed().start(0, 1, 1).end(0, 1, Done).start(0, 2, 2);
        assert_eq!(peaks(&run.history())["m"], 2);
    }
}
