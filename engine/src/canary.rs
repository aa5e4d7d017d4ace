//! Bugs that are planted on purpose, so that the simulator can be seen to find them.
//!
//! They exist only in a build with `--cfg tidegate_canary`, and sleep until one is chosen. In every
//! other build [`is_planted`] is a constant and the bugs are not compiled.

#[cfg(tidegate_canary)]
use core::sync::atomic::{AtomicU8, Ordering};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(tidegate_canary), allow(unreachable_pub))]
pub enum Canary {
    /// The commit point lies behind the first unfinished record.
    CommitOneTooFar = 1,
    /// A failed attempt keeps its permit.
    PermitLeaked,
    /// A key's next record may start while its handler runs.
    KeyReleased,
    /// A late word about an earlier attempt, or an earlier assignment, counts for whatever record
    /// has its place now.
    TicketNotChecked,
    /// Finished ranges are believed about records of a later leader epoch.
    EpochNotChecked,
    /// Every finished range begins and ends one offset too far.
    RangesShifted,
    /// A finished record gives its bytes back twice.
    BytesReleasedTwice,
    /// A partition that goes forgets one record that is queued.
    RevokeForgets,
    /// A record that is to be retried lets the next one of its key pass.
    RetryJumps,
    /// A record counts as finished before its dead letter is acknowledged.
    LetterCountedEarly,
    /// A gate takes what was not learned of a group for everything.
    UnknownReleases,
    /// A gate keeps what it had in a log that was cut.
    CutNotNoticed,
    /// A gate releases nothing of a partition that the group has done.
    IdleStaysShut,
    /// A try of a half-open breaker whose record was refused counts as running for ever.
    BreakerTryLost,
    /// Windows of producers are not drawn together.
    NotEqualised,
}

#[cfg(tidegate_canary)]
impl Canary {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::CommitOneTooFar,
        Self::PermitLeaked,
        Self::KeyReleased,
        Self::TicketNotChecked,
        Self::EpochNotChecked,
        Self::RangesShifted,
        Self::BytesReleasedTwice,
        Self::RevokeForgets,
        Self::RetryJumps,
        Self::LetterCountedEarly,
        Self::UnknownReleases,
        Self::CutNotNoticed,
        Self::IdleStaysShut,
        Self::BreakerTryLost,
        Self::NotEqualised,
    ];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommitOneTooFar => "commit-one-too-far",
            Self::PermitLeaked => "permit-leaked",
            Self::KeyReleased => "key-released",
            Self::TicketNotChecked => "ticket-not-checked",
            Self::EpochNotChecked => "epoch-not-checked",
            Self::RangesShifted => "ranges-shifted",
            Self::BytesReleasedTwice => "bytes-released-twice",
            Self::RevokeForgets => "revoke-forgets",
            Self::RetryJumps => "retry-jumps",
            Self::LetterCountedEarly => "letter-counted-early",
            Self::UnknownReleases => "unknown-releases",
            Self::CutNotNoticed => "cut-not-noticed",
            Self::IdleStaysShut => "idle-stays-shut",
            Self::BreakerTryLost => "breaker-try-lost",
            Self::NotEqualised => "not-equalised",
        }
    }

    /// Wakes this bug, and no other, in every engine and gate of the process.
    pub fn plant(self) {
        PLANTED.store(self as u8, Ordering::Relaxed);
    }
}

#[cfg(tidegate_canary)]
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Whether this bug is awake.
#[cfg(tidegate_canary)]
#[inline]
pub(crate) fn is_planted(canary: Canary) -> bool {
    PLANTED.load(Ordering::Relaxed) == canary as u8
}

/// Whether this bug is awake: never in this build.
#[cfg(not(tidegate_canary))]
#[inline]
pub(crate) const fn is_planted(_: Canary) -> bool {
    false
}
