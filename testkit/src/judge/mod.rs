//! Decides from a history whether a run kept its promises.
//!
//! The promises are those of the simulation, and so are the checkers: the history is translated into
//! the simulation's events, and [`tidegate_sim::checkers`] judge it.
//!
//! | promise | checker | on a real history |
//! |---|---|---|
//! | `order` | `Order`, and `steps` here | of a key, or of a partition, no record starts before the one before it has finished, and a step back needs a crash |
//! | `limit` | `Limit` | a member never has more in flight than its limit |
//! | `commit` | `Commit` | nothing unfinished lies below a committed offset, and none goes backwards |
//! | `attempts` | `Attempts` | attempts count from 1 without a gap, overload charges none, and they end |
//! | `starts` | `Starts` | nothing starts of a partition that the member never had or gave back |
//! | `repeats` | `Repeats`, and `repeats` here | nothing starts again that was committed, and only so many finished records finish again |
//! | `lost` | `Liveness` | every expected record finished |
//!
//! A real history knows less than a simulated one. It begins and ends in the handler, and what it
//! knows of the group is what each member was told and when. So these are not asked:
//! * `Budget` and `Window`: it does not tell what a member has read and not started.
//! * `Letters`: it does not tell what the dead-letter topic has. An end that asks for that topic
//!   counts as finished; tests read the topic back.
//! * Of `Commit` and `Repeats` the finished ranges, which it does not tell: neither that they name
//!   finished records only, nor that they name all, nor that these do not start again. How often
//!   that happens is counted instead, and has a bound.
//! * Of `Repeats`, that a process does not repeat what it finished before it lost the partition: an
//!   end may be in the history and come too late for its member.
//! * Of `Liveness`, that everything is committed in the end: a member that is killed does not hear
//!   all answers. Tests read it back from the broker.
//! * Of `Starts`, that nothing starts once the partition is revoked or stopped, which it does not
//!   tell, or lost, which a member writes before it acts.
//!
//! And it tells that a member was expelled only when that member has noticed. Nothing excuses what
//! the member runs beside its successor until then, so tests of that ask for no order.
//!
//! | file | what |
//! |---|---|
//! | `expected` | which records have to finish |
//! | `translate` | the history in the simulation's terms |
//! | `names` | numbers for members, partitions and offsets, and back |
//! | `checks` | runs the simulation's checkers |
//! | `steps` | a checker for what only a real history promises about order |
//! | `repeats` | how many finished records finished again |
//! | `peaks` | how many handlers each member had in flight |
//! | `verdict` | what a test asks for, and the report |

mod checks;
mod expected;
mod names;
mod peaks;
#[cfg(test)]
mod promises;
mod repeats;
mod steps;
#[cfg(test)]
mod testing;
mod translate;
mod verdict;

use std::fmt;

pub use self::{
    expected::Expected,
    repeats::{Repeats, repeats},
    verdict::{Judge, Ordering, Report},
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
