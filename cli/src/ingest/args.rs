//! The flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use hyper::StatusCode;
use tidegate::ProducerBuilder;
use tidegate::gate::WhenShut;
use tokio_rustls::TlsAcceptor;

use super::served::{Served, served};
use super::{forms, tls};
use crate::admin::AdminArgs;
use crate::exit::Failure;
use crate::server::Times;
use crate::settings::{Connection, ConnectionArgs, GateArgs, duration, size};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// The status of an answer while the gate is shut.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ShutStatus {
    /// Too Many Requests.
    #[value(name = "429")]
    TooManyRequests,
    /// Service Unavailable.
    #[value(name = "503")]
    Unavailable,
}

/// Flags of `tidegate ingest`.
#[derive(Debug, clap::Args)]
pub(crate) struct IngestArgs {
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,

    /// A topic to serve, with the groups that it follows; no other topic is. The slowest group
    /// counts. Without a group its gate is open. May be repeated; in the environment, separated by
    /// spaces.
    #[arg(
        short,
        long = "topic",
        value_name = "TOPIC[=GROUP,...]",
        required = true,
        value_delimiter = ' ',
        value_parser = served,
        help_heading = "Kafka"
    )]
    pub(super) topics: Vec<Served>,

    /// Where to listen. An address that others can reach needs a token, or --insecure. Port 0 takes
    /// one that is free.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080", help_heading = "HTTP")]
    pub(super) listen: SocketAddr,

    /// A file with the token that requests must have (Authorization: Bearer TOKEN). Without this flag
    /// the variable TIDEGATE_TOKEN may hold the token itself.
    #[arg(long, value_name = "FILE", help_heading = "HTTP")]
    pub(super) token_file: Option<PathBuf>,

    /// Listen where others can reach it without asking for a token.
    #[arg(
        long,
        value_parser = BoolishValueParser::new(),
        help_heading = "HTTP"
    )]
    pub(super) insecure: bool,

    /// The certificate and those that vouch for it, in PEM: HTTPS instead of HTTP.
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "HTTP")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "HTTP")]
    tls_key: Option<PathBuf>,

    /// The largest body of a request. 1B to 512MiB.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "1MiB",
        value_parser = size(1, 512 << 20),
        help_heading = "HTTP"
    )]
    max_body: ByteSize,

    /// How much the bodies of all requests together may take; beyond it the answer is 503. 8MiB to
    /// 4095MiB, and at least four times --max-body.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = size(8 << 20, 4_095 << 20),
        help_heading = "HTTP"
    )]
    max_bytes: ByteSize,

    /// How many connections are served; one more is answered 503 and closed. 1 to 1,000,000. Without
    /// it 16,384, or what the limit of open files allows.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        help_heading = "HTTP"
    )]
    pub(super) max_connections: Option<u32>,

    /// How long a request's head may take from its first byte on, and a TLS handshake. 10ms to 1h.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration(10 * MS, HOUR),
        help_heading = "HTTP"
    )]
    header_timeout: Duration,

    /// How long a request's body may take, and for how long a client may not read its answer. 10ms to
    /// 1h.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration(10 * MS, HOUR),
        help_heading = "HTTP"
    )]
    pub(super) body_timeout: Duration,

    /// How long a connection may wait for its first or next request. 10ms to 1h.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "1m",
        value_parser = duration(10 * MS, HOUR),
        help_heading = "HTTP"
    )]
    idle_timeout: Duration,

    #[command(flatten)]
    pub(super) admin: AdminArgs,

    #[command(flatten)]
    pub(super) gate: GateArgs,

    /// For how long a request waits at a shut gate before it is refused: at most so long before its
    /// body is read, and again before it is sent. 0 to 1h.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "0",
        value_parser = duration(Duration::ZERO, HOUR),
        help_heading = "Gate"
    )]
    max_wait: Duration,

    /// The status of an answer while the gate is shut.
    #[arg(long, value_name = "STATUS", default_value = "429", help_heading = "Gate")]
    shut_status: ShutStatus,

    /// For how long the delivery of a record is tried. 1s to 1day.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration(SECOND, 24 * HOUR),
        help_heading = "End"
    )]
    pub(super) delivery_timeout: Duration,

    /// How long SIGTERM or Ctrl-C may take until every request that was begun is answered. 100ms to
    /// 1h. A second signal ends at once.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "25s",
        value_parser = duration(100 * MS, HOUR),
        help_heading = "End"
    )]
    pub(super) shutdown_timeout: Duration,
}

impl IngestArgs {
    /// What a shut gate does with a send.
    pub(super) fn when_shut(&self) -> WhenShut {
        match self.max_wait.is_zero() {
            true => WhenShut::Refuse,
            // The gate takes nothing shorter.
            false => WhenShut::Wait { max: self.max_wait.max(10 * MS) },
        }
    }

    /// For how long a request waits at a shut gate.
    pub(super) fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// The producer of these topics, each with its gate.
    pub(super) fn producer(&self, connection: &Connection, topics: &[Served]) -> ProducerBuilder {
        let builder = connection
            .producer()
            .probe_interval(self.gate.probe_interval)
            .delivery_timeout(self.delivery_timeout);
        let gate = |topic: &Served| self.gate.gate(&topic.name, &topic.groups, self.when_shut());
        topics.iter().fold(builder, |builder, topic| builder.topic(gate(topic)))
    }

    /// The status of an answer while the gate is shut.
    pub(super) fn shut_status(&self) -> StatusCode {
        match self.shut_status {
            ShutStatus::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            ShutStatus::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// When a connection is cut off.
    pub(super) fn times(&self) -> Times {
        Times { idle: self.idle_timeout, head: self.header_timeout, write: self.body_timeout }
    }

    /// The largest body, in bytes.
    pub(super) fn max_body(&self) -> usize {
        usize::try_from(self.max_body.0).unwrap_or(usize::MAX)
    }

    /// What all bodies may take, in bytes.
    pub(super) fn max_bytes(&self) -> u32 {
        u32::try_from(self.max_bytes.0).unwrap_or(u32::MAX)
    }

    /// The largest request must fit into an empty budget, or it would never be taken.
    pub(super) fn check_sizes(&self) -> Result<(), Failure> {
        let largest = 2 * self.max_body.0 + forms::LARGEST_SHELL;
        let needed = largest.max(4 * self.max_body.0);
        if self.max_bytes.0 < needed {
            let needed = ByteSize(needed);
            return Err(Failure::Usage(format!(
                "with this --max-body, --max-bytes must be at least {needed}"
            )));
        }
        Ok(())
    }

    /// What makes HTTPS of HTTP, if it is asked for.
    pub(super) fn tls(&self) -> Result<Option<TlsAcceptor>, Failure> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => tls::acceptor(cert, key).map(Some),
            _ => Ok(None),
        }
    }
}
