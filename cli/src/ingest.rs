//! `tidegate ingest`: records over HTTP to topics, each through its gate.
//!
//! A request goes through the files in this order: [`server`](crate::server) accepts it and cuts it off
//! when it is slow, `service` takes it from its head to its answer, `request` is what the head asks for,
//! `body` reads what comes behind it within a budget, `forms` makes records of that, `deliver` sends
//! them, `answer` says what became of them. `args` are the flags, `served` the topics, `tls` makes it
//! HTTPS, `counts` is what is counted, `watched` shows it on the admin port, `plan` says what would be done.
//!
//! What is refused is refused as early as it can be: by a connection too many, by the token, by the
//! topic, by the gate; all of that before a byte of the body is read.

mod answer;
mod args;
mod body;
mod counts;
mod deliver;
mod forms;
mod plan;
mod request;
mod served;
mod service;
mod tls;
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate::{Level, Undelivered};

pub(crate) use self::args::IngestArgs;
use self::body::Budget;
use self::counts::{Counts, Progress};
use self::service::Service;
use self::watched::Watched;
use crate::cli::Command;
use crate::config::Reload;
use crate::exit::Failure;
use crate::produce::message;
use crate::report::{Message, Reporter, Sender};
use crate::run::signals::{self, Hangups};
use crate::server::{self, Flags, Server};
use crate::settings::{OutputArgs, change_gates};

/// Holds the token itself, for those who have no file.
const TOKEN: &str = "TIDEGATE_TOKEN";
const FLAGS: Flags =
    Flags { listen: "--listen", token_file: "--token-file", insecure: "--insecure" };
/// What is left of the patience for the producer when requests took all of it.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

/// Runs the command.
///
/// # Errors
/// When it cannot start, or something that it took was not delivered.
pub(crate) fn run(args: &IngestArgs, output: &OutputArgs, reload: Reload) -> Result<(), Failure> {
    let hangups = Hangups::listen(&reload)?;
    let topics = served::merge(&args.topics)?;
    let connection = args.connection.resolve()?;
    let token = server::read_token(args.token_file.as_deref(), TOKEN)?;
    server::check(&FLAGS, args.listen, token.is_some(), args.insecure)?;
    let admin = args.admin.resolve()?;
    let tls = args.tls()?;
    args.check_sizes()?;
    let most = server::make_room(args.max_connections)?;

    let reporter = Reporter::start(output);
    let tell = reporter.sender();
    let builder = args.producer(&connection, &topics);
    let producer = builder.on_event(move |event| tell.message(message(event))).build()?;
    let counts = Arc::new(Counts::default());
    let service = Arc::new(Service {
        producer: producer.clone(),
        token,
        budget: Budget::new(args.max_bytes()),
        counts: Arc::clone(&counts),
        max_body: args.max_body(),
        body_timeout: args.body_timeout,
        send_timeout: args.delivery_timeout,
        shut_status: args.shut_status(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
    let sender = reporter.sender();
    let ending = Arc::new(AtomicBool::new(false));
    if let Some(admin) = admin {
        let watched = Watched::new(producer.clone(), Arc::clone(&counts), Arc::clone(&ending));
        admin.start(Arc::new(watched), &sender)?;
    }
    let ended = runtime.block_on(async {
        let (last, left, last_producer) = (sender.clone(), Arc::clone(&counts), producer.clone());
        let signal = signals::first_of(signals::hangup_ends(&reload), move || {
            last.last_words(second_signal(&left, last_producer.on_their_way()));
        })?;
        let changed = producer.clone();
        hangups.reload(reload, sender.clone(), move |command| match command {
            Command::Ingest(args) => change_gates(&changed, &args.gate.change(args.when_shut())),
            _ => Ok(()),
        })?;
        let (listener, address) = server::bind(args.listen)?;
        for topic in topics.iter().filter(|topic| topic.groups.is_empty()) {
            let words = format!("the gate of topic {} is open: it follows no group", topic.name);
            sender.message(
                Message::new(Level::Info, "gate-open", words).with("topic", topic.name.as_str()),
            );
        }
        tell_listening(&sender, address, tls.is_some(), args.insecure, service.token.is_some());
        if output.progress(false) {
            reporter.show(Progress::new(producer.clone(), Arc::clone(&counts)));
        }
        let server =
            Server { listener, tls, most, times: args.times(), service, sender: sender.clone() };
        let connections = server.run(signal).await;
        ending.store(true, Ordering::Relaxed);
        let since = Instant::now();
        let cut_off = connections.drain(args.shutdown_timeout).await;
        let patience = args.shutdown_timeout.saturating_sub(since.elapsed()).max(LEAST_PATIENCE);
        Ok::<_, Failure>((cut_off, producer.close(patience).await))
    });
    runtime.shutdown_background();
    let (cut_off, closed) = ended?;
    sender.message(summary(&counts, cut_off, closed.as_ref().err()));
    drop(reporter);
    closed.map_err(|undelivered| Failure::Failed(undelivered.to_string()))
}

fn tell_listening(
    sender: &Sender,
    address: std::net::SocketAddr,
    tls: bool,
    insecure: bool,
    token: bool,
) {
    let scheme = if tls { "https" } else { "http" };
    let words = format!("listening on {scheme}://{address}");
    sender.message(
        Message::new(Level::Info, "listening", words).with("address", address.to_string()),
    );
    if !address.ip().is_loopback() && !tls {
        let what = if token { "the token and the records" } else { "the records" };
        let words = format!("without TLS {what} can be read by everybody on the way");
        sender.message(Message::new(Level::Warning, "no-tls", words));
    }
    if insecure && !token {
        let words = "everybody who reaches this address may send: no token is asked for";
        sender.message(Message::new(Level::Warning, "no-token", words));
    }
}

/// What is said when a second signal ends it at once.
fn second_signal(counts: &Counts, on_their_way: u64) -> Message {
    let delivered = counts.delivered();
    let words = format!(
        "second signal: ending at once; {delivered} records are delivered, {on_their_way} are not \
         acknowledged"
    );
    Message::new(Level::Error, "second-signal", words)
        .with("delivered", delivered)
        .with("not_acknowledged", on_their_way)
}

fn summary(counts: &Counts, cut_off: usize, undelivered: Option<&Undelivered>) -> Message {
    let not_delivered = undelivered.map_or(0, |left| left.topics.iter().map(|(_, n)| n).sum());
    counts
        .summary(cut_off, not_delivered)
        .with("cut_off", cut_off)
        .with("not_delivered", not_delivered)
}

/// What is shown beside the gates.
#[cfg(test)]
pub(crate) fn metrics() -> Vec<crate::admin::Metric> {
    watched::NUMBERS.iter().map(|(metric, _)| *metric).collect()
}
