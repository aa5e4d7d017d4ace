//! What the target knows this client by.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;

use crate::exit::Failure;

/// Hold the secrets themselves, for those who have no file.
const TOKEN: &str = "TIDEGATE_TOKEN";
const BASIC: &str = "TIDEGATE_BASIC";
/// A file is read again not more often than this.
const AGAIN: Duration = Duration::from_secs(1);

/// How a secret becomes a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bearer,
    Basic,
}

/// The header `Authorization`. It is never shown.
pub(super) struct Credentials {
    kind: Kind,
    file: Option<PathBuf>,
    now: Mutex<(HeaderValue, Instant)>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Those of a file, or else of a variable; none if there is neither.
    ///
    /// # Errors
    /// When a secret cannot be read, or is none.
    pub(super) fn read(
        token: Option<&Path>,
        basic: Option<&Path>,
    ) -> Result<Option<Self>, Failure> {
        for (kind, file) in [(Kind::Bearer, token), (Kind::Basic, basic)] {
            if let Some(file) = file {
                return Self::new(kind, Some(file.to_owned()), &of_file(file)?).map(Some);
            }
        }
        for (kind, variable) in [(Kind::Bearer, TOKEN), (Kind::Basic, BASIC)] {
            match std::env::var(variable) {
                Ok(text) => return Self::new(kind, None, &text).map(Some),
                Err(std::env::VarError::NotPresent) => {}
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(Failure::Config(format!("the variable {variable} is not text")));
                }
            }
        }
        Ok(None)
    }

    fn new(kind: Kind, file: Option<PathBuf>, text: &str) -> Result<Self, Failure> {
        let value = header(kind, text).map_err(|what| {
            let from = match (&file, kind) {
                (Some(file), _) => file.display().to_string(),
                (None, Kind::Bearer) => format!("the variable {TOKEN}"),
                (None, Kind::Basic) => format!("the variable {BASIC}"),
            };
            Failure::Config(format!("{from} {what}"))
        })?;
        Ok(Self { kind, file, now: Mutex::new((value, Instant::now())) })
    }

    /// The header's value.
    pub(super) fn value(&self) -> HeaderValue {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// The target wants other ones: the file may have them by now.
    pub(super) fn refused(&self) {
        let Some(file) = &self.file else { return };
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.1.elapsed() < AGAIN {
            return;
        }
        now.1 = Instant::now();
        // One that cannot be read is being replaced, and comes again.
        if let Some(value) = of_file(file).ok().and_then(|text| header(self.kind, &text).ok()) {
            now.0 = value;
        }
    }
}

fn of_file(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::Config(format!("{} cannot be read: {error}", path.display())))
}

fn header(kind: Kind, text: &str) -> Result<HeaderValue, &'static str> {
    let text = text.trim();
    let words = match kind {
        Kind::Bearer if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            return Err("holds no token: it must be one word of visible ASCII characters");
        }
        Kind::Bearer => format!("Bearer {text}"),
        Kind::Basic if !text.contains(':') || text.contains(char::is_control) => {
            return Err("holds no USER:PASSWORD on one line");
        }
        Kind::Basic => format!("Basic {}", STANDARD.encode(text)),
    };
    let mut value = HeaderValue::from_str(&words).map_err(|_| "cannot be sent")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_passwords_become_headers_and_are_not_shown() {
        let bearer = header(Kind::Bearer, "secret-17\n").unwrap();
        assert_eq!(bearer, "Bearer secret-17");
        assert!(!format!("{bearer:?}").contains("secret"));
        assert_eq!(
            header(Kind::Basic, "Aladdin:open sesame").unwrap(),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        for wrong in ["", "\n", "two words", "schlüssel"] {
            assert!(header(Kind::Bearer, wrong).is_err());
        }
        assert!(header(Kind::Basic, "user").is_err() && header(Kind::Basic, "a:b\nc:d").is_err());
    }
}
