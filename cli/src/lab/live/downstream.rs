//! What handlers call, on the clock: so many servers, and a queue in front of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_sim::lab::{Downstream, mix};
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How long a request that fails takes.
const FAILS_AFTER: Duration = Duration::from_millis(5);

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotDone {
    Failed,
    Overloaded,
}

pub(super) struct Servers {
    free: Arc<Semaphore>,
    waiting: AtomicU32,
    plan: Mutex<Plan>,
}

#[derive(Clone, Copy)]
struct Plan {
    downstream: Downstream,
    /// By how much the keys made it slower.
    factor: f64,
}

impl Servers {
    pub(super) fn new(downstream: Downstream) -> Self {
        Self {
            free: Arc::new(Semaphore::new(downstream.servers as usize)),
            waiting: AtomicU32::new(0),
            plan: Mutex::new(Plan { downstream, factor: 1.0 }),
        }
    }

    fn plan(&self) -> Plan {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a request, when a server is free.
    pub(super) async fn call(&self, random: u64) -> Result<(), NotDone> {
        let most = self.plan().downstream.waiting;
        if most.is_some_and(|most| self.waiting.load(Ordering::Relaxed) >= most)
            && self.free.available_permits() == 0
        {
            sleep(Duration::from_millis(1)).await;
            return Err(NotDone::Overloaded);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Leaves(&self.waiting);
        // It is never closed.
        let Ok(_server) = self.free.acquire().await else { return Err(NotDone::Failed) };
        drop(waiting);
        let Plan { downstream, factor } = self.plan();
        let fails = (mix(random, 1) >> 11) as f64 / (1u64 << 53) as f64;
        if fails < downstream.failures {
            sleep(FAILS_AFTER).await;
            return Err(NotDone::Failed);
        }
        sleep(downstream.service.sample(random).mul_f64(factor)).await;
        Ok(())
    }

    /// Requests a second that it can answer well at present.
    pub(super) fn capacity(&self) -> f64 {
        let Plan { downstream, factor } = self.plan();
        downstream.capacity() / factor * (1.0 - downstream.failures)
    }

    /// Makes it slower, or faster, by this factor.
    pub(super) fn slow_down(&self, by: f64) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.factor = (plan.factor * by).clamp(1.0 / 64.0, 64.0);
    }

    /// Changes it as an event says.
    pub(super) fn change(&self, change: impl Fn(&mut Downstream)) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let before = plan.downstream.servers;
        change(&mut plan.downstream);
        let after = plan.downstream.servers;
        if after >= before {
            self.free.add_permits((after - before) as usize);
            return;
        }
        let free = Arc::clone(&self.free);
        // As they become free.
        tokio::spawn(async move {
            if let Ok(gone) = free.acquire_many_owned(before - after).await {
                gone.forget();
            }
        });
    }
}

/// Counts one less when it goes, also if its request is given up.
struct Leaves<'a>(&'a AtomicU32);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
