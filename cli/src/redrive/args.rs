//! The flags.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};

use super::passes;
use super::selection::{Selection, Wanted};
use crate::check::plan::{Kind, Plan, Redrive};
use crate::exit::Failure;
use crate::settings::{Connection, ConnectionArgs, OneTopicArgs, duration, instant, topic};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Flags of `tidegate redrive`. Its topic is the dead-letter topic.
#[derive(clap::Args)]
pub(crate) struct RedriveArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    topic: OneTopicArgs,

    /// The consumer group that remembers what was moved. Without it each selection has one of its
    /// own, tidegate-redrive:TOPIC or tidegate-redrive:TOPIC:HASH.
    #[arg(
        short = 'G',
        long,
        value_name = "GROUP",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Kafka"
    )]
    group: Option<String>,

    /// Move them to this topic instead of the one that each came from.
    #[arg(
        long,
        value_name = "TOPIC",
        value_parser = topic,
        help_heading = "Target"
    )]
    to_topic: Option<String>,

    /// Each goes to the partition that it came from, instead of that of its key.
    #[arg(
        long,
        value_parser = BoolishValueParser::new(),
        conflicts_with = "to_topic",
        help_heading = "Target"
    )]
    original_partition: bool,

    /// Each keeps the timestamp that it had, instead of the present time. A topic's retention may
    /// delete old ones soon.
    #[arg(
        long,
        value_parser = BoolishValueParser::new(),
        help_heading = "Target"
    )]
    original_timestamp: bool,

    /// Only those from this topic. May be repeated; in the environment, separated by spaces.
    #[arg(
        long,
        value_name = "TOPIC",
        value_delimiter = ' ',
        value_parser = topic,
        help_heading = "Selection"
    )]
    original_topic: Vec<String>,

    /// Only those whose reason, or kind of failure, has this in it, upper and lower case as given.
    #[arg(
        long,
        value_name = "TEXT",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Selection"
    )]
    reason: Option<String>,

    /// Only those with exactly this key. May be repeated; in the environment, one a line.
    #[arg(long, value_name = "TEXT", value_delimiter = '\n', help_heading = "Selection")]
    key: Vec<String>,

    /// Only those that became letters at this time or later: a time like 2026-03-01T12:00:00Z, or
    /// milliseconds since 1970.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = instant,
        conflicts_with = "younger_than",
        help_heading = "Selection"
    )]
    since: Option<i64>,

    /// Only those that became letters before this time.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = instant,
        conflicts_with = "older_than",
        help_heading = "Selection"
    )]
    until: Option<i64>,

    /// Only those that have been letters for less than this. 1s to 36500days.
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration(SECOND, 36_500 * DAY),
        help_heading = "Selection"
    )]
    younger_than: Option<Duration>,

    /// Only those that have been letters for longer than this. 1s to 36500days.
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration(SECOND, 36_500 * DAY),
        help_heading = "Selection"
    )]
    older_than: Option<Duration>,

    /// Move them. Without this flag they are only counted.
    #[arg(
        long,
        value_parser = BoolishValueParser::new(),
        help_heading = "Move"
    )]
    yes: bool,

    /// At most so many a second, all topics together. 1 to 1,000,000; no limit if not given.
    #[arg(
        long,
        value_name = "RECORDS",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        help_heading = "Move"
    )]
    rate: Option<u32>,

    /// Move at most so many. At least 1.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Move"
    )]
    max_records: Option<u64>,

    /// How many are on their way or not committed at once, and so how many may be moved twice after a
    /// crash; of each key one. 1 to 10,000.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        help_heading = "Move"
    )]
    concurrency: u32,

    /// For how long the delivery of a record is tried before it all stops. 1s to 1day.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "2m",
        value_parser = duration(SECOND, DAY),
        help_heading = "Move"
    )]
    delivery_timeout: Duration,

    /// How long SIGTERM or Ctrl-C may take until what is on its way is delivered and committed.
    /// 100ms to 1h. A second signal ends at once.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "25s",
        value_parser = duration(100 * MS, 3_600 * SECOND),
        help_heading = "Move"
    )]
    shutdown_timeout: Duration,
}

// Keys are nobody's business.
impl std::fmt::Debug for RedriveArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedriveArgs").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl RedriveArgs {
    /// What it would do, for `tidegate check`.
    ///
    /// # Errors
    /// As one that cannot start for what its flags and files say.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let connection = self.connection()?;
        let redrive = Redrive {
            topic: self.topic().to_owned(),
            group: self.group(&self.selection()?),
            to: self.to_topic.clone(),
            originals: self.original_topic.clone(),
            moves: self.yes,
            rate: self.rate,
            concurrency: self.concurrency,
            shutdown_timeout: self.shutdown_timeout,
        };
        Ok(Plan { command: "redrive", connection, admin: None, kind: Kind::Redrive(redrive) })
    }

    /// The dead-letter topic.
    pub(super) fn topic(&self) -> &str {
        &self.topic.topic
    }

    pub(super) fn connection(&self) -> Result<Connection, Failure> {
        self.connection.resolve()
    }

    pub(super) fn to_topic(&self) -> Option<&str> {
        self.to_topic.as_deref()
    }

    pub(super) fn yes(&self) -> bool {
        self.yes
    }

    pub(super) fn rate(&self) -> Option<u32> {
        self.rate
    }

    pub(super) fn max_records(&self) -> Option<u64> {
        self.max_records
    }

    pub(super) fn concurrency(&self) -> u32 {
        self.concurrency
    }

    pub(super) fn original_partition(&self) -> bool {
        self.original_partition
    }

    pub(super) fn original_timestamp(&self) -> bool {
        self.original_timestamp
    }

    pub(super) fn delivery_timeout(&self) -> Duration {
        self.delivery_timeout
    }

    pub(super) fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
    }

    /// The group that was named, or that of the selection. A property file is not asked: its group
    /// is that of a service.
    pub(super) fn group(&self, selection: &Selection) -> String {
        self.group.clone().unwrap_or_else(|| passes::group_of(self.topic(), selection))
    }

    /// Which letters, and where to. Ages become times, counted from now.
    ///
    /// # Errors
    /// When nothing can be selected, or letters would come back to where they are.
    pub(super) fn selection(&self) -> Result<Selection, Failure> {
        if self.to_topic.as_deref() == Some(self.topic()) {
            return Err(Failure::Usage(format!(
                "--to-topic {} is the dead-letter topic itself",
                self.topic()
            )));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let before =
            |age: Duration| i64::try_from(now.saturating_sub(age).as_millis()).unwrap_or(i64::MAX);
        let since = self.since.or(self.younger_than.map(before));
        let until = self.until.or(self.older_than.map(before));
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(Failure::Usage("nothing is both that old and that young".to_owned()));
        }
        Ok(Selection::new(Wanted {
            to: self.to_topic.clone(),
            topics: self.original_topic.clone(),
            reason: self.reason.clone(),
            keys: self.key.iter().map(|key| key.clone().into_bytes()).collect(),
            since,
            until,
        }))
    }
}
