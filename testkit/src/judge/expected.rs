//! Which records a run has to finish.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Range,
    sync::Arc,
};

use crate::{
    history::{Happened, History, RecordAt},
    kafka::Written,
};

/// A partition's records: offset and the hash of the key, if it is known and there is one.
pub(super) type Offsets = BTreeMap<i64, Option<u64>>;

/// The records that a run has to finish, per topic and partition.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    partitions: BTreeMap<(Arc<str>, i32), Offsets>,
}

impl Expected {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All that was written.
    #[must_use]
    pub fn written(written: &[Written]) -> Self {
        let mut expected = Self::new();
        for record in written {
            expected
                .partition(&record.topic, record.partition)
                .insert(record.offset, record.key_hash);
        }
        expected
    }

    /// Adds one record.
    pub fn add(&mut self, record: &RecordAt, key_hash: Option<u64>) {
        self.partition(&record.topic, record.partition).insert(record.offset, key_hash);
    }

    /// Adds a range of offsets. Their keys are taken from the handlers' starts.
    pub fn add_range(&mut self, topic: &str, partition: i32, offsets: Range<i64>) {
        let known = self.partition(&topic.into(), partition);
        for offset in offsets {
            known.entry(offset).or_default();
        }
    }

    /// Takes out what need not finish, e.g. what is below a moved log start.
    pub fn remove_range(&mut self, topic: &str, partition: i32, offsets: Range<i64>) {
        self.partition(&topic.into(), partition).retain(|offset, _| !offsets.contains(offset));
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.partitions.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every record.
    pub fn iter(&self) -> impl Iterator<Item = RecordAt> + '_ {
        self.partitions.iter().flat_map(|((topic, partition), offsets)| {
            offsets.keys().map(|offset| RecordAt {
                topic: Arc::clone(topic),
                partition: *partition,
                offset: *offset,
            })
        })
    }

    pub(super) fn partitions(&self) -> &BTreeMap<(Arc<str>, i32), Offsets> {
        &self.partitions
    }

    /// With every record that a handler was started for, and the keys that the starts tell.
    pub(super) fn and_started(&self, history: &History) -> Self {
        let mut all = self.clone();
        for event in history.events() {
            if let Happened::Start { record, key_hash, .. } = &event.happened {
                match all.partition(&record.topic, record.partition).entry(record.offset) {
                    Entry::Vacant(entry) => {
                        entry.insert(*key_hash);
                    }
                    Entry::Occupied(mut entry) => {
                        let known = entry.get_mut();
                        *known = known.or(*key_hash);
                    }
                }
            }
        }
        all
    }

    fn partition(&mut self, topic: &Arc<str>, partition: i32) -> &mut Offsets {
        self.partitions.entry((Arc::clone(topic), partition)).or_default()
    }
}
