//! What only a real run promises about its order.

use std::collections::{BTreeSet, HashMap, HashSet};

use tidegate_sim::{
    checkers::{Checker, LaneBook, Lanes, Violation},
    history::{Event, RecordAt, What},
};

/// Every handler start
/// * while a record of its lane with a lower offset, which finished before, was started again and
///   is unfinished, by whichever member;
/// * at a lower offset than the last one of its lane, except once for each crash. A killed member
///   and a lost partition are crashes.
///
/// The simulation's [`Order`](tidegate_sim::checkers::Order) asks the first within one assignment
/// only, and allows a step back with every assignment. It has to: there, members of an older
/// version understand no finished ranges, others distrust them after an election, and both repeat,
/// without a crash, what the next member passes over. In real runs all members are of one version.
#[derive(Debug)]
pub(super) struct Steps {
    book: LaneBook,
    lanes: HashMap<(u32, u32), Lane>,
    finished: HashSet<RecordAt>,
    /// Crashes that are not of one partition.
    crashes: u32,
    losses: HashMap<u32, u32>,
}

#[derive(Debug, Default)]
struct Lane {
    last: Option<i64>,
    steps_back: u32,
    /// Finished records that were started again and have not finished again.
    reopened: BTreeSet<i64>,
}

impl Steps {
    /// A checker for this order, and so many crashes that the history does not tell.
    pub(super) fn new(lanes: Lanes, extra_crashes: u32) -> Self {
        Self {
            book: LaneBook::new(lanes),
            lanes: HashMap::new(),
            finished: HashSet::new(),
            crashes: extra_crashes,
            losses: HashMap::new(),
        }
    }

    fn start(&mut self, event: &Event, record: RecordAt) -> Result<(), Violation> {
        let RecordAt { partition, offset, .. } = record;
        let Some(lane) = self.book.lane(record) else { return Ok(()) };
        let lane = self.lanes.entry((partition, lane)).or_default();
        let excuses = self.crashes + self.losses.get(&partition).copied().unwrap_or_default();
        let open = lane.reopened.first().copied().filter(|open| *open < offset);
        let behind = lane.last.filter(|last| offset < *last);
        let problem = match (open, behind) {
            (Some(open), _) => {
                Some(format!("while offset {open}, which is repeated, is unfinished"))
            }
            (None, Some(last)) if lane.steps_back >= excuses => {
                Some(format!("after offset {last} without a crash between"))
            }
            _ => None,
        };
        lane.steps_back += u32::from(behind.is_some());
        lane.last = Some(offset);
        if self.finished.contains(&record) {
            lane.reopened.insert(offset);
        }
        let Some(problem) = problem else { return Ok(()) };
        let text = format!("member {} starts {partition}/{offset} {problem}", event.member);
        Err(Violation { invariant: "order", text, at: event.at })
    }

    fn finish(&mut self, record: RecordAt) {
        self.finished.insert(record);
        if let Some(lane) = self.book.lane(record) {
            let lane = self.lanes.entry((record.partition, lane)).or_default();
            lane.reopened.remove(&record.offset);
        }
    }
}

impl Checker for Steps {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        self.book.see(event);
        match event.what {
            What::Start { record, .. } => return self.start(event, record),
            What::End { record, ending, .. } if ending.finishes() => self.finish(record),
            What::GivenUp { record } => self.finish(record),
            What::Ended => self.crashes += 1,
            What::Lost { partition } => *self.losses.entry(partition).or_default() += 1,
            _ => {}
        }
        Ok(())
    }
}
