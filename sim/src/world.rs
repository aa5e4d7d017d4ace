//! A log, a group, members with the real engine, their handlers, and whoever breaks them, on
//! virtual time. The tape decides everything that happens.

mod assigned;
mod chaos;
mod gate_plan;
mod group;
mod handlers;
mod letters;
mod log;
mod member;
mod plain;
mod plan;
mod probes;
mod producers;
mod shell;

use std::any::Any;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tidegate_engine::Instant;

use self::group::Group;
use self::log::{Log, Record};
use self::member::Member;
use self::plain::PlainGroup;
use self::plan::{MILLI, Plan, SECOND};
use self::probes::Probe;
use self::producers::{Batch, Slot};
use crate::checkers::{Checker, Checkers, Violation};
use crate::history::{Event, TraceHash, What};
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
    /// The last events, if they were asked for.
    pub events: Vec<Event>,
}

/// Something that happens later. What happens to a process names its life: a member that hangs
/// meets it when it wakes, one that is dead never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Produce,
    Chaos,
    Calm,
    CommitArrives { request: u32 },
    SessionEnds { life: u32 },
    SessionTooShort { life: u32 },
    Stop { life: u32 },
    Restart { slot: u32 },
    ToMember { life: u32, what: Happens },
    Encore,
    Wants { slot: u32 },
    ProducerStarts { slot: u32 },
    ProducerDue { life: u32 },
    PartitionsLearned { life: u32 },
    BatchArrives { batch: u32 },
    BatchAnswered { batch: u32 },
    ProbeDue { life: u32 },
    ProbeStep { probe: u32 },
    PlainReads,
    PlainCommits,
}

/// What happens to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Assigned { partition: u32, assignment: u32 },
    RevokeAsked { partition: u32, assignment: u32 },
    DrainEnds { partition: u32, assignment: u32 },
    TopicGone { partition: u32, assignment: u32 },
    Learns,
    HandlerEnds { serial: u32 },
    LateWord { serial: u32 },
    LetterAnswered { serial: u32 },
    CommitAnswered { request: u32 },
    CommitTick,
    EngineDue,
}

/// Whether a few records more were sent after everything was done once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encore {
    No,
    Planned,
    Played,
}

struct World<'t> {
    now: u64,
    tape: &'t mut Tape,
    coverage: &'t mut Coverage,
    plan: Plan,
    logs: Vec<Log>,
    group: Group,
    /// By slot: a process that runs, if one does.
    members: Vec<Option<Member>>,
    /// By slot: producers with a gate.
    slots: Vec<Slot>,
    gate_lives: u32,
    batches: Vec<Option<Batch>>,
    probes: Vec<Option<Probe>>,
    plain: PlainGroup,
    /// When the broker takes records again, and when probes are answered again.
    broker_down_until: u64,
    probes_down_until: u64,
    /// When the dead-letter topic can be written again.
    letters_down_until: u64,
    checkers: Checkers,
    violation: Option<Violation>,
    hash: TraceHash,
    kept: Option<Vec<Event>>,
    calm: bool,
    /// Written without a gate, and in all.
    produced: u32,
    written: u32,
    encore: Encore,
    timers: BinaryHeap<Reverse<(u64, u64, Timer)>>,
    sequence: u64,
}

/// When faults have stopped, all must be finished within this time.
const PATIENCE: u64 = 900 * SECOND;

/// Plays one schedule to its end or its first violation.
pub fn run(tape: &mut Tape, coverage: &mut Coverage) -> Finished {
    play(tape, coverage, false)
}

/// Plays one schedule and keeps every event.
pub fn run_and_keep(tape: &mut Tape, coverage: &mut Coverage) -> Finished {
    play(tape, coverage, true)
}

fn play(tape: &mut Tape, coverage: &mut Coverage, keep: bool) -> Finished {
    let plan = Plan::draw(tape);
    let partitions = plan.partitions as usize;
    let mut world = World {
        now: SECOND,
        logs: (0..partitions).map(|_| Log::default()).collect(),
        group: Group::new(partitions),
        members: (0..plan.members).map(|_| None).collect(),
        slots: Vec::new(),
        gate_lives: 0,
        batches: Vec::new(),
        probes: Vec::new(),
        plain: PlainGroup::new(partitions),
        broker_down_until: 0,
        probes_down_until: 0,
        letters_down_until: 0,
        checkers: Checkers::new(plan.rules()),
        violation: None,
        hash: TraceHash::default(),
        kept: keep.then(Vec::new),
        calm: false,
        produced: 0,
        written: 0,
        encore: Encore::No,
        timers: BinaryHeap::new(),
        sequence: 0,
        tape,
        coverage,
        plan,
    };
    // A panic of the engine is a broken promise like any other.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.play())) {
        world.broken("panic", words(&*panic));
    }
    world.coverage.add(Reached::Repeated, world.checkers.repeated());
    Finished {
        violation: world.violation,
        hash: world.hash.value(),
        records: world.written.into(),
        events: world.kept.unwrap_or_default(),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
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
        if self.plan.gates.producers > 0 {
            self.begin_producing();
            self.begin_plain_group();
        }
        while let Some(Reverse((at, _, timer))) = self.timers.pop() {
            self.now = at;
            self.fire(timer);
            if self.violation.is_some() {
                return;
            }
            let written = self.produced == self.plan.gates.ungated && self.has_sent_all();
            let is_complete = written && self.calm && self.checkers.is_complete();
            if is_complete && !self.goes_on() || at > calm_at + PATIENCE {
                break;
            }
        }
        self.violation = self.checkers.finish(self.now).err();
        if let Some(violation) = &mut self.violation {
            let gates = self.slots.iter().flat_map(|s| &s.process).map(|p| p.waits_for(self.now));
            let waits = self.members.iter().flatten().map(Member::waits_for).chain(gates);
            let waits: Vec<_> = waits.collect();
            violation.text = format!("{}; {}", violation.text, waits.join("; "));
        }
        for slot in 0..self.members.len() {
            self.count(slot);
        }
    }

    /// Whether something is to come after everything is done: in a run with gates, which learn of it
    /// and are to let a few records more through.
    fn goes_on(&mut self) -> bool {
        if self.plan.gates.encore == 0 {
            return false;
        }
        if self.encore == Encore::No {
            self.encore = Encore::Planned;
            self.after(3 * SECOND, Timer::Encore);
        }
        self.encore == Encore::Planned
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Encore => self.encore(),
            Timer::Wants { slot } => self.wants(slot),
            Timer::ProducerStarts { slot } => self.producer_starts(slot),
            Timer::ProducerDue { life } => self.producer_due(life),
            Timer::PartitionsLearned { life } => self.partitions_learned(life),
            Timer::BatchArrives { batch } => self.batch_arrives(batch),
            Timer::BatchAnswered { batch } => self.batch_answered(batch),
            Timer::ProbeDue { life } => self.ask(life),
            Timer::ProbeStep { probe } => self.probe_step(probe),
            Timer::PlainReads => self.plain_reads(),
            Timer::PlainCommits => self.plain_commits(),
            Timer::Produce => self.produce(),
            Timer::Chaos => self.chaos(),
            Timer::Calm => self.calm = true,
            Timer::CommitArrives { request } => self.commit_arrives(request),
            Timer::SessionEnds { life } => self.leave(life),
            Timer::SessionTooShort { life } => self.expel_if_hung(life),
            Timer::Stop { life } => self.stop(life),
            Timer::Restart { slot } => self.restart(slot),
            Timer::ToMember { life, what } => {
                let Some(slot) = self.slot(life) else { return };
                match self.hung_until(slot) {
                    Some(until) => self.at(until, timer),
                    None => self.happens(slot, life, what),
                }
            }
        }
    }

    fn happens(&mut self, slot: usize, life: u32, what: Happens) {
        match what {
            Happens::Assigned { partition, assignment } => {
                self.assigned(slot, partition, assignment);
            }
            Happens::RevokeAsked { partition, assignment } => {
                self.revoke_asked(slot, partition, assignment);
            }
            Happens::DrainEnds { partition, assignment } => {
                self.drain_ends(slot, partition, assignment);
            }
            Happens::TopicGone { partition, assignment } => {
                self.topic_gone(slot, partition, assignment);
            }
            Happens::Learns => self.learns(slot),
            Happens::HandlerEnds { serial } => self.handler_ends(slot, serial),
            Happens::LateWord { serial } => self.late_word(slot, serial),
            Happens::LetterAnswered { serial } => self.letter_answered(slot, serial),
            Happens::CommitAnswered { request } => self.commit_answered(slot, request),
            Happens::CommitTick => {
                self.commit(slot);
                self.later(life, self.plan.commit_every, Happens::CommitTick);
            }
            Happens::EngineDue => self.engine_due(slot),
        }
        self.turn(slot);
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
        if let Some(kept) = &mut self.kept {
            kept.push(event);
        }
        if self.violation.is_none() {
            self.violation = self.checkers.see(&event).err();
        }
    }

    /// Something that no history shows, but that must not be.
    fn broken(&mut self, invariant: &'static str, text: String) {
        let at = self.now;
        self.violation.get_or_insert(Violation { invariant, text, at });
    }

    fn at(&mut self, at: u64, timer: Timer) {
        self.sequence += 1;
        self.timers.push(Reverse((at, self.sequence, timer)));
    }

    fn after(&mut self, delay: u64, timer: Timer) {
        self.at(self.now + delay, timer);
    }

    fn later(&mut self, life: u32, delay: u64, what: Happens) {
        self.after(delay, Timer::ToMember { life, what });
    }

    fn fault(&mut self, per_mille: u32) -> bool {
        !self.calm && self.tape.chance(per_mille)
    }

    fn slot(&self, life: u32) -> Option<usize> {
        self.members.iter().position(|m| m.as_ref().is_some_and(|m| m.life == life))
    }
}
