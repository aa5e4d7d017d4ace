//! Decides from a history whether a run kept its promises.
//!
//! | file | promise |
//! |---|---|
//! | `expected` | (which records there are) |
//! | `lost` | every expected record finished |
//! | `order` | of a key, or of a partition, no record starts before the one before it has finished |
//! | `limit` | a member never has more in flight than its limit |
//! | `commit` | nothing unfinished lies below a committed offset, and none goes backwards |
//! | `repeats` | how many finished records finished again |
//! | `verdict` | runs them all |
//!
//! The checkers are pure functions of the history.

mod commit;
mod expected;
mod limit;
mod lost;
mod order;
mod repeats;
#[cfg(test)]
mod testing;
mod verdict;

use std::fmt;

pub use self::{
    commit::commit,
    expected::Expected,
    limit::limit,
    lost::lost,
    order::{Crashes, Ordering, order},
    repeats::{Repeats, repeats},
    verdict::{Judge, Report},
};

use crate::history::{Ending, Event, Happened, RecordAt};

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which checker found it.
    pub checker: &'static str,
    /// What happened, with topic, partition and offset.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.text)
    }
}

/// When a handler's end finishes its record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Finishing {
    /// The attempt that finishes a record whatever its handler said, if the run gives up on
    /// records (the policies skip and dead-letter). Overloaded never counts.
    ///
    /// A future that was dropped in its last attempt counts as finished too: a timeout and a
    /// revoke look alike from inside.
    pub last_attempt: Option<u32>,
}

impl Finishing {
    /// The record that this event finished, if it did.
    #[must_use]
    pub fn finished(self, event: &Event) -> Option<&RecordAt> {
        let Happened::End { record, attempt, ending } = &event.happened else { return None };
        let gave_up =
            self.last_attempt.is_some_and(|last| *attempt >= last) && *ending != Ending::Overloaded;
        (ending.finishes() || gave_up).then_some(record)
    }
}
