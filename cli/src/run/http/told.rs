//! What is told of a target: that something is wrong once, and again when it is over.

use std::time::Duration;

use tidegate::Level;
use tidegate::limit::Answer;

use super::pressure::Ended;
use crate::report::{Message, TARGET};

/// For so long nothing was wrong, and it is over.
const OVER: Duration = Duration::from_secs(60);

/// What was told and is not over. Times are since the beginning.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Since when it is down.
    down: Option<Duration>,
    /// When it last said that it is overloaded.
    overloaded: Option<Duration>,
    /// When it was last at fault.
    fault: Option<Duration>,
}

impl Told {
    /// What is to be told after a call.
    pub(super) fn update(&mut self, ended: &Ended<'_>, down: bool, now: Duration) -> Vec<Message> {
        let mut messages = Vec::new();
        let words = ended.words;
        if ended.fault && self.fault.replace(now).is_none() {
            messages.push(Message::new(
                Level::Warning,
                "target-refuses",
                format!("{words}: it wants other credentials, or another URL; records wait"),
            ));
        }
        let overloaded = matches!(ended.answer, Answer::Overloaded { .. });
        if overloaded && self.overloaded.replace(now).is_none() {
            messages.push(Message::new(
                Level::Warning,
                "target-overloaded",
                format!("{words}: it gets as much as it takes, and the rest waits"),
            ));
        }
        match (self.down, down) {
            (None, true) => {
                self.down = Some(now);
                messages.push(Message::new(
                    Level::Warning,
                    "target-down",
                    format!(
                        "{TARGET} is down: it{}; one record at a time is tried",
                        words.strip_prefix(TARGET).unwrap_or_default()
                    ),
                ));
            }
            (Some(since), false) => {
                *self = Self::default();
                let after =
                    Duration::from_millis((now - since).as_millis().try_into().unwrap_or(0));
                let after_words = humantime::format_duration(after);
                let words = format!("the target answers again, after {after_words}");
                let message = Message::new(Level::Info, "target-up", words);
                messages.push(message.with("after_ms", after.as_secs_f64() * 1_000.0));
            }
            _ => {}
        }
        if ended.answer == Answer::Done {
            self.over(now, &mut messages);
        }
        messages
    }

    fn over(&mut self, now: Duration, messages: &mut Vec<Message>) {
        let is_over = |last: &mut Option<Duration>| {
            last.take_if(|last| now.saturating_sub(*last) >= OVER).is_some()
        };
        if is_over(&mut self.overloaded) {
            let words = "the target has not been overloaded for a minute";
            messages.push(Message::new(Level::Info, "target-relieved", words));
        }
        if is_over(&mut self.fault) {
            let words = "the target has accepted everything for a minute";
            messages.push(Message::new(Level::Info, "target-accepts", words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(answer: Answer, fault: bool) -> Ended<'static> {
        Ended { answer, fault, words: "the target answers something" }
    }

    fn count(told: &mut Told, ended: &Ended<'_>, down: bool, second: u64) -> usize {
        told.update(ended, down, Duration::from_secs(second)).len()
    }

    #[test]
    fn trouble_is_told_once_and_its_end_once() {
        let mut told = Told::default();
        let overloaded = ended(Answer::Overloaded { retry_after: None }, false);
        let (fault, done) = (ended(Answer::Failed, true), ended(Answer::Done, false));
        assert_eq!(count(&mut told, &overloaded, false, 1), 1);
        assert_eq!(count(&mut told, &fault, false, 1), 1);
        for second in 1..50 {
            for again in [&overloaded, &fault, &done] {
                assert_eq!(count(&mut told, again, false, second), 0);
            }
        }
        assert_eq!(count(&mut told, &done, false, 108), 0);
        assert_eq!(count(&mut told, &done, false, 109), 2);
        assert_eq!(count(&mut told, &done, false, 110), 0);

        let unreachable = ended(Answer::Unreachable, false);
        assert_eq!(count(&mut told, &unreachable, true, 200), 1);
        assert_eq!(count(&mut told, &unreachable, true, 201), 0);
        assert_eq!(count(&mut told, &fault, true, 202), 1);
        assert_eq!(count(&mut told, &done, false, 203), 1, "up again ends the rest with it");
        assert_eq!(count(&mut told, &done, false, 300), 0);
    }
}
