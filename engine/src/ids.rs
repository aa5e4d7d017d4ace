//! Names for what the engine counts and points at.

use core::fmt;

/// A partition of a topic, as the caller numbered it: a small index, dense from 0.
///
/// The engine knows no topic names. The caller keeps the table and gives the same topic and
/// partition the same number for as long as the engine lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

impl PartitionId {
    /// The number as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// An offset in a partition. As a *position* or *committed* offset it is the next one to read or
/// to process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The hash of a record's key. Equal hashes are kept in order, so a collision only serialises
/// more than necessary, never less. Make it with [`KeyHasher`](crate::KeyHasher).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(pub u64);

/// One dispatched record until its outcome is handed in. A ticket of an earlier life of its slot
/// (a revoked partition, say) is recognised and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}
