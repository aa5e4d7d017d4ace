//! The token that requests must have.

use std::fmt;
use std::path::Path;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, ORIGIN};
use subtle::ConstantTimeEq;

use crate::exit::Failure;

/// The token. It is never shown.
pub(crate) struct Token(Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    fn new(text: &str, from: &str) -> Result<Self, Failure> {
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::Config(format!(
                "{from} holds no token: it must be one word of visible ASCII characters"
            )));
        }
        Ok(Self(token.as_bytes().to_vec()))
    }

    /// Whether a request has it. The time it takes says nothing about the token but its length.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let (Some(one), None) = (all.next(), all.next()) else { return false };
        let one = one.as_bytes();
        let Some((scheme, given)) = one.split_at_checked("bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(self.0.ct_eq(given.trim_ascii()))
    }
}

/// The token of the file, or else of the variable, which holds the token itself.
///
/// # Errors
/// When it cannot be read, or is none.
pub(crate) fn read(file: Option<&Path>, variable: &str) -> Result<Option<Token>, Failure> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::Config(format!("the token file {} cannot be read: {error}", path.display()))
        })?;
        return Token::new(&text, &format!("the token file {}", path.display())).map(Some);
    }
    match std::env::var(variable) {
        Ok(text) => Token::new(&text, &format!("the variable {variable}")).map(Some),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::Config(format!("the variable {variable} is not text")))
        }
    }
}

/// Who may not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// It does not have the token.
    NoToken,
    /// It is a web page, and there is no token that would keep it out. A browser on this machine
    /// sends what any page asks it to, also to loopback addresses. It says where the page is from,
    /// and no other client does.
    Page,
}

impl Stranger {
    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::NoToken => "a token is needed: Authorization: Bearer TOKEN",
            Self::Page => "requests of web pages are taken with a token only",
        }
    }
}

/// Whether whoever sends these headers may ask for anything.
///
/// # Errors
/// Why not.
pub(crate) fn admit(token: Option<&Token>, headers: &HeaderMap) -> Result<(), Stranger> {
    match token {
        Some(token) if token.is_in(headers) => Ok(()),
        Some(_) => Err(Stranger::NoToken),
        None if headers.contains_key(ORIGIN) => Err(Stranger::Page),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(value: &'static str) -> bool {
        let token = Token::new("secret-17\n", "a test").unwrap();
        token.is_in(&HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]))
    }

    #[test]
    fn only_the_whole_token_opens() {
        assert!(has("Bearer secret-17") && has("bearer  secret-17"));
        for wrong in ["", "Bearer", "Bearer ", "Bearer secret-1", "Bearer secret-177", "secret-17"]
        {
            assert!(!has(wrong), "{wrong}");
        }
        assert!(!has("Basic secret-17") && !has("Bearer SECRET-17"));
        let token = Token::new("a", "a test").unwrap();
        let twice = ["Bearer a", "Bearer a"].map(|v| (AUTHORIZATION, v.parse().unwrap()));
        let mut headers = HeaderMap::new();
        assert!(!token.is_in(&headers));
        for (name, value) in twice {
            headers.append(name, value);
        }
        assert!(!token.is_in(&headers), "which of them should count?");
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_shown() {
        for wrong in ["", " \n", "two words", "schlüssel"] {
            let Err(Failure::Config(words)) = Token::new(wrong, "a test") else {
                panic!("{wrong}")
            };
            assert!(wrong.trim().is_empty() || !words.contains(wrong.trim()));
        }
    }
}
