//! Histories for the checkers' own tests.

use std::sync::Arc;

use crate::history::{Ending, Event, Happened, History, RecordAt};

/// Writes a history by hand: topic `t`, one microsecond from event to event.
pub(super) struct Run {
    member: Arc<str>,
    events: Vec<Event>,
}

impl Run {
    pub(super) fn new(member: &str) -> Self {
        Self { member: member.into(), events: Vec::new() }
    }

    pub(super) fn history(&self) -> History {
        History::from_events(self.events.clone())
    }

    pub(super) fn member(&mut self, member: &str) -> &mut Self {
        self.member = member.into();
        self
    }

    pub(super) fn start(&mut self, partition: i32, offset: i64, key: u64) -> &mut Self {
        self.started(partition, offset, Some(key), 1)
    }

    pub(super) fn start_keyless(&mut self, partition: i32, offset: i64) -> &mut Self {
        self.started(partition, offset, None, 1)
    }

    pub(super) fn end(&mut self, partition: i32, offset: i64, ending: Ending) -> &mut Self {
        self.ended(partition, offset, 1, ending)
    }

    /// From start to end, with key 1.
    pub(super) fn handled(
        &mut self,
        partition: i32,
        offset: i64,
        attempt: u32,
        ending: Ending,
    ) -> &mut Self {
        self.started(partition, offset, Some(1), attempt);
        self.ended(partition, offset, attempt, ending)
    }

    pub(super) fn commit(&mut self, partition: i32, next: i64) -> &mut Self {
        self.push(Happened::Commit { next: RecordAt::new("t", partition, next) })
    }

    pub(super) fn assigned(&mut self, partition: i32) -> &mut Self {
        self.push(Happened::Assigned { topic: "t".into(), partition })
    }

    pub(super) fn revoked(&mut self, partition: i32) -> &mut Self {
        self.push(Happened::Revoked { topic: "t".into(), partition })
    }

    pub(super) fn lost(&mut self, partition: i32) -> &mut Self {
        self.push(Happened::Lost { topic: "t".into(), partition })
    }

    pub(super) fn killed(&mut self) -> &mut Self {
        self.push(Happened::Killed)
    }

    fn started(&mut self, partition: i32, offset: i64, key: Option<u64>, n: u32) -> &mut Self {
        let record = RecordAt::new("t", partition, offset);
        self.push(Happened::Start { record, key_hash: key, attempt: n })
    }

    fn ended(&mut self, partition: i32, offset: i64, n: u32, ending: Ending) -> &mut Self {
        let record = RecordAt::new("t", partition, offset);
        self.push(Happened::End { record, attempt: n, ending })
    }

    fn push(&mut self, happened: Happened) -> &mut Self {
        let t_us = self.events.len() as u64;
        self.events.push(Event { t_us, member: Arc::clone(&self.member), happened });
        self
    }
}
