//! A history of handler runs, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tidegate_runtime::Record;

use super::{At, Produced, at};

/// One run of a handler, in the order of a counter that all runs share.
#[derive(Clone, Debug)]
pub struct Ran {
    pub member: u32,
    pub at: At,
    pub key: Option<Vec<u8>>,
    pub attempt: u32,
    pub begin: u64,
    /// `None` while it runs.
    pub end: Option<u64>,
    /// It ended by saying that the record is finished.
    pub finished: bool,
}

#[derive(Debug, Default)]
struct Inner {
    clock: u64,
    ran: Vec<Ran>,
    running: BTreeMap<u32, u32>,
    most: u32,
}

/// What handlers write while they run.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<Inner>>);

/// A handler run that has not ended. Dropped, it ended without finishing the record.
#[derive(Debug)]
pub struct Running {
    history: History,
    index: usize,
}

/// What makes two records wait for one another.
#[derive(Clone, Copy, Debug)]
pub enum Lane {
    Key,
    Partition,
}

/// A lane's name.
type Name = (i32, Option<Vec<u8>>);

impl Lane {
    /// The lane of a record; `None` if it has none.
    fn of(self, at: &At, key: &Option<Vec<u8>>) -> Option<Name> {
        match (self, key) {
            (Self::Key, None) => None,
            (Self::Key, Some(key)) => Some((at.0, Some(key.clone()))),
            (Self::Partition, _) => Some((at.0, None)),
        }
    }
}

impl History {
    pub fn begin(&self, member: u32, record: &Record) -> Running {
        let mut inner = self.0.lock().unwrap();
        inner.clock += 1;
        let ran = Ran {
            member,
            at: at(record),
            key: record.key().map(<[u8]>::to_vec),
            attempt: record.attempt(),
            begin: inner.clock,
            end: None,
            finished: false,
        };
        inner.ran.push(ran);
        let running = inner.running.entry(member).or_default();
        *running += 1;
        inner.most = inner.most.max(inner.running[&member]);
        Running { history: self.clone(), index: inner.ran.len() - 1 }
    }

    fn end(&self, index: usize, finished: bool) {
        let mut inner = self.0.lock().unwrap();
        inner.clock += 1;
        let clock = inner.clock;
        let ran = &mut inner.ran[index];
        if ran.end.is_none() {
            ran.end = Some(clock);
            ran.finished = finished;
            let member = ran.member;
            *inner.running.get_mut(&member).unwrap() -= 1;
        }
    }

    pub fn ran(&self) -> Vec<Ran> {
        self.0.lock().unwrap().ran.clone()
    }

    /// How many finished.
    pub fn finished(&self) -> usize {
        self.0.lock().unwrap().ran.iter().filter(|ran| ran.finished).count()
    }

    /// The most that ran at once in one member, as the handlers themselves saw it.
    pub fn most(&self) -> u32 {
        self.0.lock().unwrap().most
    }

    pub fn offsets(&self, partition: i32) -> Vec<i64> {
        self.ran().iter().filter(|ran| ran.at.0 == partition).map(|ran| ran.at.1).collect()
    }

    /// Everything was finished.
    pub fn assert_none_lost(&self, produced: &Produced) {
        let finished: BTreeSet<At> =
            self.ran().iter().filter(|ran| ran.finished).map(|ran| ran.at).collect();
        let lost: Vec<_> = produced.keys().filter(|at| !finished.contains(at)).collect();
        assert!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
    }

    /// Nothing was started again after it was finished.
    pub fn assert_no_repeats(&self) {
        let mut finished = BTreeSet::new();
        for ran in self.ran() {
            assert!(!finished.contains(&ran.at), "{:?} was finished and came again", ran.at);
            if ran.finished {
                finished.insert(ran.at);
            }
        }
    }

    /// Of each lane one record runs at a time in one member, whatever other members do.
    pub fn assert_one_at_a_time_in_each_member(&self, lane: Lane) {
        let mut last: BTreeMap<(u32, Name), Ran> = BTreeMap::new();
        for ran in self.ran() {
            let Some(name) = lane.of(&ran.at, &ran.key) else { continue };
            if let Some(last) = last.insert((ran.member, name), ran.clone()) {
                let over = last.end.is_some_and(|end| end < ran.begin);
                assert!(over, "{ran:?} began while {last:?} ran");
            }
        }
    }

    /// Of each lane one record runs at a time, and none before all below it are finished.
    pub fn assert_order(&self, produced: &Produced, lane: Lane) {
        let mut lanes: BTreeMap<Name, (Vec<i64>, Vec<Ran>)> = BTreeMap::new();
        for (at, key) in produced {
            if let Some(name) = lane.of(at, key) {
                lanes.entry(name).or_default().0.push(at.1);
            }
        }
        for ran in self.ran() {
            if let Some(name) = lane.of(&ran.at, &ran.key) {
                lanes.entry(name).or_default().1.push(ran);
            }
        }
        for (name, (offsets, ran)) in lanes {
            let mut finished_at: BTreeMap<i64, u64> = BTreeMap::new();
            let mut last: Option<Ran> = None;
            for ran in ran {
                if let Some(last) = &last {
                    let over = last.end.is_some_and(|end| end < ran.begin);
                    assert!(over, "{name:?}: {ran:?} began while {last:?} ran");
                }
                for below in offsets.iter().filter(|offset| **offset < ran.at.1) {
                    let ok = finished_at.get(below).is_some_and(|end| *end < ran.begin);
                    assert!(ok, "{name:?}: {ran:?} began before offset {below} was finished");
                }
                if ran.finished {
                    finished_at.insert(ran.at.1, ran.end.unwrap());
                }
                last = Some(ran);
            }
        }
    }
}

impl Running {
    /// How many handlers ran before this one.
    pub fn number(&self) -> u64 {
        self.index as u64
    }

    /// The record is finished.
    pub fn finish(self) {
        self.history.end(self.index, true);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.history.end(self.index, false);
    }
}
