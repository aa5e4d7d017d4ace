//! Histories back from their files.

use std::{collections::HashSet, fmt, fs, io, path::Path, sync::Arc};

use super::Event;

/// The events of a run, sorted by time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    events: Vec<Event>,
}

/// Why a history cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// The file cannot be read.
    Io(io::Error),
    /// A line is no event, and it is not the torn end of a killed writer.
    Line {
        /// Counted from 1.
        number: usize,
        /// What it says.
        text: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read the history: {error}"),
            Self::Line { number, text } => write!(f, "line {number} is no event: {text:?}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl History {
    /// Sorts the events by time. Events of the same microsecond stay in their order, which
    /// within one file is the order of writing.
    #[must_use]
    pub fn from_events(mut events: Vec<Event>) -> Self {
        events.sort_by_key(|event| event.t_us);
        Self { events }
    }

    /// Reads a file. A last line without its end is left out: its writer was killed there.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        Self::parse(&fs::read_to_string(path)?)
    }

    /// Reads several files into one history.
    ///
    /// # Errors
    /// [`ReadError`]
    pub fn read_all<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, ReadError> {
        let mut events = Vec::new();
        for path in paths {
            events.append(&mut Self::read(path)?.events);
        }
        Ok(Self::from_events(events))
    }

    /// Reads the text of a file, as [`History::read`].
    ///
    /// # Errors
    /// [`ReadError::Line`]
    pub fn parse(text: &str) -> Result<Self, ReadError> {
        let mut names: HashSet<Arc<str>> = HashSet::new();
        let mut intern = |name: &str| match names.get(name) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<str> = name.into();
                names.insert(Arc::clone(&new));
                new
            }
        };
        let mut events = Vec::new();
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let Some(whole) = line.strip_suffix('\n') else { break };
            match Event::parse(whole, &mut intern) {
                Some(event) => events.push(event),
                None => return Err(ReadError::Line { number, text: whole.to_owned() }),
            }
        }
        Ok(Self::from_events(events))
    }

    /// The events, sorted by time.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Ending, Happened, HistoryWriter, RecordAt};

    fn lines(write: impl FnOnce(&HistoryWriter)) -> Vec<Event> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        write(&HistoryWriter::open(&path, "m 1").unwrap());
        History::read(&path).unwrap().events
    }

    #[test]
    fn what_was_written_is_read_back() {
        let events = lines(|writer| {
            writer.assigned("t", 3);
            writer.start("t", 3, 7, Some(b"key"), 2).end(Ending::Skip);
            writer.start("t", 3, 8, None, 1).end(Ending::DeadLetter);
            writer.commit("t", 3, 9);
            writer.revoked("t", 3);
            writer.lost("t", 4);
            writer.member("m2").killed();
        });
        assert_eq!(events.len(), 9);
        let record = RecordAt::new("t", 3, 7);
        let key_hash = Some(super::super::key_hash(b"key"));
        assert_eq!(events[1].happened, Happened::Start { record, key_hash, attempt: 2 });
        assert_eq!(&*events[1].member, "m 1");
        assert_eq!((&*events[8].member, &events[8].happened), ("m2", &Happened::Killed));
        assert!(events.windows(2).all(|pair| pair[0].t_us <= pair[1].t_us));
    }

    #[test]
    fn a_dropped_handler_is_cancelled_and_a_panicking_one_panicked() {
        let events = lines(|writer| {
            drop(writer.start("t", 0, 1, None, 1));
            let unwound = std::panic::catch_unwind(|| {
                let _guard = writer.start("t", 0, 2, None, 1);
                // Not `panic!`: its message would look like a failure in the output.
                std::panic::resume_unwind(Box::new(()));
            });
            assert!(unwound.is_err());
        });
        let endings: Vec<_> = events
            .iter()
            .filter_map(|event| match event.happened {
                Happened::End { ending, .. } => Some(ending),
                _ => None,
            })
            .collect();
        assert_eq!(endings, [Ending::Cancelled, Ending::Panicked]);
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_a_torn_line_elsewhere_is_an_error() {
        assert_eq!(History::parse("5\tm\tkilled\n6\tm\tend\tt\t0").unwrap().events.len(), 1);
        assert_eq!(History::parse("5\tm\tkilled\n6\tm\tkilled").unwrap().events.len(), 1);
        assert!(History::parse("5\tm\tkil\n6\tm\tkilled\n").is_err());
    }
}
