//! One request, from its head to its answer.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use tidegate::{NotSent, Producer, ProducerRecord};

use super::answer::{self, Problem};
use super::body::{self, Body, Budget, Unread};
use super::counts::Counts;
use super::deliver::{self, Fate};
use super::forms::{self, BadBody, Form, MOST_RECORDS, SHELL};
use super::request;
use crate::server::{self, Answer, Stranger, Token};

/// When a budget that is used up is worth another try.
const SOON: Duration = Duration::from_secs(1);

/// What answers requests.
pub(super) struct Service {
    pub(super) producer: Producer,
    pub(super) token: Option<Token>,
    pub(super) budget: Budget,
    pub(super) counts: Arc<Counts>,
    pub(super) max_body: usize,
    pub(super) body_timeout: Duration,
    /// How long a record may wait for room in the client.
    pub(super) send_timeout: Duration,
    /// The status while the gate is shut.
    pub(super) shut_status: StatusCode,
}

impl server::Service for Service {
    async fn call(&self, request: Request<Incoming>) -> Answer {
        let (head, mut body) = request.into_parts();
        let mut answer = match self.take(&head, &mut body).await {
            Ok(answer) => answer,
            Err(problem) => {
                if problem.is_shut() {
                    self.counts.count_refused();
                }
                problem.answer()
            }
        };
        self.counts.count_answer(answer.status());
        // Who was too slow once is not waited for a second time.
        let slow = answer.status() == StatusCode::REQUEST_TIMEOUT;
        let waits = head.headers.contains_key(EXPECT);
        if slow || !body::discard(body, waits, self.body_timeout) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    fn connected(&self) {
        self.counts.connected();
    }

    fn disconnected(&self) {
        self.counts.disconnected();
    }
}

impl Service {
    async fn take(&self, head: &Parts, body: &mut Incoming) -> Result<Answer, Problem> {
        let path = head.uri.path();
        if path == "/healthz" {
            return Ok(match head.method {
                Method::GET | Method::HEAD => answer::healthy(),
                _ => answer::wrong_method("GET, HEAD"),
            });
        }
        self.may_send(head)?;
        let served = |name: &&str| self.producer.has_topic(name);
        let Some(topic) = path.strip_prefix("/topics/").filter(served) else {
            return Err(Problem::new(StatusCode::NOT_FOUND, "this is not served"));
        };
        if head.method != Method::POST {
            return Ok(answer::wrong_method("POST"));
        }
        let asked = request::read(head, topic)?;
        if body.size_hint().lower() > self.max_body as u64 {
            return Err(self.unread(Unread::TooLarge));
        }
        self.producer.ready(&asked.record).await.map_err(|cause| self.not_sent(&cause))?;
        let read = body::read(body, &self.budget, self.max_body, self.body_timeout).await;
        let read = read.map_err(|why| self.unread(why))?;
        match asked.form {
            Form::Value => self.one(asked, read).await,
            form => self.many(form, topic, read).await,
        }
    }

    /// Whether whoever it is may send at all.
    fn may_send(&self, head: &Parts) -> Result<(), Problem> {
        server::admit(self.token.as_ref(), &head.headers).map_err(|stranger| {
            let status = match stranger {
                Stranger::NoToken => StatusCode::UNAUTHORIZED,
                Stranger::Page => StatusCode::FORBIDDEN,
            };
            Problem::new(status, stranger.words())
        })
    }

    async fn one(&self, asked: request::Asked, body: Body) -> Result<Answer, Problem> {
        let Body { bytes, share } = body;
        let record = match asked.tombstone {
            true if !bytes.is_empty() => {
                return Err(Problem::new(StatusCode::BAD_REQUEST, "a tombstone has no body"));
            }
            true => asked.record,
            false => asked.record.with_value(bytes),
        };
        let fates = deliver::all(&self.producer, vec![record], self.send_timeout, share).await;
        self.count(&fates);
        let fate = fates.first().unwrap_or(&Fate::Behind);
        match fate {
            Fate::NotSent(cause) => Err(self.not_sent(cause)),
            fate => Ok(answer::one(fate, self.shut_status)),
        }
    }

    async fn many(&self, form: Form, topic: &str, body: Body) -> Result<Answer, Problem> {
        let Body { bytes, mut share } = body;
        // The records are copies.
        if !self.budget.grow(&mut share, bytes.len()) {
            return Err(self.unread(Unread::NoRoom));
        }
        let records = forms::records(form, topic, &bytes).map_err(|bad| match bad {
            BadBody::Malformed(words) => {
                Problem::new(StatusCode::BAD_REQUEST, format!("{words}; nothing was sent"))
            }
            BadBody::TooMany => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("there are more than {MOST_RECORDS} records; nothing was sent"),
            ),
        })?;
        drop(bytes);
        for (index, record) in records.iter().enumerate() {
            self.check_partition(record).map_err(|words| {
                let words = format!("record {}: {words}; nothing was sent", index + 1);
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, words)
            })?;
        }
        if !self.budget.grow(&mut share, records.len() * SHELL) {
            return Err(self.unread(Unread::NoRoom));
        }
        // What belongs to a record is there until all of them are answered.
        let fates = deliver::all(&self.producer, records, self.send_timeout, ()).await;
        self.count(&fates);
        if fates.iter().any(|fate| matches!(fate, Fate::NotSent(NotSent::Shut { .. }))) {
            self.counts.count_refused();
        }
        let answer = answer::many(&fates, form, self.shut_status);
        drop(share);
        Ok(answer)
    }

    fn count(&self, fates: &[Fate]) {
        let delivered = fates.iter().filter(|fate| matches!(fate, Fate::Delivered(_))).count();
        self.counts.count_delivered(delivered as u64);
    }

    /// A partition that the topic does not have will not be there later either. While the topic's
    /// partitions are not known, the gate is shut.
    fn check_partition(&self, record: &ProducerRecord) -> Result<(), String> {
        let (topic, partition) = (record.topic(), record.partition().unwrap_or(0));
        let partitions = self.producer.partitions(topic);
        match partition < partitions || partitions == 0 {
            true => Ok(()),
            false => Err(format!("topic {topic} has no partition {partition}")),
        }
    }

    fn not_sent(&self, cause: &NotSent) -> Problem {
        Problem::not_sent(cause, self.shut_status)
    }

    fn unread(&self, why: Unread) -> Problem {
        match why {
            Unread::TooLarge => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a body may have {} bytes", self.max_body),
            ),
            Unread::NoRoom => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the bodies of other requests take all the room there is",
            )
            .retry_after(SOON),
            Unread::TooSlow => Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
            Unread::Broken => Problem::new(StatusCode::BAD_REQUEST, "the body broke off"),
        }
    }
}
