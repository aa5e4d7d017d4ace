//! Failed attempts by the hundred, in as many lines as a person can read.
//!
//! Behind a downstream that is dead every record fails at each of its attempts. In text the first
//! few of a second are told one by one and the others together when the second is over. JSON lines
//! are for programs, which count and filter: there each attempt keeps its line, as long as the
//! reporter's bounded queue has room.

use std::time::{Duration, Instant};

use super::line::Message;

/// So many are told one by one in a second.
const ONE_BY_ONE: u32 = 5;
const SECOND: Duration = Duration::from_secs(1);

/// Failed attempts of the present second.
#[derive(Debug, Default)]
pub(super) struct Burst {
    ends: Option<Instant>,
    seen: u32,
    left_out: u64,
    latest: Option<Message>,
}

impl Burst {
    /// The message, unless it is one of too many, which are told by [`summary`](Self::summary).
    /// Call that first: a message of the next second must not be counted in this one.
    pub(super) fn take(&mut self, message: Message, now: Instant) -> Option<Message> {
        if !message.is_failed_attempt() {
            return Some(message);
        }
        self.ends.get_or_insert(now + SECOND);
        self.seen = self.seen.saturating_add(1);
        if self.seen <= ONE_BY_ONE {
            return Some(message);
        }
        self.left_out += 1;
        self.latest = Some(message);
        None
    }

    /// When the next summary is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.ends.filter(|_| self.left_out > 0)
    }

    /// What was left out in a second that is over, or with `now` as its end.
    pub(super) fn summary(&mut self, now: Option<Instant>) -> Option<Message> {
        let ends = self.ends?;
        if now.is_some_and(|now| now < ends) {
            return None;
        }
        let Self { left_out, latest, .. } = std::mem::take(self);
        let latest = latest?;
        let attempts = if left_out == 1 { "attempt" } else { "attempts" };
        Some(latest.summed_up(&format!("{left_out} more {attempts} failed in the last second")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate::Level;

    fn failed(number: u32) -> Message {
        Message::new(Level::Warning, "attempt-failed", format!("orders/1 offset {number}: no"))
    }

    #[test]
    fn the_first_of_a_second_one_by_one_and_then_a_summary() {
        let mut burst = Burst::default();
        let start = Instant::now();
        let shown = (0..1_000).filter(|n| burst.take(failed(*n), start).is_some()).count();
        assert_eq!(shown, 5);
        let other = Message::new(Level::Info, "released", "orders/1 released");
        assert!(burst.take(other, start).is_some(), "everything else is told");
        assert_eq!(burst.due(), Some(start + SECOND));
        assert!(burst.summary(Some(start + SECOND / 2)).is_none(), "the second is not over");
        let summary = burst.summary(Some(start + SECOND)).unwrap();
        assert_eq!(
            summary.text(),
            "995 more attempts failed in the last second, latest: orders/1 offset 999: no"
        );
        assert!(burst.summary(Some(start + SECOND)).is_none() && burst.due().is_none(), "once");
        assert!(burst.take(failed(0), start + SECOND).is_some(), "a new second");
    }

    #[test]
    fn a_few_have_no_summary_and_the_end_tells_the_rest() {
        let mut burst = Burst::default();
        let start = Instant::now();
        assert!((0..5).all(|n| burst.take(failed(n), start).is_some()));
        assert!(burst.due().is_none());
        assert!(burst.summary(Some(start + SECOND)).is_none());
        assert_eq!((0..6).filter(|n| burst.take(failed(*n), start).is_some()).count(), 5);
        let summary = burst.summary(None).unwrap();
        assert!(summary.text().starts_with("1 more attempt failed"), "{}", summary.text());
    }
}
