//! The gate of a topic that is produced to.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use tidegate::gate::{GateChange, WhenShut, Window};
use tidegate::{Producer, TopicGate};

use super::values::duration;
use crate::check::plan::Gated;
use crate::exit::Failure;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// The groups that one topic follows, and how.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Gate")]
pub(crate) struct FollowArgs {
    /// A consumer group to follow: records go out only as far as it keeps up. May be repeated, and
    /// the slowest counts; in the environment, separated by spaces. Without it the gate is open.
    #[arg(
        long,
        value_name = "GROUP",
        value_delimiter = ' ',
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(crate) follow: Vec<String>,

    #[command(flatten)]
    pub(crate) gate: GateArgs,
}

/// How groups are followed.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Gate")]
pub(crate) struct GateArgs {
    /// The drain time that is aimed for: how long the slowest group needs for what waits in the
    /// topic. 100ms to 1h. A group that commits seldom raises it.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "2s",
        value_parser = duration(100 * MS, HOUR)
    )]
    pub(crate) target: Duration,

    /// A fixed number of outstanding records instead of a window that follows the drain time. 1 to
    /// 1,000,000,000.
    #[arg(
        long,
        value_name = "RECORDS",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000)
    )]
    pub(crate) fixed_window: Option<u64>,

    /// At most so many records a second. 1 to 100,000,000; no limit if not given.
    #[arg(
        long,
        value_name = "RECORDS",
        value_parser = clap::value_parser!(u32).range(1..=100_000_000)
    )]
    pub(crate) rate: Option<u32>,

    /// Records a second when how far a group is cannot be known, or it does nothing. 0 to 1,000,000.
    #[arg(
        long,
        value_name = "RECORDS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000)
    )]
    pub(crate) floor_rate: u32,

    /// For how long the last window is kept when how far a group is cannot be known. 0 to 1h.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration(Duration::ZERO, HOUR)
    )]
    pub(crate) grace: Duration,

    /// The longest time until it is asked again how far the groups are. 10ms to 1m.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "500ms",
        value_parser = duration(10 * MS, Duration::from_secs(60))
    )]
    pub(crate) probe_interval: Duration,
}

impl GateArgs {
    /// What is known of the gate of a topic that follows these groups.
    pub(crate) fn gated(&self, topic: String, groups: Vec<String>) -> Gated {
        Gated {
            topic,
            groups,
            target: self.target,
            fixed_window: self.fixed_window,
            rate: self.rate,
            floor_rate: self.floor_rate,
            grace: self.grace,
        }
    }

    /// What of them a producer takes over while it runs.
    pub(crate) fn change(&self, when_shut: WhenShut) -> GateChange {
        GateChange {
            window: Some(self.fixed_window.map_or(Window::Adaptive, Window::Fixed)),
            target: Some(self.target),
            grace: Some(self.grace),
            floor_rate: Some(self.floor_rate),
            rate: Some(self.rate),
            when_shut: Some(when_shut),
        }
    }

    /// The gate of a topic that follows these groups.
    pub(crate) fn gate(&self, topic: &str, groups: &[String], when_shut: WhenShut) -> TopicGate {
        let gate = TopicGate::new(topic)
            .target(self.target)
            .floor_rate(self.floor_rate)
            .grace(self.grace)
            .when_shut(when_shut);
        let gate = groups.iter().fold(gate, TopicGate::follow);
        let gate = match self.fixed_window {
            Some(records) => gate.fixed_window(records),
            None => gate,
        };
        match self.rate {
            Some(records) => gate.rate(records),
            None => gate,
        }
    }
}

/// Changes the gates of all topics of a producer.
///
/// # Errors
/// When a setting would be outside its range.
pub(crate) fn change_gates(producer: &Producer, change: &GateChange) -> Result<(), Failure> {
    producer.snapshot().iter().try_for_each(|topic| {
        let changed = producer.change_gate(&topic.topic, change);
        changed.map_err(|error| Failure::Usage(error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};
    use tidegate::gate::GateConfig;

    use super::*;

    #[test]
    fn defaults_are_those_of_the_library() {
        let command = GateArgs::augment_args(Command::new("test"));
        let args = GateArgs::from_arg_matches(&command.get_matches_from(["test"])).unwrap();
        let config = GateConfig::default();
        assert_eq!((args.target, args.floor_rate), (config.target, config.floor_rate));
        assert_eq!((args.rate, args.grace), (config.rate, config.grace));
        assert_eq!(args.probe_interval, config.probe_interval);
    }

    #[test]
    fn what_is_said_to_change_live_does() {
        let change = |more: &[String]| {
            let command = GateArgs::augment_args(Command::new("test"));
            let matches = command.get_matches_from([&["test".to_owned()], more].concat());
            GateArgs::from_arg_matches(&matches).unwrap().change(WhenShut::Refuse)
        };
        for key in crate::config::live_keys("produce") {
            let value = if matches!(*key, "target" | "grace") { "7s" } else { "7" };
            assert_ne!(change(&[format!("--{key}={value}")]), change(&[]), "{key}");
        }
        assert_eq!(change(&["--probe-interval=7s".to_owned()]), change(&[]));
    }
}
