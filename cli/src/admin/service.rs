//! The paths.

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::{Source, Text};
use crate::server::{self, Answer, Stranger, Token};

const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers requests.
pub(super) struct Service {
    pub(super) source: Arc<dyn Source>,
    pub(super) token: Option<Token>,
}

impl server::Service for Service {
    async fn call(&self, request: Request<Incoming>) -> Answer {
        let mut answer = self.answer(&request);
        if !request.body().is_end_stream() {
            // Nobody reads it.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl Service {
    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let admitted = server::admit(self.token.as_ref(), request.headers());
        let path = request.uri().path();
        let probe = matches!(path, "/healthz" | "/readyz");
        // Probes have no tokens: they learn whether it is well, and not where not.
        if let (Err(stranger), false) = (admitted, probe) {
            return refused(stranger);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are taken");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match path {
            "/metrics" => {
                let mut text = Text::default();
                self.source.metrics(&mut text);
                answer(StatusCode::OK, PROMETHEUS, text.into_string())
            }
            "/snapshot" => with_json(StatusCode::OK, &self.source.snapshot()),
            "/healthz" => verdict(self.source.health(), admitted.is_ok()),
            "/readyz" => verdict(self.source.ready(), admitted.is_ok()),
            _ => {
                problem(StatusCode::NOT_FOUND, "served are /metrics, /snapshot, /healthz, /readyz")
            }
        }
    }
}

fn answer(status: StatusCode, media_type: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

fn with_json(status: StatusCode, body: &Value) -> Answer {
    answer(status, JSON, format!("{body}\n"))
}

fn problem(status: StatusCode, words: &str) -> Answer {
    with_json(status, &json!({ "error_code": status.as_u16(), "message": words }))
}

fn refused(stranger: Stranger) -> Answer {
    match stranger {
        Stranger::NoToken => {
            let mut answer = problem(StatusCode::UNAUTHORIZED, stranger.words());
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
        Stranger::Page => problem(StatusCode::FORBIDDEN, stranger.words()),
    }
}

fn verdict(result: Result<(), String>, in_words: bool) -> Answer {
    match result {
        Ok(()) => with_json(StatusCode::OK, &json!({ "status": "ok" })),
        Err(words) => {
            let words = in_words.then_some(words);
            let body = json!({ "status": "failed", "message": words });
            with_json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}
