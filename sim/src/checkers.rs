//! What must always hold, one file for each promise.
//!
//! | file | promise |
//! |---|---|
//! | `order` | of a lane, no record starts before the one before it is finished |
//! | `limit` | a member never starts a handler above its limit |
//! | `budget` | what a member has taken and not finished stays within its budgets |
//! | `window` | a partition is not read further ahead of what is unfinished than its window |
//! | `commit` | nothing unfinished lies below a committed offset or in a finished range, and no commit goes back |
//! | `repeats` | what a commit names as finished does not start again, and no commit forgets what is finished |
//! | `attempts` | attempts count from 1 without a gap, overload charges none, and they end |
//! | `starts` | nothing starts of a partition that is not the member's to start |
//! | `letters` | a dead letter counts only when it is written |
//! | `liveness` | when faults stop, everything is finished and committed |
//! | `gate_bound` | a gate sends nothing while as many records are outstanding as its window allows |
//! | `gate_idle` | no gate is shut while the groups have nothing to do |
//! | `gate_liveness` | when faults stop, whatever producers want to send is sent |
//! | `settling` | the loop comes to rest near its target, keeps the consumers busy, and holds nobody back without need |
//! | `fairness` | equal producers get equal shares |
//!
//! A checker reads a stream of [`Event`]s and nothing else, so it sees what the world sees and
//! never the engine's insides. Its state is by partition and offset: offsets are expected to begin
//! near zero, as in a topic made for a test. After a violation it may be asked to go on, and judges
//! what follows by what really happened. The test kit judges histories of real runs by the same
//! checkers.

mod attempts;
mod book;
mod budget;
mod commit;
mod fairness;
mod gate_book;
mod gate_bound;
mod gate_idle;
mod gate_liveness;
mod lanes;
mod letters;
mod limit;
mod liveness;
mod order;
mod repeats;
mod settling;
mod starts;
#[cfg(test)]
mod testing;
mod window;

use std::fmt;
use std::time::Duration;

pub use self::attempts::Attempts;
pub use self::budget::Budget;
pub use self::commit::Commit;
pub use self::fairness::Fairness;
pub use self::gate_bound::GateBound;
pub use self::gate_idle::GateIdle;
pub use self::gate_liveness::GateLiveness;
pub use self::lanes::LaneBook;
pub use self::letters::Letters;
pub use self::limit::Limit;
pub use self::liveness::{Liveness, Unfinished};
pub use self::order::Order;
pub use self::repeats::Repeats;
pub use self::settling::Settling;
pub use self::starts::Starts;
pub use self::window::Window;
use crate::history::Event;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise: its checker's name.
    pub invariant: &'static str,
    /// What happened, with `member N`, the record or commit that it is about as `partition/offset`,
    /// and others of its partition as `offset N`, so that who numbered them can put names there.
    pub text: String,
    /// When, in nanoseconds.
    pub at: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at as f64 / 1e9;
        write!(f, "{}: {} (at {seconds:.6} s)", self.invariant, self.text)
    }
}

/// Something that watches a history for one promise.
pub trait Checker {
    /// Takes the next event.
    ///
    /// # Errors
    /// When this event breaks the promise.
    fn see(&mut self, event: &Event) -> Result<(), Violation>;

    /// The history is at its end.
    ///
    /// # Errors
    /// When something that had to happen did not.
    fn finish(&mut self, _at: u64) -> Result<(), Violation> {
        Ok(())
    }
}

/// In which order records are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// Records of a key within a partition one after another.
    ByKey,
    /// Records of a partition one after another.
    ByPartition,
    /// Any order.
    None,
}

/// What the checkers must know of the run.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The order of records.
    pub lanes: Lanes,
    /// Attempts for one record.
    pub max_attempts: u32,
    /// Records that may wait, beside the limit.
    pub max_queued: u32,
    /// Bytes of what is taken and not finished.
    pub max_bytes: u64,
    /// Offsets from the first unfinished record to the last that is read.
    pub max_window: u64,
    /// Whether some producers have a gate.
    pub gates: bool,
    /// What is promised of a run of the closed loop, if it is one.
    pub loops: Option<Loop>,
}

/// What the checkers must know of a run of the closed loop.
#[derive(Clone, Copy, Debug)]
pub struct Loop {
    /// From when it is watched, in nanoseconds.
    pub from: u64,
    /// Until when.
    pub until: u64,
    /// Records that the consumers can do in a second.
    pub speed: u64,
    /// The drain time that the gates aim for.
    pub target: Duration,
    /// How many producers there are.
    pub producers: u32,
    /// Whether they want more than the consumers can do.
    pub overloaded: bool,
}

/// All of them.
#[derive(Debug)]
pub struct Checkers {
    order: Order,
    limit: Limit,
    budget: Budget,
    window: Window,
    commit: Commit,
    repeats: Repeats,
    attempts: Attempts,
    starts: Starts,
    letters: Letters,
    liveness: Liveness,
    gates: Option<Gates>,
    rules: Rules,
}

/// Those that look at gates. There are none of them, and no cost, in a run without.
#[derive(Debug)]
struct Gates {
    bound: GateBound,
    idle: GateIdle,
    liveness: GateLiveness,
    fairness: Fairness,
    settling: Settling,
}

impl Checkers {
    /// Checkers for a new history.
    pub fn new(rules: Rules) -> Self {
        Self {
            order: Order::new(rules.lanes),
            limit: Limit::default(),
            budget: Budget::new(rules.max_bytes, rules.max_queued),
            window: Window::new(rules.max_window),
            commit: Commit::default(),
            repeats: Repeats::default(),
            attempts: Attempts::new(rules.max_attempts),
            starts: Starts::default(),
            letters: Letters::default(),
            liveness: Liveness::default(),
            gates: rules.gates.then(|| Gates {
                bound: GateBound::default(),
                idle: GateIdle::default(),
                liveness: GateLiveness::default(),
                fairness: Fairness::new(rules.loops),
                settling: Settling::new(rules.loops),
            }),
            rules,
        }
    }

    /// What they were told of the run.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether everything that was written is finished and committed.
    pub fn is_complete(&self) -> bool {
        self.liveness.is_complete()
    }

    /// Records that finished more than once.
    pub fn repeated(&self) -> u64 {
        self.repeats.repeated()
    }
}

impl Checker for Checkers {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        self.starts.see(event)?;
        self.limit.see(event)?;
        self.order.see(event)?;
        self.attempts.see(event)?;
        self.budget.see(event)?;
        self.window.see(event)?;
        self.letters.see(event)?;
        self.commit.see(event)?;
        self.repeats.see(event)?;
        self.liveness.see(event)?;
        match &mut self.gates {
            Some(gates) => gates.see(event),
            None => Ok(()),
        }
    }

    fn finish(&mut self, at: u64) -> Result<(), Violation> {
        if let Some(gates) = &mut self.gates {
            gates.finish(at)?;
        }
        self.liveness.finish(at)
    }
}

impl Checker for Gates {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        self.bound.see(event)?;
        self.idle.see(event)?;
        self.liveness.see(event)?;
        self.fairness.see(event)?;
        self.settling.see(event)
    }

    fn finish(&mut self, at: u64) -> Result<(), Violation> {
        self.liveness.finish(at)?;
        self.settling.finish(at)?;
        self.fairness.finish(at)
    }
}

/// A value for each offset of each partition.
#[derive(Clone, Debug)]
struct ByOffset<T>(Vec<Vec<T>>);

impl<T> Default for ByOffset<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone + Default> ByOffset<T> {
    /// The partition's values, as many as were ever asked for.
    fn partition(&mut self, partition: u32) -> &mut Vec<T> {
        entry(&mut self.0, partition)
    }

    /// The value, made if need be.
    fn at(&mut self, partition: u32, offset: i64) -> &mut T {
        let cells = entry(&mut self.0, partition);
        let index = usize::try_from(offset).unwrap_or(0);
        if cells.len() <= index {
            cells.resize(index + 1, T::default());
        }
        &mut cells[index]
    }
}

/// The value of a small number, made if need be.
fn entry<T: Default>(values: &mut Vec<T>, number: u32) -> &mut T {
    let index = number as usize;
    if values.len() <= index {
        values.resize_with(index + 1, T::default);
    }
    &mut values[index]
}

/// A violation of an event.
fn broken(invariant: &'static str, event: &Event, text: String) -> Violation {
    Violation { invariant, text, at: event.at }
}
