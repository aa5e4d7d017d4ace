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
    /// It came back after it was expelled.
    Zombie => "member came back as a zombie",
    /// The group took everything from a member.
    Expelled => "member expelled",
    /// A partition moved cleanly.
    ReleaseClean => "partition released cleanly",
    /// A partition was given back with something uncommitted or running.
    ReleaseDirty => "partition released at a deadline",
    /// Handlers were cancelled at the end of a drain.
    DrainDeadline => "drain deadline passed",
    /// Finished ranges of a commit were used.
    RangesUsed => "finished ranges used",
    /// Records were left out because of them or of own memory.
    AlreadyFinished => "records left out as finished",
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
    /// An answer came after its partition had moved on.
    AnswerStale => "commit answer for an earlier assignment",
    /// An offset without a record.
    Gap => "gap in offsets",
    /// A record without a key.
    Keyless => "record without a key",
    /// It did not fit, and room was reserved.
    Reserved => "room reserved for a large record",
    /// No capacity.
    Full => "no capacity",
    /// A handler failed.
    Failure => "handler failed",
    /// A handler hung.
    HandlerHang => "handler hung",
    /// And was cancelled for it.
    TimedOut => "handler timed out",
    /// Overload.
    Overloaded => "overload answer",
    /// Skipped by a handler.
    Skip => "handler skipped",
    /// Given up.
    GivenUp => "record given up",
    /// A partition stopped.
    Stopped => "partition stopped at a record",
    /// Ended without being finished in a drain.
    Unfinished => "attempt failed in a drain",
    /// A handler outlived its partition.
    Orphan => "outcome of an orphan",
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
