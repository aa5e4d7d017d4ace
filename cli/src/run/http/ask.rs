//! Whether the target is there, asked without delivering anything.

use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, StatusCode};

use super::body::Value;
use super::client::NoAnswer;
use super::{Http, Status};
use crate::check::facts::Answered;

impl Http {
    /// Connects as for a record, and asks with OPTIONS, which by HTTP changes nothing. A URL with places
    /// for what a record has is asked at its root.
    pub(in crate::run) async fn ask(&self) -> Answered {
        let shared = &self.0;
        let template = &shared.requests.template;
        let mut request = Request::new(Value::none());
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = match template.without_places() {
            Ok(uri) => uri,
            Err(why) => return Answered::Bad(why),
        };
        if let Some(credentials) = &shared.credentials {
            request.headers_mut().insert(AUTHORIZATION, credentials.value());
        }
        match shared.client.status(request).await {
            Ok(status) => judge(&template.to_string(), status),
            Err(NoAnswer::Unreachable(why)) => {
                Answered::Bad(format!("{template} cannot be reached: {why}"))
            }
            Err(NoAnswer::Broken(why)) => {
                Answered::Bad(format!("{template} takes connections and gives no answer: {why}"))
            }
        }
    }
}

/// What an answer says of a target that was asked for nothing.
fn judge(target: &str, status: StatusCode) -> Answered {
    let words = format!("{target} answers OPTIONS with {}", Status(status));
    match status.as_u16() {
        401 | 407 => {
            Answered::Odd(format!("{words}: it does not take these credentials, or has none"))
        }
        403 => Answered::Odd(format!("{words}: it does not let this client in")),
        429 | 503 => Answered::Odd(format!("{words}: it has too much to do, or is not ready")),
        300..=399 => Answered::Odd(format!("{words}: redirects are not followed")),
        // That is what servers say that do not know this method.
        501 => Answered::Good(words),
        500..=599 => Answered::Odd(words),
        _ => Answered::Good(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_not_know_the_method_is_there_all_the_same() {
        let says = |status: u16| judge("http://h", StatusCode::from_u16(status).unwrap());
        for there in [200, 204, 404, 405, 501] {
            assert!(matches!(says(there), Answered::Good(_)), "{there}");
        }
        for odd in [301, 401, 403, 429, 500, 503] {
            assert!(matches!(says(odd), Answered::Odd(_)), "{odd}");
        }
    }
}
