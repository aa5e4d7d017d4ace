//! The engine's instants on tokio's clock, so that tests can run on a paused one.

use std::time::Duration;

use tidegate_engine::Instant;

/// Maps between the two. The origin is the moment it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    pub(crate) fn now(self) -> Instant {
        Instant::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The moment on tokio's clock. What is too far away for it is a year away.
    pub(crate) fn to_tokio(self, at: Instant) -> tokio::time::Instant {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        let after = Duration::from_nanos(at.as_nanos());
        self.origin.checked_add(after).unwrap_or_else(|| tokio::time::Instant::now() + YEAR)
    }
}
