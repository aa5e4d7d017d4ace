//! The handler: a letter is done when the record that it was is in its topic again.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate::{Handler, Outcome, Producer, ProducerRecord, Record, SendError};
use tokio_util::sync::CancellationToken;

use super::letter::{Keep, Letter};
use super::pace::Pace;
use super::passes::Passes;
use super::window::Window;

/// The reason of letters that this call does not touch any more.
pub(super) const LEFT: &str = "left for a later call";
/// They would come again after the end of this call.
const AGAIN: Duration = Duration::from_secs(3_600);

/// What is counted.
#[derive(Default)]
pub(super) struct Counts {
    /// Acknowledged by the broker.
    moved: AtomicU64,
    /// Not selected.
    passed_by: AtomicU64,
    /// Moved by another pass.
    moved_before: AtomicU64,
    without_origin: AtomicU64,
    /// Begun, if there is a maximum.
    begun: AtomicU64,
}

impl Counts {
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    pub(super) fn passed_by(&self) -> u64 {
        self.passed_by.load(Ordering::Relaxed)
    }

    pub(super) fn moved_before(&self) -> u64 {
        self.moved_before.load(Ordering::Relaxed)
    }

    pub(super) fn without_origin(&self) -> u64 {
        self.without_origin.load(Ordering::Relaxed)
    }
}

/// What all attempts share.
pub(super) struct Mover {
    pub(super) producer: Producer,
    pub(super) passes: Passes,
    /// Where each partition ended when the call began.
    pub(super) ends: HashMap<i32, i64>,
    pub(super) keep: Keep,
    pub(super) pace: Option<Pace>,
    pub(super) window: Window,
    pub(super) most: Option<u64>,
    pub(super) counts: Counts,
    /// Nothing more is begun.
    pub(super) ending: CancellationToken,
    /// Something came that was not there when the call began.
    pub(super) beyond: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Mover {
    pub(super) fn new(
        producer: Producer,
        passes: Passes,
        ends: HashMap<i32, i64>,
        window: Window,
    ) -> Self {
        Self {
            producer,
            passes,
            ends,
            keep: Keep::default(),
            pace: None,
            window,
            most: None,
            counts: Counts::default(),
            ending: CancellationToken::new(),
            beyond: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    /// Why it stopped, if something could not be moved.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Where a partition ends for this call.
    pub(super) fn end(&self, partition: i32) -> i64 {
        self.ends.get(&partition).copied().unwrap_or(0)
    }

    async fn take(&self, record: &Record) -> Outcome {
        if self.ending.is_cancelled() {
            return left();
        }
        if record.offset() >= self.end(record.partition()) {
            // It may be one that was moved and became a letter again.
            self.beyond.store(true, Ordering::Relaxed);
            return left();
        }
        let letter = Letter::of(record);
        let selection = self.passes.selection();
        if !selection.wants(&letter) {
            return skip(&self.counts.passed_by);
        }
        let target = selection.target(&letter).filter(|target| *target != record.topic());
        let Some(target) = target else { return skip(&self.counts.without_origin) };
        if self.passes.moved_before(record.partition(), record.offset(), &letter) {
            return skip(&self.counts.moved_before);
        }
        if self.most.is_some_and(|most| self.counts.begun.fetch_add(1, Ordering::Relaxed) >= most) {
            return left();
        }
        let mut begun = Begun { mover: self, entered: false, settled: false };
        if self.ending.run_until_cancelled(self.window.enter()).await.is_none() {
            return left();
        }
        begun.entered = true;
        let restored = letter.restored(target, self.keep);
        let sent = self.ending.run_until_cancelled(self.send(restored)).await;
        let result = match sent {
            // What had not been sent by then never will be.
            None => return left(),
            Some(Ok(delivery)) => delivery.await.map_err(|error| error.to_string()),
            Some(Err(SendError { cause, .. })) => Err(cause.to_string()),
        };
        begun.settled = true;
        match result {
            Ok(_) => {
                let moved = self.counts.moved.fetch_add(1, Ordering::Relaxed) + 1;
                if self.most.is_some_and(|most| moved >= most) {
                    self.ending.cancel();
                }
                Outcome::Done
            }
            Err(why) => self.fail(record, &why),
        }
    }

    #[allow(clippy::result_large_err, reason = "a refused record comes back by value")]
    async fn send(&self, record: ProducerRecord) -> Result<tidegate::Delivery, SendError> {
        if let Some(pace) = &self.pace {
            pace.turn().await;
        }
        self.producer.send(record).await
    }

    /// The first failure ends it all: what comes behind would fail as well, or overtake.
    fn fail(&self, record: &Record, why: &str) -> Outcome {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| {
            format!(
                "{}/{} offset {} was not moved: {why}; it and those behind it are left, and a later \
                 call goes on there",
                record.topic(),
                record.partition(),
                record.offset()
            )
        });
        self.ending.cancel();
        left()
    }
}

/// A letter that was begun. One that is given away to another member before it is settled is not
/// committed here; and it has used up a place of a maximum, for which others were left that do not come
/// again before the end.
struct Begun<'a> {
    mover: &'a Mover,
    entered: bool,
    settled: bool,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if self.entered {
            self.mover.window.leave();
        }
        if self.mover.most.is_some() {
            self.mover.ending.cancel();
        }
    }
}

fn left() -> Outcome {
    Outcome::overloaded(Some(AGAIN), LEFT)
}

fn skip(count: &AtomicU64) -> Outcome {
    count.fetch_add(1, Ordering::Relaxed);
    Outcome::Skip
}

/// The handler of a [`Mover`].
pub(super) struct Moves(pub(super) Arc<Mover>);

impl Handler for Moves {
    type Future = Pin<Box<dyn Future<Output = Outcome> + Send>>;

    fn handle(&self, record: Record) -> Self::Future {
        let mover = Arc::clone(&self.0);
        Box::pin(async move { mover.take(&record).await })
    }
}
