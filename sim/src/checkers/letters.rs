//! A dead letter counts only when the dead-letter topic has it.

use super::{ByOffset, Checker, Violation, broken};
use crate::history::{Event, What};

/// Every record that counts as finished by a letter that was never written.
#[derive(Debug, Default)]
pub struct Letters {
    /// The leader epoch of the written record, plus one.
    written: ByOffset<i32>,
}

impl Checker for Letters {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        match event.what {
            What::LetterWritten { record } => {
                *self.written.at(record.partition, record.offset) = record.epoch + 1;
            }
            What::LetterAnswered { record } => {
                let known = *self.written.at(record.partition, record.offset);
                let (partition, offset) = (record.partition, record.offset);
                if known == record.epoch + 1 {
                    return Ok(());
                }
                let member = event.member;
                let text = format!(
                    "member {member} counts {partition}/{offset} as finished by a letter that was not written"
                );
                return Err(broken("letters", event, text));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::history::RecordAt;

    #[test]
    fn a_letter_counts_only_when_it_is_written() {
        let record = RecordAt { partition: 0, offset: 3, epoch: 0 };
        let mut run = Run::new();
        run.push(What::LetterAnswered { record });
        assert_eq!(run.violations(Letters::default()).len(), 1);
        let mut run = Run::new();
        run.push(What::LetterWritten { record }).push(What::LetterAnswered { record });
        assert!(run.violations(Letters::default()).is_empty());
    }
}
