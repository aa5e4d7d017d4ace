//! Producers that send through a gate: what they want to send, what the gate lets through, and what
//! becomes of it.

use std::collections::VecDeque;

use tidegate_engine::Offset;
use tidegate_engine::gate::{Credit, Fault, Gate, GateConfig, GateState, Reason};

use super::{Encore, MILLI, SECOND, Timer, World};
use crate::Reached;
use crate::history::{NOBODY, RecordAt, What};

/// A record that is not written yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) key: Option<u32>,
    pub(super) bytes: u32,
}

/// Somebody who wants to send, whether the process runs or not: what waits outlives it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    waiting: VecDeque<Pending>,
    /// How many more records it will want.
    pub(super) quota: u32,
    /// Parts of a record that it wants, in a run of the loop.
    appetite: u64,
    /// Records of its processes that are on their way.
    underway: u32,
    pub(super) process: Option<Producer>,
}

/// A process with a gate.
#[derive(Debug)]
pub(super) struct Producer {
    pub(super) life: u32,
    pub(super) gate: Gate,
    pub(super) said: Said,
    /// It began after another one, and has not had an answer yet.
    pub(super) is_new: bool,
    /// When the newest answer that it has was asked for, and what passed by the floor rate.
    pub(super) asked: u64,
    pub(super) floor: u64,
    /// When it looks again.
    wake: u64,
    last_arrival: u64,
}

/// What a gate said of itself last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) window: u64,
    pub(super) partitions: u32,
    pub(super) stuck: u64,
}

/// Records on their way to the broker, and back.
#[derive(Debug)]
pub(super) struct Batch {
    slot: u32,
    life: u32,
    sends: Vec<(Credit, Pending)>,
    fates: Vec<Fate>,
}

/// What the broker made of a record, and the producer is told.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Written(RecordAt),
    /// Written, and the answer says that it was not.
    Denied,
    /// The broker has failed.
    NotWritten,
    /// The broker does not take it.
    TooLarge,
}

/// Records that a pass over what waits looks at, and refusals after which it ends.
const LOOKED_AT: usize = 64;
const REFUSALS: u32 = 4;

impl World<'_> {
    pub(super) fn begin_producing(&mut self) {
        let joins = self.plan.gates.loops.and_then(|loops| loops.joins_after);
        for slot in 0..self.plan.gates.producers {
            let quota = self.plan.gates.quota;
            self.slots.push(Slot { quota, ..Slot::default() });
            let begins = match joins {
                Some(after) if slot + 1 == self.plan.gates.producers => {
                    self.hit(Reached::LoopJoined);
                    SECOND + self.plan.calm_after + after
                }
                _ => SECOND,
            };
            self.at(begins, Timer::ProducerStarts { slot });
            self.at(begins, Timer::Wants { slot });
        }
        if let Some(loops) = self.plan.gates.loops {
            self.hit(if loops.overloaded { Reached::LoopOverloaded } else { Reached::LoopIdle });
        }
    }

    /// Whether everybody has sent everything, and knows it.
    pub(super) fn has_sent_all(&self) -> bool {
        let sent = |s: &Slot| s.quota == 0 && s.waiting.is_empty() && s.underway == 0;
        self.slots.iter().all(sent) && self.loop_is_over()
    }

    fn loop_is_over(&self) -> bool {
        self.checkers.rules().loops.is_none_or(|l| self.now >= l.until)
    }

    /// Everything is done: once more a few records, which find a group that has nothing to do.
    pub(super) fn encore(&mut self) {
        self.encore = Encore::Played;
        let records = self.plan.gates.encore;
        for slot in 0..self.slots.len() {
            self.slots[slot].quota = records;
            self.wants(slot as u32);
        }
    }

    pub(super) fn producer_starts(&mut self, slot: u32) {
        let life = self.gate_lives;
        self.gate_lives += 1;
        let plan = &self.plan.gates;
        let seed = plan.config.seed ^ u64::from(life) << 8;
        let config = GateConfig { seed, ..plan.config.clone() };
        let (groups, floor_rate) = (config.groups, config.floor_rate);
        let gate = match Gate::new(config, self.instant()) {
            Ok(gate) => gate,
            Err(error) => return self.broken("config", error.to_string()),
        };
        let is_new = life >= plan.producers;
        if is_new {
            self.hit(Reached::GateRestart);
        }
        let said = Said::default();
        let (asked, floor, wake, last_arrival) = (0, 0, u64::MAX, 0);
        let process = Producer { life, gate, said, is_new, asked, floor, wake, last_arrival };
        self.slots[slot as usize].process = Some(process);
        self.tell(NOBODY, What::GateBegins { gate: life, groups, floor_rate });
        let delay = self.tape.up_to(4 * self.plan.network);
        self.after(delay, Timer::PartitionsLearned { life });
        self.after(delay, Timer::ProbeDue { life });
        self.send(slot as usize);
    }

    /// A process is gone at once. What it had sent is still on its way.
    pub(super) fn crash_producer(&mut self, slot: u32) {
        let Some(process) = self.slots[slot as usize].process.take() else { return };
        self.hit(Reached::GateCrash);
        self.tell(NOBODY, What::GateEnds { gate: process.life });
        let delay = self.tape.up_to(3 * SECOND);
        self.after(delay, Timer::ProducerStarts { slot });
    }

    /// Somebody changes the absolute rate.
    pub(super) fn change_rate(&mut self, slot: u32) {
        let now = self.instant();
        let rate = self.tape.pick(&[None, Some(50), Some(500)]);
        let Some(producer) = &mut self.slots[slot as usize].process else { return };
        if producer.gate.set_rate(rate, now).is_ok() {
            self.hit(Reached::RateChanged);
        }
        self.send(slot as usize);
    }

    pub(super) fn producer(&mut self, life: u32) -> Option<(usize, &mut Producer)> {
        let runs = |s: &Slot| s.process.as_ref().is_some_and(|p| p.life == life);
        let slot = self.slots.iter().position(runs)?;
        Some((slot, self.slots[slot].process.as_mut()?))
    }

    /// A producer learns how many partitions there are.
    pub(super) fn partitions_learned(&mut self, life: u32) {
        let partitions = self.logs.len() as u32;
        let Some((slot, producer)) = self.producer(life) else { return };
        producer.gate.handle_partitions(partitions);
        self.listen(slot);
        self.send(slot);
    }

    /// More records want to be sent.
    pub(super) fn wants(&mut self, slot: u32) {
        let index = slot as usize;
        let records = match self.plan.gates.loops {
            Some(_) if self.loop_is_over() => return self.shed_all(index),
            Some(loops) => {
                let state = &mut self.slots[index];
                state.appetite += loops.wants_per_1000_s * self.plan.produce_every / MILLI;
                let whole = state.appetite / 1_000_000;
                state.appetite -= whole * 1_000_000;
                // One that wants more than it gets gives up what it could not send in a second.
                let most = loops.wants_per_1000_s / 1_000;
                let room = most.saturating_sub(state.waiting.len() as u64);
                (if loops.overloaded { whole.min(room) } else { whole }) as u32
            }
            None => self.slots[index].quota.min(self.plan.batch),
        };
        for _ in 0..records {
            let byte = u32::from(self.tape.byte());
            let pending = self.draw_record(byte);
            self.slots[index].waiting.push_back(pending);
        }
        let state = &mut self.slots[index];
        state.quota = state.quota.saturating_sub(records);
        if state.quota > 0 || self.plan.gates.loops.is_some() {
            self.after(self.plan.produce_every, Timer::Wants { slot });
        }
        let gate = self.slots[index].process.as_ref().map_or(NOBODY, |p| p.life);
        self.tell(NOBODY, What::Wants { gate, records });
        self.send(index);
    }

    /// The loop was watched for long enough.
    fn shed_all(&mut self, slot: usize) {
        let records = self.slots[slot].waiting.len() as u32;
        self.slots[slot].waiting.clear();
        self.shed(slot, records);
    }

    fn shed(&mut self, slot: usize, records: u32) {
        let gate = self.slots[slot].process.as_ref().map_or(NOBODY, |p| p.life);
        self.tell(NOBODY, What::Sheds { gate, records });
    }

    /// Time has come for a producer to look again, as its gate or a refusal said.
    pub(super) fn producer_due(&mut self, life: u32) {
        let now = self.instant();
        let Some((slot, producer)) = self.producer(life) else { return };
        if producer.wake > now.as_nanos() {
            return;
        }
        producer.wake = u64::MAX;
        producer.gate.handle_timeout(now);
        self.listen(slot);
        self.send(slot);
    }

    /// Sends what the gate lets through. What waits may be sent in any order.
    pub(super) fn send(&mut self, slot: usize) {
        let now = self.instant();
        let mut sends = Vec::new();
        let (mut refusals, mut again) = (0, u64::MAX);
        for _ in 0..self.slots[slot].waiting.len().min(LOOKED_AT) {
            let state = &mut self.slots[slot];
            let Some(producer) = &mut state.process else { return };
            let Some(pending) = state.waiting.pop_front() else { break };
            let (gate, life) = (&mut producer.gate, producer.life);
            let key = pending.key.map(u32::to_le_bytes);
            let partition = gate.pick_partition(key.as_ref().map(<[u8; 4]>::as_slice), now);
            // Afterwards a half-open breaker may be all that it speaks of.
            let before = may_use_floor(gate.state(now));
            match gate.try_acquire(partition, now) {
                Ok(credit) if self.tape.chance(self.plan.gates.cancel_per_mille) => {
                    gate.cancel(credit, now);
                    state.waiting.push_back(pending);
                    again = again.min(self.now + MILLI);
                    self.hit(Reached::GateCancel);
                }
                Ok(credit) => {
                    let floor = before || may_use_floor(gate.state(now));
                    state.underway += 1;
                    sends.push((credit, pending));
                    self.tell(NOBODY, What::Sent { gate: life, partition, floor });
                }
                Err(refusal) => {
                    state.waiting.push_back(pending);
                    refusals += 1;
                    again = again.min(self.now + refusal.retry_after.as_nanos() as u64);
                    let reason = refusal.cause.reason;
                    let for_groups =
                        !matches!(reason, Reason::Breaker | Reason::Rate | Reason::NoPartition);
                    self.hit(row(reason));
                    self.tell(NOBODY, What::Refused { gate: life, partition, for_groups });
                    if refusals == REFUSALS {
                        break;
                    }
                }
            }
        }
        if !sends.is_empty() {
            self.ship(slot, sends);
        }
        self.set_wake(slot, again);
    }

    fn set_wake(&mut self, slot: usize, again: u64) {
        let now = self.instant();
        let waits = !self.slots[slot].waiting.is_empty();
        let Some(producer) = &mut self.slots[slot].process else { return };
        let due = producer.gate.poll_timeout(now).filter(|_| waits);
        let due = due.map_or(u64::MAX, |at| at.as_nanos().max(self.now + 1));
        let wake = due.min(again);
        if wake < producer.wake {
            producer.wake = wake;
            let life = producer.life;
            self.at(wake, Timer::ProducerDue { life });
        }
    }

    /// Puts records on their way, in one request.
    fn ship(&mut self, slot: usize, sends: Vec<(Credit, Pending)>) {
        let delay = self.tape.up_to(self.plan.network);
        let Some(producer) = &mut self.slots[slot].process else { return };
        let arrives = producer.last_arrival.max(self.now + delay);
        producer.last_arrival = arrives;
        let batch = Batch { slot: slot as u32, life: producer.life, sends, fates: Vec::new() };
        self.batches.push(Some(batch));
        let batch = self.batches.len() as u32 - 1;
        self.at(arrives, Timer::BatchArrives { batch });
    }

    pub(super) fn batch_arrives(&mut self, number: u32) {
        let Some(mut batch) = self.batches[number as usize].take() else { return };
        let is_down = self.now < self.broker_down_until && !self.calm;
        let fails = is_down || self.fault(self.plan.gates.batch_fail_per_mille);
        let denied = !fails && self.fault(self.plan.gates.answer_lost_per_mille);
        for (credit, pending) in &batch.sends {
            let fate = if fails {
                self.hit(Reached::SendFailed);
                Fate::NotWritten
            } else if self.fault(self.plan.gates.too_large_per_mille) {
                self.hit(Reached::SendTooLarge);
                Fate::TooLarge
            } else {
                let at = self.append(credit.partition(), *pending);
                if denied {
                    self.hit(Reached::SendDenied);
                }
                if denied { Fate::Denied } else { Fate::Written(at) }
            };
            batch.fates.push(fate);
        }
        self.batches[number as usize] = Some(batch);
        let mut delay = self.tape.up_to(self.plan.network);
        if self.fault(self.plan.gates.late_per_mille) {
            self.hit(Reached::SendLate);
            delay += self.tape.up_to(2 * SECOND);
        }
        self.after(delay, Timer::BatchAnswered { batch: number });
        for slot in 0..self.members.len() {
            self.turn(slot);
        }
    }

    pub(super) fn batch_answered(&mut self, number: u32) {
        let now = self.instant();
        let Some(batch) = self.batches[number as usize].take() else { return };
        let (slot, life) = (batch.slot as usize, batch.life);
        let lives = self.slots[slot].process.as_ref().is_some_and(|p| p.life == life);
        if !lives {
            self.hit(Reached::SendOrphan);
        }
        for ((credit, pending), fate) in batch.sends.into_iter().zip(batch.fates) {
            let partition = credit.partition();
            let untracked = self.fault(self.plan.gates.untracked_per_mille);
            let state = &mut self.slots[slot];
            state.underway -= 1;
            // A process that is gone learns nothing: whoever stands behind it keeps what was not
            // written.
            let mut gate = state.process.as_mut().filter(|_| lives).map(|p| &mut p.gate);
            match fate {
                Fate::Written(at) => {
                    let at = (!untracked).then_some(at);
                    if let Some(gate) = &mut gate {
                        gate.handle_delivered(credit, at.map(|at| Offset(at.offset)));
                    }
                    if untracked {
                        self.hit(Reached::SendUntracked);
                    }
                    self.tell(NOBODY, What::Acknowledged { gate: life, partition, record: at });
                }
                Fate::Denied | Fate::NotWritten => {
                    state.waiting.push_back(pending);
                    if let Some(gate) = &mut gate {
                        gate.handle_failed(credit, Fault::Broker, now);
                    }
                    self.tell(NOBODY, What::NotWritten { gate: life, partition });
                }
                Fate::TooLarge => {
                    if let Some(gate) = &mut gate {
                        gate.handle_failed(credit, Fault::Record, now);
                    }
                    self.tell(NOBODY, What::NotWritten { gate: life, partition });
                    self.shed(slot, 1);
                }
            }
        }
        self.listen(slot);
        self.send(slot);
    }
}

/// Whether the gate names a reason for which the floor rate may be used.
fn may_use_floor(state: GateState) -> bool {
    let (GateState::Limited(cause) | GateState::Shut(cause)) = state else { return false };
    matches!(
        cause.reason,
        Reason::NoCommit | Reason::NoProgress | Reason::ProbeFailed(_) | Reason::ProbeOverdue
    )
}

fn row(reason: Reason) -> Reached {
    match reason {
        Reason::NoPartition => Reached::RefusedNoPartition,
        Reason::PartitionCap => Reached::RefusedPartitionCap,
        Reason::PartitionStuck => Reached::RefusedStuck,
        Reason::NoCommit => Reached::RefusedNoCommit,
        Reason::NoProgress => Reached::RefusedNoProgress,
        Reason::ProbeFailed(_) => Reached::RefusedProbeFailed,
        Reason::ProbeOverdue => Reached::RefusedProbeOverdue,
        Reason::Rate => Reached::RefusedRate,
        Reason::Breaker => Reached::RefusedBreaker,
        _ => Reached::RefusedWindow,
    }
}
