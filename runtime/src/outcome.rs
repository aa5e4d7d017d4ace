//! What a handler says of a record.

use std::fmt::{self, Display};
use std::time::Duration;

/// The longest reason that is kept, in bytes: reasons go into events and summaries.
const REASON_BYTES: usize = 1_024;

/// What became of one attempt at a record.
///
/// Most handlers need none of this: `()` is [`Done`](Self::Done), `Ok(())` is `Done`, and an
/// `Err` is a [`Retry`](Self::Retry) with the error as reason (see [`IntoOutcome`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The record is finished.
    Done,
    /// The record is finished without having been processed: the handler wants none of it.
    Skip,
    /// The attempt failed. The record is tried again; its key's later records wait, other keys
    /// flow. After the last attempt
    /// [`AfterLastAttempt`](tidegate_engine::AfterLastAttempt) decides.
    #[non_exhaustive]
    Retry {
        /// When to try again; `None` (the default) uses the configured backoff.
        after: Option<Duration>,
        /// Why, for events. No key and no payload, please.
        reason: Option<String>,
    },
    /// What the handler calls is overloaded. Tried again, and charges no attempt.
    #[non_exhaustive]
    Overloaded {
        /// When to try again; `None` (the default) uses the configured backoff.
        retry_after: Option<Duration>,
        /// Why, for events. No key and no payload, please.
        reason: Option<String>,
    },
    /// No attempt will ever succeed: the record goes to the dead-letter topic at once. Without one
    /// it is treated as if this had been its last attempt.
    #[non_exhaustive]
    DeadLetter {
        /// Why, for events and for the letter. No key and no payload, please.
        reason: Option<String>,
    },
}

impl Outcome {
    /// The attempt failed because of `reason`; try again after the configured backoff.
    pub fn retry(reason: impl Display) -> Self {
        Self::Retry { after: None, reason: Some(short(&reason)) }
    }

    /// The attempt failed because of `reason`; try again after `delay`.
    pub fn retry_after(delay: Duration, reason: impl Display) -> Self {
        Self::Retry { after: Some(delay), reason: Some(short(&reason)) }
    }

    /// What the handler calls is overloaded; try again after `retry_after`, or after the
    /// configured backoff.
    pub fn overloaded(retry_after: Option<Duration>, reason: impl Display) -> Self {
        Self::Overloaded { retry_after, reason: Some(short(&reason)) }
    }

    /// No attempt will ever succeed, because of `reason`.
    pub fn dead_letter(reason: impl Display) -> Self {
        Self::DeadLetter { reason: Some(short(&reason)) }
    }
}

/// Formats `reason` with its causes (`{:#}`) and cuts what is too long.
fn short(reason: &dyn Display) -> String {
    struct Alternate<'a>(&'a dyn Display);
    impl Display for Alternate<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{:#}", self.0)
        }
    }
    let mut text = Alternate(reason).to_string();
    if text.len() > REASON_BYTES {
        let mut cut = REASON_BYTES;
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// Whatever a handler may return.
pub trait IntoOutcome {
    /// The outcome it stands for.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

/// The record is done.
impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Done
    }
}

/// An error is a failed attempt, with the error (`{:#}`) as reason.
impl<T: IntoOutcome, E: Display> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(outcome) => outcome.into_outcome(),
            Err(error) => Outcome::retry(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_retries_with_a_bounded_reason() {
        assert_eq!(Ok::<(), String>(()).into_outcome(), Outcome::Done);
        assert_eq!(Ok::<_, String>(Outcome::Skip).into_outcome(), Outcome::Skip);
        assert_eq!(Err::<(), _>("no route").into_outcome(), Outcome::retry("no route"));
        let Outcome::Retry { reason: Some(reason), .. } = Outcome::retry("ä".repeat(5_000)) else {
            panic!()
        };
        assert!(reason.len() <= REASON_BYTES + '…'.len_utf8());
    }
}
