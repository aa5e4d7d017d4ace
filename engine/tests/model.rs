//! The engine against a naive model: two members share partitions, a log and its committed
//! offsets; a tape of bytes decides what happens. The model keeps sets and searches them.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use proptest::prelude::*;
use tidegate_engine::*;

const PARTITIONS: usize = 3;

#[derive(Clone, Copy, Debug)]
struct LogRecord {
    offset: i64,
    key: Option<u8>,
    bytes: u32,
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
    /// Tickets whose outcome was handed in.
    spent: Vec<Ticket>,
    credit: u32,
}

struct World {
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
        let mut tickets: Vec<_> = started.map(|(t, r)| (r.partition, r.offset, *t)).collect();
        tickets.sort_by_key(|(p, o, _)| (*p, *o));
        tickets.get(pick % tickets.len().max(1)).map(|(.., ticket)| *ticket)
    }
}

impl World {
    fn new(config: Config, logs: Vec<Vec<LogRecord>>) -> Self {
        let now = Instant::from_nanos(1);
        let member = |_| Member {
            engine: Engine::new(config.clone(), now).unwrap(),
            assigned: BTreeMap::new(),
            own: BTreeSet::new(),
            running: HashMap::new(),
            limit: config.max_in_flight,
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

    fn check_budgets(&self, member: usize) {
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
        assert!(bytes <= self.config.max_bytes || records == 1, "{bytes} bytes, {records} records");
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
    }

    fn same_lane(&self, partition: usize, a: i64, b: i64) -> bool {
        let key = |o: i64| self.logs[partition].iter().find(|r| r.offset == o).unwrap().key;
        match self.config.ordering {
            Ordering::Key => key(a).is_some() && key(a) == key(b),
            Ordering::Partition => true,
            _ => false,
        }
    }

    fn dispatch(&mut self, member: usize, max: usize, with_followers: bool) {
        let mut out = Vec::new();
        self.members[member].engine.poll_dispatch(&mut out, max, self.now);
        if with_followers {
            let heads = out.len();
            let followers = self.members[member].engine.poll_followers(&mut out, max);
            assert!(followers <= max && heads + followers == out.len());
        }
        let tickets: Vec<_> = out.iter().map(|dispatch| dispatch.ticket).collect();
        for dispatch in out {
            let after = dispatch.after.map(|index| tickets[index as usize]);
            let (p, offset) = (dispatch.partition.index(), dispatch.offset.0);
            self.started += 1;
            let m = &self.members[member];
            assert!((m.running.len() as u32) < m.limit, "a start above the limit");
            let assigned = m.assigned.get(&p).expect("dispatched while assigned");
            assert!(!assigned.draining && !assigned.stopped, "a start while draining");
            assert!(!assigned.stalled, "a start while no commit succeeds");
            assert!(assigned.held.contains(&offset), "{p}/{offset} is not held");
            assert!(!assigned.finished.contains(&offset), "{p}/{offset} was finished");
            // What goes out behind another one is in line with all that must be done first.
            let mut line = BTreeSet::new();
            let mut next = after;
            while let Some(ticket) = next {
                let before = m.running[&ticket];
                assert!(before.partition == p && self.same_lane(p, before.offset, offset));
                line.insert(before.offset);
                next = before.after;
            }
            for other in m.running.values().filter(|r| r.partition == p) {
                let clash = self.same_lane(p, other.offset, offset);
                let waits = !other.orphan && line.contains(&other.offset);
                assert!(!clash || waits, "{p}: {} and {offset} run at once", other.offset);
            }
            for earlier in self.logs[p].iter().take_while(|r| r.offset < offset) {
                let waits = self.same_lane(p, earlier.offset, offset);
                let ready = assigned.finished.contains(&earlier.offset);
                let ready = ready || line.contains(&earlier.offset);
                assert!(!waits || ready, "{p}/{offset} started before {}", earlier.offset);
            }
            let running = Running { partition: p, offset, orphan: false, after, writing: false };
            self.members[member].running.insert(dispatch.ticket, running);
        }
        self.check_budgets(member);
    }

    fn outcome(&mut self, member: usize, pick: usize, outcome: Outcome) {
        let m = &mut self.members[member];
        let Some(ticket) = m.pick(pick) else { return };
        if outcome == Outcome::Done {
            let followers = m.running.values_mut().filter(|r| r.after == Some(ticket));
            followers.for_each(|r| r.after = None);
        } else {
            self.unstarted(member, ticket);
        }
        let m = &mut self.members[member];
        let run = m.running.remove(&ticket).unwrap();
        let Running { partition: p, offset, orphan, .. } = run;
        let verdict = if run.writing {
            let letter = match outcome {
                Outcome::Done | Outcome::Skip => LetterOutcome::Written,
                Outcome::DeadLetter => LetterOutcome::Refused,
                _ => LetterOutcome::Abandoned,
            };
            if !orphan && letter != LetterOutcome::Written {
                m.credit = (m.credit + 1).min(self.config.dead_letter_credit);
            }
            m.engine.handle_dead_letter(ticket, letter, self.now)
        } else {
            if !orphan && matches!(outcome, Outcome::Done | Outcome::Skip) {
                m.credit = (m.credit + 1).min(self.config.dead_letter_credit);
            }
            m.engine.handle_outcome(ticket, outcome, self.now)
        };
        if let Verdict::DeadLetter { .. } = verdict {
            assert!(!run.writing && m.credit > 0, "a letter without credit");
            m.credit -= 1;
            m.running.insert(ticket, Running { writing: true, ..run });
            return self.check_budgets(member);
        }
        m.spent.push(ticket);
        let old = m.spent[pick % m.spent.len()];
        let again = m.engine.handle_outcome(old, Outcome::Done, self.now);
        assert_eq!(again, Verdict::Stale, "a ticket is good once");
        if orphan {
            assert_eq!(verdict, Verdict::Stale);
            return self.check_budgets(member);
        }
        let assigned = m.assigned.get_mut(&p).unwrap();
        match verdict {
            Verdict::Finished | Verdict::GivenUp { .. } => {
                assigned.held.remove(&offset);
                assigned.finished.insert(offset);
                assigned.uncommitted_since.get_or_insert(self.now);
                m.own.insert((p, offset));
                self.done.insert((p, offset));
            }
            Verdict::Held { .. } if !run.writing => assert_eq!(m.credit, 0, "held with credit"),
            Verdict::Again { .. } | Verdict::Held { .. } => {
                assert!(!assigned.draining && !assigned.stopped)
            }
            Verdict::Stopped { .. } => {
                assigned.stopped = true;
                self.keep_running_only(member, p);
            }
            Verdict::Unfinished => {
                assigned.held.remove(&offset);
            }
            other => panic!("{other:?}"),
        }
        self.check_budgets(member);
    }

    /// What was given out behind a handler that runs is given back.
    fn unstarted(&mut self, member: usize, ticket: Ticket) {
        let m = &mut self.members[member];
        m.engine.handle_unstarted(ticket);
        let mut before = ticket;
        while let Some((&next, &run)) = m.running.iter().find(|(_, r)| r.after == Some(before)) {
            m.running.remove(&next);
            m.spent.push(next);
            before = next;
            let assigned = m.assigned.get_mut(&run.partition).filter(|_| !run.orphan);
            if let Some(assigned) = assigned.filter(|a| a.draining || a.stopped) {
                assigned.held.remove(&run.offset);
            }
        }
        self.check_budgets(member);
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

    /// One round of commits; the log may refuse.
    fn commit(&mut self, member: usize, accept: bool) {
        let mut points = Vec::new();
        self.members[member].engine.poll_commits(&mut points);
        for point in points {
            let p = point.partition.index();
            let m = &self.members[member];
            let assigned = &m.assigned[&p];
            let position = assigned.position.expect("a commit needs a position");
            let begin = self.committed[p].as_ref().map_or(0, |c| c.0);
            let unfinished = |r: &&LogRecord| !assigned.finished.contains(&r.offset);
            let below = self.logs[p].iter().filter(|r| r.offset < position);
            let expected = below.clone().find(unfinished).map_or(position, |r| r.offset);
            assert_eq!(point.offset.0, expected, "{p}: the first unfinished offset");
            assert!(point.offset.0 >= begin, "{p}: the commit moved back");
            let ranges = Metadata::decode(&point.metadata, point.offset).unwrap().finished;
            for record in self.logs[p].iter().filter(|r| r.offset >= expected) {
                let named = ranges.iter().any(|r| r.contains(Offset(record.offset)));
                let finished = assigned.finished.contains(&record.offset);
                assert!(!named || finished, "{p}/{}: named but unfinished", record.offset);
                assert!(named || !finished, "{p}/{}: finished but not named", record.offset);
            }
            if accept {
                self.committed[p] = Some((point.offset.0, point.metadata));
            }
            let m = &mut self.members[member];
            m.engine.handle_committed(point.partition, point.offset, accept, self.now);
            if accept && let Some(assigned) = m.assigned.get_mut(&p) {
                (assigned.uncommitted_since, assigned.stalled) = (None, false);
            }
        }
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

    fn step(&mut self, [op, a, b]: [u8; 3]) {
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
            21 => {
                self.now = self.now + Duration::from_millis(u64::from(b) * 4);
                self.timeout(member);
            }
            22 => {
                let limit = 1 + u32::from(b) % self.config.max_in_flight;
                self.members[member].engine.set_max_in_flight(limit).unwrap();
                self.members[member].limit = limit;
            }
            23 if b % 2 == 0 => {
                let mut all: Vec<_> = self.members[member].running.iter().collect();
                all.sort_by_key(|(_, r)| (r.partition, r.offset, r.orphan));
                if let Some(&(&ticket, _)) = all.get(usize::from(b) % all.len().max(1)) {
                    self.unstarted(member, ticket);
                }
            }
            _ => self.outcome(member, b.into(), Outcome::Skip),
        }
        while let Some(action) = self.members[member].engine.poll_action() {
            if let Action::Drained { partition } = action {
                let m = &self.members[member];
                let busy =
                    m.running.values().any(|r| r.partition == partition.index() && !r.orphan);
                assert!(!busy, "{partition:?} is not drained");
            }
        }
    }

    fn timeout(&mut self, member: usize) {
        let m = &mut self.members[member];
        m.engine.handle_timeout(self.now);
        // The engine looks four times in a stall.
        let limit = self.config.commit_stall + self.config.commit_stall / 4;
        for assigned in m.assigned.values_mut() {
            let since = assigned.uncommitted_since.map(|s| self.now.saturating_since(s));
            assigned.stalled |= since.is_some_and(|since| since > limit);
        }
    }

    /// Faults stop: everything must finish and be committed.
    fn finish(&mut self) {
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

fn logs() -> impl Strategy<Value = Vec<Vec<LogRecord>>> {
    let record = (1i64..3, prop::option::of(0u8..4), 0u32..700);
    let log = prop::collection::vec(record, 0..60).prop_map(|steps| {
        let mut offset = -1;
        steps
            .into_iter()
            .map(|(step, key, bytes)| {
                offset += step;
                LogRecord { offset, key, bytes }
            })
            .collect()
    });
    prop::collection::vec(log, PARTITIONS)
}

fn configs() -> impl Strategy<Value = Config> {
    let ordering = prop_oneof![
        3 => Just(Ordering::Key),
        1 => Just(Ordering::Partition),
        1 => Just(Ordering::None)
    ];
    let last = prop_oneof![
        Just(AfterLastAttempt::StopPartition),
        Just(AfterLastAttempt::Skip),
        Just(AfterLastAttempt::DeadLetter)
    ];
    (ordering, last, 1u32..8, 1u32..20, 1024u64..4096, 1u64..40, 1u32..4).prop_map(
        |(ordering, after_last_attempt, flight, queued, max_bytes, max_window, max_attempts)| {
            Config {
                ordering,
                after_last_attempt,
                max_in_flight: flight,
                max_queued: queued,
                max_bytes,
                max_window,
                max_attempts,
                dead_letter_credit: 1 + queued % 3,
                commit_stall: Duration::from_millis(300),
                ..Config::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn engine_agrees_with_the_model(
        config in configs(),
        logs in logs(),
        tape in prop::collection::vec(any::<[u8; 3]>(), 0..600),
    ) {
        let mut world = World::new(config, logs);
        for step in tape {
            world.step(step);
        }
        world.finish();
    }
}
