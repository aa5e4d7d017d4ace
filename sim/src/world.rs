//! A log, a group, members with the real engine, their handlers, and whoever breaks them, on
//! virtual time. The tape decides everything that happens.

mod group;
mod handlers;
mod member;
mod plan;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tidegate_engine::Instant;

use self::group::Group;
use self::member::Member;
use self::plan::{MILLI, Plan, SECOND};
use crate::checkers::{Checker, Checkers, Violation};
use crate::history::{Event, NOBODY, RecordAt, TraceHash, What};
use crate::{Coverage, Reached, Tape};

/// What a run came to.
#[derive(Debug)]
pub struct Finished {
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// A hash of everything that happened.
    pub hash: u64,
    /// Records that the log has had.
    pub records: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Produce,
    Chaos,
    Calm,
    HandlerEnds { life: u32, serial: u32 },
    LetterAnswered { life: u32, serial: u32 },
    CommitArrives { request: u32 },
    CommitAnswered { request: u32 },
    CommitTick { life: u32 },
    EngineDue { life: u32 },
    DrainEnds { life: u32, partition: u32, assignment: u32 },
    SessionEnds { life: u32 },
    Learns { life: u32 },
    Kill { life: u32 },
    Restart { slot: u32 },
}

/// A record of the log.
#[derive(Clone, Copy, Debug)]
struct Record {
    at: RecordAt,
    key: Option<u32>,
    bytes: u32,
}

struct World<'t> {
    now: u64,
    tape: &'t mut Tape,
    coverage: &'t mut Coverage,
    plan: Plan,
    logs: Vec<Vec<Record>>,
    group: Group,
    /// By slot: a process that runs, if one does.
    members: Vec<Option<Member>>,
    checkers: Checkers,
    violation: Option<Violation>,
    hash: TraceHash,
    calm: bool,
    produced: u32,
    timers: BinaryHeap<Reverse<(u64, u64, Timer)>>,
    sequence: u64,
}

/// When faults have stopped, all must be finished within this time.
const PATIENCE: u64 = 900 * SECOND;

/// Plays one schedule to its end or its first violation.
pub fn run(tape: &mut Tape, coverage: &mut Coverage) -> Finished {
    let plan = Plan::draw(tape);
    let partitions = plan.partitions as usize;
    let mut world = World {
        now: SECOND,
        logs: vec![Vec::new(); partitions],
        group: Group::new(partitions),
        members: (0..plan.members).map(|_| None).collect(),
        checkers: Checkers::new(plan.rules()),
        violation: None,
        hash: TraceHash::default(),
        calm: false,
        produced: 0,
        timers: BinaryHeap::new(),
        sequence: 0,
        tape,
        coverage,
        plan,
    };
    world.play();
    world.coverage.add(Reached::Repeated, world.checkers.repeated());
    Finished {
        violation: world.violation,
        hash: world.hash.value(),
        records: world.produced.into(),
    }
}

impl World<'_> {
    fn play(&mut self) {
        for slot in 0..self.plan.members {
            self.at(SECOND, Timer::Restart { slot });
        }
        self.at(SECOND, Timer::Produce);
        let calm_at = SECOND + self.plan.calm_after;
        self.at(calm_at, Timer::Calm);
        self.after(self.plan.chaos_every, Timer::Chaos);
        while let Some(Reverse((at, _, timer))) = self.timers.pop() {
            self.now = at;
            self.fire(timer);
            if self.violation.is_some() {
                return;
            }
            let written = self.produced == self.plan.records;
            if written && self.calm && self.checkers.is_complete() || at > calm_at + PATIENCE {
                break;
            }
        }
        self.violation = self.checkers.finish(self.now).err();
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Produce => self.produce(),
            Timer::Chaos => self.chaos(),
            Timer::Calm => self.calm = true,
            Timer::HandlerEnds { life, serial } => self.handler_ends(life, serial),
            Timer::LetterAnswered { life, serial } => self.letter_answered(life, serial),
            Timer::CommitArrives { request } => self.commit_arrives(request),
            Timer::CommitAnswered { request } => self.commit_answered(request),
            Timer::CommitTick { life } => self.commit_tick(life),
            Timer::EngineDue { life } => self.engine_due(life),
            Timer::DrainEnds { life, partition, assignment } => {
                self.drain_ends(life, partition, assignment);
            }
            Timer::SessionEnds { life } => self.leave(life),
            Timer::Learns { life } => self.learns(life),
            Timer::Kill { life } => self.kill(life),
            Timer::Restart { slot } => self.restart(slot),
        }
    }

    fn produce(&mut self) {
        for _ in 0..self.plan.batch {
            if self.produced == self.plan.records {
                break;
            }
            self.produced += 1;
            let byte = u32::from(self.tape.byte());
            let partition = byte % self.plan.partitions;
            let key = (!self.tape.chance(self.plan.keyless_per_mille)).then(|| {
                // Low keys are hot.
                self.tape.below(self.plan.keys) * self.tape.below(256) / 256
            });
            let bytes = match self.tape.chance(self.plan.large_per_mille) {
                true => self.plan.config.max_bytes as u32 / 4 * (1 + byte % 5),
                false => 20 + byte,
            };
            if key.is_none() {
                self.hit(Reached::Keyless);
            }
            let gap = i64::from(self.tape.chance(self.plan.gap_per_mille));
            self.coverage.add(Reached::Gap, gap as u64);
            let log = &mut self.logs[partition as usize];
            let offset = log.last().map_or(0, |r| r.at.offset + 1) + gap;
            let at = RecordAt { partition, offset, epoch: 0 };
            log.push(Record { at, key, bytes });
            self.tell(NOBODY, What::Written { record: at, key, bytes });
        }
        if self.produced < self.plan.records {
            self.after(self.plan.produce_every, Timer::Produce);
        }
        for slot in 0..self.members.len() {
            self.turn(slot);
        }
    }

    fn chaos(&mut self) {
        if self.calm {
            return;
        }
        self.after(self.plan.chaos_every, Timer::Chaos);
        let slot = self.tape.below(self.plan.members) as usize;
        let Some(life) = self.members[slot].as_ref().map(|m| m.life) else { return };
        if self.tape.chance(self.plan.kill_per_mille) {
            self.kill(life);
        } else if self.tape.chance(self.plan.expel_per_mille) {
            self.expel(life);
        } else if self.tape.chance(self.plan.limit_per_mille) {
            self.change_limit(slot);
        }
    }

    fn instant(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    fn hit(&mut self, what: Reached) {
        self.coverage.hit(what);
    }

    /// Tells the checkers; the first violation is kept.
    fn tell(&mut self, member: u32, what: What) {
        let event = Event { at: self.now, member, what };
        self.hash.see(&event);
        if self.violation.is_none() {
            self.violation = self.checkers.see(&event).err();
        }
    }

    fn at(&mut self, at: u64, timer: Timer) {
        self.sequence += 1;
        self.timers.push(Reverse((at, self.sequence, timer)));
    }

    fn after(&mut self, delay: u64, timer: Timer) {
        self.at(self.now + delay, timer);
    }

    fn fault(&mut self, per_mille: u32) -> bool {
        !self.calm && self.tape.chance(per_mille)
    }

    fn slot(&self, life: u32) -> Option<usize> {
        self.members.iter().position(|m| m.as_ref().is_some_and(|m| m.life == life))
    }
}
