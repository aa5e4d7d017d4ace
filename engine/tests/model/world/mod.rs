//! The engine against a naive model: two members share partitions, a log and its committed
//! offsets; a tape of bytes decides what happens. The model keeps sets and searches them.
//!
//! `handling` is the life of records between admission and outcome, `commits` what is said to the
//! log. The fuzz target of the engine is this world, too.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod commits;
mod handling;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tidegate_engine::*;

pub(crate) const PARTITIONS: usize = 3;

#[derive(Clone, Copy, Debug)]
pub(crate) struct LogRecord {
    pub(crate) offset: i64,
    pub(crate) key: Option<u8>,
    pub(crate) bytes: u32,
}

/// What one member does with one partition.
#[derive(Debug)]
struct Assigned {
    /// Index into the log of the next record to read.
    next: usize,
    position: Option<i64>,
    /// Admitted and not finished or dropped.
    held: BTreeSet<i64>,
    /// Finished while assigned, or known to be from commits and the member's own past.
    finished: BTreeSet<i64>,
    draining: bool,
    stopped: bool,
    /// There has been something to commit since then.
    uncommitted_since: Option<Instant>,
    /// The engine was told the time when that was too long ago.
    stalled: bool,
}

/// A handler that runs, or one that was given out to run next.
#[derive(Clone, Copy)]
struct Running {
    /// Given out as the so-many-th.
    number: u64,
    partition: usize,
    offset: i64,
    orphan: bool,
    /// The one that must be done first.
    after: Option<Ticket>,
    /// The handler has ended and its dead letter is being written.
    writing: bool,
}

struct Member {
    engine: Engine<i64>,
    assigned: BTreeMap<usize, Assigned>,
    /// Everything that this process finished.
    own: BTreeSet<(usize, i64)>,
    running: HashMap<Ticket, Running>,
    limit: u32,
    /// Bytes and queued records that may be admitted, and what was held at the last look.
    budgets: (u64, u32),
    held_before: (u64, usize),
    /// Tickets whose outcome was handed in.
    spent: Vec<Ticket>,
    credit: u32,
}

pub(crate) struct World {
    config: Config,
    logs: Vec<Vec<LogRecord>>,
    committed: Vec<Option<(i64, String)>>,
    members: Vec<Member>,
    now: Instant,
    done: BTreeSet<(usize, i64)>,
    started: u64,
}

fn id(partition: usize) -> PartitionId {
    PartitionId(partition as u32)
}

impl Member {
    /// One of those that run.
    fn pick(&self, pick: usize) -> Option<Ticket> {
        let started = self.running.iter().filter(|(_, r)| r.after.is_none());
        let mut tickets: Vec<_> = started.map(|(ticket, r)| (r.number, *ticket)).collect();
        tickets.sort_by_key(|(number, _)| *number);
        tickets.get(pick % tickets.len().max(1)).map(|(_, ticket)| *ticket)
    }
}

impl World {
    pub(crate) fn new(config: Config, logs: Vec<Vec<LogRecord>>) -> Self {
        let now = Instant::from_nanos(1);
        let member = |_| Member {
            engine: Engine::new(config.clone(), now).unwrap(),
            assigned: BTreeMap::new(),
            own: BTreeSet::new(),
            running: HashMap::new(),
            limit: config.max_in_flight,
            budgets: (config.max_bytes, config.max_queued),
            held_before: (0, 0),
            spent: Vec::new(),
            credit: config.dead_letter_credit,
        };
        Self {
            members: (0..2).map(member).collect(),
            committed: vec![None; PARTITIONS],
            config,
            logs,
            now,
            done: BTreeSet::new(),
            started: 0,
        }
    }

    fn owner(&self, partition: usize) -> Option<usize> {
        self.members.iter().position(|m| m.assigned.contains_key(&partition))
    }

    fn assign(&mut self, member: usize, partition: usize) {
        if self.owner(partition).is_some() {
            return;
        }
        let (committed, metadata) = match &self.committed[partition] {
            Some((offset, metadata)) => (Some(*offset), metadata.clone()),
            None => (None, String::new()),
        };
        let m = &mut self.members[member];
        let start = Start {
            committed: committed.map(Offset),
            metadata: &metadata,
            incarnation: 7 + partition as u64,
        };
        m.engine.handle_assigned(id(partition), start, self.now).expect("own metadata");
        let begin = committed.unwrap_or(0);
        let mut finished: BTreeSet<i64> = self.logs[partition]
            .iter()
            .map(|r| r.offset)
            .filter(|o| *o < begin || m.own.contains(&(partition, *o)))
            .collect();
        if let Some(at) = committed {
            let ranges = Metadata::decode(&metadata, Offset(at)).unwrap().finished;
            let named = self.logs[partition].iter().map(|r| r.offset);
            finished.extend(named.filter(|o| ranges.iter().any(|r| r.contains(Offset(*o)))));
        }
        for offset in &finished {
            assert!(self.done.contains(&(partition, *offset)), "{partition}/{offset} lost");
        }
        let next = self.logs[partition].partition_point(|r| r.offset < begin);
        m.assigned.insert(
            partition,
            Assigned {
                next,
                position: None,
                held: BTreeSet::new(),
                finished,
                draining: false,
                stopped: false,
                uncommitted_since: None,
                stalled: false,
            },
        );
    }

    fn read(&mut self, member: usize, partition: usize, want: usize) {
        let m = &mut self.members[member];
        let Some(assigned) = m.assigned.get_mut(&partition) else { return };
        let capacity = m.engine.capacity(id(partition), self.now);
        if capacity.records > 0 {
            assert!(!assigned.draining && !assigned.stopped);
        }
        let mut arrivals = Vec::new();
        let mut bytes = 0;
        while let Some(record) = self.logs[partition].get(assigned.next) {
            let most = if arrivals.is_empty() { capacity.first } else { capacity.bytes };
            if arrivals.len() >= want.min(capacity.records as usize) {
                break;
            }
            bytes += u64::from(record.bytes);
            if bytes > most {
                if arrivals.is_empty() && capacity.records > 0 {
                    m.engine.reserve(id(partition), bytes, self.now);
                }
                break;
            }
            assigned.next += 1;
            assigned.position = Some(record.offset + 1);
            if !assigned.finished.contains(&record.offset) {
                assigned.held.insert(record.offset);
            }
            arrivals.push(Arrival {
                offset: Offset(record.offset),
                bytes: record.bytes,
                key: record.key.map(|k| KeyHash(u64::from(k))),
                leader_epoch: 1,
                payload: record.offset,
            });
        }
        let fresh = arrivals.iter().filter(|a| assigned.held.contains(&a.offset.0)).count() as u32;
        let position = assigned.position.map(Offset);
        let admitted =
            m.engine.handle_records(id(partition), arrivals, position.map(Into::into), self.now);
        assert_eq!(admitted, fresh, "what was finished, and only that, is left out");
        self.check_budgets(member);
    }

    fn check_budgets(&mut self, member: usize) {
        let m = &self.members[member];
        let size = |p: usize, o: i64| {
            let log = &self.logs[p];
            u64::from(log[log.partition_point(|r| r.offset < o)].bytes)
        };
        let mut held: BTreeSet<(usize, i64)> = BTreeSet::new();
        for (p, assigned) in &m.assigned {
            held.extend(assigned.held.iter().map(|o| (*p, *o)));
        }
        let orphans = m.running.values().filter(|r| r.orphan);
        let bytes: u64 = held.iter().map(|(p, o)| size(*p, *o)).sum::<u64>()
            + orphans.clone().map(|r| size(r.partition, r.offset)).sum::<u64>();
        let records = held.len() + orphans.count();
        // After a cut it only falls.
        let (most, queued) = m.budgets;
        let (before, records_before) = m.held_before;
        assert!(bytes <= most.max(before) || records == 1, "{bytes} bytes, {records} records");
        assert!(records <= ((queued + m.limit) as usize).max(records_before), "{records} records");
        let snapshot = m.engine.snapshot(self.now);
        assert_eq!(snapshot.bytes, bytes);
        for partition in &snapshot.partitions {
            let p = partition.partition.index();
            let own: u64 = m.assigned[&p].held.iter().map(|o| size(p, *o)).sum();
            assert_eq!(partition.bytes, own, "bytes of {p}");
        }
        assert_eq!((snapshot.in_flight + snapshot.queued) as usize, records);
        assert_eq!(snapshot.in_flight as usize, m.running.len());
        // A failed attempt goes back to the queue whatever its length.
        assert!(snapshot.queued <= self.config.max_queued + self.config.max_in_flight);
        self.members[member].held_before = (bytes, records);
    }

    /// What is queued was dropped.
    fn keep_running_only(&mut self, member: usize, partition: usize) {
        let m = &mut self.members[member];
        let running: BTreeSet<i64> = m
            .running
            .values()
            .filter(|r| r.partition == partition && !r.orphan)
            .map(|r| r.offset)
            .collect();
        m.assigned.get_mut(&partition).unwrap().held.retain(|o| running.contains(o));
    }

    fn begin_revoke(&mut self, member: usize, partition: usize) {
        let m = &mut self.members[member];
        let Some(assigned) = m.assigned.get_mut(&partition) else { return };
        assigned.draining = true;
        m.engine.handle_revoking(id(partition), self.now);
        self.keep_running_only(member, partition);
        self.check_budgets(member);
    }

    fn end_assignment(&mut self, member: usize, partition: usize) {
        let m = &mut self.members[member];
        if m.assigned.remove(&partition).is_none() {
            return;
        }
        m.engine.handle_lost(id(partition), self.now);
        let written = m.running.values();
        let written = written.filter(|r| r.partition == partition && r.writing && !r.orphan);
        m.credit = (m.credit + written.count() as u32).min(self.config.dead_letter_credit);
        m.running.values_mut().filter(|r| r.partition == partition).for_each(|r| r.orphan = true);
        self.check_budgets(member);
    }

    pub(crate) fn step(&mut self, [op, a, b]: [u8; 3]) {
        let (member, p) = (usize::from(a) % 2, usize::from(a >> 1) % PARTITIONS);
        self.now = self.now + Duration::from_micros(u64::from(b));
        match op % 24 {
            0 | 1 => self.assign(member, p),
            2..=6 => self.read(member, p, 1 + usize::from(b) % 16),
            7..=11 => self.dispatch(member, 1 + usize::from(b) % 8, a & 8 > 0),
            12..=15 => self.outcome(member, b.into(), Outcome::Done),
            16 => self.outcome(member, b.into(), Outcome::Retry { after: None }),
            17 if b % 2 == 0 => self.outcome(member, b.into(), Outcome::DeadLetter),
            17 => self.outcome(member, b.into(), Outcome::Overloaded { retry_after: None }),
            18 => self.commit(member, b % 4 > 0),
            19 if b % 2 == 0 => self.begin_revoke(member, p),
            20 if b % 4 == 0 => self.end_assignment(member, p),
            20 if b % 4 == 1 => self.members[member].engine.cancel_partition(id(p), self.now),
            21 => {
                self.now = self.now + Duration::from_millis(u64::from(b) * 4);
                self.timeout(member);
            }
            22 => self.change(member, b.into()),
            23 if b % 2 == 0 => {
                let mut all: Vec<_> = self.members[member].running.iter().collect();
                all.sort_by_key(|(_, r)| r.number);
                if let Some(&(&ticket, _)) = all.get(usize::from(b) % all.len().max(1)) {
                    self.unstarted(member, ticket);
                }
            }
            _ => self.outcome(member, b.into(), Outcome::Skip),
        }
        self.take_actions(member);
    }

    /// Other limits and budgets, at most those that it began with.
    fn change(&mut self, member: usize, b: u32) {
        let part = 1 + b % 4;
        let limit = 1 + b % self.config.max_in_flight;
        let bytes = (self.config.max_bytes * u64::from(part) / 4).max(1_024);
        let queued = (self.config.max_queued * part / 4).max(1);
        let change = ConfigChange {
            max_in_flight: Some(limit),
            max_bytes: Some(bytes),
            max_queued: Some(queued),
            ..ConfigChange::default()
        };
        let m = &mut self.members[member];
        m.engine.change_config(&change, self.now).unwrap();
        (m.limit, m.budgets) = (limit, (bytes, queued));
    }

    fn take_actions(&mut self, member: usize) {
        let m = &mut self.members[member];
        while let Some(action) = m.engine.poll_action() {
            match action {
                Action::Drained { partition } => {
                    let mut runs = m.running.values().filter(|r| r.partition == partition.index());
                    assert!(runs.all(|r| r.orphan), "{partition:?} is not drained");
                }
                Action::Cancel { ticket, reason } => {
                    let run = m.running.get(&ticket).expect("what is cancelled runs");
                    let timeout = reason == CancelReason::Timeout;
                    assert!(!timeout || !(run.orphan || run.writing), "a timeout of no attempt");
                }
                _ => {}
            }
        }
    }

    fn timeout(&mut self, member: usize) {
        let m = &mut self.members[member];
        m.engine.handle_timeout(self.now);
        let next = m.engine.poll_timeout();
        assert!(next.is_none_or(|at| at > self.now), "what was due is due again");
        // The engine looks four times in a stall.
        let limit = self.config.commit_stall + self.config.commit_stall / 4;
        for assigned in m.assigned.values_mut() {
            let since = assigned.uncommitted_since.map(|s| self.now.saturating_since(s));
            assigned.stalled |= since.is_some_and(|since| since > limit);
        }
    }

    /// Faults stop: everything must finish and be committed.
    pub(crate) fn finish(&mut self) {
        for partition in 0..PARTITIONS {
            let stuck = |a: &Assigned| a.draining || a.stopped;
            if let Some(owner) = self.owner(partition)
                && stuck(&self.members[owner].assigned[&partition])
            {
                self.end_assignment(owner, partition);
            }
            self.assign(partition % 2, partition);
        }
        for _ in 0..20_000 {
            self.now = self.now + Duration::from_secs(1);
            for member in 0..2 {
                self.timeout(member);
                for partition in 0..PARTITIONS {
                    self.read(member, partition, 100);
                }
                self.dispatch(member, 100, self.started.is_multiple_of(2));
                self.outcome(member, 0, Outcome::Done);
                self.commit(member, true);
            }
            let end = |p: usize| self.logs[p].last().map_or(0, |r| r.offset + 1);
            let at = |p: usize| self.committed[p].as_ref().map_or(0, |c| c.0);
            if (0..PARTITIONS).all(|p| at(p) == end(p)) {
                for (p, log) in self.logs.iter().enumerate() {
                    assert!(log.iter().all(|r| self.done.contains(&(p, r.offset))));
                }
                return;
            }
        }
        let states: Vec<_> = self.members.iter().map(|m| m.engine.snapshot(self.now)).collect();
        panic!("no end: {states:#?}");
    }
}
