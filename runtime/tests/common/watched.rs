//! A source that counts how often it is asked, and can be told to need a thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_engine::{Capacity, CommitPoint, Offset, PartitionId};
use tidegate_runtime::memory::MemorySource;
use tidegate_runtime::{Batch, Read, Source, SourceError, SourceEvent, SourceWaker};

/// `THREAD`: see [`Source::NEEDS_THREAD`].
pub struct Watched<const THREAD: bool> {
    pub source: MemorySource,
    /// Calls of `poll_event`.
    pub polls: Arc<AtomicU64>,
    /// Added to each end offset that it tells.
    pub further: i64,
    /// Answers each commit twice: first as an earlier assignment of the partition might have been,
    /// which committed a later offset.
    pub stale_answers: bool,
    stale: VecDeque<SourceEvent>,
}

impl<const THREAD: bool> Watched<THREAD> {
    pub fn new(source: MemorySource) -> Self {
        Self {
            source,
            polls: Arc::default(),
            further: 0,
            stale_answers: false,
            stale: VecDeque::new(),
        }
    }
}

impl<const THREAD: bool> Source for Watched<THREAD> {
    const NEEDS_THREAD: bool = THREAD;

    fn start(&mut self, waker: SourceWaker) -> Result<(), SourceError> {
        self.source.start(waker)
    }

    fn poll_event(&mut self) -> Option<SourceEvent> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        if let Some(event) = self.stale.pop_front() {
            return Some(event);
        }
        let mut event = self.source.poll_event();
        if let Some(SourceEvent::Assigned(assignment)) = &mut event {
            assignment.end = assignment.end.map(|end| Offset(end.0 + self.further));
        }
        event
    }

    fn has_records(&self, partition: PartitionId) -> bool {
        self.source.has_records(partition)
    }

    fn read(&mut self, id: PartitionId, capacity: Capacity, out: &mut Vec<Arc<Batch>>) -> Read {
        self.source.read(id, capacity, out)
    }

    fn commit(&mut self, points: &[CommitPoint]) {
        if self.stale_answers {
            self.stale.extend(points.iter().map(|point| SourceEvent::Committed {
                partition: point.partition,
                offset: Offset(point.offset.0 + 1_000),
                result: Ok(()),
            }));
        }
        self.source.commit(points);
    }

    fn release(&mut self, partitions: &[PartitionId]) {
        self.source.release(partitions);
    }

    fn close(&mut self) {
        self.source.close();
    }
}
