//! Runs the simulation's checkers over a history of a real run.

use tidegate_sim::{
    checkers::{self, Attempts, Checker, Commit, Lanes, Limit, Liveness, Order, Repeats, Starts},
    history::{Event, What},
};

use super::{Judge, Ordering, Violation, names::Names, steps::Steps, translate::translate};
use crate::history::History;

/// Everything that the checkers find, in the order in which it happened, and then what was lost.
pub(super) fn check(judge: &Judge, history: &History) -> Vec<Violation> {
    let translation = translate(judge, history);
    let names = &translation.names;
    let lanes = match judge.ordering {
        Ordering::Key => Lanes::ByKey,
        Ordering::Partition => Lanes::ByPartition,
        Ordering::None => Lanes::None,
    };
    let most_attempts = judge.finishing.last_attempt.unwrap_or(u32::MAX);
    let mut all: Vec<Box<dyn Checker>> = vec![
        // Handlers of the real runs are futures, and end with their partition.
        Box::new(Order::new(lanes).without_orphans()),
        Box::new(Steps::new(lanes, judge.extra_crashes)),
        Box::new(Limit::default()),
        Box::new(Attempts::new(most_attempts)),
        Box::new(UntilGivenBack(Starts::default())),
        Box::new(Commit::default()),
        // The end of a handler may be in the history and come too late for its member.
        Box::new(Repeats::without_memory()),
    ];
    let mut liveness = Liveness::default();
    let mut found = Vec::new();

    let records = translation.records.iter();
    let events = translation.events.iter().map(|event| (event, true));
    for (event, has_to_finish) in records.map(|(e, expected)| (e, *expected)).chain(events) {
        if has_to_finish {
            let seen = liveness.see(event);
            debug_assert_eq!(seen, Ok(()), "it judges at the end");
        }
        let first = found.len();
        for checker in &mut all {
            let Err(violation) = checker.see(event) else { continue };
            let violation = told(names, &violation);
            // One event breaks a promise once, though two checkers of the order may say so.
            if !found[first..].iter().any(|v: &Violation| v.checker == violation.checker) {
                found.push(violation);
            }
        }
    }
    found.extend(lost(names, &mut liveness));
    found
}

fn told(names: &Names, violation: &checkers::Violation) -> Violation {
    let text = format!("{} (at {} us)", names.told(&violation.text), violation.at / 1_000);
    Violation { checker: violation.invariant, text }
}

/// The expected records that no handler finished: one violation for each run of them. Whether they
/// are committed in the end is read back from the broker, not from the history.
fn lost(names: &Names, liveness: &mut Liveness) -> Vec<Violation> {
    let told = |run: checkers::Unfinished| {
        let place = names.place(run.partition)?;
        let first = names.offset_of(run.partition, run.first)?;
        let last = names.offset_of(run.partition, run.last)?;
        let count = run.records;
        let text = format!("{place} offset {first} to {last}: {count} records never finished");
        Some(Violation { checker: "lost", text })
    };
    liveness.unfinished().into_iter().filter_map(told).collect()
}

/// A member writes that a partition is lost before it cancels what runs there, so that a start
/// may still follow in the history.
struct UntilGivenBack(Starts);

impl Checker for UntilGivenBack {
    fn see(&mut self, event: &Event) -> Result<(), checkers::Violation> {
        match event.what {
            What::Lost { .. } => Ok(()),
            _ => self.0.see(event),
        }
    }
}
