//! How often each fault, and each rare branch of world and shell, occurred.

macro_rules! reached {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Something that a simulation should reach now and then.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reached { $($(#[$doc])* $name,)* }

        impl Reached {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in tables.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reached! {
    /// A member was killed.
    Kill => "member killed",
    /// And began a new life.
    Restart => "member restarted",
    /// A member stood still.
    Hang => "member hung",
    /// It came back after it was expelled.
    Zombie => "member came back as a zombie",
    /// It came back in time.
    HangShort => "member hung, not expelled",
    /// A zombie ran a handler to its end before it knew.
    ZombieOutcome => "outcome while expelled",
    /// A new member joined.
    Join => "member joined",
    /// A member left, after a drain.
    Leave => "member left",
    /// It drained everything in time.
    LeaveClean => "member left cleanly",
    /// The group took everything from a member.
    Expelled => "member expelled",
    /// A member was too slow to give back.
    RebalanceTimeout => "expelled, did not give back in time",
    /// A partition moved cleanly.
    ReleaseClean => "partition released cleanly",
    /// A partition was given back with something uncommitted or running.
    ReleaseDirty => "partition released at a deadline",
    /// Handlers were cancelled at the end of a drain.
    DrainDeadline => "drain deadline passed",
    /// A partition was asked back before it was assigned.
    RevokedUnassigned => "revoked before it was assigned",
    /// An assignment arrived that is not valid any more.
    StaleAssignment => "assignment came too late",
    /// A partition came back to a process that had it before.
    CameBack => "partition came back to the same process",
    /// Finished ranges of a commit were used.
    RangesUsed => "finished ranges used",
    /// Records were left out because of them or of own memory.
    AlreadyFinished => "records left out as finished",
    /// Ranges were dropped for want of room.
    RangesDropped => "ranges dropped for want of room",
    /// Metadata was refused by the engine.
    MetadataIgnored => "metadata ignored",
    /// Another program committed.
    Foreign => "foreign commit",
    /// A member that writes no ranges committed.
    OldVersion => "commit of an older version",
    /// A commit took long.
    CommitSlow => "commit slow",
    /// It was taken, and the answer lost.
    CommitAnswerLost => "commit taken, answer lost",
    /// It never came.
    CommitLost => "commit lost",
    /// Refused because the group rebalances.
    CommitRebalancing => "commit refused, rebalance in progress",
    /// Refused because the sender does not have the partition.
    CommitFenced => "commit refused, fenced",
    /// Refused because of its metadata's size.
    MetadataTooLarge => "commit refused, metadata too large",
    /// An answer came after its partition had moved on.
    AnswerStale => "commit answer for an earlier assignment",
    /// Commits did not succeed for too long.
    Stalled => "partition stalled without commits",
    /// The broker was gone.
    BrokerDown => "broker down",
    /// A clean election.
    Election => "leader election",
    /// An unclean one cut the log.
    Truncated => "log truncated",
    /// A reader noticed.
    TruncationSeen => "reader found its log truncated",
    /// Retention removed records.
    Retention => "retention",
    /// A reader was behind it.
    ReaderBehind => "reader behind the log start",
    /// A committed offset is not in the log.
    Reset => "committed offset out of range",
    /// An offset without a record.
    Gap => "gap in offsets",
    /// A read that found only gaps.
    EmptyRead => "position moved without a record",
    /// A record without a key.
    Keyless => "record without a key",
    /// A large record.
    Large => "large record",
    /// It did not fit, and room was reserved.
    Reserved => "room reserved for a large record",
    /// No capacity.
    Full => "no capacity",
    /// The window was full.
    Window => "window full",
    /// A handler failed.
    Failure => "handler failed",
    /// A handler panicked.
    Panic => "handler panicked",
    /// A handler hung.
    HandlerHang => "handler hung",
    /// And was cancelled for it.
    TimedOut => "handler timed out",
    /// A handler could not be stopped.
    Unstoppable => "handler could not be stopped",
    /// Overload.
    Overloaded => "overload answer",
    /// The tenth overload answer that counted.
    OverloadCounted => "overload answer that cost an attempt",
    /// Skipped by a handler.
    Skip => "handler skipped",
    /// A poison record.
    Poison => "poison record",
    /// Given up.
    GivenUp => "record given up",
    /// A partition stopped.
    Stopped => "partition stopped at a record",
    /// Somebody restarted the member of a stopped partition.
    Operator => "operator restarted a member",
    /// Ended without being finished in a drain.
    Unfinished => "attempt failed in a drain",
    /// A handler outlived its partition.
    Orphan => "outcome of an orphan",
    /// An outcome was handed in twice.
    Duplicate => "outcome handed in twice",
    /// The limit grew.
    LimitUp => "limit raised",
    /// The limit shrank.
    LimitDown => "limit lowered",
    /// A stuck handler was reported.
    StuckTold => "stuck handler reported",
    /// No progress was reported.
    NoProgressTold => "no progress reported",
    /// A finished record finished again.
    Repeated => "finished record finished again",
}

/// Counts of each.
#[derive(Clone, Debug)]
pub struct Coverage(Vec<u64>);

impl Default for Coverage {
    fn default() -> Self {
        Self(vec![0; Reached::ALL.len()])
    }
}

impl Coverage {
    /// It happened.
    pub fn hit(&mut self, what: Reached) {
        self.0[what as usize] += 1;
    }

    /// It happened so many times.
    pub fn add(&mut self, what: Reached, times: u64) {
        self.0[what as usize] += times;
    }

    /// How often it happened.
    pub fn count(&self, what: Reached) -> u64 {
        self.0[what as usize]
    }

    /// Adds another table.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, n)| *sum += n);
    }
}
