//! `tidegate produce`: lines of standard input to a topic, through a gate.
//!
//! `input` makes records of lines, `pipe` sends them and keeps count.

pub(crate) mod input;
mod pipe;

use std::sync::Arc;
use std::time::Duration;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use tidegate::gate::WhenShut;
use tidegate::{Level, Producer, ProducerBuilder, ProducerEvent};

use self::input::{Common, Form};
use self::pipe::{Counts, Ended, Pipe, Stop};
use crate::check::plan::{Kind, Plan, Produce};
use crate::cli::Command;
use crate::config::Reload;
use crate::exit::Failure;
use crate::report::{Message, ProgressLine, Rate, Reporter, Sender, whole};
use crate::run::signals::{self, Hangups};
use crate::settings::{
    Connection, ConnectionArgs, FollowArgs, OneTopicArgs, OutputArgs, change_gates, duration,
    property,
};

const SECOND: Duration = Duration::from_secs(1);
/// A shut gate is waited for as long as it takes.
const PATIENT: WhenShut = WhenShut::Wait { max: Duration::from_secs(24 * 60 * 60) };

/// Flags of `tidegate produce`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    topic: OneTopicArgs,

    /// What separates key and value in a line: the key is what is before it. Without it records have
    /// no key.
    #[arg(
        short = 'K',
        long,
        value_name = "TEXT",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Records"
    )]
    key_delimiter: Option<String>,

    /// Lines are JSON objects as `tidegate run --to stdout` writes them, with key, value, headers,
    /// partition and timestamp, each of which may be left out.
    #[arg(
        long,
        value_parser = BoolishValueParser::new(),
        conflicts_with = "key_delimiter",
        help_heading = "Records"
    )]
    json: bool,

    /// A header for every record. May be repeated; in the environment, one a line.
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME=VALUE",
        value_delimiter = '\n',
        value_parser = property,
        help_heading = "Records"
    )]
    headers: Vec<(String, String)>,

    /// The partition of every record, instead of that of its key.
    #[arg(short, long, value_name = "N", help_heading = "Records")]
    partition: Option<u32>,

    #[command(flatten)]
    follow: FollowArgs,

    /// For how long the delivery of a record is tried. 1s to 1day.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "2m",
        value_parser = duration(SECOND, Duration::from_secs(24 * 60 * 60)),
        help_heading = "End"
    )]
    delivery_timeout: Duration,

    /// How long SIGTERM or Ctrl-C may take until everything is delivered. 100ms to 1h. A second
    /// signal ends at once.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "25s",
        value_parser = duration(SECOND / 10, 3_600 * SECOND),
        help_heading = "End"
    )]
    shutdown_timeout: Duration,
}

impl ProduceArgs {
    fn producer(&self, connection: &Connection) -> ProducerBuilder {
        let FollowArgs { follow, gate } = &self.follow;
        connection
            .producer()
            .topic(gate.gate(&self.topic.topic, follow, PATIENT))
            .probe_interval(gate.probe_interval)
            .delivery_timeout(self.delivery_timeout)
    }

    /// What it would do, for `tidegate check`.
    ///
    /// # Errors
    /// As one that cannot start for what its flags and files say.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let connection = self.connection.resolve()?;
        self.producer(&connection).check()?;
        let FollowArgs { follow, gate } = &self.follow;
        let produce = Produce {
            topic: gate.gated(self.topic.topic.clone(), follow.clone()),
            delivery_timeout: self.delivery_timeout,
            shutdown_timeout: self.shutdown_timeout,
        };
        Ok(Plan { command: "produce", connection, admin: None, kind: Kind::Produce(produce) })
    }
}

/// Runs the command.
///
/// # Errors
/// When it cannot start, or something was not delivered.
pub(crate) fn run(args: &ProduceArgs, output: &OutputArgs, reload: Reload) -> Result<(), Failure> {
    let hangups = Hangups::listen(&reload)?;
    let connection = args.connection.resolve()?;
    let reporter = Reporter::start(output);
    let topic = &args.topic.topic;
    let tell = reporter.sender();
    let builder = args.producer(&connection);
    let producer = builder.on_event(move |event| tell.message(message(event))).build()?;
    if args.follow.follow.is_empty() {
        let words = "the gate is open: no group is followed, see --follow";
        reporter.sender().message(Message::new(Level::Info, "gate-open", words));
    }
    let counts = Arc::new(Counts::default());
    if output.progress(false) {
        let rate = Rate::default();
        reporter.show(Progress { producer: producer.clone(), counts: Arc::clone(&counts), rate });
    }
    let form = match args.json {
        true => Form::Json,
        false => Form::Text { key_delimiter: args.key_delimiter.clone() },
    };
    let common = Common {
        topic: topic.as_str().into(),
        partition: args.partition,
        headers: args.headers.clone(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
    let sender = reporter.sender();
    let ended = runtime.block_on(async {
        let (last, left) = (sender.clone(), Arc::clone(&counts));
        let hangup = signals::hangup_ends(&reload);
        let signal = signals::first_of(hangup, move || last.last_words(second_signal(&left)))?;
        let changed = producer.clone();
        hangups.reload(reload, sender.clone(), move |command| match command {
            Command::Produce(args) => change_gates(&changed, &args.follow.gate.change(PATIENT)),
            _ => Ok(()),
        })?;
        let pipe = Pipe { producer, form, common, counts: Arc::clone(&counts) };
        Ok::<_, Failure>(pipe.run(signal, args.shutdown_timeout).await)
    });
    // A read of standard input may still block a thread.
    runtime.shutdown_background();
    let ended = ended?;
    sender.message(summary(&ended, topic));
    tell_failures(&ended, &sender);
    drop(reporter);
    verdict(&ended)
}

/// What is said when a second signal ends it at once.
fn second_signal(counts: &Counts) -> Message {
    let (sent, delivered) = counts.now();
    let open = sent - delivered;
    Message::new(
        Level::Error,
        "second-signal",
        format!("second signal: ending at once; of {sent} records {open} are not acknowledged"),
    )
    .with("sent", sent)
    .with("delivered", delivered)
}

/// What a producer tells, as a message.
pub(crate) fn message(event: &ProducerEvent) -> Message {
    let level = if event.is_recovery() { Level::Info } else { Level::Warning };
    let kind = match event {
        ProducerEvent::ProbeFailed { .. } => "probe-failed",
        ProducerEvent::ProbeRecovered { .. } => "probe-recovered",
        ProducerEvent::Rebuilt { .. } => "client-replaced",
        _ => "gate-alert",
    };
    Message::new(level, kind, event.to_string())
}

fn summary(ended: &Ended, topic: &str) -> Message {
    let words = format!(
        "{} records read, {} delivered to topic {topic}, {} not delivered",
        ended.read,
        ended.delivered,
        ended.read - ended.delivered
    );
    Message::new(Level::Info, "summary", words)
        .with("read", ended.read)
        .with("delivered", ended.delivered)
        .with("not_delivered", ended.read - ended.delivered)
        .with("resume_from_line", ended.resume_from)
}

fn tell_failures(ended: &Ended, sender: &Sender) {
    for (line, error) in &ended.failures {
        let words = format!("line {line}: {error}");
        sender.message(Message::new(Level::Error, "not-delivered", words).with("line", *line));
    }
}

/// Whether everything that was there was delivered.
fn verdict(ended: &Ended) -> Result<(), Failure> {
    let resume = match ended.resume_from {
        Some(line) => format!("resume from line {line}"),
        None => "nothing is left".to_owned(),
    };
    match &ended.stop {
        Stop::BadLine { line, why } => Err(Failure::Failed(format!(
            "line {line} is not a record: {why}; everything before it is delivered unless told \
             otherwise; {resume}"
        ))),
        Stop::Unreadable(why) => {
            Err(Failure::Failed(format!("standard input cannot be read: {why}; {resume}")))
        }
        Stop::End | Stop::Signal | Stop::Undelivered if ended.resume_from.is_some() => {
            let left = ended.read - ended.delivered;
            Err(Failure::Failed(format!("{left} records were not delivered; {resume}")))
        }
        _ => Ok(()),
    }
}

/// The progress line.
struct Progress {
    producer: Producer,
    counts: Arc<Counts>,
    rate: Rate,
}

impl ProgressLine for Progress {
    fn line(&mut self) -> String {
        let (sent, delivered) = self.counts.now();
        let rate = self.rate.update(delivered, std::time::Instant::now());
        let mut line =
            format!("{delivered} delivered, {}/s, {} under way", whole(rate), sent - delivered);
        if let Some(topic) = self.producer.snapshot().first() {
            if !topic.groups.is_empty() {
                line +=
                    &format!(", {} outstanding of {}", topic.gate.outstanding, topic.gate.window);
            }
            if let Some(drain) = topic.gate.drain.filter(|_| !topic.groups.is_empty()) {
                line += &format!(", drain time {:.1} s", drain.as_secs_f64());
            }
            line += match topic.gate.state {
                tidegate::gate::GateState::Open => ", open",
                tidegate::gate::GateState::Limited(_) => ", limited",
                _ => ", shut",
            };
        }
        line
    }
}
