//! Pinned places for futures, reused for one record after another.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tidegate_engine::{CancelReason, Offset, PartitionId, Ticket};

use super::doorbell::Doorbell;
use crate::cancellation::{CancelSignal, Cancellation};

/// The record whose future is in a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) ticket: Ticket,
    pub(crate) partition: PartitionId,
    pub(crate) offset: Offset,
    pub(crate) attempt: u32,
    /// That it was told to stop, and why.
    pub(crate) cancelled: Option<CancelReason>,
}

/// A place that never moves, with the waker and the cancellation signal of whatever is in it.
#[derive(Debug)]
struct Slot<F> {
    future: Pin<Box<Option<F>>>,
    waker: Waker,
    signal: Arc<CancelSignal>,
    generation: u64,
    running: Option<Running>,
}

/// What came of a poll. A panic's message is the future's end, too.
pub(crate) type Polled<T> = Poll<Result<T, String>>;

/// A worker's slots. They grow to the most that were ever in flight at once and stay.
#[derive(Debug)]
pub(crate) struct Slots<F> {
    slots: Vec<Slot<F>>,
    /// The one used last is used next: it is the warmest.
    free: Vec<u32>,
}

impl<F: Future> Slots<F> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// Makes the future in a free slot, given its token, and polls it once there.
    pub(crate) fn start(
        &mut self,
        doorbell: &Arc<Doorbell>,
        running: Running,
        make: impl FnOnce(Cancellation) -> F,
    ) -> Polled<F::Output> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = self.slots.len() as u32;
                self.slots.push(Slot {
                    future: Box::pin(None),
                    waker: doorbell.waker(index),
                    signal: Arc::default(),
                    generation: 0,
                    running: None,
                });
                index
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.generation += 1;
        let token = slot.signal.token(slot.generation);
        let future = &mut slot.future;
        let mut context = Context::from_waker(&slot.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            future.set(Some(make(token)));
            poll_in_place(future, &mut context)
        }));
        let polled = slot.settle(polled);
        match polled {
            Poll::Pending => slot.running = Some(running),
            Poll::Ready(_) => self.free.push(index),
        }
        polled
    }

    /// Polls what was woken. `None` if nothing is there (any more).
    pub(crate) fn poll(&mut self, index: u32) -> Option<(Running, Polled<F::Output>)> {
        let slot = self.slots.get_mut(index as usize)?;
        let running = slot.running?;
        let future = &mut slot.future;
        let mut context = Context::from_waker(&slot.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| poll_in_place(future, &mut context)));
        let polled = slot.settle(polled);
        if polled.is_ready() {
            slot.running = None;
            self.free.push(index);
        }
        Some((running, polled))
    }

    /// The slots in use and what runs there.
    pub(crate) fn running(&self) -> impl Iterator<Item = (u32, Running)> + '_ {
        let used = |(index, slot): (usize, &Slot<F>)| Some((index as u32, slot.running?));
        self.slots.iter().enumerate().filter_map(used)
    }

    /// Fires the token of what is in a slot.
    pub(crate) fn fire(&mut self, index: u32, reason: CancelReason) {
        let slot = &mut self.slots[index as usize];
        slot.signal.fire(slot.generation);
        if let Some(running) = &mut slot.running {
            running.cancelled = Some(reason);
        }
    }

    /// Drops the future in a slot.
    pub(crate) fn drop_future(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.running.take().is_some() {
            slot.clear();
            self.free.push(index);
        }
    }
}

/// A worker that goes away (the run was dropped, say) ends what it runs.
impl<F> Drop for Slots<F> {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            if slot.running.is_some() {
                slot.signal.fire(slot.generation);
                slot.clear();
            }
        }
    }
}

fn poll_in_place<F: Future>(
    future: &mut Pin<Box<Option<F>>>,
    context: &mut Context<'_>,
) -> Poll<F::Output> {
    let Some(running) = future.as_mut().as_pin_mut() else { return Poll::Pending };
    let polled = running.poll(context);
    if polled.is_ready() {
        future.set(None);
    }
    polled
}

impl<F> Slot<F> {
    /// Turns a panic into an end with a message, and drops what it left.
    fn settle<T>(&mut self, polled: Result<Poll<T>, Box<dyn Any + Send>>) -> Polled<T> {
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => {
                self.clear();
                Poll::Ready(Err(message(panic)))
            }
        }
    }

    /// Drops the future, and bears that its drop panics: the slot is empty all the same, since an
    /// assignment completes while its old value unwinds.
    fn clear(&mut self) {
        let future = &mut self.future;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| future.set(None))) {
            message(panic);
        }
    }
}

/// Runs foreign code; a panic in it is an error with its words.
pub(crate) fn guarded<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(message)
}

/// The words of a panic.
fn message(panic: Box<dyn Any + Send>) -> String {
    let text = if let Some(text) = panic.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    };
    // The payload is the handler's own type and may panic once more.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(panic))).map_err(std::mem::forget);
    text
}
