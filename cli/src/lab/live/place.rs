//! Where the records of a run are kept: a log in memory, or topic and group of a cluster.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tidegate::gate::{GateConfig, WhenShut};
use tidegate::{
    AfterLastAttempt, Config, Level, Monitor, Outcome, Probe, Record, RunError, Settings, Summary,
    TopicGate,
};
use tidegate_runtime::memory::MemoryLog;
use tidegate_sim::lab::{Producer, Scenario, Strategy};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::produce::Source;
use super::sink::{Memory, Sink};
use super::state::Live;
use crate::exit::Failure;
use crate::kafka::{Admin, Observer};
use crate::settings::Connection;

/// How long the group may take until it has its partitions.
const PATIENCE: Duration = Duration::from_secs(60);

const TOPIC: &str = "tidegate-lab";

/// Where the records are kept.
pub(super) struct Place {
    topic: String,
    partitions: u32,
    kind: Kind,
}

enum Kind {
    Memory(MemoryLog),
    Kafka { connection: Connection, admin: Admin, probe: OnceLock<Probe> },
}

/// A consumer that runs.
pub(super) type Consuming = JoinHandle<Result<Summary, RunError>>;

impl Place {
    /// The log, or a cluster that answers.
    pub(super) fn find(
        scenario: &Scenario,
        connection: Option<Connection>,
    ) -> Result<Self, Failure> {
        let partitions = scenario.topic.partitions;
        let Some(connection) = connection else {
            let kind = Kind::Memory(MemoryLog::new());
            return Ok(Self { topic: TOPIC.to_owned(), partitions, kind });
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let topic =
            format!("{TOPIC}-{}-{}", std::process::id(), now.map_or(0, |since| since.as_millis()));
        let admin = Admin::new(&connection)?;
        // A cluster that is not there is told sooner, and better, by this question.
        let observer = Observer::new(&connection, &topic)?;
        tokio::task::block_in_place(|| observer.partitions(&topic))?;
        let kind = Kind::Kafka { connection, admin, probe: OnceLock::new() };
        Ok(Self { topic, partitions, kind })
    }

    /// Makes a topic of its own there.
    pub(super) async fn make(&self) -> Result<(), Failure> {
        let count = i32::try_from(self.partitions).unwrap_or(i32::MAX);
        match &self.kind {
            Kind::Memory(log) => log
                .create_topic(&self.topic, count)
                .map_err(|error| Failure::Failed(error.to_string())),
            Kind::Kafka { admin, .. } => admin.create_topic(&self.topic, count).await,
        }
    }

    /// The name of the group is that of the topic: both are its own.
    fn group(&self) -> &str {
        &self.topic
    }

    /// Removes what it made.
    pub(super) async fn remove(&self) -> Result<(), Failure> {
        if let Kind::Kafka { admin, .. } = &self.kind {
            admin.delete_topic(&self.topic).await?;
            // A group whose member has just left may not be empty yet.
            let mut deleted = admin.delete_group(self.group()).await;
            for _ in 0..20 {
                if deleted.is_ok() {
                    break;
                }
                sleep(Duration::from_millis(250)).await;
                deleted = admin.delete_group(self.group()).await;
            }
            deleted?;
        }
        Ok(())
    }

    /// Starts the consumer.
    pub(super) fn consume<F>(
        &self,
        scenario: &Scenario,
        strategy: Strategy,
        handler: impl Fn(Record) -> F + Send + Sync + 'static,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(Monitor, Consuming), Failure>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let consumers = &scenario.consumers;
        let engine = Config {
            // Without Tidegate nothing has an order, and tasks take no time to start.
            ordering: match strategy {
                Strategy::Unbounded { .. } => tidegate::Ordering::None,
                _ => consumers.ordering,
            },
            max_in_flight: strategy.permits().unwrap_or(consumers.poll.min(100_000)),
            max_queued: consumers.max_queued,
            max_bytes: consumers.max_bytes,
            max_attempts: consumers.attempts,
            after_last_attempt: AfterLastAttempt::Skip,
            ..Config::default()
        };
        match &self.kind {
            Kind::Memory(log) => {
                let settings =
                    Settings { engine, commit_interval: consumers.commit, ..Settings::default() };
                let source = log.source(self.group(), [self.topic.as_str()]);
                let consumer = tidegate_runtime::Consumer::new(source, settings);
                let consumer = consumer.map_err(|error| Failure::Usage(error.to_string()))?;
                let consumer = consumer.on_event(|_| {});
                let monitor = consumer.monitor();
                let run = consumer.run(handler).with_graceful_shutdown(shutdown).into_future();
                Ok((monitor, tokio::spawn(run)))
            }
            Kind::Kafka { connection, .. } => {
                let consumer = connection
                    .builder()
                    .topic(&self.topic)
                    .group(self.group())
                    .ordering(engine.ordering)
                    .max_in_flight(engine.max_in_flight)
                    .max_queued(engine.max_queued)
                    .max_bytes(engine.max_bytes)
                    .max_attempts(engine.max_attempts)
                    .after_last_attempt(engine.after_last_attempt)
                    .commit_interval(consumers.commit)
                    .build()?
                    .on_event(|event| {
                        if event.level() >= Level::Warning {
                            tracing::warn!("{event}");
                        }
                    });
                let monitor = consumer.monitor();
                let run = consumer.run(handler).with_graceful_shutdown(shutdown).into_future();
                Ok((monitor, tokio::spawn(run)))
            }
        }
    }

    /// Waits until the group has given all partitions to the consumer.
    pub(super) async fn wait_for_partitions(
        &self,
        monitor: &Monitor,
        consumer: &Consuming,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while monitor.snapshot().partitions.len() < self.partitions as usize {
            if consumer.is_finished() {
                return Err(Failure::Failed("the consumer ended before it began".to_owned()));
            }
            if Instant::now() > deadline {
                let why = format!("the group did not get the partitions of {}", self.topic);
                return Err(Failure::Failed(format!("{why} within {PATIENCE:?}")));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Starts a producer.
    pub(super) fn produce(
        &self,
        live: &Arc<Live>,
        number: u32,
        plan: Producer,
        producers: &mut JoinSet<Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let is_gated = matches!(live.strategy, Strategy::ClosedLoop { .. });
        let credit = live.scenario.credit;
        let config = GateConfig {
            target: credit.target,
            probe_interval: credit.probe,
            when_shut: WhenShut::Refuse,
            seed: number.into(),
            ..GateConfig::default()
        };
        let sink = match &self.kind {
            Kind::Memory(log) => Sink::Memory(Box::new(Memory::new(
                log.clone(),
                &self.topic,
                self.group(),
                self.partitions,
                is_gated.then_some(config),
                live.begun,
            )?)),
            Kind::Kafka { connection, probe, .. } => {
                let gate = TopicGate::new(&self.topic).config(config);
                let gate = if is_gated { gate.follow(self.group()) } else { gate };
                let builder = connection.producer().topic(gate).probe_interval(credit.probe);
                let builder = match probe.get() {
                    Some(probe) => builder.probe(probe),
                    None => builder,
                };
                let producer = builder.on_event(|_| {}).build()?;
                probe.get_or_init(|| producer.probe().clone());
                Sink::Kafka { producer, topic: self.topic.clone() }
            }
        };
        producers.spawn(Source::new(live, number, plan, sink).run(Arc::clone(live)));
        Ok(())
    }
}
