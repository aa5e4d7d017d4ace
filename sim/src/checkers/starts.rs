//! Nothing starts of a partition that is not the member's to start.

use super::{Checker, Violation, broken, entry};
use crate::history::{Event, What};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Active,
    Revoking,
    Stopped,
    Gone,
}

/// Every start of a partition that the member does not have, has to give back, or has stopped.
#[derive(Debug, Default)]
pub struct Starts {
    /// By partition: the members that ever had it.
    partitions: Vec<Vec<(u32, Phase)>>,
}

impl Starts {
    fn set(&mut self, partition: u32, member: u32, phase: Phase) {
        let members = entry(&mut self.partitions, partition);
        match members.iter_mut().find(|(m, _)| *m == member) {
            Some((_, before)) => *before = phase,
            None => members.push((member, phase)),
        }
    }
}

impl Checker for Starts {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        let member = event.member;
        match event.what {
            What::Assigned { partition, .. } => self.set(partition, member, Phase::Active),
            What::Revoking { partition } => self.set(partition, member, Phase::Revoking),
            What::Stopped { partition } => self.set(partition, member, Phase::Stopped),
            What::Released { partition, .. } | What::Lost { partition } => {
                self.set(partition, member, Phase::Gone);
            }
            What::Ended => {
                self.partitions.iter_mut().for_each(|p| p.retain(|(m, _)| *m != member));
            }
            What::Start { record, .. } => {
                let members = entry(&mut self.partitions, record.partition);
                let phase = members.iter().find(|(m, _)| *m == member);
                let phase = phase.map_or(Phase::Gone, |(_, phase)| *phase);
                let state = match phase {
                    Phase::Active => return Ok(()),
                    Phase::Revoking => "gives the partition back",
                    Phase::Stopped => "has stopped the partition",
                    Phase::Gone => "does not have the partition",
                };
                let (partition, offset) = (record.partition, record.offset);
                let text = format!("member {member} starts {partition}/{offset}, but {state}");
                return Err(broken("starts", event, text));
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

    #[test]
    fn nothing_starts_before_or_after_an_assignment_or_in_its_end() {
        let mut run = Run::new();
        run.start(0, 1, 1).assigned(0).start(0, 2, 1);
        run.push(What::Revoking { partition: 0 }).start(0, 3, 1);
        run.released(0, true).start(0, 4, 1);
        run.assigned(0).push(What::Stopped { partition: 0 }).start(0, 5, 1);
        let found = run.violations(Starts::default());
        let offsets: Vec<_> = found.iter().map(|text| &text[16..19]).collect();
        assert_eq!(offsets, ["0/1", "0/3", "0/4", "0/5"]);
    }
}
