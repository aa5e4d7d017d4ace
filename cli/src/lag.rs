//! `tidegate lag`: how far a group is, per partition.
//!
//! `rates` makes rates of successive answers, `table` shows them. The age of what waits is read from
//! the log: the timestamp of the first record that is not finished.

mod rates;
mod table;

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use tidegate::gate::ProbeFailure;
use tidegate::{GroupWatch, KafkaSettings, TopicLag};

use self::rates::History;
use self::table::Row;
use crate::check::plan::{Kind, Lag, Plan};
use crate::exit::Failure;
use crate::kafka::Observer;
use crate::settings::{Connection, ConnectionArgs, OutputArgs, duration, topic};

const MS: Duration = Duration::from_millis(1);
/// Without an answer for so long beyond the interval something is wrong.
const PATIENCE: Duration = Duration::from_secs(15);

/// Flags of `tidegate lag`.
#[derive(Debug, clap::Args)]
pub(crate) struct LagArgs {
    #[command(flatten)]
    connection: ConnectionArgs,

    /// The consumer group. It is not joined.
    #[arg(
        short = 'G',
        long,
        value_name = "GROUP",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Kafka"
    )]
    group: Option<String>,

    /// A topic. May be repeated; in the environment, separated by spaces. Without it, those in which
    /// the group has committed something.
    #[arg(
        short,
        long = "topic",
        value_name = "TOPIC",
        value_delimiter = ' ',
        value_parser = topic,
        help_heading = "Kafka"
    )]
    topics: Vec<String>,

    /// Go on until Ctrl-C, with a new table at each interval.
    #[arg(
        short,
        long,
        value_parser = BoolishValueParser::new(),
        help_heading = "Measurement"
    )]
    watch: bool,

    /// The time over which rates are measured, and between tables. 100ms to 1m.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "2s",
        value_parser = duration(100 * MS, Duration::from_secs(60)),
        help_heading = "Measurement"
    )]
    interval: Duration,

    /// Do not read the timestamps of what waits: AGE stays empty, and no permission to read the topic
    /// is needed.
    #[arg(
        long,
        value_parser = BoolishValueParser::new(),
        help_heading = "Measurement"
    )]
    no_age: bool,
}

impl LagArgs {
    /// The group, if it is named anywhere.
    fn group(&self, connection: &Connection) -> Result<String, Failure> {
        let named = self.group.clone().or_else(|| connection.group.clone());
        named.ok_or_else(|| Failure::Missing("no group is named: give --group GROUP".to_owned()))
    }

    /// What it would do, for `tidegate check`.
    ///
    /// # Errors
    /// As one that cannot start for what its flags and files say.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let connection = self.connection.resolve()?;
        let group = self.group(&connection)?;
        let kind = Kind::Lag(Lag { group, topics: self.topics.clone(), reads: !self.no_age });
        Ok(Plan { command: "lag", connection, admin: None, kind })
    }
}

/// Runs the command.
///
/// # Errors
/// When the cluster does not answer, or says no.
pub(crate) fn run(args: &LagArgs, output: &OutputArgs) -> Result<(), Failure> {
    let connection = args.connection.resolve()?;
    let group = args.group(&connection)?;
    let observer = Observer::new(&connection, &group)?;
    let topics = match args.topics.is_empty() {
        true => observer.topics_of_group()?,
        false => args.topics.clone(),
    };
    if topics.is_empty() {
        return Err(Failure::Failed(format!(
            "group {group} has not committed anything in any topic; name a topic with --topic"
        )));
    }
    let watch = start(&connection, &group, topics.clone(), args.interval)?;
    let screen = Screen { json: output.json_on_stdout(), redraws: args.watch };
    let mut histories: HashMap<String, History> = HashMap::new();
    let mut before = vec![None; topics.len()];
    // Rates need two answers.
    let mut rounds = 0;
    loop {
        let lags = next(&watch, &mut before, args.interval + PATIENCE)?;
        for lag in &lags {
            if let Ok(partitions) = &lag.partitions {
                let history = histories.entry(lag.topic.clone()).or_default();
                history.add(lag.asked, partitions);
            }
        }
        rounds += 1;
        if rounds < 2 {
            continue;
        }
        let rows = rows(&lags, &histories, (!args.no_age).then_some(&observer))?;
        // Whoever reads has gone.
        if screen.show(&group, &rows).is_err() || !args.watch {
            return Ok(());
        }
    }
}

fn start(
    connection: &Connection,
    group: &str,
    topics: Vec<String>,
    interval: Duration,
) -> Result<GroupWatch, Failure> {
    let mut settings = KafkaSettings::new(&connection.brokers, group, topics);
    settings.properties.clone_from(&connection.properties);
    Ok(GroupWatch::start(&settings, interval)?)
}

/// Waits for an answer for every topic that is newer than the last one.
fn next(
    watch: &GroupWatch,
    before: &mut Vec<Option<Instant>>,
    patience: Duration,
) -> Result<Vec<TopicLag>, Failure> {
    let deadline = Instant::now() + patience;
    loop {
        let latest = watch.latest();
        if let Some(error) = latest.iter().find_map(|lag| lag.partitions.as_ref().err()) {
            // The coordinator of a group that is new needs a moment.
            if error.failure != ProbeFailure::Unreachable || Instant::now() > deadline {
                return Err(Failure::Failed(error.to_string()));
            }
            std::thread::sleep(20 * MS);
            continue;
        }
        let fresh = |(lag, before): (&TopicLag, &Option<Instant>)| {
            before.is_none_or(|before| lag.asked > before)
        };
        if latest.len() == before.len() && latest.iter().zip(before.iter()).all(fresh) {
            *before = latest.iter().map(|lag| Some(lag.asked)).collect();
            return Ok(latest);
        }
        if Instant::now() > deadline {
            return Err(Failure::Failed("the cluster does not answer".to_owned()));
        }
        std::thread::sleep(20 * MS);
    }
}

fn rows(
    lags: &[TopicLag],
    histories: &HashMap<String, History>,
    observer: Option<&Observer>,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for lag in lags {
        for partition in lag.partitions.iter().flatten() {
            let rates = histories.get(&lag.topic).and_then(|h| h.rates(partition.partition));
            rows.push(Row::new(&lag.topic, *partition, rates));
        }
    }
    let Some(observer) = observer else { return Ok(rows) };
    let waiting: Vec<_> = rows.iter().filter_map(Row::first_unfinished).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    for ((topic, partition), millis) in observer.timestamps(&waiting)? {
        let row = rows.iter_mut().find(|row| row.is(&topic, partition));
        if let Some(row) = row {
            row.set_age(Duration::from_millis(now.saturating_sub(millis).max(0).unsigned_abs()));
        }
    }
    Ok(rows)
}

/// Where tables go.
struct Screen {
    json: bool,
    redraws: bool,
}

impl Screen {
    fn show(&self, group: &str, rows: &[Row]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            for row in rows {
                writeln!(out, "{}", row.to_json(group))?;
            }
            return out.flush();
        }
        if self.redraws && std::io::stdout().is_terminal() {
            write!(out, "\x1b[H\x1b[2J")?;
        }
        write!(out, "{}", table::text(group, rows))?;
        out.flush()
    }
}
