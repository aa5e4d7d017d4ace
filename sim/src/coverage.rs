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
    /// A process began after another one.
    Restart => "member restarted",
    /// A member hung.
    Hung => "member hung",
    /// And longer than its session.
    HungTooLong => "member hung past its session",
    /// The group took everything from a member.
    Expelled => "member expelled",
    /// It came back after it was expelled.
    Zombie => "member came back as a zombie",
    /// A member was asked to end.
    Leaving => "member asked to end",
    /// It had given everything back.
    Left => "member left",
    /// A member knows no finished ranges.
    Older => "member without finished ranges",
    /// A partition moved cleanly.
    ReleaseClean => "partition released cleanly",
    /// A partition was given back with something uncommitted or running.
    ReleaseDirty => "partition released at a deadline",
    /// Handlers were cancelled at the end of a drain.
    DrainDeadline => "drain deadline passed",
    /// The topic grew.
    PartitionAdded => "partition added",
    /// An unclean election cut the log.
    Truncated => "log truncated",
    /// The topic was deleted and made again.
    Recreated => "topic made again",
    /// Retention removed records.
    Expired => "log expired",
    /// The committed offset was not in the log.
    GapAtStart => "committed offset not in the log",
    /// A reader found a gap and went on.
    GapReset => "gap found, read on",
    /// A reader found a gap and stopped.
    GapStop => "gap found, stopped",
    /// Finished ranges of a commit were used.
    RangesUsed => "finished ranges used",
    /// There was no room for some.
    RangesDropped => "finished ranges dropped",
    /// Records were left out because of them or of own memory.
    AlreadyFinished => "records left out as finished",
    /// Another program committed.
    Foreign => "foreign commit",
    /// And its words were found.
    ForeignSeen => "foreign metadata refused",
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
    Gap => "offset without a record",
    /// A record without a key.
    Keyless => "record without a key",
    /// It did not fit, and room was reserved.
    Reserved => "room reserved for a large record",
    /// No capacity.
    Full => "no capacity",
    /// A record was given out behind another.
    Follower => "record given out behind another",
    /// And was not started.
    Unstarted => "followers given back",
    /// A handler failed.
    Failure => "handler failed",
    /// A handler panicked.
    Panic => "handler panicked",
    /// A handler hung.
    HandlerHang => "handler hung",
    /// And was cancelled for it.
    TimedOut => "handler timed out",
    /// A cancelled handler spoke nevertheless.
    LateWord => "late word of a cancelled handler",
    /// Overload.
    Overloaded => "overload answer",
    /// Skipped by a handler.
    Skip => "handler skipped",
    /// Given up.
    GivenUp => "record given up",
    /// A partition stopped.
    Stopped => "partition stopped",
    /// A dead letter was written.
    LetterWritten => "dead letter written",
    /// But the answer was lost.
    LetterAnswerLost => "dead letter written, answer lost",
    /// It cannot be written.
    LetterRefused => "dead letter refused",
    /// There was no credit for it.
    LetterHeld => "dead letter held for want of credit",
    /// Its topic is down.
    LettersDown => "dead-letter topic down",
    /// A letter waits for it.
    LetterWaits => "dead letter waits for its topic",
    /// Ended without being finished in a drain.
    Unfinished => "attempt failed in a drain",
    /// A handler outlived its partition.
    Orphan => "outcome of an orphan",
    /// The limit changed.
    LimitChanged => "limit changed",
    /// A stuck handler was reported.
    StuckTold => "stuck handler reported",
    /// No progress was reported.
    NoProgressTold => "no progress reported",
    /// A gate did not let a record through, since the window is used up.
    RefusedWindow => "refused: window",
    /// A partition has its share.
    RefusedPartitionCap => "refused: share of a partition",
    /// The group does not move in the partition.
    RefusedStuck => "refused: partition stuck",
    /// The group has no commit.
    RefusedNoCommit => "refused: no commit yet",
    /// The group does not move.
    RefusedNoProgress => "refused: no progress",
    /// The probe fails.
    RefusedProbeFailed => "refused: probe fails",
    /// The probe does not answer.
    RefusedProbeOverdue => "refused: probe overdue",
    /// The partitions are not known.
    RefusedNoPartition => "refused: partitions unknown",
    /// The absolute rate is used up.
    RefusedRate => "refused: rate",
    /// The breaker is open.
    RefusedBreaker => "refused: breaker",
    /// A record went by the floor rate.
    Floor => "record let through by the floor rate",
    /// The probe failed, and the window was kept.
    Grace => "probe failed, window kept",
    /// The target was raised for a group that commits seldom.
    TargetRaised => "target raised",
    /// The breaker was open.
    BreakerOpen => "breaker open",
    /// It was half-open.
    BreakerHalfOpen => "breaker half-open",
    /// A gate says that a partition is stuck.
    AlertStuck => "gate tells a stuck partition",
    /// And that it moves again.
    AlertMoves => "gate tells that it moves again",
    /// A gate noticed retention.
    AlertRetention => "gate tells that retention passed a commit",
    /// A gate noticed a truncation.
    AlertTruncated => "gate tells a truncated log",
    /// A gate noticed that the topic is another one.
    AlertRecreated => "gate tells a topic made again",
    /// A producer with a gate was killed.
    GateCrash => "producer killed",
    /// One began after another one.
    GateRestart => "producer restarted",
    /// And found a longer drain time than the target.
    RestartLate => "producer restarted beyond the target",
    /// A credit was given back unused.
    GateCancel => "credit cancelled",
    /// The absolute rate of a gate changed.
    RateChanged => "rate changed",
    /// The broker took no records for a while.
    BrokerDown => "broker takes no records",
    /// A record was not written.
    SendFailed => "record not written",
    /// A record was too large.
    SendTooLarge => "record not taken",
    /// It was written, and the answer said otherwise.
    SendDenied => "record written, answer lost",
    /// Written, but nobody knows where.
    SendUntracked => "record written at an unknown offset",
    /// The answer was late.
    SendLate => "delivery told late",
    /// Its producer was gone.
    SendOrphan => "delivery of a producer that is gone",
    /// The probe was down for a while.
    ProbeDown => "probe down",
    /// A probe was lost.
    ProbeLost => "probe lost",
    /// A probe's answer was late.
    ProbeLate => "probe late",
    /// It came after a newer one.
    ProbeStale => "probe overtaken",
    /// A probe failed.
    ProbeFailed => "probe failed",
    /// Something was missing in it.
    ProbePartial => "probe with something missing",
    /// It came twice.
    ProbeTwice => "probe answered twice",
    /// The plain group was held by a record.
    PlainPoison => "plain group held by a record",
    /// It went back.
    PlainBack => "plain group went back",
    /// It found itself outside of the log.
    PlainReset => "plain group out of the log",
    /// A run of the closed loop with producers that want more than the consumers can do.
    LoopOverloaded => "loop, overloaded",
    /// With producers that want less.
    LoopIdle => "loop, not overloaded",
    /// A producer began later.
    LoopJoined => "loop, a producer joined",
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
