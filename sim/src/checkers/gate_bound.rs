//! Nothing is sent while as many records are outstanding as the window allows.

use super::gate_book::{Books, gate_broken};
use super::{Checker, Violation, entry};
use crate::history::{Event, What};

const SECOND: f64 = 1e9;

/// A record that is sent when, by the checker's own count, as many are outstanding as the gate
/// publishes for its window; or for one partition more than twice its part of it and more than is
/// free; or for a partition that the gate says is stuck, more than twice its part. More than that is
/// sent only if the gate says that it does not know the groups' progress, or that there is none, and
/// then no faster than at the floor rate.
#[derive(Debug, Default)]
pub struct GateBound {
    books: Books,
    floors: Vec<Floor>,
}

/// Tokens of the floor rate: it may save up a tenth of a second, or one.
#[derive(Clone, Copy, Debug)]
struct Floor {
    tokens: f64,
    at: u64,
}

impl Default for Floor {
    fn default() -> Self {
        Self { tokens: f64::INFINITY, at: 0 }
    }
}

impl Floor {
    fn take(&mut self, rate: u32, at: u64) -> bool {
        let rate = f64::from(rate);
        let most = (rate / 10.0).max(1.0);
        let earned = at.saturating_sub(self.at) as f64 / SECOND * rate;
        // Its clock need not be ours to the nanosecond.
        self.tokens = (self.tokens + earned).min(most);
        self.at = at;
        let has = rate > 0.0 && self.tokens > 0.99;
        self.tokens -= f64::from(u8::from(has));
        has
    }
}

impl GateBound {
    fn sent(&mut self, event: &Event, gate: u32, partition: u32, floor: bool) -> Option<Violation> {
        let book = self.books.get(gate).filter(|book| book.groups > 0)?;
        let (window, share, of) = (book.window, book.share(), book.of(partition));
        let counted = book.counted();
        let text = if book.is_stuck(partition) {
            if of < share {
                return None;
            }
            format!("sends to {partition}, which is stuck, with {of} outstanding there of {share}")
        } else if counted >= window {
            format!("sends with {counted} outstanding, a window of {window}")
        } else if of >= share.max(window - counted) {
            let free = window - counted;
            format!(
                "sends to {partition} with {of} outstanding there, a share of {share} and {free} free"
            )
        } else {
            return None;
        };
        let rate = book.floor_rate;
        if floor && entry(&mut self.floors, gate).take(rate, event.at) {
            return None;
        }
        let text = match floor {
            true => format!("{text}, faster than the floor rate of {rate}/s"),
            false => text,
        };
        Some(gate_broken("gate_bound", event, gate, &text))
    }
}

impl Checker for GateBound {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        let found = match event.what {
            What::Sent { gate, partition, floor } => self.sent(event, gate, partition, floor),
            _ => None,
        };
        self.books.see(event);
        found.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn gate(window: u64, partitions: u32, stuck: u64) -> Run {
        let mut run = Run::new();
        run.push(What::GateBegins { gate: 0, groups: 1, floor_rate: 0 });
        run.push(What::GateSays { gate: 0, window, partitions, stuck });
        run
    }

    fn sent(run: &mut Run, partition: u32) {
        run.push(What::Sent { gate: 0, partition, floor: false });
    }

    #[test]
    fn a_record_beyond_the_window_is_named() {
        let mut run = gate(2, 1, 0);
        sent(&mut run, 0);
        sent(&mut run, 0);
        assert!(run.violations(GateBound::default()).is_empty());
        sent(&mut run, 0);
        let text = "gate 0 sends with 2 outstanding, a window of 2";
        assert_eq!(run.violations(GateBound::default()), [text]);
    }

    #[test]
    fn what_an_answer_names_is_released_and_what_it_does_not_know_is_not() {
        let mut run = gate(1, 1, 0);
        sent(&mut run, 0);
        run.push(What::Acknowledged { gate: 0, partition: 0, record: Some(record(0, 5)) });
        run.push(What::Answer { gate: 0, asked: 10, incarnation: 1, whole: true });
        run.push(What::AnswerLog { gate: 0, partition: 0, start: 0, end: 9 });
        run.push(What::AnswerCommit { gate: 0, group: 0, partition: 0, offset: Some(5) });
        run.push(What::AnswerRange { gate: 0, start: 5, end: 6 });
        sent(&mut run, 0);
        assert!(run.violations(GateBound::default()).is_empty());
        // An answer that was overtaken names everything, and changes nothing.
        run.push(What::Answer { gate: 0, asked: 9, incarnation: 1, whole: true });
        run.push(What::AnswerCommit { gate: 0, group: 0, partition: 0, offset: Some(100) });
        run.push(What::Acknowledged { gate: 0, partition: 0, record: Some(record(0, 7)) });
        sent(&mut run, 0);
        assert_eq!(run.violations(GateBound::default()).len(), 1);
    }

    #[test]
    fn a_record_of_a_new_log_is_not_released_by_a_commit_of_the_old_one() {
        let mut run = gate(1, 1, 0);
        let answer = |run: &mut Run, asked, end, offset| {
            run.push(What::Answer { gate: 0, asked, incarnation: 1, whole: true });
            run.push(What::AnswerLog { gate: 0, partition: 0, start: 0, end });
            run.push(What::AnswerCommit { gate: 0, group: 0, partition: 0, offset: Some(offset) });
        };
        answer(&mut run, 10, 80, 80);
        run.push(What::Truncated { partition: 0, offset: 50, epoch: 1 });
        answer(&mut run, 11, 50, 80);
        sent(&mut run, 0);
        run.push(What::Acknowledged { gate: 0, partition: 0, record: Some(record(0, 50)) });
        assert!(run.violations(GateBound::default()).is_empty());
        sent(&mut run, 0);
        assert_eq!(run.violations(GateBound::default()).len(), 0, "epoch 0 was cut off");
    }

    #[test]
    fn shares_and_stuck_partitions_have_their_caps() {
        let mut run = gate(8, 8, 0);
        (0..4).for_each(|_| sent(&mut run, 0));
        assert!(run.violations(GateBound::default()).is_empty(), "half of the window is free");
        sent(&mut run, 0);
        let text = "gate 0 sends to 0 with 4 outstanding there, a share of 2 and 4 free";
        assert_eq!(run.violations(GateBound::default()), [text]);
        let mut run = gate(8, 8, 1);
        (0..3).for_each(|_| sent(&mut run, 0));
        let text = "gate 0 sends to 0, which is stuck, with 2 outstanding there of 2";
        assert_eq!(run.violations(GateBound::default()), [text]);
    }

    #[test]
    fn the_floor_rate_has_its_bound() {
        let mut run = Run::new();
        run.push(What::GateBegins { gate: 0, groups: 1, floor_rate: 1 });
        run.push(What::GateSays { gate: 0, window: 1, partitions: 1, stuck: 0 });
        let floor = What::Sent { gate: 0, partition: 0, floor: true };
        run.push(floor).push(floor);
        assert!(run.violations(GateBound::default()).is_empty());
        run.push(floor);
        let text =
            "gate 0 sends with 2 outstanding, a window of 1, faster than the floor rate of 1/s";
        assert_eq!(run.violations(GateBound::default()), [text]);
    }
}
