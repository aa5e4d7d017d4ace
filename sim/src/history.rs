//! What happened, as the world sees it: one compact event type that all checkers read.
//!
//! Members, partitions (each topic and partition is one number) and keys are numbered by whoever
//! writes the history. A member's number stands for one life of a process: after a restart it has
//! another one.

/// One record of one history of the log: after a truncation another record may lie at the same
/// offset, under a later leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordAt {
    /// Its partition.
    pub partition: u32,
    /// Its offset, not negative.
    pub offset: i64,
    /// The leader epoch it was written in; equal for all records if unknown.
    pub epoch: i32,
}

/// Something that happened at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in nanoseconds.
    pub at: u64,
    /// To which life of a member; [`NOBODY`] if to none.
    pub member: u32,
    /// What.
    pub what: What,
}

/// The member of an event that concerns no member.
pub const NOBODY: u32 = u32::MAX;

/// How a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did its work.
    Done,
    /// It found nothing to do.
    Skip,
    /// It failed.
    Retry,
    /// It panicked.
    Panicked,
    /// What it calls is overloaded.
    Overloaded,
    /// It wants the record in the dead-letter topic.
    DeadLetter,
    /// It ran too long and was cancelled.
    TimedOut,
    /// It was cancelled because its partition goes.
    Cancelled,
}

impl Ending {
    /// Whether the record is finished by this alone.
    pub fn finishes(self) -> bool {
        matches!(self, Self::Done | Self::Skip)
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The log has a record. Keyless records have no key.
    Written {
        /// Which.
        record: RecordAt,
        /// Its key's number, a small one.
        key: Option<u32>,
        /// Its size.
        bytes: u32,
    },
    /// An unclean election: records from `offset` on are gone, and later ones are of `epoch`.
    Truncated {
        /// Where.
        partition: u32,
        /// The first offset that is gone.
        offset: i64,
        /// The new leader's epoch.
        epoch: i32,
    },
    /// Retention: records below `offset` are gone.
    Expired {
        /// Where.
        partition: u32,
        /// The first offset that is left.
        offset: i64,
    },
    /// A member begins its life with so many permits.
    Joined {
        /// Its limit of handlers.
        limit: u32,
    },
    /// A member's limit changes.
    Limit {
        /// The new limit.
        limit: u32,
    },
    /// A member's budgets change; what it holds it keeps.
    Budgets {
        /// The bytes that it may hold.
        bytes: u64,
        /// The records that may wait beside those that run.
        queued: u32,
    },
    /// A member's life ends, by a kill or after it has left: nothing that it ran goes on.
    Ended,
    /// The group takes everything from a member, which may not know it for a while.
    Expelled,
    /// A member has a partition from now on.
    Assigned {
        /// Which.
        partition: u32,
        /// The committed offset it was given.
        committed: Option<i64>,
        /// Whether it was given the finished ranges of the last commit and understands them.
        ranges: bool,
        /// It begins again by itself, after a [`What::Reset`]: the group knows nothing of it.
        again: bool,
    },
    /// A member is asked to give a partition back, and starts nothing of it any more.
    Revoking {
        /// Which.
        partition: u32,
    },
    /// A member has given a partition back.
    Released {
        /// Which.
        partition: u32,
        /// Whether its last commit was answered and nothing of it ran any more.
        clean: bool,
    },
    /// A member learns that a partition is not its own any more.
    Lost {
        /// Which.
        partition: u32,
    },
    /// A member stops a partition, after a last attempt or because it cannot be read on.
    Stopped {
        /// Which.
        partition: u32,
    },
    /// A member took a record from the log.
    Taken {
        /// Which.
        record: RecordAt,
        /// Its size.
        bytes: u32,
    },
    /// A handler starts.
    Start {
        /// With this record.
        record: RecordAt,
        /// For which time, from 1.
        attempt: u32,
    },
    /// A handler ends.
    End {
        /// With this record.
        record: RecordAt,
        /// For which time, from 1.
        attempt: u32,
        /// How.
        ending: Ending,
    },
    /// The member gave a record up after its last attempt: it counts as finished.
    GivenUp {
        /// Which.
        record: RecordAt,
    },
    /// The group took a commit. Its finished ranges follow as events of their own.
    Commit {
        /// Of which partition.
        partition: u32,
        /// The next offset to process.
        offset: i64,
        /// The highest leader epoch that its member had read, -1 if unknown.
        epoch: i32,
        /// When it was sent.
        sent: u64,
        /// How many [`What::Range`] events follow.
        ranges: u32,
        /// Whether ranges may be missing, for want of room or because the member writes none.
        partial: bool,
    },
    /// A finished range of the commit before.
    Range {
        /// Of which partition.
        partition: u32,
        /// The first offset in it.
        start: i64,
        /// The first offset behind it.
        end: i64,
        /// The highest leader epoch of the records that it speaks of, -1 if unknown. A record of a
        /// later one is a new record at an old offset and not meant.
        epoch: i32,
    },
    /// What was to be read next is not in the log (any more). A member: it begins again at `offset`
    /// itself. Nobody: the committed offset was set to it.
    Reset {
        /// Of which partition.
        partition: u32,
        /// Where it is read on.
        offset: i64,
    },
    /// Another program wrote a commit without ranges at the committed offset.
    Foreign {
        /// Of which partition.
        partition: u32,
    },
    /// The dead-letter topic has a record. Not what the member knows: its answer may be lost.
    LetterWritten {
        /// Which.
        record: RecordAt,
    },
    /// A member learns that its letter is written: the record is finished.
    LetterAnswered {
        /// Which.
        record: RecordAt,
    },
    /// A producer begins its life, with a gate. Producers are numbered by themselves, each life
    /// anew.
    GateBegins {
        /// Its number.
        gate: u32,
        /// How many groups it follows: the one whose commits are [`What::Commit`], and then those of
        /// [`What::PlainCommit`].
        groups: u32,
        /// Records a second that may pass although the window is used up, when the gate says why.
        floor_rate: u32,
    },
    /// It ends, and what it had outstanding is forgotten.
    GateEnds {
        /// Which.
        gate: u32,
    },
    /// What a gate publishes of itself has changed.
    GateSays {
        /// Which.
        gate: u32,
        /// How many records may be outstanding.
        window: u64,
        /// How many partitions it knows.
        partitions: u32,
        /// Partitions that it says are stuck, a bit for each.
        stuck: u64,
    },
    /// A producer has more records to send.
    Wants {
        /// Which.
        gate: u32,
        /// How many more.
        records: u32,
    },
    /// It gives up some that it wanted to send.
    Sheds {
        /// Which.
        gate: u32,
        /// How many.
        records: u32,
    },
    /// A gate lets a record through, and it is on its way.
    Sent {
        /// Which gate.
        gate: u32,
        /// To which partition.
        partition: u32,
        /// Whether the gate says that it does not know the groups' progress, or that there is none,
        /// so that the floor rate may be used.
        floor: bool,
    },
    /// A gate does not let a record through.
    Refused {
        /// Which gate.
        gate: u32,
        /// To which partition.
        partition: u32,
        /// Whether for the sake of the groups, and not of the rate or the broker.
        for_groups: bool,
    },
    /// A producer learns that its record was written; it may not learn where.
    Acknowledged {
        /// Which gate.
        gate: u32,
        /// To which partition it went.
        partition: u32,
        /// What became of it.
        record: Option<RecordAt>,
    },
    /// A producer learns that its record was not written, and has it again.
    NotWritten {
        /// Which gate.
        gate: u32,
        /// Where it was to go.
        partition: u32,
    },
    /// A gate is given a probe's answer, whose parts follow.
    Answer {
        /// Which gate.
        gate: u32,
        /// When it was asked for.
        asked: u64,
        /// Which topic of this name it is about, 0 if unknown.
        incarnation: u64,
        /// Whether nothing is missing in it.
        whole: bool,
    },
    /// A part of it: what the log holds.
    AnswerLog {
        /// Which gate.
        gate: u32,
        /// Of which partition.
        partition: u32,
        /// The first offset there is.
        start: i64,
        /// The next one to be written.
        end: i64,
    },
    /// A part of it: what a group has committed.
    AnswerCommit {
        /// Which gate.
        gate: u32,
        /// Which group.
        group: u32,
        /// Of which partition.
        partition: u32,
        /// The committed offset, if there is one.
        offset: Option<i64>,
    },
    /// A part of it: a finished range of the commit before.
    AnswerRange {
        /// Which gate.
        gate: u32,
        /// The first offset in it.
        start: i64,
        /// The first offset behind it.
        end: i64,
    },
    /// Another group that gates follow committed an offset, without ranges.
    PlainCommit {
        /// Which group, from 1.
        group: u32,
        /// Of which partition.
        partition: u32,
        /// The next offset to process.
        offset: i64,
    },
}

/// A hash of all events in their order: equal for equal runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHash(u64);

impl Default for TraceHash {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3)
    }
}

impl TraceHash {
    /// The hash so far.
    pub fn value(self) -> u64 {
        self.0
    }

    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Takes an event in.
    pub fn see(&mut self, event: &Event) {
        self.mix(event.at);
        self.mix(u64::from(event.member));
        let record = |r: RecordAt| (u64::from(r.partition) << 40) ^ r.offset as u64;
        let (tag, a, b) = match event.what {
            What::Written { record: r, key, bytes } => {
                (1, record(r), u64::from(key.map_or(0, |k| k + 1)) << 32 | u64::from(bytes))
            }
            What::Truncated { partition, offset, .. } => (2, partition.into(), offset as u64),
            What::Expired { partition, offset } => (3, partition.into(), offset as u64),
            What::Joined { limit } => (4, limit.into(), 0),
            What::Limit { limit } => (5, limit.into(), 0),
            What::Ended => (6, 0, 0),
            What::Expelled => (7, 0, 0),
            What::Assigned { partition, committed, .. } => {
                (8, partition.into(), committed.unwrap_or(-1) as u64)
            }
            What::Revoking { partition } => (9, partition.into(), 0),
            What::Released { partition, clean } => (10, partition.into(), clean.into()),
            What::Lost { partition } => (11, partition.into(), 0),
            What::Stopped { partition } => (12, partition.into(), 0),
            What::Taken { record: r, bytes } => (13, record(r), bytes.into()),
            What::Start { record: r, attempt } => (14, record(r), attempt.into()),
            What::End { record: r, attempt, ending } => {
                (15, record(r), u64::from(attempt) << 8 | ending as u64)
            }
            What::GivenUp { record: r } => (16, record(r), 0),
            What::Commit { partition, offset, ranges, .. } => {
                (17, u64::from(partition) << 32 | u64::from(ranges), offset as u64)
            }
            What::Range { start, end, .. } => (18, start as u64, end as u64),
            What::Reset { partition, offset } => (19, partition.into(), offset as u64),
            What::Foreign { partition } => (20, partition.into(), 0),
            What::LetterWritten { record: r } => (21, record(r), 0),
            What::LetterAnswered { record: r } => (22, record(r), 0),
            What::GateBegins { gate, groups, .. } => (23, gate.into(), groups.into()),
            What::GateEnds { gate } => (24, gate.into(), 0),
            What::GateSays { gate, window, partitions, stuck } => {
                (25, u64::from(gate) << 32 | u64::from(partitions), window ^ stuck.rotate_right(8))
            }
            What::Wants { gate, records } => (26, gate.into(), records.into()),
            What::Sheds { gate, records } => (27, gate.into(), records.into()),
            What::Sent { gate, partition, floor } => {
                (28, u64::from(gate) << 32 | u64::from(partition), floor.into())
            }
            What::Refused { gate, partition, for_groups } => {
                (29, u64::from(gate) << 32 | u64::from(partition), for_groups.into())
            }
            What::Acknowledged { gate, partition, record: r } => {
                (30, u64::from(gate) << 32 | u64::from(partition), r.map_or(u64::MAX, record))
            }
            What::NotWritten { gate, partition } => (31, gate.into(), partition.into()),
            What::Answer { gate, asked, incarnation, .. } => {
                (32, u64::from(gate) ^ asked.rotate_left(20), incarnation)
            }
            What::AnswerLog { partition, start, end, .. } => {
                (33, u64::from(partition) << 32 ^ start as u64, end as u64)
            }
            What::AnswerCommit { group, partition, offset, .. } => {
                let place = u64::from(group) << 32 | u64::from(partition);
                (34, place, offset.unwrap_or(-1) as u64)
            }
            What::AnswerRange { start, end, .. } => (35, start as u64, end as u64),
            What::PlainCommit { group, partition, offset } => {
                (36, u64::from(group) << 32 | u64::from(partition), offset as u64)
            }
            What::Budgets { bytes, queued } => (37, bytes, queued.into()),
        };
        self.mix(tag);
        self.mix(a);
        self.mix(b);
    }
}
