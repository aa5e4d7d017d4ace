//! When faults stop, whatever producers want to send is sent.

use super::{Checker, Violation};
use crate::history::{Event, What};

/// At the end: records that some producer wanted to send, did not give up, and does not know to be
/// written.
#[derive(Debug, Default)]
pub struct GateLiveness {
    wanted: u64,
    settled: u64,
}

impl Checker for GateLiveness {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        match event.what {
            What::Wants { records, .. } => self.wanted += u64::from(records),
            What::Sheds { records, .. } => self.settled += u64::from(records),
            What::Acknowledged { .. } => self.settled += 1,
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, at: u64) -> Result<(), Violation> {
        match self.wanted.saturating_sub(self.settled) {
            0 => Ok(()),
            left => {
                let text = format!("{left} records of {} were never sent", self.wanted);
                Err(Violation { invariant: "gate_liveness", text, at })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn what_was_never_sent_is_named() {
        let mut run = Run::new();
        run.push(What::Wants { gate: 0, records: 3 }).push(What::Sheds { gate: 0, records: 1 });
        run.push(What::Acknowledged { gate: 0, partition: 0, record: None });
        let text = "1 records of 3 were never sent";
        assert_eq!(run.violations(GateLiveness::default()), [text]);
        run.push(What::Acknowledged { gate: 0, partition: 0, record: None });
        assert!(run.violations(GateLiveness::default()).is_empty());
    }
}
