//! What a scenario may say, and the refusal of what makes no sense.

use std::time::Duration;

use thiserror::Error;
use tidegate_engine::{Config, ConfigError};

use super::{Change, Scenario, ServiceTime};

/// A scenario that cannot be played. It names the setting as a scenario's file does.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// A value is outside its range.
    #[error("{setting} is {value}, but must be from {least} to {most}")]
    OutOfRange {
        /// The setting.
        setting: String,
        /// What it is.
        value: String,
        /// The least that is allowed.
        least: String,
        /// The most that is allowed.
        most: String,
    },
    /// Nobody produces.
    #[error("there is no producer: a scenario needs at least one, at most 64")]
    NoProducer,
    /// Two producers have one name.
    #[error("two producers are named {0:?}")]
    SameName(String),
    /// An event names a producer that there is not.
    #[error("events[{event}].producer is {name:?}, but the producers are {known}")]
    NoSuchProducer {
        /// Which event, from 0.
        event: usize,
        /// What it names.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// An event is after the end.
    #[error("events[{event}].at is {at:?}, but the scenario ends at {end:?}")]
    AfterTheEnd {
        /// Which event, from 0.
        event: usize,
        /// When it is.
        at: Duration,
        /// When the scenario ends.
        end: Duration,
    },
    /// It makes too many records.
    #[error(
        "it makes up to {:.1} million records, and 20 million are the most: shorten duration or \
         lower a rate", *.0 as f64 / 1e6
    )]
    TooMuch(u64),
    /// Not even one task fits into a process.
    #[error(
        "consumers.memory is {memory} bytes, and one task with the largest record takes {task}: \
         nothing would ever be done"
    )]
    NoMemory {
        /// What a process has.
        memory: u64,
        /// What one task takes.
        task: u64,
    },
    /// A limit of the engine.
    #[error("consumers: {0}")]
    Engine(#[from] ConfigError),
}

const MOST_RECORDS: u64 = 20_000_000;

type Checked = Result<(), ScenarioError>;

fn number(setting: &str, value: f64, least: f64, most: f64) -> Checked {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let (value, least, most) = (value.to_string(), least.to_string(), most.to_string());
    Err(ScenarioError::OutOfRange { setting: setting.to_owned(), value, least, most })
}

fn duration(setting: &str, value: Duration, least: Duration, most: Duration) -> Checked {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let words = |duration: Duration| format!("{duration:?}");
    let (value, least, most) = (words(value), words(least), words(most));
    Err(ScenarioError::OutOfRange { setting: setting.to_owned(), value, least, most })
}

const US: Duration = Duration::from_micros(1);
const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

impl Scenario {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// The first that is outside of it, with its name and range.
    pub fn validate(&self) -> Checked {
        duration("duration", self.duration, Duration::from_secs(1), HOUR)?;
        self.validate_producers()?;
        number("topic.partitions", self.topic.partitions.into(), 1.0, 1_000.0)?;
        number("topic.quota", self.topic.quota as f64, 1.0, 1e9)?;
        self.validate_consumers()?;
        let credit = self.credit;
        duration("credit.target", credit.target, 100 * MS, HOUR)?;
        duration("credit.probe", credit.probe, 10 * MS, 60_000 * MS)?;
        number("downstream.servers", self.downstream.servers.into(), 1.0, 1e6)?;
        service("downstream.service", &self.downstream.service)?;
        if let Some(waiting) = self.downstream.waiting {
            number("downstream.waiting", waiting.into(), 0.0, 1e9)?;
        }
        number("downstream.failures", self.downstream.failures, 0.0, 1.0)?;
        for (index, event) in self.events.iter().enumerate() {
            self.validate_event(index, event.at, &event.change)?;
        }
        let records = self.most_records();
        if records > MOST_RECORDS {
            return Err(ScenarioError::TooMuch(records));
        }
        Ok(())
    }

    fn validate_producers(&self) -> Checked {
        if self.producers.is_empty() || self.producers.len() > 64 {
            return Err(ScenarioError::NoProducer);
        }
        for (index, producer) in self.producers.iter().enumerate() {
            let of = |setting: &str| format!("producers.{}.{setting}", producer.name);
            if self.producers[..index].iter().any(|other| other.name == producer.name) {
                return Err(ScenarioError::SameName(producer.name.clone()));
            }
            number(&of("rate"), producer.rate, 0.0, 1e6)?;
            number(&of("channel"), producer.channel.into(), 1.0, 1e8)?;
            number(&of("size"), (*producer.size.start()).into(), 1.0, 1e9)?;
            let least = f64::from(*producer.size.start());
            number(&of("size"), (*producer.size.end()).into(), least, 1e9)?;
            number(&of("keys"), producer.keys.into(), 0.0, 1e6)?;
            number(&of("zipf"), producer.zipf, 0.0, 10.0)?;
            if let Some(burst) = producer.burst {
                duration(&of("burst.every"), burst.every, 10 * MS, HOUR)?;
                number(&of("burst.records"), burst.records.into(), 1.0, 1e7)?;
            }
        }
        Ok(())
    }

    fn validate_consumers(&self) -> Checked {
        let c = &self.consumers;
        number("consumers.members", c.members.into(), 1.0, 100.0)?;
        number("consumers.poll", c.poll.into(), 1.0, 1e6)?;
        number("consumers.memory", c.memory as f64, 1e3, 1e15)?;
        number("consumers.task_memory", c.task_memory as f64, 0.0, 1e12)?;
        duration("consumers.killed_after", c.killed_after, MS, HOUR)?;
        duration("consumers.restarts_after", c.restarts_after, MS, HOUR)?;
        duration("consumers.session", c.session, MS, HOUR)?;
        duration("consumers.auto_commit", c.auto_commit, MS, HOUR)?;
        duration("consumers.commit", c.commit, MS, 60_000 * MS)?;
        number("consumers.attempts", c.attempts.into(), 1.0, 1e6)?;
        let largest = self.producers.iter().map(|p| *p.size.end()).max().unwrap_or(0);
        let task = c.task_memory + u64::from(largest);
        if task > c.memory {
            return Err(ScenarioError::NoMemory { memory: c.memory, task });
        }
        Ok(self.engine_config().validate()?)
    }

    fn validate_event(&self, event: usize, at: Duration, change: &Change) -> Checked {
        let of = |setting: &str| format!("events[{event}].{setting}");
        if at > self.duration {
            return Err(ScenarioError::AfterTheEnd { event, at, end: self.duration });
        }
        match change {
            Change::Downstream { servers, service: time, failures } => {
                number(&of("servers"), servers.unwrap_or(0).into(), 0.0, 1e6)?;
                number(&of("failures"), failures.unwrap_or(0.0), 0.0, 1.0)?;
                time.as_ref().map_or(Ok(()), |time| service(&of("service"), time))
            }
            Change::Rate { producer, rate } => {
                number(&of("rate"), *rate, 0.0, 1e6)?;
                let Some(name) = producer else { return Ok(()) };
                let names: Vec<_> = self.producers.iter().map(|p| p.name.as_str()).collect();
                if names.contains(&name.as_str()) {
                    return Ok(());
                }
                let known = names.join(", ");
                Err(ScenarioError::NoSuchProducer { event, name: name.clone(), known })
            }
            Change::HotKey { share } => number(&of("share"), *share, 0.0, 1.0),
            Change::Poison { records } => number(&of("records"), (*records).into(), 1.0, 1e6),
            Change::Crash { member } => {
                let joined = self.events.iter().map(|event| match event.change {
                    Change::AddMembers(members) => members,
                    _ => 0,
                });
                let most = self.consumers.members + joined.sum::<u32>();
                number(&of("crash.member"), (*member).into(), 1.0, most.into())
            }
            Change::AddMembers(members) | Change::RemoveMembers(members) => {
                number(&of("members"), (*members).into(), 1.0, 100.0)
            }
        }
    }

    /// What the producers make if nothing holds them back.
    fn most_records(&self) -> u64 {
        let seconds = self.duration.as_secs_f64();
        let steady = |producer: &super::Producer| {
            let named =
                |name: &Option<String>| name.as_ref().is_none_or(|name| *name == producer.name);
            let raised = self.events.iter().filter_map(|event| match &event.change {
                Change::Rate { producer, rate } if named(producer) => Some(*rate),
                _ => None,
            });
            let bursts = producer.burst.map_or(0.0, |burst| {
                (seconds / burst.every.as_secs_f64()).floor() * f64::from(burst.records)
            });
            raised.fold(producer.rate, f64::max) * seconds + bursts
        };
        self.producers.iter().map(steady).sum::<f64>() as u64
    }

    /// What a Tidegate consumer is set to, but for its permits.
    pub(super) fn engine_config(&self) -> Config {
        Config {
            ordering: self.consumers.ordering,
            max_queued: self.consumers.max_queued,
            max_bytes: self.consumers.max_bytes,
            max_attempts: self.consumers.attempts,
            after_last_attempt: tidegate_engine::AfterLastAttempt::DeadLetter,
            seed: self.seed,
            ..Config::default()
        }
    }
}

fn service(setting: &str, time: &ServiceTime) -> Checked {
    match *time {
        ServiceTime::Constant(time) | ServiceTime::Exponential(time) => {
            duration(setting, time, US, HOUR)
        }
        ServiceTime::Uniform(least, most) => {
            duration(setting, least, US, HOUR)?;
            duration(setting, most, least, HOUR)
        }
        ServiceTime::Lognormal { median, p99 } => {
            duration(setting, median, US, HOUR)?;
            duration(setting, p99, median, HOUR)
        }
    }
}
