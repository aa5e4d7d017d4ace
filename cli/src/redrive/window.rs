//! How many letters may be moved twice after a crash: those that were begun and are not known to be
//! committed.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

/// Bounds them.
pub(super) struct Window {
    free: Semaphore,
    /// Letters that are known to be committed.
    committed: AtomicU64,
}

impl Window {
    /// So many.
    pub(super) fn new(letters: u32) -> Self {
        let free = Semaphore::new(usize::try_from(letters).unwrap_or(usize::MAX));
        Self { free, committed: AtomicU64::new(0) }
    }

    /// Waits until one more may be begun. First come, first served.
    pub(super) async fn enter(&self) {
        // It is never closed.
        if let Ok(permit) = self.free.acquire().await {
            permit.forget();
        }
    }

    /// One that was begun will not be committed by this call.
    pub(super) fn leave(&self) {
        self.free.add_permits(1);
    }

    /// So many letters are done, and so many records are finished and not known to be committed.
    /// Those that were only passed by are among the latter: it may be told too little, and never too
    /// much. One caller at a time.
    pub(super) fn look(&self, done: u64, uncommitted: u64) {
        let committed = done.saturating_sub(uncommitted);
        let before = self.committed.fetch_max(committed, Ordering::Relaxed);
        let more = committed.saturating_sub(before);
        self.free.add_permits(usize::try_from(more).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_may_begin_as_are_committed() {
        let window = Window::new(3);
        let enter = || {
            let permit = window.free.try_acquire();
            permit.map(tokio::sync::SemaphorePermit::forget).is_ok()
        };
        assert!(enter() && enter() && enter() && !enter());
        window.look(2, 2);
        assert!(!enter(), "done is not committed");
        window.look(3, 1);
        assert!(enter() && enter() && !enter());
        window.look(3, 3);
        window.look(3, 1);
        assert!(!enter(), "what was known is not counted twice");
        window.leave();
        assert!(enter() && !enter());
    }
}
