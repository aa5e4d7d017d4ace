//! Of a lane (a key of a partition, or a partition) no record starts before the one before it is
//! finished, retries and crashes included.

use super::lanes::LaneBook;
use super::{Checker, Lanes, Violation, broken, entry};
use crate::history::{Event, RecordAt, What};

/// A handler of a lane.
#[derive(Clone, Copy, Debug)]
struct Runs {
    member: u32,
    offset: i64,
    /// Its member has lost the partition, or gave it back while this ran: others may begin.
    orphan: bool,
}

#[derive(Debug, Default)]
struct Lane {
    running: Vec<Runs>,
    /// The assignment that started the last record, that record, and whether it is finished.
    serial: u32,
    last: i64,
    finished: bool,
}

/// A member's assignment of a partition.
#[derive(Clone, Copy, Debug)]
struct Holder {
    member: u32,
    serial: u32,
    /// The group has taken it away, and the member may not know yet.
    expelled: bool,
}

/// Every handler start
/// * beside another handler of its lane, unless the member of one of them was expelled (and may not
///   know it), and they are not the same process;
/// * while a record of the lane with a lower offset never finished;
/// * at a lower offset than the last one of the same assignment, or behind one that it repeats and
///   that is unfinished.
#[derive(Debug)]
pub struct Order {
    book: LaneBook,
    lanes: Vec<Vec<Lane>>,
    /// The members that have a partition, or believe so, and their assignment of it.
    holders: Vec<Vec<Holder>>,
    next_serial: u32,
    is_off: bool,
    orphans_excuse: bool,
}

impl Order {
    /// A checker for this order.
    pub fn new(order: Lanes) -> Self {
        Self {
            orphans_excuse: true,
            book: LaneBook::new(order),
            lanes: Vec::new(),
            holders: Vec::new(),
            next_serial: 1,
            is_off: order == Lanes::None,
        }
    }

    /// For a run whose handlers end with their partition: one that its member goes on to run after
    /// it lost the partition, or gave it back, excuses nobody.
    pub fn without_orphans(mut self) -> Self {
        self.orphans_excuse = false;
        self
    }

    fn start(&mut self, event: &Event, record: RecordAt) -> Result<(), Violation> {
        let RecordAt { partition, offset, .. } = record;
        let Some(number) = self.book.lane(record) else { return Ok(()) };
        let member = event.member;
        let holder = entry(&mut self.holders, partition).iter().find(|h| h.member == member);
        let (serial, expelled) = holder.map_or((0, false), |h| (h.serial, h.expelled));
        let head = self.book.head(partition, number);
        let lane = entry(entry(&mut self.lanes, partition), number);
        let excused = |runs: &Runs| self.orphans_excuse && runs.orphan || expelled;
        let beside = lane.running.iter().find(|runs| runs.member == member || !excused(runs));
        let same = lane.serial == serial;
        let last = lane.last;
        let problem = if let Some(Runs { member, offset, .. }) = beside {
            Some(format!("while member {member} handles offset {offset}"))
        } else if let Some(head) = head
            && head < offset
        {
            Some(format!("while offset {head} before it is unfinished"))
        } else if same && offset < last {
            Some(format!("after offset {last} in the same assignment"))
        } else if same && offset > last && !lane.finished {
            Some(format!("while offset {last}, which is repeated, is not done"))
        } else {
            None
        };
        // Also after a violation, so that the next one is judged by what really happened.
        if !expelled {
            (lane.serial, lane.last, lane.finished) = (serial, offset, false);
        }
        lane.running.push(Runs { member, offset, orphan: expelled });
        let Some(problem) = problem else { return Ok(()) };
        let text = format!("member {member} starts {partition}/{offset} {problem}");
        Err(broken("order", event, text))
    }

    fn end(&mut self, member: u32, record: RecordAt, finished: bool) {
        let Some(lane) = self.book.lane(record) else { return };
        let lane = entry(entry(&mut self.lanes, record.partition), lane);
        let ended = |r: &Runs| r.member == member && r.offset == record.offset;
        if let Some(index) = lane.running.iter().position(ended) {
            lane.running.swap_remove(index);
        }
        if finished {
            Self::finished(lane, record.offset);
        }
    }

    fn finished(lane: &mut Lane, offset: i64) {
        if lane.last == offset {
            lane.finished = true;
        }
    }

    /// Changes the handlers of a member, of one partition or of all.
    fn change(&mut self, partition: Option<u32>, change: impl Fn(&mut Vec<Runs>)) {
        for (index, lanes) in self.lanes.iter_mut().enumerate() {
            if partition.is_none_or(|p| p as usize == index) {
                lanes.iter_mut().for_each(|lane| change(&mut lane.running));
            }
        }
    }

    fn orphan(&mut self, member: u32, partition: Option<u32>) {
        self.change(partition, |running| {
            for runs in running {
                runs.orphan |= runs.member == member;
            }
        });
    }
}

impl Checker for Order {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        if self.is_off {
            return Ok(());
        }
        let member = event.member;
        match event.what {
            What::Start { record, .. } => return self.start(event, record),
            What::End { record, ending, .. } => self.end(member, record, ending.finishes()),
            What::GivenUp { record } | What::LetterAnswered { record } => {
                if let Some(lane) = self.book.lane(record) {
                    let lane = entry(entry(&mut self.lanes, record.partition), lane);
                    Self::finished(lane, record.offset);
                }
            }
            What::Assigned { partition, again, .. } => {
                let holders = entry(&mut self.holders, partition);
                let before = holders.iter().position(|h| h.member == member);
                let before = before.map(|index| holders.swap_remove(index));
                let expelled = before.is_some_and(|h| again && h.expelled);
                let serial = self.next_serial;
                holders.push(Holder { member, serial, expelled });
                self.next_serial += 1;
            }
            What::Released { partition, .. } | What::Lost { partition } => {
                self.orphan(member, Some(partition));
            }
            What::Expelled => {
                self.orphan(member, None);
                let holders = self.holders.iter_mut().flatten();
                holders.filter(|h| h.member == member).for_each(|h| h.expelled = true);
            }
            What::Ended => {
                self.change(None, |running| running.retain(|r| r.member != member));
                self.holders.iter_mut().for_each(|h| h.retain(|h| h.member != member));
            }
            What::Truncated { partition, offset, .. } => {
                self.change(Some(partition), |running| running.retain(|r| r.offset < offset));
                for lane in entry(&mut self.lanes, partition) {
                    if lane.last >= offset {
                        lane.serial = 0;
                    }
                }
            }
            _ => {}
        }
        self.book.see(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::history::Ending::*;

    fn check(run: &Run) -> Vec<String> {
        run.violations(Order::new(Lanes::ByKey))
    }

    #[test]
    fn a_lane_has_one_handler_and_others_are_free() {
        let mut run = Run::new();
        run.written(0, 1, 7).written(0, 2, 8).written(0, 3, 7).assigned(0);
        run.start(0, 1, 1).start(0, 2, 1);
        assert_eq!(check(&run), [""; 0]);
        run.start(0, 3, 1);
        assert_eq!(check(&run), ["member 0 starts 0/3 while member 0 handles offset 1"]);
        assert_eq!(run.violations(Order::new(Lanes::None)), [""; 0]);
        assert_eq!(run.violations(Order::new(Lanes::ByPartition)).len(), 2);
    }

    #[test]
    fn a_record_may_not_pass_one_that_failed() {
        let mut run = Run::new();
        run.written(0, 1, 7).written(0, 2, 7).assigned(0);
        run.handled(0, 1, 1, Retry).handled(0, 2, 1, Done);
        assert_eq!(check(&run), ["member 0 starts 0/2 while offset 1 before it is unfinished"]);
    }

    #[test]
    fn order_holds_within_a_repeat() {
        let mut run = Run::new();
        run.written(0, 1, 7).written(0, 2, 7).assigned(0);
        run.handled(0, 1, 1, Done).handled(0, 2, 1, Done).ended();
        run.member(1).assigned(0).handled(0, 1, 1, Retry).handled(0, 2, 1, Done);
        let text = "member 1 starts 0/2 while offset 1, which is repeated, is not done";
        assert_eq!(check(&run), [text]);
    }

    #[test]
    fn a_step_back_needs_a_new_assignment() {
        let mut run = Run::new();
        run.written(0, 1, 7).written(0, 2, 7).assigned(0);
        run.handled(0, 1, 1, Done).handled(0, 2, 1, Done).handled(0, 1, 1, Done);
        assert_eq!(check(&run), ["member 0 starts 0/1 after offset 2 in the same assignment"]);
    }

    #[test]
    fn an_expelled_member_may_run_beside_its_successor_but_not_beside_itself() {
        let mut run = Run::new();
        run.written(0, 1, 7).assigned(0).start(0, 1, 1).expelled();
        run.member(1).assigned(0).start(0, 1, 1).end(0, 1, 1, Done);
        assert_eq!(check(&run), [""; 0]);
        run.member(0).lost(0).assigned(0).start(0, 1, 1);
        assert_eq!(check(&run), ["member 0 starts 0/1 while member 0 handles offset 1"]);
    }

    #[test]
    fn a_handler_that_outlives_its_partition_excuses_others_where_that_may_be() {
        let mut run = Run::new();
        run.written(0, 1, 7).assigned(0).start(0, 1, 1).lost(0);
        run.member(1).assigned(0).start(0, 1, 1);
        assert_eq!(check(&run), [""; 0]);
        let strict = Order::new(Lanes::ByKey).without_orphans();
        let text = "member 1 starts 0/1 while member 0 handles offset 1";
        assert_eq!(run.violations(strict), [text]);
    }

    #[test]
    fn two_members_may_not_run_a_lane_without_a_reason() {
        let mut run = Run::new();
        run.written(0, 1, 7).assigned(0).start(0, 1, 1);
        run.member(1).assigned(0).start(0, 1, 1);
        assert_eq!(check(&run), ["member 1 starts 0/1 while member 0 handles offset 1"]);
    }
}
