//! Answers.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use tidegate::gate::Reason;
use tidegate::{DeliveryError, NotSent};

use super::deliver::Fate;
use super::forms::Form;
use crate::server::Answer;

/// Says why the gate is shut.
const GATE: HeaderName = HeaderName::from_static("x-tidegate-gate");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROXY: HeaderValue = HeaderValue::from_static("application/vnd.kafka.v2+json");
const SECOND: Duration = Duration::from_secs(1);

/// The proxy's codes of a record that was not delivered.
const NEVER: u32 = 1;
const LATER: u32 = 2;

/// Why something was not taken.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) words: String,
    retry_after: Option<Duration>,
    gate: Option<Shut>,
}

/// A shut gate.
#[derive(Clone, Debug)]
struct Shut {
    reason: &'static str,
    group: Option<String>,
    partition: Option<u32>,
}

impl Problem {
    /// With this status, in these words.
    pub(super) fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into(), retry_after: None, gate: None }
    }

    /// It may be tried again after so long.
    pub(super) fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// Whether it is a gate that is shut.
    pub(super) fn is_shut(&self) -> bool {
        self.gate.is_some()
    }

    /// What a record comes to that was not sent. `shut` is the status of a shut gate.
    pub(super) fn not_sent(cause: &NotSent, shut: StatusCode) -> Self {
        let words = cause.to_string();
        match cause {
            NotSent::Shut { partition, group, reason, retry_after, .. } => {
                let gate =
                    Shut { reason: name(*reason), group: group.clone(), partition: *partition };
                let problem = Self::new(shut, words).retry_after(*retry_after);
                Self { gate: Some(gate), ..problem }
            }
            NotSent::Full => Self::new(StatusCode::SERVICE_UNAVAILABLE, words).retry_after(SECOND),
            NotSent::Closed => {
                let words = "it is shutting down";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, words).retry_after(SECOND)
            }
            _ => Self::new(StatusCode::UNPROCESSABLE_ENTITY, words),
        }
    }

    fn undelivered(error: &DeliveryError) -> Self {
        let words = error.to_string();
        match error {
            DeliveryError::Rejected { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, words),
            DeliveryError::Uncertain { .. } => Self::new(StatusCode::GATEWAY_TIMEOUT, words),
            _ => Self::new(StatusCode::SERVICE_UNAVAILABLE, words).retry_after(SECOND),
        }
    }

    /// Why a record was not delivered; `None` if it was.
    pub(super) fn of(fate: &Fate, shut: StatusCode) -> Option<Self> {
        match fate {
            Fate::Delivered(_) => None,
            Fate::Failed(error) => Some(Self::undelivered(error)),
            Fate::NotSent(cause) => Some(Self::not_sent(cause, shut)),
            Fate::Behind => {
                let words = "not sent, because a record before it was not";
                Some(Self::new(StatusCode::SERVICE_UNAVAILABLE, words).retry_after(SECOND))
            }
        }
    }

    /// The code by which the proxy's clients know whether to try again.
    fn code(&self) -> u32 {
        let again = self.retry_after.is_some() || self.status == StatusCode::GATEWAY_TIMEOUT;
        if again { LATER } else { NEVER }
    }

    fn fields(&self) -> Value {
        let mut body = json!({ "error_code": self.status.as_u16(), "message": self.words });
        if let Some(after) = self.retry_after {
            body["retry_after_ms"] = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).into();
        }
        if let Some(Shut { reason, group, partition }) = &self.gate {
            body["reason"] = (*reason).into();
            body["group"] = group.clone().into();
            body["partition"] = (*partition).into();
        }
        body
    }

    fn headers(&self, answer: &mut Answer) {
        let headers = answer.headers_mut();
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, whole_seconds(after).into());
        }
        if let Some(value) = self.gate.as_ref().and_then(Shut::header) {
            headers.insert(GATE, value);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }

    /// As an answer.
    pub(super) fn answer(&self) -> Answer {
        let mut answer = with_json(self.status, &self.fields());
        self.headers(&mut answer);
        answer
    }
}

impl Shut {
    /// As a header. A group whose name cannot be in one is in the body only.
    fn header(&self) -> Option<HeaderValue> {
        let mut text = format!("shut; reason={}", self.reason);
        let plain = |name: &&String| name.bytes().all(|b| b.is_ascii_graphic() && b != b';');
        if let Some(group) = self.group.as_ref().filter(plain) {
            text += &format!("; group={group}");
        }
        if let Some(partition) = self.partition {
            text += &format!("; partition={partition}");
        }
        HeaderValue::try_from(text).ok()
    }
}

/// Retry-After has whole seconds, and a client must not come too early.
fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::NoPartition => "no-partition",
        Reason::Window => "window",
        Reason::PartitionCap => "partition-cap",
        Reason::PartitionStuck => "partition-stuck",
        Reason::NoCommit => "no-commit",
        Reason::NoProgress => "no-progress",
        Reason::ProbeFailed(_) => "probe-failed",
        Reason::ProbeOverdue => "probe-overdue",
        Reason::Rate => "rate",
        Reason::Breaker => "breaker",
        _ => "other",
    }
}

fn with_json(status: StatusCode, body: &impl Serialize) -> Answer {
    // Plain data always has a form in JSON.
    let mut text = serde_json::to_vec(body).unwrap_or_default();
    text.push(b'\n');
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

/// It is alive.
pub(super) fn healthy() -> Answer {
    with_json(StatusCode::OK, &json!({ "status": "up" }))
}

/// A method that a path does not have.
pub(super) fn wrong_method(allowed: &'static str) -> Answer {
    let words = format!("only {allowed} is taken here");
    let mut answer = Problem::new(StatusCode::METHOD_NOT_ALLOWED, words).answer();
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Where a record is.
#[derive(Serialize)]
struct Place {
    partition: u32,
    offset: i64,
}

/// What became of one of many.
#[derive(Default, Serialize)]
struct Entry {
    partition: Option<u32>,
    offset: Option<i64>,
    error_code: Option<u32>,
    error: Option<String>,
}

/// The answer to one record.
pub(super) fn one(fate: &Fate, shut: StatusCode) -> Answer {
    match (fate, Problem::of(fate, shut)) {
        (_, Some(problem)) => problem.answer(),
        (Fate::Delivered(at), None) => {
            with_json(StatusCode::ACCEPTED, &Place { partition: at.partition, offset: at.offset.0 })
        }
        // Only what was delivered has no problem.
        (_, None) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no answer").answer(),
    }
}

/// The answer to many records. If none was delivered it has the status of the first one, and if only
/// some were, 207. The proxy's clients look for 200 and at each record's code.
pub(super) fn many(fates: &[Fate], form: Form, shut: StatusCode) -> Answer {
    let problems: Vec<_> = fates.iter().map(|fate| Problem::of(fate, shut)).collect();
    let entry = |(fate, problem): (&Fate, &Option<Problem>)| match (fate, problem) {
        (Fate::Delivered(at), _) => {
            Entry { partition: Some(at.partition), offset: Some(at.offset.0), ..Entry::default() }
        }
        (_, problem) => Entry {
            error_code: problem.as_ref().map(Problem::code),
            error: problem.as_ref().map(|problem| problem.words.clone()),
            ..Entry::default()
        },
    };
    let entries: Vec<_> = fates.iter().zip(&problems).map(entry).collect();
    let first = problems.iter().flatten().next();
    let none = problems.iter().all(Option::is_some);
    let (status, mut body) = match first {
        Some(first) if none => (first.status, first.fields()),
        _ if form.is_proxy() => (StatusCode::OK, json!({})),
        Some(_) => (StatusCode::MULTI_STATUS, json!({})),
        None => (StatusCode::ACCEPTED, json!({})),
    };
    body["offsets"] = json!(entries);
    let mut answer = with_json(status, &body);
    if let Some(first) = first {
        first.headers(&mut answer);
    }
    if form.is_proxy() {
        answer.headers_mut().insert(CONTENT_TYPE, PROXY);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shut(retry_after: Duration) -> NotSent {
        NotSent::Shut {
            topic: "t".to_owned(),
            partition: Some(3),
            group: Some("g".to_owned()),
            reason: Reason::Window,
            retry_after,
        }
    }

    #[test]
    fn a_wait_is_rounded_up_and_at_least_a_second() {
        let ms = Duration::from_millis;
        assert_eq!([1, 1_000, 1_001, 60_000].map(|n| whole_seconds(ms(n))), [1, 1, 2, 60]);
    }

    #[test]
    fn a_shut_gate_says_why_and_until_when() {
        let cause = shut(Duration::from_millis(1_500));
        let answer = Problem::not_sent(&cause, StatusCode::TOO_MANY_REQUESTS).answer();
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "2");
        let gate = &answer.headers()["x-tidegate-gate"];
        assert_eq!(gate, "shut; reason=window; group=g; partition=3");
    }

    #[test]
    fn many_have_the_status_of_what_became_of_them() {
        let delivered =
            || Fate::Delivered(tidegate::Delivered { partition: 0, offset: tidegate::Offset(1) });
        let refused = || Fate::NotSent(shut(SECOND));
        let status = |fates: &[Fate], form| {
            many(fates, form, StatusCode::TOO_MANY_REQUESTS).status().as_u16()
        };
        assert_eq!(status(&[delivered(), delivered()], Form::Lines), 202);
        assert_eq!(status(&[delivered(), refused()], Form::Lines), 207);
        assert_eq!(status(&[refused(), Fate::Behind], Form::Lines), 429);
        assert_eq!(status(&[delivered(), delivered()], Form::Json), 200);
        assert_eq!(status(&[delivered(), refused()], Form::Json), 200);
        assert_eq!(status(&[refused(), Fate::Behind], Form::Binary), 429);
    }
}
