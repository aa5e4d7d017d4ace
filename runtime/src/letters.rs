//! Writing dead letters, beside the workers.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_engine::{CancelReason, LetterOutcome, Ticket, Verdict};
use tokio::task::JoinSet;

use crate::batch::TopicPartition;
use crate::cancellation::CancelSignal;
use crate::event::{Event, Events, FailureCause};
use crate::record::{Record, RecordRef};
use crate::shared::Shared;
use crate::sink::{Letter, Sink, SinkError};

/// A letter that failed is tried again after so long, then twice that, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A letter as the engine wants it written.
#[derive(Debug)]
pub(crate) struct ToWrite {
    pub(crate) ticket: Ticket,
    pub(crate) partition: TopicPartition,
    pub(crate) record: RecordRef,
    pub(crate) attempts: u32,
    pub(crate) cause: FailureCause,
    pub(crate) reason: String,
}

/// Writes letters, each in a task of its own: they are rare, and bounded by the permits that their
/// records keep. Dropped with the run, it drops them.
pub(crate) struct Letters {
    sink: Option<Arc<dyn Sink>>,
    told: Arc<Told>,
    tasks: Mutex<JoinSet<()>>,
}

/// What all letters share.
struct Told {
    shared: Arc<Shared>,
    events: Events,
    /// It was told that letters fail, and none was written since.
    failing: AtomicBool,
}

impl Letters {
    pub(crate) fn new(sink: Option<Arc<dyn Sink>>, shared: Arc<Shared>, events: Events) -> Self {
        let told = Told { shared, events, failing: AtomicBool::new(false) };
        Self { sink, told: Arc::new(told), tasks: Mutex::default() }
    }

    /// Begins to write. Within a tokio runtime, outside of the lock.
    pub(crate) fn begin(&self, to_write: ToWrite) {
        let ToWrite { ticket, partition, record, attempts, cause, reason } = to_write;
        let cancellation = Arc::new(CancelSignal::default()).token(1);
        let record = Record { of: record, attempt: attempts, cancellation };
        let letter = Letter { record, cause, reason };
        let told = Arc::clone(&self.told);
        let writing = Writing { ticket, partition, letter, told, answered: false };
        let Some(sink) = self.sink.clone() else { return };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(writing.run(sink));
    }
}

/// A letter on its way. However it ends, a panic of the sink included, the engine is told.
struct Writing {
    ticket: Ticket,
    partition: TopicPartition,
    letter: Letter,
    told: Arc<Told>,
    answered: bool,
}

impl Writing {
    async fn run(mut self, sink: Arc<dyn Sink>) {
        let outcome = self.write(&*sink).await;
        self.answer(outcome);
    }

    async fn write(&mut self, sink: &dyn Sink) -> LetterOutcome {
        let mut pause = FIRST_PAUSE;
        loop {
            let written = tokio::select! {
                biased;
                () = self.told.shared.letter_cancelled(self.ticket) => {
                    return LetterOutcome::Abandoned;
                }
                written = sink.write(&self.letter) => written,
            };
            let error = match written {
                Ok(()) => return LetterOutcome::Written,
                Err(SinkError::Refused(why)) => {
                    let reason = &mut self.letter.reason;
                    *reason =
                        format!("its dead letter is refused: {why} (it failed with: {reason})");
                    return LetterOutcome::Refused;
                }
                Err(SinkError::Failed(error)) => error,
            };
            if !self.told.failing.swap(true, Ordering::Relaxed) {
                let (partition, offset) = (self.partition.clone(), self.offset());
                self.told.events.emit(&Event::DeadLettersFail { partition, offset, error });
            }
            tokio::select! {
                biased;
                () = self.told.shared.letter_cancelled(self.ticket) => {
                    return LetterOutcome::Abandoned;
                }
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn offset(&self) -> tidegate_engine::Offset {
        tidegate_engine::Offset(self.letter.record.offset())
    }

    fn answer(&mut self, outcome: LetterOutcome) {
        if std::mem::replace(&mut self.answered, true) {
            return;
        }
        let Told { shared, events, failing } = &*self.told;
        let (offset, attempts) = (self.offset(), self.letter.record.attempt());
        let reason = self.letter.reason.clone();
        let partition = self.partition.clone();
        let (verdict, worker, wakes_pump) = {
            let mut core = shared.lock();
            let now = shared.clock.now();
            let verdict = core.engine.handle_dead_letter(self.ticket, outcome, now);
            core.cancels.answered(self.ticket);
            if let Verdict::Stopped { partition, offset, .. } = verdict {
                core.stopped_at(partition, offset, &reason);
            }
            let worker = if core.engine.has_ready() { core.claim_idle() } else { None };
            (verdict, worker, core.wakes_pump(now))
        };
        if wakes_pump {
            shared.pump.notify_one();
        }
        if let Some(worker) = worker {
            shared.ring(worker);
        }
        if outcome == LetterOutcome::Written && failing.swap(false, Ordering::Relaxed) {
            events.emit(&Event::Recovered("dead letters are written again".to_owned()));
        }
        let cause = self.letter.cause;
        match verdict {
            Verdict::Finished => {
                events.emit(&Event::DeadLettered { partition, offset, attempts, reason });
            }
            Verdict::Stopped { .. } => {
                events.emit(&Event::PartitionStopped { partition, offset, attempts, reason });
            }
            // Nobody cancelled it: the sink panicked.
            Verdict::Held { .. } if !failing.swap(true, Ordering::Relaxed) => {
                let error = "the sink panicked".to_owned();
                events.emit(&Event::DeadLettersFail { partition, offset, error });
            }
            Verdict::Unfinished => {
                events.emit(&Event::Unfinished { partition, offset, cause, reason });
            }
            _ => {}
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.answer(LetterOutcome::Abandoned);
    }
}

impl Shared {
    /// Returns when a letter is to be given up.
    async fn letter_cancelled(&self, ticket: Ticket) {
        let mut rung = pin!(self.letters_rung.notified());
        loop {
            // Registered before the look, so that ringing in between is not missed.
            rung.as_mut().enable();
            if self.lock().cancels.reasons.get(&ticket) == Some(&CancelReason::Revoked) {
                return;
            }
            rung.as_mut().await;
            rung.set(self.letters_rung.notified());
        }
    }
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letters").finish_non_exhaustive()
    }
}
