//! Runs a consumer of the dead-letter topic whose handler moves letters.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate::gate::WhenShut;
use tidegate::{Event, Level, Monitor, OnGap, StartFrom, Summary, TopicGate};

use super::args::RedriveArgs;
use super::letter::Keep;
use super::mover::{LEFT, Mover, Moves};
use super::pace::Pace;
use super::passes::Passes;
use super::survey::Survey;
use super::window::Window;
use super::{ORDER, table};
use crate::exit::Failure;
use crate::produce;
use crate::report::{Lag, Message, Progress, Reporter, Sender};
use crate::run::signals;
use crate::settings::{Connection, OutputArgs};

/// What was moved makes room for others when it is committed.
const COMMITS: Duration = Duration::from_millis(20);
/// How often it is looked what is committed, and whether only letters are left that are not this
/// call's.
const LOOKS: Duration = Duration::from_millis(10);

/// A call that moves.
pub(super) struct Drive<'a> {
    pub(super) args: &'a RedriveArgs,
    pub(super) connection: &'a Connection,
    pub(super) passes: Passes,
    pub(super) survey: &'a Survey,
    pub(super) targets: BTreeSet<String>,
}

impl Drive<'_> {
    /// Moves until everything is, something cannot be, or a signal comes.
    ///
    /// # Errors
    /// When something was not moved that should have been.
    pub(super) fn run(self, output: &OutputArgs, reporter: Reporter) -> Result<(), Failure> {
        let Self { args, connection, passes, survey, targets } = self;
        let topic = args.topic();
        let consumer = connection
            .builder()
            .group(passes.group())
            .topic(topic)
            .max_in_flight(args.concurrency())
            .commit_interval(COMMITS)
            .shutdown_timeout(args.shutdown_timeout())
            .from(StartFrom::Earliest)
            // What retention has deleted cannot be moved; that it has is told.
            .on_gap(OnGap::Earliest)
            .until_end(true)
            .build()?;
        let producer = producer(args, connection, &targets, &reporter.sender())?;
        let window = Window::new(args.concurrency());
        let mut mover = Mover::new(producer.clone(), passes, survey.ends().clone(), window);
        mover.keep =
            Keep { partition: args.original_partition(), timestamp: args.original_timestamp() };
        mover.pace = args.rate().map(Pace::new);
        mover.most = args.max_records();
        let mover = Arc::new(mover);

        let monitor = consumer.monitor();
        if output.progress(false) {
            let lag = Lag::default();
            for (partition, end) in survey.ends() {
                lag.set(tidegate::TopicPartition::new(topic, *partition), *end, true);
            }
            reporter.show(Progress::new(monitor.clone(), lag, true));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
        let signalled = Arc::new(AtomicBool::new(false));
        let tell = reporter.sender();
        let ended: Result<Summary, Failure> = runtime.block_on(async {
            let signal = signals::first(monitor.clone(), reporter.sender(), false, || {})?;
            let (noted, ending) = (Arc::clone(&signalled), mover.ending.clone());
            tokio::spawn(look(Arc::clone(&mover), monitor));
            let shutdown = async move {
                tokio::select! {
                    () = signal => {
                        noted.store(true, Ordering::Relaxed);
                        ending.cancel();
                    }
                    () = ending.cancelled() => {}
                }
            };
            let consumer = consumer.on_event(move |event| {
                if !matches!(event, Event::Overloaded { reason, .. } if reason == LEFT) {
                    tell.event(event);
                }
            });
            let moves = Moves(Arc::clone(&mover));
            let summary = consumer.run(moves).with_graceful_shutdown(shutdown).await?;
            // Whatever was sent has been acknowledged, or its letter is not done.
            let _ = producer.close(Duration::from_millis(100)).await;
            Ok(summary)
        });
        runtime.shutdown_background();
        let failure = mover.failure();
        if let Ok(summary) = &ended {
            reporter.sender().message(message(&mover, summary));
        }
        drop(reporter);
        verdict(&ended?, failure, signalled.load(Ordering::Relaxed))
    }
}

fn producer(
    args: &RedriveArgs,
    connection: &Connection,
    targets: &BTreeSet<String>,
    sender: &Sender,
) -> Result<tidegate::Producer, Failure> {
    let tell = sender.clone();
    let mut builder = connection
        .producer()
        .delivery_timeout(args.delivery_timeout())
        .on_event(move |event| tell.message(produce::message(event)));
    // The topic decides what is too large, not the client.
    if !connection.properties.iter().any(|(name, _)| name == "message.max.bytes") {
        builder = builder.property("message.max.bytes", "1000000000");
    }
    let when_shut = WhenShut::Wait { max: args.delivery_timeout() };
    for target in targets {
        builder = builder.topic(TopicGate::new(target).when_shut(when_shut));
    }
    Ok(builder.build()?)
}

/// Makes room for what is committed. Ends the call when everything that was there at its start is done,
/// and only letters wait that came later; without such letters the run ends by itself.
async fn look(mover: Arc<Mover>, monitor: Monitor) {
    loop {
        tokio::time::sleep(LOOKS).await;
        let snapshot = monitor.snapshot();
        mover.window.look(snapshot.engine.counters.done, snapshot.uncommitted);
        if !mover.beyond.load(Ordering::Relaxed) {
            continue;
        }
        let done = snapshot.partitions.iter().all(|status| {
            let end = mover.end(status.partition.partition);
            let reached = status.numbers.commit_point.or(status.numbers.committed);
            status.stopped.is_some() || reached.map_or(end == 0, |offset| offset.0 >= end)
        });
        if done {
            mover.ending.cancel();
        }
    }
}

/// The last line of a call.
fn message(mover: &Mover, summary: &Summary) -> Message {
    let counts = &mover.counts;
    let mut words = format!("{} letters moved", counts.moved());
    for (count, what) in [
        (counts.passed_by(), "not selected"),
        (counts.moved_before(), "moved by another selection before"),
        (counts.without_origin(), "without an origin"),
    ] {
        if count > 0 {
            words += &format!(", {count} {what}");
        }
    }
    if counts.moved() > 0 {
        words += &format!("; {ORDER}");
    }
    Message::new(Level::Info, "summary", words)
        .with("moved", counts.moved())
        .with("not_selected", counts.passed_by())
        .with("moved_before", counts.moved_before())
        .with("without_origin", counts.without_origin())
        .with("uncommitted", summary.uncommitted)
}

/// Whether everything was moved that should have been.
fn verdict(summary: &Summary, failure: Option<String>, signalled: bool) -> Result<(), Failure> {
    if let Some(words) = failure {
        return Err(Failure::Failed(words));
    }
    if summary.uncommitted > 0 {
        return Err(Failure::Failed(format!(
            "{} letters were done and could not be committed: a later call moves those of them again \
             that were moved",
            summary.uncommitted
        )));
    }
    if signalled || summary.stopped.is_empty() {
        return Ok(());
    }
    let stopped: Vec<_> = summary.stopped.iter().map(ToString::to_string).collect();
    Err(Failure::Failed(table::printable(&stopped.join("; "))))
}
