//! What a command would do, as plain values: its settings, with defaults and property files read.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate::StartFrom;

use crate::settings::{Connection, Gap, Order};

/// One command of a file.
pub(crate) struct Plan {
    /// Its name.
    pub(crate) command: &'static str,
    pub(crate) connection: Connection,
    /// Where it can be asked how it is.
    pub(crate) admin: Option<Port>,
    pub(crate) kind: Kind,
}

/// What it does.
pub(crate) enum Kind {
    Run(Box<Run>),
    Ingest(Ingest),
    Produce(Produce),
    Redrive(Redrive),
    Lag(Lag),
}

/// A port that is listened on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    pub(crate) has_token: bool,
    pub(crate) has_tls: bool,
}

/// `tidegate run`.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Names, and patterns that begin with `^`.
    pub(crate) topics: Vec<String>,
    pub(crate) group: String,
    /// It is a static member.
    pub(crate) is_static: bool,
    pub(crate) member: Member,
    pub(crate) to: To,
    pub(crate) order: Order,
    pub(crate) concurrency: u32,
    pub(crate) max_queued: u32,
    pub(crate) max_bytes: u64,
    pub(crate) max_window: u64,
    pub(crate) metadata_max_bytes: u32,
    pub(crate) commit_interval: Duration,
    pub(crate) attempts: u32,
    pub(crate) backoff: Duration,
    pub(crate) backoff_max: Duration,
    /// Of one attempt.
    pub(crate) timeout: Option<Duration>,
    /// Somebody set it.
    pub(crate) timeout_is_given: bool,
    pub(crate) then: Then,
    pub(crate) from: StartFrom,
    pub(crate) on_gap: Gap,
    /// It ends by itself.
    pub(crate) until_end: bool,
    pub(crate) max_records: Option<u64>,
    pub(crate) drain_timeout: Duration,
    pub(crate) shutdown_timeout: Duration,
}

/// Properties of the client that decide on its membership.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Not known where the broker decides.
    pub(crate) session_timeout: Option<Duration>,
    pub(crate) max_poll_interval: Duration,
    /// How it would share partitions.
    pub(crate) assignor: String,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Stdout,
    Nowhere,
    /// A program, without its arguments, which may be secret.
    Command(String),
    /// Scheme, host and path.
    Http(String),
}

/// What becomes of a record whose last attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Stop,
    Skip,
    DeadLetter(String),
}

/// A topic that is produced to, and how its gate is.
#[derive(Clone, Debug)]
pub(crate) struct Gated {
    pub(crate) topic: String,
    pub(crate) groups: Vec<String>,
    pub(crate) target: Duration,
    pub(crate) fixed_window: Option<u64>,
    pub(crate) rate: Option<u32>,
    pub(crate) floor_rate: u32,
    pub(crate) grace: Duration,
}

/// `tidegate ingest`.
#[derive(Clone, Debug)]
pub(crate) struct Ingest {
    pub(crate) topics: Vec<Gated>,
    pub(crate) listen: Port,
    pub(crate) max_body: u64,
    pub(crate) max_bytes: u64,
    pub(crate) max_wait: Duration,
    pub(crate) shut_status: u16,
    pub(crate) delivery_timeout: Duration,
    pub(crate) shutdown_timeout: Duration,
}

/// `tidegate produce`.
#[derive(Clone, Debug)]
pub(crate) struct Produce {
    pub(crate) topic: Gated,
    pub(crate) delivery_timeout: Duration,
    pub(crate) shutdown_timeout: Duration,
}

/// `tidegate redrive`.
#[derive(Clone, Debug)]
pub(crate) struct Redrive {
    pub(crate) topic: String,
    pub(crate) group: String,
    /// Where letters go, if not to where each came from.
    pub(crate) to: Option<String>,
    /// Only those from these topics.
    pub(crate) originals: Vec<String>,
    pub(crate) moves: bool,
    pub(crate) rate: Option<u32>,
    pub(crate) concurrency: u32,
    pub(crate) shutdown_timeout: Duration,
}

/// `tidegate lag`.
#[derive(Clone, Debug)]
pub(crate) struct Lag {
    pub(crate) group: String,
    /// None: those in which the group has committed something.
    pub(crate) topics: Vec<String>,
    /// Records are read for their age.
    pub(crate) reads: bool,
}

impl Plan {
    /// How long SIGTERM takes at the most; `None` of a command that has nothing to finish.
    pub(crate) fn shutdown_timeout(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Run(run) => Some(run.shutdown_timeout),
            Kind::Ingest(ingest) => Some(ingest.shutdown_timeout),
            Kind::Produce(produce) => Some(produce.shutdown_timeout),
            Kind::Redrive(redrive) => redrive.moves.then_some(redrive.shutdown_timeout),
            Kind::Lag(_) => None,
        }
    }

    /// The gates of what it produces to.
    pub(crate) fn gated(&self) -> &[Gated] {
        match &self.kind {
            Kind::Ingest(ingest) => &ingest.topics,
            Kind::Produce(produce) => std::slice::from_ref(&produce.topic),
            _ => &[],
        }
    }
}

impl Run {
    /// Those of its topics that are names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(String::as_str).filter(|topic| !topic.starts_with('^'))
    }

    /// The sum of the waits between its attempts at one record, at the most.
    pub(crate) fn waits(&self) -> Duration {
        let (mut sum, mut wait) = (Duration::ZERO, self.backoff);
        let mut left = self.attempts.saturating_sub(1);
        while left > 0 && wait < self.backoff_max {
            sum = sum.saturating_add(wait);
            wait = wait.saturating_mul(2);
            left -= 1;
        }
        sum.saturating_add(self.backoff_max.saturating_mul(left))
    }

    /// How long one record is tried in all, at the most; `None` if one attempt may take for ever.
    pub(crate) fn tried_for(&self) -> Option<Duration> {
        let attempts = self.timeout?.saturating_mul(self.attempts);
        Some(self.waits().saturating_add(attempts))
    }

    /// How long handlers may go on after SIGTERM. The rest is for the last commit and for leaving.
    pub(crate) fn handlers_have(&self) -> Duration {
        self.shutdown_timeout * 4 / 5
    }
}

impl Member {
    /// Those of a client with these properties. Defaults are librdkafka's, but for the assignor.
    pub(crate) fn of(connection: &Connection) -> Self {
        let given = |wanted: &str| {
            let mut all = connection.properties.iter().rev();
            all.find(|(name, _)| name == wanted).map(|(_, value)| value.trim())
        };
        let millis = |name, default| {
            let given = given(name).and_then(|value| value.parse().ok());
            Duration::from_millis(given.unwrap_or(default))
        };
        let by_broker = given("group.protocol").is_some_and(|p| p.eq_ignore_ascii_case("consumer"));
        let assignor = given("partition.assignment.strategy").unwrap_or("cooperative-sticky");
        Self {
            session_timeout: (!by_broker).then(|| millis("session.timeout.ms", 45_000)),
            max_poll_interval: millis("max.poll.interval.ms", 300_000),
            assignor: assignor.to_owned(),
        }
    }
}
