//! The contract: what an answer means for its record.

use std::borrow::Cow;

use hyper::StatusCode;
use serde::Deserialize;

/// What is done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is done.
    Done,
    /// It is finished, and the target wanted none of it.
    Drop,
    /// The attempt failed.
    Retry,
    /// The target takes no more at present.
    Overload,
    /// Something is wrong with the target, or with the credentials, and not with the record.
    Fault,
    /// It will never be taken.
    DeadLetter,
}

/// An exception from the contract: a range of statuses, and what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnStatus {
    from: u16,
    to: u16,
    action: Action,
}

/// What each status means.
#[derive(Clone, Debug, Default)]
pub(super) struct Contract(Vec<OnStatus>);

/// Reads `CODE=ACTION`, `CODE-CODE=ACTION` or `4xx=ACTION`.
pub(super) fn on_status(text: &str) -> Result<OnStatus, String> {
    let wrong = || "write it like 404=dead-letter, 500-599=retry or 4xx=retry".to_owned();
    let (codes, action) = text.split_once('=').ok_or_else(wrong)?;
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| (200..=599).contains(code));
    let (from, to) = match codes.split_once('-') {
        Some((from, to)) => (code(from).ok_or_else(wrong)?, code(to).ok_or_else(wrong)?),
        None => match codes.strip_suffix("xx") {
            Some(class) => {
                let from = code(&format!("{class}00")).ok_or_else(wrong)?;
                (from, from + 99)
            }
            None => (code(codes).ok_or_else(wrong)?, code(codes).ok_or_else(wrong)?),
        },
    };
    let action = match action {
        "done" => Action::Done,
        "drop" => Action::Drop,
        "retry" => Action::Retry,
        "overload" => Action::Overload,
        "fault" => Action::Fault,
        "dead-letter" => Action::DeadLetter,
        _ => {
            return Err("an action is done, drop, retry, overload, fault or dead-letter".to_owned());
        }
    };
    if from > to {
        return Err(wrong());
    }
    Ok(OnStatus { from, to, action })
}

impl Contract {
    /// With these exceptions; the last one that fits counts.
    pub(super) fn new(exceptions: &[OnStatus]) -> Self {
        Self(exceptions.to_vec())
    }

    /// What an answer means by its status.
    pub(super) fn of(&self, status: StatusCode) -> Action {
        let code = status.as_u16();
        let exception = self.0.iter().rev().find(|range| (range.from..=range.to).contains(&code));
        if let Some(exception) = exception {
            return exception.action;
        }
        match code {
            200..=299 => Action::Done,
            429 | 503 => Action::Overload,
            401 | 403 | 405 | 407 => Action::Fault,
            404 | 408 | 409 | 425 => Action::Retry,
            400..=499 => Action::DeadLetter,
            // Redirects are not followed: a record goes where it was told to. What is no status of
            // HTTP is a failure as well.
            _ => Action::Retry,
        }
    }
}

/// What the body of an answer under 2xx may say.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
}

/// What an answer means whose status says that it is done: its body may say otherwise. A body that
/// says nothing of this is none.
pub(super) fn said(body: &[u8]) -> Action {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Action::Done;
    }
    match serde_json::from_slice::<Said<'_>>(body).map(|said| said.status).as_deref() {
        Ok("RETRY") => Action::Retry,
        Ok("DROP") => Action::Drop,
        Ok("DEADLETTER") => Action::DeadLetter,
        _ => Action::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).unwrap()
    }

    #[test]
    fn every_status_has_a_meaning() {
        let contract = Contract::default();
        for code in 100..=999 {
            let expected = match code {
                200..=299 => Action::Done,
                429 | 503 => Action::Overload,
                401 | 403 | 405 | 407 => Action::Fault,
                404 | 408 | 409 | 425 => Action::Retry,
                400..=499 => Action::DeadLetter,
                _ => Action::Retry,
            };
            assert_eq!(contract.of(status(code)), expected, "{code}");
        }
    }

    #[test]
    fn exceptions_are_by_status_range_or_class_and_the_last_one_counts() {
        let all = ["4xx=retry", "404=dead-letter", "500-502=overload", "410=drop", "302=done"];
        let all: Vec<_> = all.iter().map(|text| on_status(text).unwrap()).collect();
        let contract = Contract::new(&all);
        for (code, action) in [
            (400, Action::Retry),
            (401, Action::Retry),
            (404, Action::DeadLetter),
            (410, Action::Drop),
            (302, Action::Done),
            (502, Action::Overload),
            (503, Action::Overload),
            (504, Action::Retry),
        ] {
            assert_eq!(contract.of(status(code)), action, "{code}");
        }
        for wrong in [
            "",
            "404",
            "404=",
            "404=no",
            "99=done",
            "600=done",
            "9xx=done",
            "500-400=done",
            "=done",
        ] {
            assert!(on_status(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_body_may_say_otherwise_and_what_it_says_else_is_nothing() {
        assert_eq!(said(br#" {"status":"RETRY"}"#), Action::Retry);
        assert_eq!(said(br#"{"a":[1],"status":"DROP","b":null}"#), Action::Drop);
        assert_eq!(said(br#"{"status":"DEAD\u004cETTER"}"#), Action::DeadLetter);
        let deep = format!("{{\"a\":{}", "[".repeat(50_000));
        for nothing in [
            "",
            "ok",
            "RETRY",
            "\"RETRY\"",
            "[{\"status\":\"RETRY\"}]",
            "{}",
            "{\"status\":\"ok\"}",
            "{\"status\":\"retry\"}",
            "{\"status\":200}",
            "{\"status\":null}",
            "{\"status\":\"RETRY\"",
            deep.as_str(),
        ] {
            assert_eq!(said(nothing.as_bytes()), Action::Done, "{nothing:.40}");
        }
        assert_eq!(said(b"{\xff"), Action::Done);
    }
}
