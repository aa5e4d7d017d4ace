//! `tidegate run`: records from topics to a target.
//!
//! `target` reads `--to`; `stdout` (with `record` for its lines), `exec` (with `group` for process
//! groups) and `http` are targets. `signals` drains, `lag` asks how far behind the run is, `plan` says what
//! a run would do.

mod exec;
mod group;
mod http;
mod lag;
mod plan;
mod record;
pub(crate) mod signals;
mod stdout;
mod target;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use tidegate::{Handler, Level, Monitor, Record, SettingsChange, Summary};
use tokio::runtime::Runtime;

use self::exec::Exec;
use self::http::{Http, HttpArgs};
use self::signals::Hangups;
use self::stdout::{Lines, Stdout};
use self::target::Target;
use crate::admin::{self, Admin, AdminArgs, Measured};
use crate::cli::Command;
use crate::config::Reload;
use crate::exit::Failure;
use crate::report::{Lag, Message, Progress, Reporter, Sender};
use crate::settings::{
    Connection, ConnectionArgs, DeliveryArgs, GroupArgs, LimitArgs, OutputArgs, TopicsArgs,
};

/// Flags of `tidegate run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    topics: TopicsArgs,
    #[command(flatten)]
    group: GroupArgs,

    /// Where records go: http://HOST/PATH, exec:COMMAND, stdout or null.
    #[arg(long, value_name = "TARGET")]
    #[arg(value_parser = target::parse, long_help = target::HELP, help_heading = "Target")]
    to: Target,

    #[command(flatten)]
    http: HttpArgs,

    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    delivery: DeliveryArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Runs the command.
///
/// # Errors
/// When the run cannot start, cannot go on, or ends with something left to do.
pub(crate) fn run(args: RunArgs, output: &OutputArgs, reload: Reload) -> Result<(), Failure> {
    let hangups = Hangups::listen(&reload)?;
    if !matches!(args.to, Target::Http(_)) {
        HttpArgs::refuse(reload.given())?;
    }
    let connection = args.connection.resolve()?;
    let admin = args.admin.resolve()?;
    // Before the client is configured, which asks whether its log is wanted.
    let reporter = Reporter::start(output);
    let consumer = args.consumer(&connection)?;

    let until_end = args.delivery.until_end;
    let group = args.group.name(&connection).unwrap_or_default().to_owned();
    let admin = admin.map(|admin| (admin, group));
    let run =
        Prepared { consumer, connection, until_end, output, reporter, admin, reload, hangups };
    match args.to {
        Target::Null => run.drive(Null, || {}, std::future::pending()),
        Target::Stdout => {
            let lines = Lines::start()?;
            let closed = Arc::clone(&lines);
            run.drive(
                Stdout::new(Arc::clone(&lines)),
                || {},
                async move { closed.closed().await },
            )?;
            lines.check()
        }
        Target::Exec(words) => {
            let exec = Exec::new(words)?;
            let groups = exec.groups();
            run.drive(exec, move || groups.kill_all(), std::future::pending())
        }
        Target::Http(template) => {
            let (timeout, most) = (args.delivery.timeout, args.limits.concurrency);
            let http = Http::new(*template, &args.http, timeout, most)?;
            run.drive(http, || {}, std::future::pending())
        }
    }
}

impl RunArgs {
    /// The consumer with its settings; nothing is connected yet.
    fn consumer(&self, connection: &Connection) -> Result<tidegate::Consumer, Failure> {
        let builder = self.topics.apply(connection.builder());
        let builder = self.group.apply(builder, connection)?;
        let builder = self.limits.apply(builder);
        let builder = self.delivery.apply(builder, connection.reset, times_itself(&self.to))?;
        Ok(builder.build()?)
    }
}

/// Of what waits for its turn no time is taken: calls have their own.
fn times_itself(target: &Target) -> bool {
    matches!(target, Target::Http(_))
}

/// Takes records and does nothing with them.
struct Null;

impl Handler for Null {
    type Future = std::future::Ready<()>;

    fn handle(&self, _: Record) -> Self::Future {
        std::future::ready(())
    }
}

/// A run that has everything but its target.
struct Prepared<'a> {
    consumer: tidegate::Consumer,
    connection: Connection,
    until_end: bool,
    output: &'a OutputArgs,
    reporter: Reporter,
    /// The admin port, if one is wanted, and the group's name for it.
    admin: Option<(Admin, String)>,
    reload: Reload,
    hangups: Hangups,
}

impl Prepared<'_> {
    /// Runs until it ends by itself, by a signal or because `closed` completes. `kill` is called
    /// before the process ends without having drained.
    fn drive<H: TargetHandler>(
        self,
        handler: H,
        kill: impl FnOnce() + Send + 'static,
        closed: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
        let result = self.drive_on(&runtime, handler, kill, closed);
        runtime.shutdown_background();
        result
    }

    fn drive_on<H: TargetHandler>(
        self,
        runtime: &Runtime,
        mut handler: H,
        kill: impl FnOnce() + Send + 'static,
        closed: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Failure> {
        let reporter = self.reporter;
        let monitor = self.consumer.monitor();
        if self.output.progress(H::WRITES_TO_STDOUT) {
            let lag = Lag::default();
            lag::watch(&self.connection, monitor.clone(), &lag, self.until_end)?;
            reporter.show(Progress::new(monitor.clone(), lag, self.until_end));
        }
        let mut watched = None;
        if let Some((admin, group)) = self.admin {
            let source = admin::Consumer::watch(&self.connection, monitor.clone(), group)?;
            admin.start(Arc::clone(&source) as Arc<dyn admin::Source>, &reporter.sender())?;
            watched = Some(source);
        }
        handler.attach(reporter.sender(), monitor.clone());
        let (on_end, retune) = (handler.on_end(), handler.retune());
        let signalled = Arc::new(AtomicBool::new(false));
        let tell = reporter.sender();
        let result: Result<Summary, Failure> = runtime.block_on(async {
            let hangup = signals::hangup_ends(&self.reload);
            let signal = signals::first(monitor.clone(), reporter.sender(), hangup, kill)?;
            self.hangups.reload(self.reload, reporter.sender(), move |command| match command {
                Command::Run(args) => args.take_over(&monitor, retune.as_deref()),
                _ => Ok(()),
            })?;
            let (noted, draining) = (Arc::clone(&signalled), watched.clone());
            let shutdown = async move {
                tokio::select! {
                    () = signal => noted.store(true, Ordering::Relaxed),
                    () = closed => {}
                }
                if let Some(watched) = draining {
                    watched.drains();
                }
                on_end();
            };
            let consumer = self.consumer.on_event(move |event| tell.event(event));
            Ok(match watched {
                Some(watched) => {
                    let handler = Measured::new(handler, watched.histogram());
                    consumer.run(handler).with_graceful_shutdown(shutdown).await?
                }
                None => consumer.run(handler).with_graceful_shutdown(shutdown).await?,
            })
        });
        if let Ok(summary) = &result {
            reporter.sender().message(message(summary));
        }
        drop(reporter);
        verdict(&result?, signalled.load(Ordering::Relaxed))
    }
}

impl RunArgs {
    /// Has a run go on with these settings, as far as it can. A target that moves the limit by itself has
    /// a way to be `retune`d.
    fn take_over(&self, monitor: &Monitor, retune: Option<&Retune>) -> Result<(), Failure> {
        let change = self.change(retune.is_some())?;
        monitor.change(&change).map_err(|error| Failure::Usage(error.to_string()))?;
        if let Some(retune) = retune {
            retune(self.limits.concurrency, self.delivery.timeout);
        }
        Ok(())
    }

    /// What the consumer takes over; without what its target does itself.
    fn change(&self, is_retuned: bool) -> Result<SettingsChange, Failure> {
        let mut change = self.delivery.change(self.limits.change(), is_retuned)?;
        if is_retuned {
            change.engine.max_in_flight = None;
        }
        Ok(change)
    }
}

/// Takes over how many attempts there may be at once, and how long each may take.
type Retune = dyn Fn(u32, Option<Duration>) + Send + Sync;

/// The handler of a target.
trait TargetHandler: Handler {
    /// Whether it, or what it starts, writes to standard output.
    const WRITES_TO_STDOUT: bool;

    /// Gives it the reporter, and the consumer that it is the handler of.
    fn attach(&mut self, _: Sender, _: Monitor) {}

    /// What takes other settings over, if it moves the limit and times its attempts by itself.
    fn retune(&self) -> Option<Box<Retune>> {
        None
    }

    /// What is to be done when the run begins to end.
    fn on_end(&self) -> Box<dyn FnOnce() + Send> {
        Box::new(|| {})
    }
}

impl TargetHandler for Null {
    const WRITES_TO_STDOUT: bool = false;
}

impl TargetHandler for Stdout {
    const WRITES_TO_STDOUT: bool = true;
}

impl TargetHandler for Exec {
    const WRITES_TO_STDOUT: bool = true;

    fn attach(&mut self, sender: Sender, _: Monitor) {
        self.set_reporter(sender);
    }
}

impl TargetHandler for Http {
    const WRITES_TO_STDOUT: bool = false;

    fn attach(&mut self, sender: Sender, monitor: Monitor) {
        Self::attach(self, sender, monitor);
    }

    fn retune(&self) -> Option<Box<Retune>> {
        Some(Box::new(Self::retune(self)))
    }

    fn on_end(&self) -> Box<dyn FnOnce() + Send> {
        Box::new(self.close())
    }
}

/// The last line of a run.
fn message(summary: &Summary) -> Message {
    let stopped: Vec<_> = summary
        .stopped
        .iter()
        .map(|stopped| {
            serde_json::json!({
                "topic": *stopped.partition.topic,
                "partition": stopped.partition.partition,
                "offset": stopped.offset.map(|offset| offset.0),
                "reason": stopped.reason,
            })
        })
        .collect();
    Message::new(Level::Info, "summary", summary.to_string())
        .with("done", summary.counters.done)
        .with("skipped", summary.counters.skipped)
        .with("given_up", summary.counters.given_up)
        .with("dead_lettered", summary.counters.dead_lettered)
        .with("failed_attempts", summary.counters.failed)
        .with("timed_out", summary.counters.timed_out)
        .with("already_finished", summary.counters.already_finished)
        .with("unfinished", summary.unfinished)
        .with("uncommitted", summary.uncommitted)
        .with("stopped", stopped)
}

/// Whether a run that ended did what it was asked to.
fn verdict(summary: &Summary, signalled: bool) -> Result<(), Failure> {
    if summary.uncommitted > 0 {
        return Err(Failure::Failed(format!(
            "{} finished records could not be committed and will be delivered again",
            summary.uncommitted
        )));
    }
    // Who asks for the end by a signal gets what was done until then; a run that ends by itself
    // ends because everything is done, which it is not behind a partition that stopped.
    if signalled || summary.stopped.is_empty() {
        return Ok(());
    }
    let stopped: Vec<_> = summary.stopped.iter().map(ToString::to_string).collect();
    Err(Failure::Failed(stopped.join("; ")))
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    fn change(more: &[String]) -> SettingsChange {
        let words = ["run", "-t", "t", "--to", "null"].map(str::to_owned);
        let command = RunArgs::augment_args(Command::new("run"));
        let matches = command.get_matches_from([&words[..], more].concat());
        RunArgs::from_arg_matches(&matches).unwrap().change(false).unwrap()
    }

    #[test]
    fn what_is_said_to_change_live_does_and_nothing_else() {
        let usual = change(&[]);
        for key in crate::config::live_keys("run") {
            let value = match *key {
                "max-bytes" => "1MiB",
                "concurrency" | "max-queued" | "max-window" | "retries" => "7",
                _ => "123ms",
            };
            assert_ne!(change(&[format!("--{key}={value}")]), usual, "{key}");
        }
        for flag in ["--ordering=none", "--max-records=7", "--drain-timeout=7s", "--until-end"] {
            assert_eq!(change(&[flag.to_owned()]), usual, "{flag}");
        }
    }
}
