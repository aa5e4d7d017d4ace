//! The topic: partitions with their records, how far they were read and committed, and by whom.

/// A record that a producer made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    pub(super) made: u64,
    /// Decides how it fares, the same under every strategy.
    pub(super) random: u64,
    pub(super) key: Option<u32>,
    pub(super) bytes: u32,
    pub(super) partition: u32,
    pub(super) is_poison: bool,
}

/// A record in Kafka, and what became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) fresh: Fresh,
    /// The life of the process whose handler has it now; 0 if none has.
    pub(super) holder: u32,
    pub(super) was_delivered: bool,
    pub(super) is_done: bool,
    pub(super) is_lost: bool,
}

/// A partition that is being given from one member to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) to: Option<usize>,
    pub(super) deadline: u64,
    pub(super) cancelled: bool,
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) entries: Vec<Entry>,
    /// The next offset to read.
    pub(super) position: usize,
    pub(super) committed: Option<usize>,
    pub(super) metadata: String,
    pub(super) owner: Option<usize>,
    pub(super) moving: Option<Move>,
    /// Everything below was read, is done or lost, and no handler has it again.
    settled: usize,
}

/// The topic.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) partitions: Vec<Partition>,
    /// Records that nobody has read.
    pub(super) unread: u64,
    /// For each key, behind the newest record that was finished.
    newest: Vec<usize>,
}

impl Log {
    pub(super) fn new(partitions: u32, keys: u32) -> Self {
        // The group has been here before, and has done all there was.
        let partition = || Partition { committed: Some(0), ..Partition::default() };
        let partitions = (0..partitions).map(|_| partition()).collect();
        Self { partitions, unread: 0, newest: vec![0; keys as usize] }
    }

    /// Appends a record, and returns its offset.
    pub(super) fn append(&mut self, fresh: Fresh) -> usize {
        self.unread += 1;
        let entries = &mut self.partitions[fresh.partition as usize].entries;
        entries.push(Entry {
            fresh,
            holder: 0,
            was_delivered: false,
            is_done: false,
            is_lost: false,
        });
        entries.len() - 1
    }

    /// So many more of a partition were read.
    pub(super) fn read(&mut self, partition: usize, records: usize) {
        self.partitions[partition].position += records;
        self.unread -= records as u64;
    }

    /// Whoever reads next begins at the committed offset.
    pub(super) fn rewind(&mut self, partition: usize) {
        let partition = &mut self.partitions[partition];
        let start = partition.committed.unwrap_or(0);
        self.unread = (self.unread + partition.position as u64) - start as u64;
        partition.position = start;
        partition.settled = partition.settled.min(start);
    }

    /// A handler begins with a record; whether one had it before.
    pub(super) fn deliver(&mut self, partition: usize, offset: usize, life: u32) -> bool {
        let entry = &mut self.partitions[partition].entries[offset];
        entry.holder = life;
        std::mem::replace(&mut entry.was_delivered, true)
    }

    /// A record is done; returns whether it is for the first time, and then whether a later one of
    /// its key was before it.
    pub(super) fn finish(&mut self, partition: usize, offset: usize, life: u32) -> Option<bool> {
        let entry = &mut self.partitions[partition].entries[offset];
        if entry.holder == life {
            entry.holder = 0;
        }
        if std::mem::replace(&mut entry.is_done, true) {
            return None;
        }
        let Some(key) = entry.fresh.key else { return Some(false) };
        let newest = &mut self.newest[key as usize];
        let is_late = offset < *newest;
        *newest = (*newest).max(offset + 1);
        Some(is_late)
    }

    /// The process of this life is gone, and with it what its handlers had. What lies below the
    /// committed offset will not come again: returns how much that is.
    pub(super) fn abandon(&mut self, life: u32) -> u64 {
        let mut lost = 0;
        for partition in &mut self.partitions {
            let first = partition.settle();
            let committed = partition.committed.unwrap_or(0);
            for (offset, entry) in partition.entries.iter_mut().enumerate().skip(first) {
                if entry.holder != life {
                    continue;
                }
                entry.holder = 0;
                if offset < committed && !entry.is_done {
                    entry.is_lost = true;
                    lost += 1;
                }
            }
        }
        lost
    }
}

impl Partition {
    pub(super) fn unread(&self) -> usize {
        self.entries.len() - self.position
    }

    /// Behind what was read and is done: the first offset that a restart must begin at.
    pub(super) fn settle(&mut self) -> usize {
        let settled = |entry: &Entry| entry.holder == 0 && (entry.is_done || entry.is_lost);
        while self.settled < self.position && settled(&self.entries[self.settled]) {
            self.settled += 1;
        }
        self.settled
    }
}
