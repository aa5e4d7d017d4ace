//! A worker's loop.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_engine::{CancelReason, Dispatch, Instant, Outcome as EngineOutcome, Ticket, Verdict};

use super::doorbell::Doorbell;
use super::pace::Pace;
use super::slots::{Polled, Running, Slots, guarded};
use crate::event::{Event, Events, FailureCause};
use crate::handler::{Handler, OnCancel};
use crate::letters::{Letters, ToWrite};
use crate::outcome::{IntoOutcome, Outcome};
use crate::record::{Record, RecordRef};
use crate::shared::{Core, Shared};

/// Woken futures polled in one turn, about.
const WOKEN_PER_TURN: usize = 64;
/// Turns between two looks at the clock and at what else the runtime has to do.
const TURNS_PER_POLL: usize = 16;
/// So long a poll of the worker may take before it gives way to other tasks.
const YIELD_AFTER: Duration = Duration::from_micros(500);
/// And so many turns, about as many as fit into that time: on a paused clock time stands still, and
/// a handler that wakes itself until another task has done something would wait for ever.
const TURNS_AT_MOST: usize = 1_024;
/// Dispatches taken at once at most, those that follow others in their lane included.
const INBOX: usize = 2 * Pace::MOST;

/// An attempt that ended with anything but "done".
#[derive(Debug)]
struct Ended {
    running: Running,
    cause: FailureCause,
    outcome: Outcome,
}

/// Runs handlers. A future, to be spawned without tokio's cooperative budget: it gives way by
/// itself. Ends when the core says so; dropped, it drops the handlers that run.
#[derive(Debug)]
pub(crate) struct Worker<H: Handler> {
    index: usize,
    shared: Arc<Shared>,
    doorbell: Arc<Doorbell>,
    handler: Arc<H>,
    events: Events,
    letters: Arc<Letters>,
    /// Whether the pump is a task of the same runtime, so that waking it may put it behind this
    /// task on the same thread.
    pump_is_task: bool,
    slots: Slots<H::Future>,
    pace: Pace,
    /// Since when handlers have been polled, and how many were: one look at the clock for each
    /// look at the engine is enough.
    polling_since: Option<Instant>,
    polled: usize,
    inbox: Vec<Dispatch<RecordRef>>,
    woken: Vec<u32>,
    done: Vec<Ticket>,
    /// Not done yet, and something was given out to follow it.
    broken: Vec<Ticket>,
    /// What was to follow: given back by that, and not to be cancelled any more.
    unstarted: Vec<Ticket>,
    ended: Vec<Ended>,
    to_tell: Vec<Event>,
    to_write: Vec<ToWrite>,
    cancels: HashMap<Ticket, CancelReason>,
    cancels_seen: u64,
    /// The last look at the engine brought nothing: look again when rung.
    parked: bool,
}

impl<H: Handler> Unpin for Worker<H> {}

/// How a turn ended.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// There may be more to do.
    Busy,
    /// Somebody else was woken and should get a chance to run, on this thread even: tokio keeps
    /// a task that was woken here in a slot that no other thread can take it from, and the next
    /// handler may block.
    GiveWay,
    /// Nothing to do until woken.
    Idle,
    /// The run ended.
    End,
}

impl<H: Handler> Worker<H> {
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        doorbell: Arc<Doorbell>,
        handler: Arc<H>,
        events: Events,
        letters: Arc<Letters>,
        pump_is_task: bool,
    ) -> Self {
        Self {
            index,
            shared,
            doorbell,
            handler,
            events,
            letters,
            pump_is_task,
            slots: Slots::new(),
            pace: Pace::new(),
            polling_since: None,
            polled: 0,
            inbox: Vec::new(),
            woken: Vec::new(),
            done: Vec::new(),
            broken: Vec::new(),
            unstarted: Vec::new(),
            ended: Vec::new(),
            to_tell: Vec::new(),
            to_write: Vec::new(),
            cancels: HashMap::new(),
            cancels_seen: 0,
            parked: false,
        }
    }

    fn turn(&mut self) -> Turn {
        let polled = self.poll_woken();
        // What was taken before giving way comes first.
        if self.inbox.is_empty() && self.should_look() {
            let Some(woke_task) = self.look() else { return Turn::End };
            self.apply_cancels();
            if woke_task {
                return Turn::GiveWay;
            }
        }
        let started = self.inbox.len();
        self.start_all();
        let idle = self.parked && started + polled == 0 && self.ended.is_empty();
        if idle && !self.doorbell.has_woken() { Turn::Idle } else { Turn::Busy }
    }

    fn should_look(&self) -> bool {
        let nothing_to_tell =
            self.done.is_empty() && self.broken.is_empty() && self.ended.is_empty();
        self.doorbell.take_ring() || !self.parked || !nothing_to_tell
    }

    /// Polls what was woken; returns how many.
    fn poll_woken(&mut self) -> usize {
        self.doorbell.take_woken(&mut self.woken, WOKEN_PER_TURN);
        if self.woken.is_empty() {
            return 0;
        }
        let woken = std::mem::take(&mut self.woken);
        for &slot in &woken {
            if let Some((running, polled)) = self.slots.poll(slot) {
                self.settle(running, polled);
            }
        }
        let count = woken.len();
        self.woken = woken;
        self.woken.clear();
        self.polled += count;
        count
    }

    /// Starts what was taken. What follows another record in its lane is started if that one is
    /// done at once; otherwise the engine gets it back at the next look.
    fn start_all(&mut self) {
        let count = self.inbox.len();
        if count == 0 {
            return;
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        // By place in the inbox, and a bit for each place that is done.
        let mut started = [None; INBOX];
        let mut done = 0u128;
        for (place, dispatch) in inbox.drain(..).enumerate() {
            let Dispatch { ticket, partition, offset, attempt, payload, after } = dispatch;
            if let Some(before) = after
                && done & (1 << before) == 0
            {
                self.broken.extend(started[before as usize]);
                self.unstarted.push(ticket);
                continue;
            }
            started[place] = Some(ticket);
            let done_before = self.done.len();
            let running = Running { ticket, partition, offset, attempt, cancelled: None };
            let handler = &self.handler;
            let polled = self.slots.start(&self.doorbell, running, |cancellation| {
                handler.handle(Record { of: payload, attempt, cancellation })
            });
            self.settle(running, polled);
            done |= u128::from(self.done.len() > done_before) << place;
        }
        self.inbox = inbox;
        self.polled += count;
    }

    fn settle(&mut self, running: Running, polled: Polled<<H::Future as Future>::Output>) {
        let (cause, outcome) = match polled {
            Poll::Pending => return,
            // The conversion is foreign code, too: an error's `Display` may panic.
            Poll::Ready(Ok(output)) => match guarded(|| output.into_outcome()) {
                Ok(Outcome::Done) => return self.done.push(running.ticket),
                Ok(outcome) => (FailureCause::Returned, outcome),
                Err(panic) => (FailureCause::Panicked, Outcome::retry(panic)),
            },
            Poll::Ready(Err(panic)) => (FailureCause::Panicked, Outcome::retry(panic)),
        };
        self.ended.push(Ended { running, cause, outcome });
    }

    /// Hands in outcomes and takes dispatches, under one lock. Says whether it woke a task of
    /// this runtime; `None` if the run has ended.
    fn look(&mut self) -> Option<bool> {
        let mut core = self.shared.lock();
        let now = self.shared.clock.now();
        if let Some(since) = self.polling_since.replace(now) {
            self.pace.measured(self.polled, now.saturating_since(since));
        }
        self.polled = 0;
        let handed_in = self.done.len() + self.broken.len() + self.ended.len();
        // First, since what it is about may be done by now.
        for ticket in self.broken.drain(..) {
            core.engine.handle_unstarted(ticket);
        }
        for ticket in self.unstarted.drain(..) {
            core.cancels.answered(ticket);
        }
        for ticket in self.done.drain(..) {
            core.engine.handle_outcome(ticket, EngineOutcome::Done, now);
            core.cancels.answered(ticket);
        }
        for ended in self.ended.drain(..) {
            core.cancels.answered(ended.running.ticket);
            self.to_tell.extend(core.hand_in(ended, &mut self.to_write, now));
        }
        if core.ended {
            drop(core);
            self.tell();
            return None;
        }
        if core.cancels.version != self.cancels_seen {
            self.cancels_seen = core.cancels.version;
            self.cancels.extend(&core.cancels.reasons);
        }

        // With handlers that are costly to poll, a worker that is behind leaves new records to
        // one that is not.
        let sharing = self.pace.is_worth_sharing();
        let mut helper = None;
        if sharing && self.doorbell.has_woken() && core.engine.has_ready() {
            helper = core.claim_idle_other(self.index);
        }
        let take = if helper.is_some() { 0 } else { self.pace.take() };
        let mut took = core.engine.poll_dispatch(&mut self.inbox, take, now);
        if !sharing && took < take {
            took += core.engine.poll_followers(&mut self.inbox, INBOX - take);
        }
        core.taken += took as u64;
        if helper.is_none() && sharing && core.engine.has_ready() {
            helper = core.claim_idle_other(self.index);
        }
        self.parked = took == 0 && helper.is_none();
        let bit = 1 << self.index;
        core.idle = if self.parked { core.idle | bit } else { core.idle & !bit };
        let wakes_pump = handed_in + took > 0 && core.wakes_pump(now);
        drop(core);

        if wakes_pump {
            self.shared.pump.notify_one();
        }
        if let Some(helper) = helper {
            self.shared.ring(helper);
        }
        self.tell();
        Some((wakes_pump && self.pump_is_task) || helper.is_some())
    }

    /// Passes on what came of outcomes.
    fn tell(&mut self) {
        self.to_tell.drain(..).for_each(|event| self.events.emit(&event));
        self.to_write.drain(..).for_each(|letter| self.letters.begin(letter));
    }

    /// Cancels those of the listed attempts that run here.
    fn apply_cancels(&mut self) {
        if self.cancels.is_empty() {
            return;
        }
        let cancels = std::mem::take(&mut self.cancels);
        let hit: Vec<_> = self
            .slots
            .running()
            .filter_map(|(slot, running)| Some((slot, running, *cancels.get(&running.ticket)?)))
            .filter(|(_, running, reason)| running.cancelled != Some(*reason))
            .collect();
        for (slot, running, reason) in hit {
            self.slots.fire(slot, reason);
            let timed_out = reason == CancelReason::Timeout;
            if timed_out && self.handler.on_cancel() == OnCancel::Wait {
                continue;
            }
            self.slots.drop_future(slot);
            let (cause, text) = if timed_out {
                (FailureCause::TimedOut, "it ran longer than the handler timeout")
            } else {
                (FailureCause::Cancelled, "the partition is given away or the run ends")
            };
            self.ended.push(Ended { running, cause, outcome: Outcome::retry(text) });
        }
    }
}

impl<H: Handler> Future for Worker<H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.doorbell.register(cx.waker());
        let begun = self.shared.clock.now();
        self.polling_since = Some(begun);
        for turn in 1.. {
            match self.turn() {
                Turn::Idle => return Poll::Pending,
                Turn::End => return Poll::Ready(()),
                Turn::GiveWay => break,
                Turn::Busy if turn >= TURNS_AT_MOST => break,
                Turn::Busy if turn % TURNS_PER_POLL != 0 => {}
                Turn::Busy => {
                    if self.shared.clock.now().saturating_since(begun) > YIELD_AFTER {
                        break;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Core {
    fn claim_idle_other(&mut self, index: usize) -> Option<usize> {
        self.idle &= !(1 << index);
        self.claim_idle()
    }

    /// Hands in an outcome that is not "done" and says what came of it.
    fn hand_in(
        &mut self,
        ended: Ended,
        to_write: &mut Vec<ToWrite>,
        now: tidegate_engine::Instant,
    ) -> Option<Event> {
        let Ended { running, cause, outcome } = ended;
        self.panics += u64::from(cause == FailureCause::Panicked);
        let (given, reason, overloaded) = match outcome {
            Outcome::Done => (EngineOutcome::Done, None, false),
            Outcome::Skip => (EngineOutcome::Skip, None, false),
            Outcome::Retry { after, reason } => (EngineOutcome::Retry { after }, reason, false),
            Outcome::Overloaded { retry_after, reason } => {
                (EngineOutcome::Overloaded { retry_after }, reason, true)
            }
            Outcome::DeadLetter { reason } => (EngineOutcome::DeadLetter, reason, false),
        };
        let verdict = self.engine.handle_outcome(running.ticket, given, now);
        let partition = self.name(running.partition);
        let offset = running.offset;
        let attempt = running.attempt;
        let reason = reason.unwrap_or_else(|| "the handler gave no reason".to_owned());
        match verdict {
            Verdict::Finished | Verdict::Stale => None,
            Verdict::Again { at, attempt: next_attempt } => {
                let next = at.saturating_since(now);
                Some(if overloaded && next_attempt == attempt {
                    Event::Overloaded { partition, offset, reason, next }
                } else {
                    Event::AttemptFailed { partition, offset, attempt, cause, reason, next }
                })
            }
            Verdict::Stopped { attempts, .. } => {
                self.stopped_at(running.partition, offset, &reason);
                Some(Event::PartitionStopped { partition, offset, attempts, reason })
            }
            Verdict::GivenUp { attempts, .. } => {
                Some(Event::GivenUp { partition, offset, attempts, reason })
            }
            Verdict::DeadLetter { attempts, .. } => {
                self.held_told = false;
                let ticket = running.ticket;
                let record = self.engine.payload(ticket)?.clone();
                to_write.push(ToWrite { ticket, partition, record, attempts, cause, reason });
                None
            }
            Verdict::Held { at } => {
                let next = at.saturating_since(now);
                let told = std::mem::replace(&mut self.held_told, true);
                (!told).then_some(Event::DeadLetterHeld { partition, offset, reason, next })
            }
            Verdict::Unfinished => Some(Event::Unfinished { partition, offset, cause, reason }),
            _ => None,
        }
    }
}
