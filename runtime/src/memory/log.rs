//! The log as a whole: topics and groups behind one lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tidegate_engine::Offset;

use super::faults::Faults;
use super::group::Group;
use super::partition::PartitionLog;
use super::produce::{NewRecord, now, partition_of};
use super::source::{MemorySource, StartFrom};
use crate::batch::TopicPartition;

/// A log in memory. Clones are the same log.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    world: Arc<Mutex<World>>,
}

/// Everything there is.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) topics: BTreeMap<Arc<str>, Topic>,
    pub(super) groups: HashMap<String, Group>,
    pub(super) faults: Faults,
    pub(super) next_number: u64,
}

#[derive(Debug)]
pub(super) struct Topic {
    /// Tells this topic from an earlier one of the same name.
    pub(super) incarnation: u64,
    pub(super) name: Arc<str>,
    pub(super) partitions: Vec<PartitionLog>,
    round_robin: usize,
}

/// What the in-memory log refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// There is no such topic.
    #[error("topic {0} does not exist; create it first")]
    UnknownTopic(String),
    /// There is such a topic already.
    #[error("topic {0} exists already")]
    TopicExists(String),
    /// The topic has no such partition.
    #[error("topic {topic} has {partitions} partitions and none numbered {partition}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: i32,
        /// How many it has.
        partitions: usize,
    },
    /// A number of partitions outside of 1 to 10,000.
    #[error("a topic has from 1 to 10,000 partitions, not {0}")]
    PartitionCount(i32),
}

impl MemoryLog {
    /// A log without topics.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// When it exists, or the number of partitions is not within 1 to 10,000.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), MemoryError> {
        let mut world = self.lock();
        if world.topics.contains_key(name) {
            return Err(MemoryError::TopicExists(name.to_owned()));
        }
        let name: Arc<str> = name.into();
        let incarnation = world.number();
        let mut topic =
            Topic { incarnation, name: Arc::clone(&name), partitions: Vec::new(), round_robin: 0 };
        topic.grow(partitions)?;
        world.topics.insert(name, topic);
        world.rebalance_all();
        Ok(())
    }

    /// Gives a topic more partitions, `partitions` in all; groups get them at once.
    ///
    /// # Errors
    /// When there is no such topic, or the number is less than it has, or more than 10,000.
    pub fn grow_topic(&self, name: &str, partitions: i32) -> Result<(), MemoryError> {
        let mut world = self.lock();
        world.topic(name)?.grow(partitions)?;
        world.rebalance_all();
        Ok(())
    }

    /// Appends a record and says where it went: to the partition it names, else to that of its
    /// key (as Kafka's producers choose it), else round-robin.
    ///
    /// # Errors
    /// When there is no such topic or partition.
    pub fn produce(&self, topic: &str, record: NewRecord) -> Result<(i32, Offset), MemoryError> {
        let mut world = self.lock();
        let log = world.topic(topic)?;
        let partition = log.choose(record.partition, record.key.as_deref())?;
        let headers = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let key = record.key.as_deref();
        let offset = log.partitions[partition].append(key, record.value.as_deref(), headers, now());
        world.wake_readers(topic, partition);
        Ok((partition as i32, offset))
    }

    /// Appends many records of a key and a value under one lock, each to the partition of its
    /// key, or round-robin without one.
    ///
    /// # Errors
    /// When there is no such topic.
    pub fn produce_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (Option<K>, V)>,
    ) -> Result<(), MemoryError> {
        let mut world = self.lock();
        let log = world.topic(topic)?;
        let now = now();
        for (key, value) in records {
            let key = key.as_ref().map(AsRef::as_ref);
            let partition = log.choose(None, key)?;
            log.partitions[partition].append(key, Some(value.as_ref()), [], now);
        }
        for partition in 0..log.partitions.len() {
            world.wake_readers(topic, partition);
        }
        Ok(())
    }

    /// Leaves a hole of `count` offsets at the end of a partition, as compaction and transaction
    /// markers do.
    ///
    /// # Errors
    /// When there is no such topic or partition.
    pub fn skip_offsets(&self, topic: &str, partition: i32, count: u32) -> Result<(), MemoryError> {
        let mut world = self.lock();
        let log = world.topic(topic)?;
        let partition = log.choose(Some(partition), None)?;
        log.partitions[partition].skip(count);
        world.wake_readers(topic, partition);
        Ok(())
    }

    /// Deletes the records below `offset`, as retention does.
    ///
    /// # Errors
    /// When there is no such topic or partition.
    pub fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        offset: Offset,
    ) -> Result<(), MemoryError> {
        let mut world = self.lock();
        let log = world.topic(topic)?;
        let partition = log.choose(Some(partition), None)?;
        log.partitions[partition].delete_below(offset);
        Ok(())
    }

    /// The offset that a partition's next record will get.
    ///
    /// # Errors
    /// When there is no such topic or partition.
    pub fn end_offset(&self, topic: &str, partition: i32) -> Result<Offset, MemoryError> {
        let mut world = self.lock();
        let log = world.topic(topic)?;
        let partition = log.choose(Some(partition), None)?;
        Ok(log.partitions[partition].end())
    }

    /// What a group committed last on a partition: the offset and the metadata.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<(Offset, String)> {
        let world = self.lock();
        world.groups.get(group)?.committed.get(&TopicPartition::new(topic, partition)).cloned()
    }

    /// How many offsets of a topic a group has not committed yet, all partitions together.
    ///
    /// # Errors
    /// When there is no such topic.
    pub fn lag(&self, group: &str, topic: &str) -> Result<u64, MemoryError> {
        let mut world = self.lock();
        let ends: Vec<_> =
            world.topic(topic)?.partitions.iter().map(|log| (log.start(), log.end())).collect();
        let committed = world.groups.get(group).map(|group| &group.committed);
        let lag = ends.iter().enumerate().map(|(partition, (start, end))| {
            let name = TopicPartition::new(topic, partition as i32);
            let committed = committed.and_then(|c| c.get(&name)).map_or(*start, |c| c.0);
            (end.0 - committed.0).max(0).unsigned_abs()
        });
        Ok(lag.sum())
    }

    /// A member of `group` that reads `topics`, for a [`Consumer`](crate::Consumer). Topics that
    /// do not exist yet are read when they are created. Where nothing is committed it starts at
    /// the earliest record; see [`MemorySource::start_from`].
    pub fn source<T: Into<String>>(
        &self,
        group: &str,
        topics: impl IntoIterator<Item = T>,
    ) -> MemorySource {
        let topics = topics.into_iter().map(Into::into).collect();
        let number = self.lock().number();
        MemorySource::new(self.clone(), group.to_owned(), topics, number, StartFrom::Earliest)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub(super) fn topic(&mut self, name: &str) -> Result<&mut Topic, MemoryError> {
        self.topics.get_mut(name).ok_or_else(|| MemoryError::UnknownTopic(name.to_owned()))
    }

    pub(super) fn log(&mut self, name: &TopicPartition) -> Option<&mut PartitionLog> {
        self.topics.get_mut(&name.topic)?.partitions.get_mut(usize::try_from(name.partition).ok()?)
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Wakes who reads this partition, if they found nothing there.
    fn wake_readers(&mut self, topic: &str, partition: usize) {
        let Some(topic) = self.topics.get_mut(topic) else { return };
        if std::mem::take(&mut topic.partitions[partition].reader_waits) {
            let name = TopicPartition::new(Arc::clone(&topic.name), partition as i32);
            self.groups.values().for_each(|group| group.wake_owner(&name));
        }
    }
}

impl Topic {
    fn grow(&mut self, partitions: i32) -> Result<(), MemoryError> {
        let before = self.partitions.len() as i32;
        if !(before.max(1)..=10_000).contains(&partitions) {
            return Err(MemoryError::PartitionCount(partitions));
        }
        for partition in before..partitions {
            let name = TopicPartition::new(Arc::clone(&self.name), partition);
            self.partitions.push(PartitionLog::new(name));
        }
        Ok(())
    }

    fn choose(&mut self, named: Option<i32>, key: Option<&[u8]>) -> Result<usize, MemoryError> {
        let partitions = self.partitions.len();
        if let Some(partition) = named {
            return usize::try_from(partition).ok().filter(|p| *p < partitions).ok_or_else(|| {
                MemoryError::UnknownPartition {
                    topic: self.name.to_string(),
                    partition,
                    partitions,
                }
            });
        }
        Ok(match key {
            Some(key) => partition_of(key, partitions),
            None => {
                self.round_robin = (self.round_robin + 1) % partitions;
                self.round_robin
            }
        })
    }
}
