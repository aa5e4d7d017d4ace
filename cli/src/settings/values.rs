//! Readers of flags: human sizes and durations with their ranges, instants, topics.

use std::iter::Peekable;
use std::str::Chars;
use std::time::Duration;

use bytesize::ByteSize;
use tidegate::StartFrom;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Reads a duration ("200ms", "5s", "2m", "0") from `min` to `max`.
pub(crate) fn duration(
    min: Duration,
    max: Duration,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let parsed = match text.trim() {
            "0" => Duration::ZERO,
            text => humantime::parse_duration(text)
                .map_err(|_| "write it like 200ms, 5s or 2m".to_owned())?,
        };
        if (min..=max).contains(&parsed) {
            return Ok(parsed);
        }
        let (min, max) = (humantime::format_duration(min), humantime::format_duration(max));
        Err(format!("must be from {min} to {max}"))
    }
}

/// Reads a size in bytes ("64MiB", "500kB", "1024") from `min` to `max`.
pub(crate) fn size(
    min: u64,
    max: u64,
) -> impl Fn(&str) -> Result<ByteSize, String> + Clone + Send + Sync + 'static {
    move |text| {
        let parsed: ByteSize =
            text.trim().parse().map_err(|_| "write it like 64MiB or 500kB".to_owned())?;
        if (min..=max).contains(&parsed.0) {
            return Ok(parsed);
        }
        Err(format!("must be from {} to {}", ByteSize(min), ByteSize(max)))
    }
}

/// Reads where to start: a word, an RFC 3339 date and time, or milliseconds since 1970.
pub(crate) fn start_from(text: &str) -> Result<StartFrom, String> {
    match text {
        "earliest" => return Ok(StartFrom::Earliest),
        "latest" => return Ok(StartFrom::Latest),
        _ => {}
    }
    millis(text).map(StartFrom::Timestamp).map_err(|error| match error {
        NoTime::Unreadable => {
            "write earliest, latest, a time like 2026-03-01T12:00:00Z, or milliseconds since 1970"
                .to_owned()
        }
        NoTime::Negative => "milliseconds since 1970 must not be negative".to_owned(),
        NoTime::TooEarly => "a time before 1970 cannot be looked for; use earliest".to_owned(),
    })
}

/// Why something is not a time.
enum NoTime {
    Unreadable,
    Negative,
    TooEarly,
}

/// Reads an RFC 3339 date and time, or milliseconds since 1970.
fn millis(text: &str) -> Result<i64, NoTime> {
    if let Ok(millis) = text.parse::<i64>() {
        return if millis < 0 { Err(NoTime::Negative) } else { Ok(millis) };
    }
    let instant = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NoTime::Unreadable)?;
    let millis = i64::try_from(instant.unix_timestamp_nanos() / 1_000_000).ok();
    millis.filter(|millis| *millis >= 0).ok_or(NoTime::TooEarly)
}

/// Reads an instant: an RFC 3339 date and time, or milliseconds since 1970.
pub(crate) fn instant(text: &str) -> Result<i64, String> {
    let wrong = "write a time like 2026-03-01T12:00:00Z, or milliseconds since 1970";
    millis(text).map_err(|_| wrong.to_owned())
}

/// Reads `NAME=VALUE`.
pub(crate) fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

/// Reads the name of one topic.
pub(crate) fn topic(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.len() > 249 || !text.chars().all(legal) {
        return Err("a topic's name has 1 to 249 of the characters a-z A-Z 0-9 . _ -".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads the name of a topic, or a regular expression that begins with `^`.
pub(crate) fn topic_or_pattern(text: &str) -> Result<String, String> {
    if text.len() > 1 && text.starts_with('^') {
        return closed(text).map(|()| text.to_owned());
    }
    topic(text).map_err(|error| format!("{error}; a regular expression begins with ^"))
}

/// Refuses an expression in which something is opened and not closed. Whatever else may be wrong with it
/// is known to the client alone, which does not say what.
fn closed(text: &str) -> Result<(), String> {
    let mut rest = text.chars().peekable();
    let mut open = 0_u32;
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.next().is_none() => {
                return Err("the regular expression ends with a \\".to_owned());
            }
            '[' => {
                rest.next_if_eq(&'^');
                // Right behind the bracket it stands for itself.
                rest.next_if_eq(&']');
                bracket(&mut rest)?;
            }
            '(' => open += 1,
            ')' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    match open {
        0 => Ok(()),
        _ => Err("the regular expression has a ( that is not closed".to_owned()),
    }
}

/// Goes on behind a bracket expression, which may have classes like [:alpha:] in it.
fn bracket(rest: &mut Peekable<Chars<'_>>) -> Result<(), String> {
    let mut class = None;
    while let Some(c) = rest.next() {
        match (class, c) {
            (None, ']') => return Ok(()),
            (None, '[') => class = rest.next_if(|c| matches!(c, ':' | '.' | '=')),
            (Some(kind), c) if c == kind && rest.next_if_eq(&']').is_some() => class = None,
            _ => {}
        }
    }
    Err("the regular expression has a [ that is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units_and_ranges() {
        let read = duration(Duration::from_millis(1), Duration::from_secs(60));
        assert_eq!(read("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(read("1m"), Ok(Duration::from_secs(60)));
        assert!(read("0").unwrap_err().contains("from 1ms to 1m"));
        assert!(read("61s").is_err() && read("5").is_err() && read("-1s").is_err());
        let read = size(1_024, 1 << 40);
        assert_eq!(read("64MiB").map(|size| size.0), Ok(64 << 20));
        assert_eq!(read("500kB").map(|size| size.0), Ok(500_000));
        assert!(read("0").is_err() && read("2PiB").is_err() && read("x").is_err());
    }

    #[test]
    fn starts_are_words_times_or_milliseconds() {
        assert_eq!(start_from("latest"), Ok(StartFrom::Latest));
        assert_eq!(start_from("1700000000000"), Ok(StartFrom::Timestamp(1_700_000_000_000)));
        let at = Ok(StartFrom::Timestamp(1_772_366_400_500));
        assert_eq!(start_from("2026-03-01T12:00:00.5Z"), at);
        assert_eq!(start_from("2026-03-01T13:00:00.5+01:00"), at);
        assert!(start_from("yesterday").is_err() && start_from("-1").is_err());
        assert!(start_from("1969-01-01T00:00:00Z").is_err());
        assert_eq!(instant("2026-03-01T12:00:00.5Z"), Ok(1_772_366_400_500));
        assert!(instant("earliest").is_err() && instant("-1").is_err());
    }

    #[test]
    fn topics_are_checked() {
        assert!(topic("orders.v1").is_ok() && topic("").is_err() && topic("a b").is_err());
        assert!(topic("^a").is_err() && topic_or_pattern("^a.*").is_ok());
        assert!(topic_or_pattern("^").is_err());
        for good in
            ["^a(b|c)[0-9]+$", r"^a\(\[", "^([[:alpha:](]+)", "^[]a]", "^[^]a]", "^a)", "^a]"]
        {
            assert_eq!(topic_or_pattern(good).as_deref(), Ok(good));
        }
        for bad in ["^rel(", "^rel[", "^[]", "^[[:alpha:]", "^(a(b)", r"^a\"] {
            assert!(topic_or_pattern(bad).unwrap_err().contains("regular expression"), "{bad}");
        }
    }
}
