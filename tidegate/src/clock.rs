//! The process's clock, as the engine reads time.

use std::sync::LazyLock;
use std::time::{Duration, Instant as Monotonic};

use tidegate_engine::Instant;

static ORIGIN: LazyLock<Monotonic> = LazyLock::new(Monotonic::now);

/// Now, on the monotonic clock. It begins at an hour, so that what is subtracted does not reach the
/// origin.
pub(crate) fn now() -> Instant {
    Instant::from_nanos(0) + Duration::from_secs(3_600) + ORIGIN.elapsed()
}

/// The same moment on the runtime's clock.
pub(crate) fn to_tokio(at: Instant) -> tokio::time::Instant {
    tokio::time::Instant::now() + at.saturating_since(now())
}
