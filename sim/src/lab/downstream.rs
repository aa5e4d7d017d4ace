//! What handlers call: so many servers, and a queue in front of them.

use std::collections::VecDeque;

use tidegate_engine::Ticket;

use super::random::{mix, service, unit};
use super::run::{Timer, World};
use super::{Downstream, MILLI};

/// How long a request that fails keeps a server busy, and how soon one is turned away.
const FAILS_AFTER: u64 = 5 * MILLI;
const TURNED_AWAY_AFTER: u64 = MILLI;

/// What a handler asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) member: usize,
    pub(super) life: u32,
    pub(super) partition: usize,
    pub(super) offset: usize,
    pub(super) attempt: u32,
    /// With Tidegate.
    pub(super) ticket: Option<Ticket>,
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Done,
    Failed,
    Overloaded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waits,
    Served(Reply),
    TurnedAway,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    request: Option<(Request, Stage)>,
}

/// The downstream at work.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) plan: Downstream,
    busy: u32,
    waiting: u32,
    slots: Vec<Slot>,
    free: Vec<u32>,
    queue: VecDeque<(u32, u32)>,
}

impl Servers {
    pub(super) fn new(plan: Downstream) -> Self {
        let (slots, free) = (Vec::new(), Vec::new());
        Self { plan, busy: 0, waiting: 0, slots, free, queue: VecDeque::new() }
    }

    /// Requests a second that it can answer well at present.
    pub(super) fn capacity(&self) -> f64 {
        self.plan.capacity() * (1.0 - self.plan.failures)
    }

    fn take(&mut self, request: Request, stage: Stage) -> (u32, u32) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let taken = &mut self.slots[slot as usize];
        taken.request = Some((request, stage));
        (slot, taken.generation)
    }

    fn release(&mut self, slot: u32) -> Option<(Request, Stage)> {
        let taken = &mut self.slots[slot as usize];
        taken.generation += 1;
        self.free.push(slot);
        taken.request.take()
    }

    fn is_current(&self, slot: u32, generation: u32) -> bool {
        self.slots[slot as usize].generation == generation
    }

    /// Hangs up on requests.
    fn hang_up(&mut self, whose: impl Fn(&Request) -> bool) {
        for slot in 0..self.slots.len() {
            let Some((request, stage)) = self.slots[slot].request else { continue };
            if !whose(&request) {
                continue;
            }
            match stage {
                Stage::Waits => self.waiting -= 1,
                Stage::Served(_) => self.busy -= 1,
                Stage::TurnedAway => {}
            }
            self.release(slot as u32);
        }
    }
}

impl World {
    /// A handler calls the downstream.
    pub(super) fn ask(&mut self, request: Request) {
        let servers = &mut self.servers;
        if servers.busy < servers.plan.servers {
            return self.serve(request);
        }
        if servers.plan.waiting.is_some_and(|most| servers.waiting >= most) {
            let (slot, generation) = servers.take(request, Stage::TurnedAway);
            return self.after(TURNED_AWAY_AFTER, Timer::Answer { slot, generation });
        }
        servers.waiting += 1;
        let place = servers.take(request, Stage::Waits);
        servers.queue.push_back(place);
    }

    fn serve(&mut self, request: Request) {
        let fresh = &self.log.partitions[request.partition].entries[request.offset].fresh;
        let random = mix(fresh.random, 16 + u64::from(request.attempt));
        let servers = &mut self.servers;
        let fails = fresh.is_poison || unit(mix(random, 1)) < servers.plan.failures;
        let (reply, time) = match fails {
            true => (Reply::Failed, FAILS_AFTER),
            false => (Reply::Done, service(&servers.plan.service, random)),
        };
        servers.busy += 1;
        let (slot, generation) = servers.take(request, Stage::Served(reply));
        self.after(time, Timer::Answer { slot, generation });
    }

    /// Gives free servers to those that wait.
    pub(super) fn serve_waiting(&mut self) {
        while self.servers.busy < self.servers.plan.servers {
            let Some((slot, generation)) = self.servers.queue.pop_front() else { return };
            if !self.servers.is_current(slot, generation) {
                continue;
            }
            self.servers.waiting -= 1;
            if let Some((request, _)) = self.servers.release(slot) {
                self.serve(request);
            }
        }
    }

    /// A request is over.
    pub(super) fn answer(&mut self, slot: u32, generation: u32) {
        if !self.servers.is_current(slot, generation) {
            return;
        }
        let Some((request, stage)) = self.servers.release(slot) else { return };
        let reply = match stage {
            Stage::Served(reply) => {
                self.servers.busy -= 1;
                self.serve_waiting();
                reply
            }
            _ => Reply::Overloaded,
        };
        self.answered(request, reply);
    }

    /// The process of this life is gone, and its connections are closed.
    pub(super) fn hang_up_all(&mut self, life: u32) {
        self.servers.hang_up(|request| request.life == life);
        self.serve_waiting();
    }

    /// One handler was cancelled.
    pub(super) fn hang_up_one(&mut self, life: u32, ticket: Ticket) {
        self.servers.hang_up(|request| request.life == life && request.ticket == Some(ticket));
        self.serve_waiting();
    }
}
