//! Order: which record waits for which.
//!
//! A lane is a key of a partition (or the whole partition) while it has an unfinished record. The
//! map knows its last one; each record knows its successor. A key that is not busy costs nothing.

use core::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::{KeyHash, PartitionId};

/// Hashes keys with a seed, so that nobody outside can choose keys that collide.
#[derive(Clone, Debug)]
pub struct KeyHasher(FixedState);

impl KeyHasher {
    /// A hasher for this seed. Equal seeds hash equally.
    pub fn new(seed: u64) -> Self {
        Self(FixedState::with_seed(seed))
    }

    /// The hash of a key. An empty key is a key like any other.
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        KeyHash(hasher.finish())
    }
}

/// One sequence of records that are handled one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) partition: PartitionId,
    pub(crate) key: KeyHash,
}

impl Hash for Lane {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let spread = u64::from(self.partition.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state.write_u64(self.key.0 ^ spread);
    }
}

/// A lane's key is a seeded hash already; hashing it again would only cost.
#[derive(Clone, Copy, Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct BuildHashed;

impl BuildHasher for BuildHashed {
    type Hasher = Hashed;

    fn build_hasher(&self) -> Hashed {
        Hashed::default()
    }
}

/// The last record of each busy lane, by slot.
#[derive(Debug, Default)]
pub(crate) struct Lanes(HashMap<Lane, u32, BuildHashed>);

impl Lanes {
    pub(crate) fn with_capacity(lanes: usize) -> Self {
        Self(HashMap::with_capacity_and_hasher(lanes, BuildHashed))
    }

    /// Makes `slot` the lane's last and returns the one it waits for.
    pub(crate) fn push(&mut self, lane: Lane, slot: u32) -> Option<u32> {
        match self.0.entry(lane) {
            Entry::Occupied(mut last) => Some(core::mem::replace(last.get_mut(), slot)),
            Entry::Vacant(free) => {
                free.insert(slot);
                None
            }
        }
    }

    /// The lane's last record is finished, if it is `slot`: the lane is free.
    pub(crate) fn remove_if_last(&mut self, lane: Lane, slot: u32) {
        if let Entry::Occupied(last) = self.0.entry(lane)
            && *last.get() == slot
        {
            last.remove();
        }
    }

    /// How many lanes are busy.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
