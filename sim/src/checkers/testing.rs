//! Histories for the checkers' own tests.

use std::time::Duration;

use super::{Checker, Loop};
use crate::history::{Ending, Event, RecordAt, What};

/// A history that is written one event after another, a microsecond apart.
pub(super) struct Run {
    events: Vec<Event>,
    member: u32,
}

impl Run {
    pub(super) fn new() -> Self {
        Self { events: Vec::new(), member: 0 }
    }

    /// Everything that `checker` finds, going on after each.
    pub(super) fn violations(&self, mut checker: impl Checker) -> Vec<String> {
        let mut found: Vec<_> =
            self.events.iter().filter_map(|e| checker.see(e).err()).map(|v| v.text).collect();
        found.extend(checker.finish(self.events.len() as u64 * 1_000).err().map(|v| v.text));
        found
    }

    /// A checker that has seen it all.
    pub(super) fn seen_by<C: Checker>(&self, mut checker: C) -> C {
        self.events.iter().for_each(|event| drop(checker.see(event)));
        checker
    }

    /// The events that follow are this member's.
    pub(super) fn member(&mut self, member: u32) -> &mut Self {
        self.member = member;
        self
    }

    /// The time of the next event.
    pub(super) fn now(&self) -> u64 {
        self.events.len() as u64 * 1_000
    }

    pub(super) fn push(&mut self, what: What) -> &mut Self {
        let at = self.events.len() as u64 * 1_000;
        self.events.push(Event { at, member: self.member, what });
        self
    }

    pub(super) fn written(&mut self, partition: u32, offset: i64, key: u32) -> &mut Self {
        self.push(What::Written { record: at(partition, offset), key: Some(key), bytes: 100 })
    }

    pub(super) fn joined(&mut self, limit: u32) -> &mut Self {
        self.push(What::Joined { limit })
    }

    pub(super) fn assigned(&mut self, partition: u32) -> &mut Self {
        self.push(What::Assigned { partition, committed: None, ranges: true, again: false })
    }

    pub(super) fn assigned_at(&mut self, partition: u32, committed: i64) -> &mut Self {
        self.push(What::Assigned {
            partition,
            committed: Some(committed),
            ranges: true,
            again: false,
        })
    }

    pub(super) fn lost(&mut self, partition: u32) -> &mut Self {
        self.push(What::Lost { partition })
    }

    pub(super) fn expelled(&mut self) -> &mut Self {
        self.push(What::Expelled)
    }

    pub(super) fn ended(&mut self) -> &mut Self {
        self.push(What::Ended)
    }

    pub(super) fn released(&mut self, partition: u32, clean: bool) -> &mut Self {
        self.push(What::Released { partition, clean })
    }

    pub(super) fn taken(&mut self, partition: u32, offset: i64, bytes: u32) -> &mut Self {
        self.push(What::Taken { record: at(partition, offset), bytes })
    }

    pub(super) fn start(&mut self, partition: u32, offset: i64, attempt: u32) -> &mut Self {
        self.push(What::Start { record: at(partition, offset), attempt })
    }

    pub(super) fn end(
        &mut self,
        partition: u32,
        offset: i64,
        attempt: u32,
        ending: Ending,
    ) -> &mut Self {
        self.push(What::End { record: at(partition, offset), attempt, ending })
    }

    pub(super) fn handled(
        &mut self,
        partition: u32,
        offset: i64,
        attempt: u32,
        ending: Ending,
    ) -> &mut Self {
        self.start(partition, offset, attempt).end(partition, offset, attempt, ending)
    }

    /// A commit that was sent and taken now.
    pub(super) fn commit(
        &mut self,
        partition: u32,
        offset: i64,
        ranges: &[(i64, i64)],
    ) -> &mut Self {
        let sent = self.events.len() as u64 * 1_000;
        let count = ranges.len() as u32;
        let partial = false;
        self.push(What::Commit { partition, offset, epoch: 0, sent, ranges: count, partial });
        for &(start, end) in ranges {
            self.push(What::Range { partition, start, end, epoch: 0 });
        }
        self
    }
}

/// A loop that is watched for a while.
pub(super) fn of_a_loop() -> Loop {
    Loop {
        from: 0,
        until: 1_000_000,
        speed: 1_000,
        target: Duration::from_secs(2),
        producers: 1,
        overloaded: true,
    }
}

/// A record of the first leader epoch.
pub(super) fn record(partition: u32, offset: i64) -> RecordAt {
    at(partition, offset)
}

fn at(partition: u32, offset: i64) -> RecordAt {
    RecordAt { partition, offset, epoch: 0 }
}
