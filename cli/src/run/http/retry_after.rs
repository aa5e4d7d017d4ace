//! `Retry-After`: seconds or a date.

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::header::{DATE, HeaderName, RETRY_AFTER};

/// Longer ones are cut to this.
pub(super) const LONGEST: Duration = Duration::from_secs(300);
/// No date is longer.
const LONGEST_TEXT: usize = 64;

/// For how long it asks; `None` if it does not, or makes no sense. A date is seen by the server's own
/// clock if it shows it.
pub(super) fn read(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = text(headers, &RETRY_AFTER)?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are very long.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = self::text(headers, &DATE)
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or(now);
    Some(until.duration_since(now).unwrap_or_default().min(LONGEST))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (text.len() <= LONGEST_TEXT).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn of(headers: &[(HeaderName, &str)]) -> Option<Duration> {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        // 1994-11-06 08:49:37
        read(&headers, SystemTime::UNIX_EPOCH + 784_111_777 * S)
    }

    fn after(value: &str) -> Option<Duration> {
        of(&[(RETRY_AFTER, value)])
    }

    #[test]
    fn seconds_and_dates() {
        assert_eq!(after("0"), Some(Duration::ZERO));
        assert_eq!(after(" 7 "), Some(7 * S));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10 * S));
        assert_eq!(after("Sunday, 06-Nov-94 08:49:47 GMT"), Some(10 * S));
        assert_eq!(after("Sun Nov  6 08:49:47 1994"), Some(10 * S));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO), "it is over");
        let date = "Sun, 06 Nov 1994 09:00:00 GMT";
        let ahead = [(DATE, "Sun, 06 Nov 1994 08:59:40 GMT"), (RETRY_AFTER, date)];
        assert_eq!(of(&ahead), Some(20 * S), "a server whose clock is ahead");
    }

    #[test]
    fn absurd_ones_are_cut_or_left_out() {
        assert_eq!(after("301"), Some(LONGEST));
        assert_eq!(after("99999999999999999999999999999999"), Some(LONGEST));
        assert_eq!(after("Fri, 31 Dec 9999 23:59:59 GMT"), Some(LONGEST));
        assert_eq!(after(&"9".repeat(10_000)), None);
        for nonsense in ["", "-1", "1.5", "+1", "soon", "1e9", "0x10", "Sun, 99 Nov 1994"] {
            assert_eq!(after(nonsense), None, "{nonsense}");
        }
        assert_eq!(of(&[]), None);
        let bytes = HeaderMap::from_iter([(
            RETRY_AFTER,
            hyper::header::HeaderValue::from_bytes(b"\xff").unwrap(),
        )]);
        assert_eq!(read(&bytes, SystemTime::now()), None);
    }
}
