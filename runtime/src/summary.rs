//! How a run ended.

use std::fmt;

use thiserror::Error;
use tidegate_engine::{Counters, Offset};

use crate::batch::TopicPartition;
use crate::source::SourceError;

/// Records that were finished in one way or another.
pub(crate) fn finished(counters: &Counters) -> u64 {
    counters.done + counters.skipped + counters.given_up + counters.dead_lettered
}

/// A partition of which nothing more was processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedPartition {
    /// Which.
    pub partition: TopicPartition,
    /// The record whose last attempt failed; `None` if the source could not read on.
    pub offset: Option<Offset>,
    /// Why.
    pub reason: String,
}

impl fmt::Display for StoppedPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, offset, reason } = self;
        match offset {
            Some(offset) => write!(f, "{partition} stopped at offset {offset}: {reason}"),
            None => write!(f, "{partition} stopped: {reason}"),
        }
    }
}

/// What a run did. `Display` is a line for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Counts since the consumer was made.
    pub counters: Counters,
    /// Handlers that panicked; each is a failed attempt, too.
    pub panics: u64,
    /// Partitions that had stopped when the run ended.
    pub stopped: Vec<StoppedPartition>,
    /// Records that were admitted and not finished when the run ended: they are delivered again.
    pub unfinished: u64,
    /// Records that were finished and whose commit was not confirmed: they may be delivered again.
    pub uncommitted: u64,
    /// Whether the source left its group in time. If not, the group waits for the session to time
    /// out before it gives the partitions to others.
    pub closed: bool,
}

impl Summary {
    /// Records that were finished: done, skipped, given up or dead-lettered.
    pub fn finished(&self) -> u64 {
        finished(&self.counters)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records done", self.counters.done)?;
        for (count, what) in [
            (self.counters.skipped, "skipped"),
            (self.counters.given_up, "given up"),
            (self.counters.dead_lettered, "dead-lettered"),
            (self.counters.failed, "failed attempts"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if self.unfinished > 0 {
            write!(f, ", {} not finished and delivered again", self.unfinished)?;
        }
        if self.uncommitted > 0 {
            write!(f, ", {} finished but not committed and delivered again", self.uncommitted)?;
        }
        for stopped in &self.stopped {
            write!(f, "; {stopped}")?;
        }
        Ok(())
    }
}

/// Why a run ended before it was asked to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The source could not begin.
    #[error("cannot start: {0}")]
    Start(SourceError),
    /// The source could not go on; what was in flight was drained.
    #[error("{error}; {summary}")]
    Source {
        /// Why.
        #[source]
        error: SourceError,
        /// What the run did until then.
        summary: Box<Summary>,
    },
    /// The run was not awaited within a tokio runtime.
    #[error("a run needs a tokio runtime: await it inside of one, with its timers enabled")]
    NoRuntime,
    /// Records are to become dead letters after the last attempt, and nothing says where.
    #[error("dead letters need a sink: name a dead-letter topic, or choose another policy")]
    NoSink,
    /// The thread of the source could not be started.
    #[error("cannot start the source's thread: {0}")]
    Thread(#[source] std::io::Error),
    /// A fault in Tidegate itself. Everything stopped at once and nothing more was committed.
    #[error("a fault in Tidegate: {0}; nothing more was committed. Please report it")]
    Fault(String),
}
