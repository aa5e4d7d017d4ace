//! `--to http://...`: a request for each record.
//!
//! An attempt goes through the files in this order: `request` (with its `headers` and the URL of `template`),
//! `pressure` (waiting for one's turn, with the engine's limit), `client` (connections of `connect`,
//! times, `body`), `response` (what the answer means, with `retry_after`). `credentials` are what the
//! target knows this client by, `told` what people are told, `args` the flags. `ask` finds out whether it
//! is there.
//!
//! The target is not trusted: whatever it sends is read within bounds, and nothing that a record has
//! becomes a part of the host, of the head's structure or of the credentials.

mod args;
mod ask;
mod body;
mod client;
mod connect;
mod credentials;
mod headers;
mod pressure;
mod request;
mod response;
mod retry_after;
mod template;
mod told;

use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::AUTHORIZATION;
use tidegate::limit::Answer;
use tidegate::{Handler, Monitor, Outcome, Record};

pub(crate) use self::args::HttpArgs;
pub(super) use self::args::TIMEOUT;
use self::args::{CloudEvents, Version};
use self::client::{Client, NoAnswer, Times};
use self::connect::{Connector, TlsFiles};
use self::credentials::Credentials;
use self::pressure::{Ended, Pressure};
use self::request::Requests;
use self::response::{Action, Contract};
pub(crate) use self::template::Template;
use crate::exit::Failure;
use crate::report::{Sender, TARGET};

/// Posts each record.
pub(super) struct Http(Arc<Shared>);

struct Shared {
    requests: Requests,
    credentials: Option<Credentials>,
    client: Client,
    contract: Contract,
    pressure: Pressure,
    /// Tells keys apart.
    keys: RandomState,
}

impl Http {
    /// A target with these flags. `timeout` is for the whole of a call, `most` how many there may be
    /// at once.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub(super) fn new(
        template: Template,
        args: &HttpArgs,
        timeout: Option<Duration>,
        most: u32,
    ) -> Result<Self, Failure> {
        let credentials =
            Credentials::read(args.token_file.as_deref(), args.basic_file.as_deref())?;
        let protocols: &[&[u8]] = match args.http_version {
            Version::Auto => &[b"h2", b"http/1.1"],
            Version::One => &[b"http/1.1"],
            Version::Two => &[b"h2"],
        };
        let files = TlsFiles {
            authorities: args.ca.as_deref(),
            client: args.client_cert.as_deref().zip(args.client_key.as_deref()),
        };
        let tls = template.is_https().then(|| connect::tls(files, protocols)).transpose()?;
        let connector = Connector::new(tls, args.connect_timeout);
        let times =
            Times { first_byte: args.first_byte_timeout, whole: timeout.unwrap_or(TIMEOUT) };
        let keys = RandomState::new();
        Ok(Self(Arc::new(Shared {
            requests: Requests {
                template,
                cloudevents: args.cloudevents == CloudEvents::Binary,
                content_type: args.content_type.clone(),
                random: RandomState::new(),
            },
            credentials,
            client: Client::new(connector, args.http_version == Version::Two, times),
            contract: Contract::new(&args.on_status),
            pressure: Pressure::new(most, keys.hash_one(0)),
            keys,
        })))
    }

    /// Gives it the reporter, and the consumer whose limit it moves.
    pub(super) fn attach(&self, sender: Sender, monitor: Monitor) {
        self.0.pressure.attach(sender, monitor);
    }

    /// Takes other settings over: how many calls there may be at once, and how long each may take.
    pub(super) fn retune(&self) -> impl Fn(u32, Option<Duration>) + Send + Sync + 'static {
        let shared = Arc::clone(&self.0);
        move |most, timeout| {
            shared.pressure.set_most(most);
            shared.client.set_whole(timeout.unwrap_or(TIMEOUT));
        }
    }

    /// Lets go of records that wait for their call.
    pub(super) fn close(&self) -> impl FnOnce() + Send + 'static {
        let shared = Arc::clone(&self.0);
        move || shared.pressure.close()
    }
}

impl Handler for Http {
    type Future = Pin<Box<dyn Future<Output = Outcome> + Send>>;

    fn handle(&self, record: Record) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.attempt(Arc::new(record)).await })
    }
}

/// What a call came to.
struct Verdict {
    action: Action,
    answer: Answer,
    words: String,
}

impl Shared {
    async fn attempt(&self, record: Arc<Record>) -> Outcome {
        let mut request = match self.requests.of(&record) {
            Ok(request) => request,
            // It is so at every attempt.
            Err(why) => return Outcome::dead_letter(format!("it cannot be sent: {why}")),
        };
        let Some(call) = self.pressure.begin().await else {
            return Outcome::overloaded(None, format!("{TARGET} is asked no more: the run ends"));
        };
        if let Some(credentials) = &self.credentials {
            request.headers_mut().insert(AUTHORIZATION, credentials.value());
        }
        let verdict = match self.client.call(request).await {
            Ok(answer) => self.judge(answer),
            Err(NoAnswer::Unreachable(why)) => Verdict {
                action: Action::Overload,
                answer: Answer::Unreachable,
                words: format!("{TARGET} cannot be reached: {why}"),
            },
            Err(NoAnswer::Broken(why)) => Verdict {
                action: Action::Retry,
                answer: Answer::Failed,
                words: format!("{TARGET} gave no answer: {why}"),
            },
        };
        let fault = verdict.action == Action::Fault;
        if let Some(credentials) = self.credentials.as_ref().filter(|_| fault) {
            credentials.refused();
        }
        let ended = Ended { answer: verdict.answer, fault, words: &verdict.words };
        // Only of failures it matters whose they are.
        let key = if ended.answer == Answer::Done { 0 } else { self.key(&record) };
        let down = call.end(key, &ended);
        verdict.outcome(down)
    }

    fn judge(&self, answer: client::Answer) -> Verdict {
        let client::Answer { status, retry_after, body } = answer;
        let mut action = self.contract.of(status);
        let mut words = String::new();
        if action == Action::Done && status.is_success() {
            action = response::said(body.as_deref().unwrap_or_default());
            if action != Action::Done {
                words = format!("{TARGET} answers {} with a body that says so", Status(status));
            }
        }
        if action != Action::Done && words.is_empty() {
            words = format!("{TARGET} answers {}", Status(status));
        }
        let answer = match action {
            Action::Done | Action::Drop => Answer::Done,
            Action::Overload => Answer::Overloaded { retry_after },
            Action::Retry | Action::Fault => Answer::Failed,
            Action::DeadLetter => Answer::Refused,
        };
        Verdict { action, answer, words }
    }

    /// Tells the record's key from others; one without a key is for itself.
    fn key(&self, record: &Record) -> u64 {
        let place = record.key().is_none().then(|| (record.partition(), record.offset()));
        self.keys.hash_one((record.topic(), record.key(), place))
    }
}

/// A status as it is told.
struct Status(StatusCode);

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.canonical_reason() {
            Some(reason) => write!(f, "{} {reason}", self.0.as_u16()),
            None => write!(f, "{}", self.0.as_u16()),
        }
    }
}

impl Verdict {
    fn outcome(self, down: bool) -> Outcome {
        let Self { action, answer, words } = self;
        match action {
            Action::Done => Outcome::Done,
            Action::Drop => Outcome::Skip,
            Action::DeadLetter => Outcome::dead_letter(words),
            // It is not the record, and when it goes on is decided by probes.
            Action::Retry if down => Outcome::overloaded(Some(Duration::ZERO), words),
            Action::Retry => Outcome::retry(words),
            Action::Fault | Action::Overload => {
                let after = match answer {
                    Answer::Overloaded { retry_after: Some(after) } => Some(after),
                    _ => down.then_some(Duration::ZERO),
                };
                Outcome::overloaded(after, words)
            }
        }
    }
}
