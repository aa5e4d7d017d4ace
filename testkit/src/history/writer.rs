//! Appends events to a file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use super::{Ending, Event, Happened, RecordAt, key_hash, now_us};

/// Appends events to a file, one `write` for each: what was written survives `kill -9`, and
/// several processes may append to the same file.
///
/// Clones are cheap and write to the same file. An event costs about two microseconds.
///
/// # Panics
/// All methods panic when the file cannot be written: a run without its history is worthless.
#[derive(Debug, Clone)]
pub struct HistoryWriter {
    file: Arc<File>,
    member: Arc<str>,
}

impl HistoryWriter {
    /// Opens the file, or creates it, to append as `member`. Give every life of a process a
    /// name of its own.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: impl AsRef<Path>, member: &str) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Arc::new(file), member: name(member) })
    }

    /// A writer to the same file for another member.
    #[must_use]
    pub fn member(&self, member: &str) -> Self {
        Self { file: Arc::clone(&self.file), member: name(member) }
    }

    /// A handler started. The guard reports its end, also when it is dropped.
    #[must_use = "dropping the guard at once reports a cancelled handler"]
    pub fn start(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        key: Option<&[u8]>,
        attempt: u32,
    ) -> HandlerGuard {
        let record = RecordAt::new(topic, partition, offset);
        let key_hash = key.map(key_hash);
        self.write(Happened::Start { record: record.clone(), key_hash, attempt });
        HandlerGuard { writer: self.clone(), record: Some(record), attempt }
    }

    /// A commit was answered: `next` is the next offset to process after a restart.
    pub fn commit(&self, topic: &str, partition: i32, next: i64) {
        self.write(Happened::Commit { next: RecordAt::new(topic, partition, next) });
    }

    /// The member got a partition.
    pub fn assigned(&self, topic: &str, partition: i32) {
        self.write(Happened::Assigned { topic: topic.into(), partition });
    }

    /// The member gave a partition back in an orderly way.
    pub fn revoked(&self, topic: &str, partition: i32) {
        self.write(Happened::Revoked { topic: topic.into(), partition });
    }

    /// The member lost a partition without having been asked.
    pub fn lost(&self, topic: &str, partition: i32) {
        self.write(Happened::Lost { topic: topic.into(), partition });
    }

    /// This member was killed, and is dead by now: call it after waiting for the process.
    pub fn killed(&self) {
        self.write(Happened::Killed);
    }

    fn write(&self, happened: Happened) {
        let event = Event { t_us: now_us(), member: Arc::clone(&self.member), happened };
        let line = format!("{event}\n");
        // O_APPEND and a single call: lines of several writers do not mix.
        (&*self.file).write_all(line.as_bytes()).expect("append to the history");
    }
}

fn name(member: &str) -> Arc<str> {
    assert!(!member.contains(['\t', '\n']), "a member's name is one field of one line");
    member.into()
}

/// A handler that is running. [`HandlerGuard::end`] writes how it ended; dropped before that, it
/// writes [`Ending::Cancelled`], or [`Ending::Panicked`] while the thread unwinds.
#[derive(Debug)]
pub struct HandlerGuard {
    writer: HistoryWriter,
    record: Option<RecordAt>,
    attempt: u32,
}

impl HandlerGuard {
    /// The handler ended. Call it last: what comes after it is not in the history.
    pub fn end(mut self, ending: Ending) {
        self.write(ending);
    }

    fn write(&mut self, ending: Ending) {
        if let Some(record) = self.record.take() {
            self.writer.write(Happened::End { record, attempt: self.attempt, ending });
        }
    }
}

impl Drop for HandlerGuard {
    fn drop(&mut self) {
        let unwinding = std::thread::panicking();
        self.write(if unwinding { Ending::Panicked } else { Ending::Cancelled });
    }
}
