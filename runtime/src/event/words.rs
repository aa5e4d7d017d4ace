//! Events in words.

use std::fmt;

use super::{Event, FailureCause};

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assigned { partition, committed, finished_ahead } => {
                match committed {
                    Some(offset) => write!(f, "{partition} assigned, committed is {offset}")?,
                    None => write!(f, "{partition} assigned, nothing committed yet")?,
                }
                f.write_str(if *finished_ahead { " (some above it is finished too)" } else { "" })
            }
            Self::MetadataIgnored { partition, error } => {
                write!(f, "{partition}: the commit's metadata is ignored (")?;
                match error {
                    Some(error) => error.fmt(f)?,
                    None => f.write_str(
                        "the topic's id is not known, now or when it was committed; the broker \
                         tells it to those who may describe the topic",
                    )?,
                }
                f.write_str("); records that were finished out of order are processed again")
            }
            Self::Revoking { partition, in_flight } => {
                write!(f, "{partition} is being revoked, {in_flight} in flight are finished first")
            }
            Self::DrainDeadline { partition, in_flight } => write!(
                f,
                "{partition}: {in_flight} in flight did not end in time and are cancelled; they \
                 will be delivered again"
            ),
            Self::Released { partition, uncommitted: 0 } => write!(f, "{partition} released"),
            Self::Released { partition, uncommitted } => write!(
                f,
                "{partition} released, but {uncommitted} finished records could not be committed \
                 and will be delivered again"
            ),
            Self::Lost { partition, uncommitted } => write!(
                f,
                "{partition} lost; its handlers are cancelled, what was in flight and \
                 {uncommitted} finished records will be delivered again"
            ),
            Self::Committed { partition, offset } => write!(f, "{partition} committed {offset}"),
            Self::CommitFailed { partition, offset, error } => {
                write!(f, "{partition}: commit of {offset} failed and is tried again: {error}")
            }
            Self::CommitsStalled { partition, since } => write!(
                f,
                "{partition}: no commit has succeeded for {since:.1?}; nothing more of it is read \
                 or started until one does"
            ),
            Self::CommitsResumed { partition, after } => {
                write!(f, "{partition}: commits succeed again after {after:.1?}; it goes on")
            }
            Self::AttemptFailed { partition, offset, attempt, cause, reason, next } => {
                write!(f, "{partition} offset {offset}: attempt {attempt} {cause}: {reason}; ")?;
                write!(f, "again in {next:.1?}")
            }
            Self::Overloaded { partition, offset, reason, next } => {
                write!(f, "{partition} offset {offset}: overloaded: {reason}; again in {next:.1?}")
            }
            Self::Unfinished { partition, offset, cause, reason } => write!(
                f,
                "{partition} offset {offset}: the attempt {cause}: {reason}; it will be delivered \
                 again"
            ),
            Self::PartitionStopped { partition, offset, attempts, reason } => write!(
                f,
                "{partition} stopped at offset {offset} after {attempts} attempts: {reason}; \
                 nothing behind it is processed until a restart. Repair the cause, or choose to \
                 skip after the last attempt"
            ),
            Self::GivenUp { partition, offset, attempts, reason } => write!(
                f,
                "{partition} offset {offset} given up and skipped after {attempts} attempts: \
                 {reason}"
            ),
            Self::DeadLettered { partition, offset, attempts, reason } => write!(
                f,
                "{partition} offset {offset} is in the dead-letter topic after {attempts} \
                 attempts: {reason}"
            ),
            Self::DeadLettersFail { partition, offset, error } => write!(
                f,
                "{partition} offset {offset}: its dead letter cannot be written and is tried \
                 again, the record waits: {error}"
            ),
            Self::DeadLetterHeld { partition, offset, reason, next } => write!(
                f,
                "{partition} offset {offset} would be a dead letter, but so many records failed \
                 without a success in between that what they need may be down; it is tried again \
                 in {next:.1?}: {reason}"
            ),
            Self::Stuck { partition, offset, attempt, running } => write!(
                f,
                "{partition} offset {offset}: attempt {attempt} has been running for \
                 {running:.0?}; a handler timeout would cancel it"
            ),
            Self::NoProgress { partition, offset, unfinished, since } => write!(
                f,
                "{partition} has made no progress for {since:.0?}: offset {offset} is not \
                 finished, nor are {unfinished} records in all"
            ),
            Self::PartitionFailed { error, partition } => {
                write!(f, "{partition} cannot be read on: {error}")
            }
            Self::Trouble(error) => error.fmt(f),
            Self::Recovered(what) => f.write_str(what),
            Self::Failed(error) => write!(f, "the source failed and the run ends: {error}"),
            Self::Draining { in_flight, queued, timeout } => write!(
                f,
                "draining: {in_flight} in flight have {timeout:.1?} to finish, {queued} queued \
                 will be delivered again"
            ),
        }
    }
}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Returned => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed out",
            Self::Cancelled => "was cancelled",
        })
    }
}
