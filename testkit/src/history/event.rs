//! The events of a run and their text.

use std::{fmt, sync::Arc};

/// Something that happened at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in microseconds of the monotonic clock.
    pub t_us: u64,
    /// To whom: the name of the member, or of one life of it.
    pub member: Arc<str>,
    /// What.
    pub happened: Happened,
}

/// The coordinates of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordAt {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

impl RecordAt {
    /// A record's coordinates.
    #[must_use]
    pub fn new(topic: &str, partition: i32, offset: i64) -> Self {
        Self { topic: topic.into(), partition, offset }
    }
}

impl fmt::Display for RecordAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} offset {}", self.topic, self.partition, self.offset)
    }
}

/// How a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// It did its work.
    Done,
    /// It decided that there is nothing to do.
    Skip,
    /// It wants to try again.
    Retry,
    /// What it calls has too much to do.
    Overloaded,
    /// It wants the record in the dead-letter topic.
    DeadLetter,
    /// Its future was dropped before it ended.
    Cancelled,
    /// It panicked.
    Panicked,
}

impl Ending {
    const NAMES: [(Self, &'static str); 7] = [
        (Self::Done, "done"),
        (Self::Skip, "skip"),
        (Self::Retry, "retry"),
        (Self::Overloaded, "overloaded"),
        (Self::DeadLetter, "dead-letter"),
        (Self::Cancelled, "cancelled"),
        (Self::Panicked, "panicked"),
    ];

    /// Whether the record is finished by this alone.
    #[must_use]
    pub fn finishes(self) -> bool {
        matches!(self, Self::Done | Self::Skip | Self::DeadLetter)
    }

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(ending, _)| *ending == self).map_or("", |(_, name)| name)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, name)| *name == text).map(|(ending, _)| *ending)
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A handler started.
    Start {
        /// With this record.
        record: RecordAt,
        /// The hash of its key, if it has one.
        key_hash: Option<u64>,
        /// For which time, from 1 on.
        attempt: u32,
    },
    /// A handler ended.
    End {
        /// With this record.
        record: RecordAt,
        /// For which time, from 1 on.
        attempt: u32,
        /// How.
        ending: Ending,
    },
    /// A commit was answered: `next.offset` is the next offset to process after a restart.
    Commit {
        /// The partition and the committed offset.
        next: RecordAt,
    },
    /// The member got a partition.
    Assigned {
        /// Its topic.
        topic: Arc<str>,
        /// Its number.
        partition: i32,
    },
    /// The member gave a partition back in an orderly way.
    Revoked {
        /// Its topic.
        topic: Arc<str>,
        /// Its number.
        partition: i32,
    },
    /// The member lost a partition without having been asked.
    Lost {
        /// Its topic.
        topic: Arc<str>,
        /// Its number.
        partition: i32,
    },
    /// The member was killed: nothing it had in flight will end. Written by who killed it.
    Killed,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { t_us, member, happened } = self;
        let at = |record: &RecordAt| {
            format!("{}\t{}\t{}", record.topic, record.partition, record.offset)
        };
        write!(f, "{t_us}\t{member}\t")?;
        match happened {
            Happened::Start { record, key_hash, attempt } => {
                write!(f, "start\t{}\t{attempt}\t", at(record))?;
                match key_hash {
                    Some(hash) => write!(f, "{hash:016x}"),
                    None => write!(f, "-"),
                }
            }
            Happened::End { record, attempt, ending } => {
                write!(f, "end\t{}\t{attempt}\t{}", at(record), ending.name())
            }
            Happened::Commit { next } => write!(f, "commit\t{}", at(next)),
            Happened::Assigned { topic, partition } => write!(f, "assigned\t{topic}\t{partition}"),
            Happened::Revoked { topic, partition } => write!(f, "revoked\t{topic}\t{partition}"),
            Happened::Lost { topic, partition } => write!(f, "lost\t{topic}\t{partition}"),
            Happened::Killed => write!(f, "killed"),
        }
    }
}

impl Event {
    /// The event of a line, or none if the line is not one. `intern` keeps names once.
    pub(super) fn parse(line: &str, intern: &mut impl FnMut(&str) -> Arc<str>) -> Option<Self> {
        let mut fields = line.split('\t');
        let t_us = fields.next()?.parse().ok()?;
        let member = intern(fields.next()?);
        let kind = fields.next()?;
        let happened = match kind {
            "start" => {
                let record = record(&mut fields, intern)?;
                let attempt = fields.next()?.parse().ok()?;
                let key_hash = match fields.next()? {
                    "-" => None,
                    // Whole or torn: a hash is always of 16 digits.
                    text if text.len() == 16 => Some(u64::from_str_radix(text, 16).ok()?),
                    _ => return None,
                };
                Happened::Start { record, key_hash, attempt }
            }
            "end" => Happened::End {
                record: record(&mut fields, intern)?,
                attempt: fields.next()?.parse().ok()?,
                ending: Ending::parse(fields.next()?)?,
            },
            "commit" => Happened::Commit { next: record(&mut fields, intern)? },
            "assigned" | "revoked" | "lost" => {
                let topic = intern(fields.next()?);
                let partition = fields.next()?.parse().ok()?;
                match kind {
                    "assigned" => Happened::Assigned { topic, partition },
                    "revoked" => Happened::Revoked { topic, partition },
                    _ => Happened::Lost { topic, partition },
                }
            }
            "killed" => Happened::Killed,
            _ => return None,
        };
        fields.next().is_none().then_some(Self { t_us, member, happened })
    }
}

fn record<'a>(
    fields: &mut impl Iterator<Item = &'a str>,
    intern: &mut impl FnMut(&str) -> Arc<str>,
) -> Option<RecordAt> {
    Some(RecordAt {
        topic: intern(fields.next()?),
        partition: fields.next()?.parse().ok()?,
        offset: fields.next()?.parse().ok()?,
    })
}
