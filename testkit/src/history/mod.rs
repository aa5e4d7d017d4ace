//! What happened in a run, as one line of text for each event, in a file that survives `kill -9`.
//!
//! | file | what |
//! |---|---|
//! | `event` | the events and their text |
//! | `writer` | appends; its guard reports a handler that was dropped or panicked |
//! | `read` | one or several files back, sorted by time |
//!
//! A handler writes its end *before* it returns, so a commit that is written later in the same
//! history really came later.

mod event;
mod read;
mod writer;

pub use self::{
    event::{Ending, Event, Happened, RecordAt},
    read::{History, ReadError},
    writer::{HandlerGuard, HistoryWriter},
};

/// Microseconds of the machine's monotonic clock. All processes on the machine share it, and
/// setting the wall clock does not move it.
#[must_use]
pub fn now_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("a monotonic clock is not negative");
    let nanoseconds = u64::try_from(now.tv_nsec).expect("nanoseconds are not negative");
    seconds * 1_000_000 + nanoseconds / 1_000
}

/// The 64-bit FNV-1a hash of a key: histories hold no keys, and two runs must agree on it.
#[must_use]
pub fn key_hash(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
