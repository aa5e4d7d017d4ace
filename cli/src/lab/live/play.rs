//! A run on the clock, from beginning to end.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidegate::gate::{GateConfig, WhenShut};
use tidegate::{
    AfterLastAttempt, Config, Level, Monitor, Outcome, Probe, Record, RunError, Settings, Summary,
    TopicGate,
};
use tidegate_runtime::memory::MemoryLog;
use tidegate_sim::lab::{Change, Played, Producer, Scenario, Strategy};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::meter::{LOOK, Meter};
use super::produce::Source;
use super::screen::{Key, Keys, Screen};
use super::sink::{Memory, Sink};
use super::state::{Live, lock};
use crate::exit::Failure;
use crate::kafka::Admin;
use crate::lab::text::Look;
use crate::settings::Connection;

/// How long the group may take until it has its partitions, and a topic until it can be used.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the backlog is watched after the end of production.
const DRAIN: Duration = Duration::from_secs(60);

const TOPIC: &str = "tidegate-lab";

/// Where the records are kept.
struct Place {
    topic: String,
    partitions: u32,
    kind: Kind,
}

enum Kind {
    Memory(MemoryLog),
    Kafka { connection: Connection, admin: Admin, probe: OnceLock<Probe> },
}

/// Plays it.
pub(super) async fn play(
    scenario: &Scenario,
    strategy: Strategy,
    connection: Option<Connection>,
    look: Option<Look>,
) -> Result<Played, Failure> {
    let scenario = strategy.applied_to(scenario);
    let place = Place::make(&scenario, connection).await?;
    let played = on(&place, scenario, strategy, look).await;
    let removed = place.remove().await;
    let played = played?;
    removed.map(|()| played)
}

async fn on(
    place: &Place,
    scenario: Scenario,
    strategy: Strategy,
    look: Option<Look>,
) -> Result<Played, Failure> {
    let live: Arc<OnceLock<Arc<Live>>> = Arc::default();
    let known = Arc::clone(&live);
    let handler = move |record: Record| {
        let live = known.get().cloned();
        async move {
            match live {
                Some(live) => live.handle(record).await,
                None => Outcome::Skip,
            }
        }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { stopped.await.unwrap_or(()) };
    let (monitor, mut consumer) = place.consume(&scenario, strategy, handler, shutdown)?;
    place.wait_for_partitions(&monitor, &mut consumer).await?;
    let live = Arc::clone(live.get_or_init(|| Arc::new(Live::new(scenario, strategy, monitor))));
    let played = act(place, &live, look).await;
    // Nobody is left to be told if it has ended.
    let _ = stop.send(());
    match timeout(PATIENCE, &mut consumer).await {
        Ok(Ok(Err(error))) => Err(error.into()),
        _ => played,
    }
}

/// What happens between the first record and the last.
async fn act(place: &Place, live: &Arc<Live>, look: Option<Look>) -> Result<Played, Failure> {
    let mut producers = JoinSet::new();
    let plans = live.scenario.producers.clone();
    for (number, plan) in (0..).zip(plans) {
        place.produce(live, number, plan, &mut producers)?;
    }
    let (tell, mut keys) = mpsc::channel(8);
    let listening = look.map(|_| Keys::listen(tell.clone()));
    let mut screen = look.map(Screen::new);
    let mut meter = Meter::new(Arc::clone(live));
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_event = 0;
    let mut slower = 1.0;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    while live.now() < live.scenario.duration {
        tokio::select! {
            _ = ticks.tick() => {}
            key = keys.recv() => match key {
                Some(Key::Slower) => {
                    slower *= 2.0;
                    live.servers.slow_down(2.0);
                }
                Some(Key::Faster) => {
                    slower /= 2.0;
                    live.servers.slow_down(0.5);
                }
                Some(Key::AddProducer) => {
                    let number = u32::try_from(producers.len()).unwrap_or(u32::MAX);
                    if let Some(plan) = live.scenario.producers.first().filter(|_| number < 64) {
                        let plan = Producer { name: format!("producer-{}", number + 1), ..plan.clone() };
                        lock(&live.rates).push(plan.rate);
                        place.produce(live, number, plan, &mut producers)?;
                    }
                }
                Some(Key::Quit) | None => break,
            },
            _ = &mut interrupted => break,
            Some(ended) = producers.join_next() => failed(ended)?,
        }
        happen(live, &mut next_event);
        if meter.look()
            && let Some(screen) = &mut screen
        {
            let news = format!(
                "{} producers, downstream {:.0}/s{}   s slower, f faster, p producer, q end",
                producers.len(),
                live.servers.capacity(),
                if slower == 1.0 { String::new() } else { format!(" (time x{slower})") },
            );
            screen.paint(&live.scenario, &meter.played(None), &news);
        }
    }
    live.producing.store(false, Ordering::Relaxed);
    let played = meter.played(None);
    let drained = tokio::select! {
        drained = drain(live, &mut producers) => drained?,
        _ = &mut interrupted, if live.now() >= live.scenario.duration => None,
    };
    if let Some(screen) = &mut screen {
        screen.clear();
    }
    drop(listening);
    Ok(Played { drain_s: drained.map(|drained| drained.as_secs_f64()), ..played })
}

fn failed(ended: Result<Result<(), Failure>, tokio::task::JoinError>) -> Result<(), Failure> {
    ended.unwrap_or_else(|error| Err(Failure::Failed(error.to_string())))
}

/// Waits until everything is done; how long that took, if it was.
async fn drain(
    live: &Live,
    producers: &mut JoinSet<Result<(), Failure>>,
) -> Result<Option<Duration>, Failure> {
    let began = Instant::now();
    while began.elapsed() < DRAIN {
        while let Some(ended) = producers.try_join_next() {
            failed(ended)?;
        }
        let levels = live.levels();
        if producers.is_empty() && levels.total() == 0 {
            return Ok(Some(began.elapsed()));
        }
        sleep(LOOK).await;
    }
    Ok(None)
}

/// The scenario's events that are due.
fn happen(live: &Live, next: &mut usize) {
    while let Some(event) = live.scenario.events.get(*next).filter(|event| event.at <= live.now()) {
        *next += 1;
        match &event.change {
            Change::Downstream { servers, service, failures } => live.servers.change(|plan| {
                plan.servers = servers.unwrap_or(plan.servers);
                plan.service = service.unwrap_or(plan.service);
                plan.failures = failures.unwrap_or(plan.failures);
            }),
            Change::Rate { producer, rate } => {
                let names = live.scenario.producers.iter().map(|p| &p.name);
                for (its, name) in lock(&live.rates).iter_mut().zip(names) {
                    if producer.as_ref().is_none_or(|wanted| wanted == name) {
                        *its = *rate;
                    }
                }
            }
            Change::HotKey { share } => {
                live.hot.store((share * 10_000.0) as u32, Ordering::Relaxed);
            }
            // Refused before.
            _ => {}
        }
    }
}

type Consuming = JoinHandle<Result<Summary, RunError>>;

impl Place {
    /// The log, with a topic of its own.
    async fn make(scenario: &Scenario, connection: Option<Connection>) -> Result<Self, Failure> {
        let partitions = scenario.topic.partitions;
        let count = i32::try_from(partitions).unwrap_or(i32::MAX);
        let Some(connection) = connection else {
            let log = MemoryLog::new();
            let made = log.create_topic(TOPIC, count);
            made.map_err(|error| Failure::Failed(error.to_string()))?;
            return Ok(Self { topic: TOPIC.to_owned(), partitions, kind: Kind::Memory(log) });
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let topic =
            format!("{TOPIC}-{}-{}", std::process::id(), now.map_or(0, |since| since.as_millis()));
        let admin = Admin::new(&connection)?;
        admin.create_topic(&topic, count).await?;
        let kind = Kind::Kafka { connection, admin, probe: OnceLock::new() };
        Ok(Self { topic, partitions, kind })
    }

    /// The name of the group is that of the topic: both are its own.
    fn group(&self) -> &str {
        &self.topic
    }

    async fn remove(&self) -> Result<(), Failure> {
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
    fn consume<F>(
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

    async fn wait_for_partitions(
        &self,
        monitor: &Monitor,
        consumer: &mut Consuming,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while monitor.snapshot().partitions.len() < self.partitions as usize {
            if consumer.is_finished() {
                return match consumer.await {
                    Ok(Err(error)) => Err(error.into()),
                    _ => Err(Failure::Failed("the consumer ended before it began".to_owned())),
                };
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
    fn produce(
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
