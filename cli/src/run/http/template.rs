//! The target's URL, with places for what a record has.

use std::fmt;

use hyper::Uri;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use tidegate::Record;

/// The longest URL that is asked for, without its host.
pub(super) const LONGEST: usize = 8 << 10;
/// What stands for itself in a URL wherever it is (RFC 3986).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A URL whose path and query may have places. Scheme and host never come from a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    scheme: Scheme,
    authority: Authority,
    pieces: Vec<Piece>,
    /// The URL, if it is the same for all records.
    fixed: Option<Uri>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Topic,
    Partition,
    Offset,
    Key,
    Header(String),
}

impl Template {
    /// Whether it is one of these at all.
    pub(crate) fn is_url(text: &str) -> bool {
        let begins = |with: &str| {
            text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        begins("http://") || begins("https://")
    }

    /// Reads it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("write http://HOST/PATH")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::HTTP,
            _ => Scheme::HTTPS,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains(['{', '}']) {
            return Err("the host cannot come from a record".to_owned());
        }
        if authority.contains('@') {
            return Err("a password does not belong into the URL: see --basic-file".to_owned());
        }
        let authority: Authority =
            authority.parse().map_err(|_| "the host and its port cannot be read".to_owned())?;
        if authority.host().is_empty() {
            return Err("the host is missing".to_owned());
        }
        if path.contains('#') {
            return Err("a fragment (#) is not sent to a server".to_owned());
        }
        let pieces = pieces(path)?;
        let places = pieces.iter().any(|piece| !matches!(piece, Piece::Text(_)));
        let mut template = Self { scheme, authority, pieces, fixed: None };
        // With some value in each place it must be a URL.
        let sample = template.render(|_| Some(b"x".to_vec()));
        let sample = sample.map_err(|error| format!("not a URL: {error}"))?;
        template.fixed = (!places).then_some(sample);
        Ok(template)
    }

    /// Whether TLS is spoken.
    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The URL of a record. A place without a value (a null key, a header that is not there) is
    /// empty.
    ///
    /// # Errors
    /// When it is too long, or would climb to another path.
    pub(super) fn of(&self, record: &Record) -> Result<Uri, String> {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        self.render(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Topic => Some(record.topic().as_bytes().to_vec()),
            Piece::Partition => Some(record.partition().to_string().into_bytes()),
            Piece::Offset => Some(record.offset().to_string().into_bytes()),
            Piece::Key => record.key().map(<[u8]>::to_vec),
            Piece::Header(name) => record.header(name).map(<[u8]>::to_vec),
        })
    }

    /// The URL if it has no places, and otherwise that of the host.
    ///
    /// # Errors
    /// When it is no URL.
    pub(super) fn without_places(&self) -> Result<Uri, String> {
        match &self.fixed {
            Some(fixed) => Ok(fixed.clone()),
            None => Self { pieces: Vec::new(), ..self.clone() }.render(|_| None),
        }
    }

    /// Scheme, host and path with its places, for whoever has the file before them. What is behind a `?` is
    /// not shown: tokens are written there.
    pub(crate) fn without_query(&self) -> String {
        let mut shown = format!("{self}/");
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => match text.split_once('?') {
                    Some((path, _)) => return shown + path,
                    None => shown.push_str(text),
                },
                Piece::Topic => shown.push_str("{topic}"),
                Piece::Partition => shown.push_str("{partition}"),
                Piece::Offset => shown.push_str("{offset}"),
                Piece::Key => shown.push_str("{key}"),
                Piece::Header(name) => shown.extend(["{header.", name, "}"]),
            }
        }
        shown
    }

    fn render(&self, value: impl Fn(&Piece) -> Option<Vec<u8>>) -> Result<Uri, String> {
        let mut path = String::from("/");
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => path.push_str(text),
                place => {
                    let value = value(place).unwrap_or_default();
                    if value.len() > LONGEST {
                        return Err(format!("its URL would be longer than {LONGEST} bytes"));
                    }
                    path.extend(percent_encode(&value, RESERVED));
                }
            }
        }
        if path.len() > LONGEST {
            return Err(format!("its URL would be longer than {LONGEST} bytes"));
        }
        let only_path = path.split('?').next().unwrap_or_default();
        if only_path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err("its URL would have . or .. as a part of its path".to_owned());
        }
        let path: PathAndQuery = path.parse().map_err(|_| "it cannot be a path".to_owned())?;
        let mut parts = hyper::http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|error| error.to_string())
    }
}

/// Reads path and query, without the slash they begin with.
fn pieces(path: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = path.strip_prefix('/').unwrap_or(path);
    while let Some(start) = rest.find(['{', '}']) {
        let (text, from) = rest.split_at(start);
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let place = from.strip_prefix('{').and_then(|from| from.split_once('}'));
        let (name, behind) = place.ok_or("a { without its }, or the other way round")?;
        pieces.push(match name {
            "topic" => Piece::Topic,
            "partition" => Piece::Partition,
            "offset" => Piece::Offset,
            "key" => Piece::Key,
            name => match name.strip_prefix("header.") {
                Some(header) if !header.is_empty() => Piece::Header(header.to_owned()),
                _ => {
                    return Err(format!(
                        "{{{name}}} is none of {{topic}}, {{partition}}, {{offset}}, {{key}}, \
                         {{header.NAME}}"
                    ));
                }
            },
        });
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// Scheme and host: what messages may show.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str, key: &[u8]) -> Result<String, String> {
        let template = Template::parse(template).unwrap();
        let value = |piece: &Piece| (*piece != Piece::Topic).then(|| key.to_vec());
        template.render(value).map(|uri| uri.to_string())
    }

    #[test]
    fn what_a_record_has_is_escaped_and_never_ends_its_place() {
        let url = "http://h:1/a/{key}/b?x={header.x}";
        let all = |value: &str| Ok(format!("http://h:1/a/{value}/b?x={value}"));
        assert_eq!(rendered(url, b"k-1._~"), all("k-1._~"));
        assert_eq!(rendered(url, b"a/b?c#d&e=f%"), all("a%2Fb%3Fc%23d%26e%3Df%25"));
        assert_eq!(rendered(url, b"\x00\r\n \xff"), all("%00%0D%0A%20%FF"));
        assert_eq!(
            rendered(url, "ä@evil.example:80".as_bytes()),
            all("%C3%A4%40evil.example%3A80")
        );
        assert_eq!(rendered(url, b""), all(""));
        assert_eq!(rendered("http://h/{topic}", b""), Ok("http://h/".to_owned()));
    }

    #[test]
    fn no_record_climbs_or_makes_a_url_without_end() {
        for value in [&b".."[..], b"."] {
            assert!(rendered("http://h/a/{key}", value).unwrap_err().contains(".."));
            assert!(rendered("http://h/a?{key}", value).is_ok());
        }
        assert!(rendered("http://h/a/{key}{key}", b".").is_err());
        assert!(rendered("http://h/a/x{key}", b"..").is_ok());
        assert!(rendered("http://h/{key}", &[b'a'; LONGEST]).is_err());
        assert!(rendered("http://h/{key}", &vec![b'a'; 10 << 20]).is_err());
    }

    #[test]
    fn hosts_are_written_and_places_are_known() {
        for good in ["http://h", "HTTPS://h:8443/a?b=c", "http://[::1]:80/{topic}/{partition}"] {
            assert!(Template::is_url(good) && Template::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://",
            "http:///path",
            "http://{key}/",
            "http://{header.host}:80/",
            "http://user:secret@h/",
            "http://h/#a",
            "http://h/{other}",
            "http://h/{header.}",
            "http://h/{key",
            "http://h/key}",
            "http://h/a b",
            "http://h/a/../b",
        ] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        assert!(!Template::is_url("httpx://h") && !Template::is_url("h"));
        let shown = Template::parse("https://h:1/secret/{key}").unwrap().to_string();
        assert_eq!(shown, "https://h:1");
    }

    #[test]
    fn a_plan_shows_the_path_and_no_query() {
        let shown = |url| Template::parse(url).unwrap().without_query();
        let url = "https://h:1/v1/{topic}/{partition}/{offset}/{key}/{header.a?b}";
        assert_eq!(shown(url), url);
        assert_eq!(shown("http://h/v1/{key}?token=secret&k={key}"), "http://h/v1/{key}");
        assert_eq!(
            (shown("http://h?token=secret"), shown("http://h")),
            ("http://h/".into(), "http://h/".into())
        );
    }
}
