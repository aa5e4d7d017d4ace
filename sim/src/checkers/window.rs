//! A partition is not read further ahead of what is unfinished than its window.

use super::book::Book;
use super::{Checker, Violation, broken};
use crate::history::{Event, RecordAt, What};

/// Every record that is taken when more records than the window's offsets lie between it and the
/// first that nobody has finished.
///
/// The member's own first unfinished record may lie before that one, and offsets without a record
/// are not counted: a lower bound.
#[derive(Debug)]
pub struct Window {
    most: u64,
    book: Book,
}

impl Window {
    /// A checker for a window of so many offsets.
    pub fn new(most: u64) -> Self {
        Self { most, book: Book::default() }
    }

    fn taken(&mut self, event: &Event, record: RecordAt) -> Result<(), Violation> {
        let RecordAt { partition, offset, .. } = record;
        let Some(taken) = self.book.get(record) else { return Ok(()) };
        let Some(first) = self.book.head(partition) else { return Ok(()) };
        let (member, most) = (event.member, self.most);
        if taken.rank < self.book.entries(partition)[first].rank + most {
            return Ok(());
        }
        let text = format!(
            "member {member} takes {partition}/{offset} with {first} unfinished, a window of {most}"
        );
        Err(broken("window", event, text))
    }
}

impl Checker for Window {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        self.book.see(event);
        match event.what {
            What::Taken { record, .. } => self.taken(event, record),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::history::Ending::Done;

    #[test]
    fn a_record_beyond_the_window_is_named() {
        let mut run = Run::new();
        for offset in 0..4 {
            run.written(0, offset, 1);
        }
        run.assigned(0).taken(0, 0, 1).taken(0, 1, 1).handled(0, 1, 1, Done).taken(0, 2, 1);
        assert!(run.violations(Window::new(3)).is_empty());
        run.taken(0, 3, 1);
        let text = "member 0 takes 0/3 with 0 unfinished, a window of 3";
        assert_eq!(run.violations(Window::new(3)), [text]);
    }
}
