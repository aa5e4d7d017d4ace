//! How records are consumed, and what holds the producers back.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Scenario;

/// A way to consume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Poll, start a task for each record, poll again.
    Unbounded {
        /// Offsets are committed when everything below is done, and not as soon as it was polled.
        when_done: bool,
    },
    /// The engine with so many permits. Nothing tells the producer.
    Bounded {
        /// How many handlers run at once.
        permits: u32,
    },
    /// The same between small buffers: half a second of the downstream's work in the channels, a
    /// second in Kafka and in the consumer.
    SmallBuffers {
        /// How many handlers run at once.
        permits: u32,
    },
    /// The same, and a producer sends only what it has credit for.
    ClosedLoop {
        /// How many handlers run at once.
        permits: u32,
    },
}

/// A strategy that there is not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "there is no strategy {0:?}: write unbounded, unbounded:commit-when-done, bounded, small-buffers \
     or closed-loop, the last three with a number of permits from 1 to 100,000 if it is not the \
     usual one, as in bounded:600"
)]
pub struct StrategyError(String);

const BOUNDED: u32 = 100;
const USUAL: u32 = 600;

impl Strategy {
    /// How many handlers may run at once, where that is bounded.
    pub fn permits(self) -> Option<u32> {
        match self {
            Self::Unbounded { .. } => None,
            Self::Bounded { permits }
            | Self::SmallBuffers { permits }
            | Self::ClosedLoop { permits } => Some(permits),
        }
    }

    /// The same with other permits.
    pub fn with_permits(self, permits: u32) -> Self {
        match self {
            Self::Unbounded { .. } => self,
            Self::Bounded { .. } => Self::Bounded { permits },
            Self::SmallBuffers { .. } => Self::SmallBuffers { permits },
            Self::ClosedLoop { .. } => Self::ClosedLoop { permits },
        }
    }

    /// The scenario as this strategy sets it up.
    pub fn applied_to(self, scenario: &Scenario) -> Scenario {
        let mut scenario = scenario.clone();
        if let Self::SmallBuffers { permits } = self {
            let capacity = scenario.downstream.capacity();
            let producers = scenario.producers.len() as f64;
            let records = |seconds: f64| ((capacity * seconds) as u32).max(1);
            for producer in &mut scenario.producers {
                producer.channel = producer.channel.min(records(0.5 / producers));
            }
            scenario.topic.quota = scenario.topic.quota.min(records(1.0).into());
            scenario.consumers.max_queued =
                scenario.consumers.max_queued.min(records(1.0).max(permits));
        }
        scenario
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, permits, usual) = match *self {
            Self::Unbounded { when_done: false } => return f.write_str("unbounded"),
            Self::Unbounded { when_done: true } => {
                return f.write_str("unbounded:commit-when-done");
            }
            Self::Bounded { permits } => ("bounded", permits, BOUNDED),
            Self::SmallBuffers { permits } => ("small-buffers", permits, USUAL),
            Self::ClosedLoop { permits } => ("closed-loop", permits, USUAL),
        };
        match permits == usual {
            true => f.write_str(name),
            false => write!(f, "{name}:{permits}"),
        }
    }
}

impl FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        let unknown = || StrategyError(text.to_owned());
        let (name, option) = match text.split_once(':') {
            Some((name, option)) => (name, Some(option)),
            None => (text, None),
        };
        let permits = |usual| match option.map(str::parse) {
            None => Ok(usual),
            Some(Ok(permits @ 1..=100_000)) => Ok(permits),
            Some(_) => Err(unknown()),
        };
        match (name, option) {
            ("unbounded", None) => Ok(Self::Unbounded { when_done: false }),
            ("unbounded", Some("commit-when-done")) => Ok(Self::Unbounded { when_done: true }),
            ("bounded", _) => Ok(Self::Bounded { permits: permits(BOUNDED)? }),
            ("small-buffers", _) => Ok(Self::SmallBuffers { permits: permits(USUAL)? }),
            ("closed-loop", _) => Ok(Self::ClosedLoop { permits: permits(USUAL)? }),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [
            "unbounded",
            "unbounded:commit-when-done",
            "bounded",
            "bounded:600",
            "small-buffers",
            "small-buffers:5",
            "closed-loop",
            "closed-loop:1000",
        ] {
            assert_eq!(name.parse::<Strategy>().unwrap().to_string(), name);
        }
        assert_eq!("closed-loop:600".parse::<Strategy>().unwrap().to_string(), "closed-loop");
        for wrong in
            ["", "open", "unbounded:5", "bounded:", "bounded:0", "bounded:x", "bounded:1e9"]
        {
            assert!(wrong.parse::<Strategy>().is_err(), "{wrong}");
        }
    }
}
