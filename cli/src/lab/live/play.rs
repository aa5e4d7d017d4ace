//! A run on the clock, from beginning to end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tidegate::{Outcome, Record};
use tidegate_sim::lab::{Change, Played, Producer, Scenario, Strategy};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::meter::{LOOK, Meter};
use super::place::Place;
use super::screen::{Key, Keys, Screen};
use super::state::{Live, lock};
use crate::exit::Failure;
use crate::lab::text::Look;
use crate::settings::Connection;

/// How long the consumer may take to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the backlog is watched after the end of production.
const DRAIN: Duration = Duration::from_secs(60);

/// Plays it.
pub(super) async fn play(
    scenario: &Scenario,
    strategy: Strategy,
    connection: Option<Connection>,
    look: Option<Look>,
) -> Result<Played, Failure> {
    let scenario = strategy.applied_to(scenario);
    let place = Place::find(&scenario, connection)?;
    // From here on a signal does not end the process, which has something to remove.
    let mut signals = Signals::listen()?;
    place.make().await?;
    let played = on(&place, scenario, strategy, look, &mut signals).await;
    let removed = place.remove().await;
    let played = played?;
    removed.map(|()| played)
}

async fn on(
    place: &Place,
    scenario: Scenario,
    strategy: Strategy,
    look: Option<Look>,
    signals: &mut Signals,
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
    let begun = tokio::select! {
        begun = place.wait_for_partitions(&monitor, &consumer) => begun,
        () = signals.next() => {
            Err(Failure::Failed("ended by a signal before the first record".to_owned()))
        }
    };
    let played = match begun {
        Ok(()) => {
            let live = live.get_or_init(|| Arc::new(Live::new(scenario, strategy, monitor)));
            act(place, live, look, signals).await
        }
        Err(failure) => Err(failure),
    };
    // Nobody is left to be told if it has ended.
    let _ = stop.send(());
    match timeout(PATIENCE, &mut consumer).await {
        Ok(Ok(Err(error))) => Err(error.into()),
        _ => played,
    }
}

/// What happens between the first record and the last.
async fn act(
    place: &Place,
    live: &Arc<Live>,
    look: Option<Look>,
    signals: &mut Signals,
) -> Result<Played, Failure> {
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
            () = signals.next() => break,
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
        () = signals.next() => None,
    };
    if let Some(screen) = &mut screen {
        screen.clear();
    }
    drop(listening);
    Ok(Played { drain_s: drained.map(|drained| drained.as_secs_f64()), ..played })
}

/// SIGINT, SIGTERM, and SIGHUP of a terminal that is gone: the first ends production, the second the wait
/// for what is left.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::Failed(error.to_string()));
        let interrupt = listen(SignalKind::interrupt())?;
        let terminate = listen(SignalKind::terminate())?;
        // Whoever starts it with nohup wants it to go on.
        let hangup = (!hangup_is_ignored()).then(|| listen(SignalKind::hangup())).transpose()?;
        Ok(Self { interrupt, terminate, hangup })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            Some(_) = recv(self.hangup.as_mut()) => {}
        }
    }
}

async fn recv(signal: Option<&mut Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => None,
    }
}

/// Whether this process was started with SIGHUP ignored, as far as the system says so.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is that of signal 1.
    mask.is_some_and(|mask| mask & 1 == 1)
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
