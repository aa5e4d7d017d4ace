//! How many calls the target gets: waiting for one's turn, and telling the limit what came of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tidegate::Monitor;
use tidegate::limit::{Answer, Controller, Sample, Start};
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::told::Told;
use crate::report::Sender;

/// The limit, and those who wait for it, first come, first served.
pub(super) struct Pressure {
    state: Mutex<State>,
    /// Held by the one whose turn is next.
    turn: tokio::sync::Mutex<()>,
    /// A call has ended.
    changed: Notify,
    origin: tokio::time::Instant,
    outside: OnceLock<(Sender, Monitor)>,
    /// The run ends: nothing more is sent.
    closed: AtomicBool,
}

struct State {
    controller: Controller,
    calls: u32,
    /// What the consumer knows of the limit.
    known: u32,
    told: Told,
}

/// What came of a call.
pub(super) struct Ended<'a> {
    pub(super) answer: Answer,
    /// It is the fault of the target, or of the credentials.
    pub(super) fault: bool,
    /// In words.
    pub(super) words: &'a str,
}

/// A call that was let through. Dropped, it is over and says nothing.
pub(super) struct Call<'a> {
    pressure: &'a Pressure,
    started: Duration,
}

impl Pressure {
    /// Never more than `most` calls.
    pub(super) fn new(most: u32, seed: u64) -> Self {
        let origin = tokio::time::Instant::now();
        let controller = Controller::new(most, seed, tidegate::limit::Instant::from_nanos(0));
        Self {
            state: Mutex::new(State { controller, calls: 0, known: most, told: Told::default() }),
            turn: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            origin,
            outside: OnceLock::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Tells of what changes, and lets the consumer start no more than may be called.
    pub(super) fn attach(&self, sender: Sender, monitor: Monitor) {
        let _ = self.outside.set((sender, monitor));
        let mut state = self.lock();
        self.pass_on(&mut state);
    }

    /// Never more than `most` calls from now on.
    pub(super) fn set_most(&self, most: u32) {
        let now = instant(self.origin.elapsed());
        let mut state = self.lock();
        state.controller.set_max_in_flight(most, now);
        self.pass_on(&mut state);
        drop(state);
        self.changed.notify_one();
    }

    /// Lets go of those who wait.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Nothing that holds the lock can panic, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a call may start; `None` if none will.
    ///
    /// # Cancel safety
    /// Dropped, it gives up its place.
    pub(super) async fn begin(&self) -> Option<Call<'_>> {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => self.turn.lock().await,
        };
        loop {
            // The next in turn looks as soon as this one has gone.
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            let now = self.origin.elapsed();
            let start = {
                let mut state = self.lock();
                let calls = state.calls;
                let start = state.controller.start(calls, instant(now));
                state.calls += u32::from(start == Start::Now);
                start
            };
            match start {
                Start::Now => return Some(Call { pressure: self, started: now }),
                Start::Full => self.changed.notified().await,
                Start::At(at) => {
                    let at = self.origin + Duration::from_nanos(at.as_nanos());
                    tokio::select! {
                        () = sleep_until(at) => {}
                        () = self.changed.notified() => {}
                    }
                }
            }
        }
    }

    /// What the consumer should know.
    fn pass_on(&self, state: &mut State) {
        let limit = state.controller.limit().in_flight;
        if limit == state.known {
            return;
        }
        state.known = limit;
        if let Some((_, monitor)) = self.outside.get() {
            // It is within the range: never more than what is configured.
            let _ = monitor.set_max_in_flight(limit);
        }
    }
}

impl Call<'_> {
    /// It is over, and this came of it. `key` tells keys apart. Says whether the target is down.
    pub(super) fn end(self, key: u64, ended: &Ended<'_>) -> bool {
        let pressure = self.pressure;
        let now = pressure.origin.elapsed();
        let mut state = pressure.lock();
        let in_flight = state.calls;
        let limit = state.controller.update(Sample {
            started: instant(self.started),
            ended: instant(now),
            in_flight,
            key,
            answer: ended.answer,
        });
        for message in state.told.update(ended, limit.down, now) {
            if let Some((sender, _)) = pressure.outside.get() {
                sender.message(message);
            }
        }
        pressure.pass_on(&mut state);
        limit.down
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.pressure.lock().calls -= 1;
        self.pressure.changed.notify_one();
    }
}

fn instant(since_origin: Duration) -> tidegate::limit::Instant {
    let nanos = u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX);
    tidegate::limit::Instant::from_nanos(nanos)
}
