//! Equal producers of a topic get equal shares.

use super::{Checker, Loop, Violation, entry};
use crate::history::{Event, What};

/// What is promised of a few hundred records a second in a few partitions, and of any faults before.
/// At thousands a second, in more of them, it is 0.97, as `engine/tests/gate_loop.rs` asserts.
const LEAST: f64 = 0.9;

/// A run of the loop that was watched to its end and in which the shares of the producers, all of
/// which want more than they get, differ too much, by Jain's index (Jain, Chiu and Hawe, 1984).
#[derive(Debug)]
pub struct Fairness {
    rules: Option<Loop>,
    sent: Vec<f64>,
}

impl Fairness {
    /// A checker for a run of the loop; others are not asked.
    pub fn new(rules: Option<Loop>) -> Self {
        Self { rules: rules.filter(|rules| rules.overloaded), sent: Vec::new() }
    }
}

/// Jain's index of so many shares: 1 if all are equal.
fn jain(shares: &[f64], count: u32) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (f64::from(count) * squares).max(f64::MIN_POSITIVE)
}

impl Checker for Fairness {
    fn see(&mut self, event: &Event) -> Result<(), Violation> {
        let Some(rules) = self.rules else { return Ok(()) };
        match event.what {
            What::Sent { gate, .. } if event.at >= rules.from && event.at < rules.until => {
                *entry(&mut self.sent, gate) += 1.0;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, at: u64) -> Result<(), Violation> {
        let Some(rules) = self.rules.filter(|rules| at >= rules.until) else { return Ok(()) };
        let index = jain(&self.sent, rules.producers);
        if index >= LEAST {
            return Ok(());
        }
        let shares: Vec<_> = (0..).zip(&self.sent).filter(|(_, sent)| **sent > 0.0).collect();
        let shares: Vec<_> = shares.iter().map(|(gate, n)| format!("gate {gate} {n}")).collect();
        let text = format!(
            "shares are {index:.3} by Jain's index, {LEAST} is promised: {}",
            shares.join(", ")
        );
        Err(Violation { invariant: "fairness", text, at })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn unequal_shares_are_named() {
        let sends = |counts: &[u32]| {
            let mut run = Run::new();
            for (gate, count) in (0..).zip(counts) {
                let sent = What::Sent { gate, partition: 0, floor: false };
                (0..*count).for_each(|_| _ = run.push(sent));
            }
            run
        };
        let rules = Loop { until: 10_000, producers: 2, ..of_a_loop() };
        assert!(sends(&[5, 6]).violations(Fairness::new(Some(rules))).is_empty());
        let text = "shares are 0.735 by Jain's index, 0.9 is promised: gate 0 2, gate 1 8";
        assert_eq!(sends(&[2, 8]).violations(Fairness::new(Some(rules))), [text]);
        assert_eq!(sends(&[10]).violations(Fairness::new(Some(rules))).len(), 1, "one has none");
    }
}
