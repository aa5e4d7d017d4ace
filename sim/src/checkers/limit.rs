//! A member never starts a handler above its limit; after a cut it only finishes until it is below.

use super::{Checker, Violation, broken, entry};
use crate::history::{Event, What};

#[derive(Clone, Copy, Debug, Default)]
struct Member {
    limit: u32,
    running: u32,
}

/// Every start that makes a member run more handlers than its limit, those of partitions included
/// that are not its own any more.
#[derive(Debug, Default)]
pub struct Limit {
    members: Vec<Member>,
}

impl Checker for Limit {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        match event.what {
            What::Joined { limit } | What::Limit { limit } => {
                entry(&mut self.members, event.member).limit = limit;
            }
            What::Start { record, .. } => {
                let member = entry(&mut self.members, event.member);
                member.running += 1;
                let Member { limit, running } = *member;
                if running > limit {
                    let name = event.member;
                    let (partition, offset) = (record.partition, record.offset);
                    let text = format!(
                        "member {name} starts {partition}/{offset}, handler {running} of at most {limit}"
                    );
                    return Err(broken("limit", event, text));
                }
            }
            What::End { .. } => {
                let member = entry(&mut self.members, event.member);
                member.running = member.running.saturating_sub(1);
            }
            What::Ended => *entry(&mut self.members, event.member) = Member::default(),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::history::Ending::Done;

    #[test]
    fn a_start_above_the_limit_is_named() {
        let mut run = Run::new();
        run.joined(2).start(0, 1, 1).start(0, 2, 1);
        assert!(run.violations(Limit::default()).is_empty());
        run.start(0, 3, 1);
        let text = "member 0 starts 0/3, handler 3 of at most 2";
        assert_eq!(run.violations(Limit::default()), [text]);
    }

    #[test]
    fn after_a_cut_it_only_falls() {
        let mut run = Run::new();
        run.joined(2).start(0, 1, 1).start(0, 2, 1).push(What::Limit { limit: 1 });
        run.end(0, 1, 1, Done).start(0, 3, 1);
        assert_eq!(run.violations(Limit::default()).len(), 1);
    }
}
