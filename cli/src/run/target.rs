//! What `--to` names.

use super::http::Template;

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A JSON line each.
    Stdout,
    /// Nowhere.
    Null,
    /// A command each: its program and arguments.
    Exec(Vec<String>),
    /// A request each.
    Http(Box<Template>),
}

/// `--help` on `--to`.
pub(crate) const HELP: &str = "\
Where records go:

http://HOST/PATH or https://HOST/PATH: a POST for each record, with the value as its body, and topic, \
partition, offset, timestamp, attempt, key and headers as headers. Path and query may have {topic}, \
{partition}, {offset}, {key} and {header.NAME}. 2xx is done; 429 and 503 slow deliveries down to what \
the target takes, and while it is down records wait; 404, 408, 409, 425 and 5xx are tried again; \
other 4xx go to the dead-letter topic. docs/http.md has all of it.

stdout: one JSON line for each record on standard output, with topic, partition, offset, \
timestamp (ms since 1970), key, value, and headers as [name, value] pairs. A key or value is text \
if it is UTF-8; otherwise it is base64, and \"key_encoding\" or \"value_encoding\" is \"base64\" \
(a header has \"base64\" as third element). The value of a tombstone is null. A record is done when \
its line was written. If the pipe is closed the run ends with exit code 1, and what was not written \
is not committed.

null: nowhere; every record is done at once.

exec:COMMAND: the command runs for each record, without a shell; quotes work as in one. The value \
is its standard input. In its environment are TIDEGATE_RECORD_TOPIC, _PARTITION, _OFFSET, \
_TIMESTAMP, _ATTEMPT, _KEY (unset if null) with _KEY_ENCODING (text or base64), _HEADERS (JSON as \
above) and, if the value is null, _TOMBSTONE=1. Exit status 0 is done, 75 an expected failure (told \
with -v only), anything else a failure; both are tried again. The last line on its standard error \
is the reason. It runs in a process group of its own, which is killed when the attempt times out or \
its partition goes to another member.";

/// Reads it.
pub(crate) fn parse(text: &str) -> Result<Target, String> {
    match text {
        "stdout" => return Ok(Target::Stdout),
        "null" => return Ok(Target::Null),
        _ => {}
    }
    if Template::is_url(text) {
        return Template::parse(text).map(|template| Target::Http(Box::new(template)));
    }
    let Some(command) = text.strip_prefix("exec:") else {
        return Err("write http://HOST/PATH, exec:COMMAND, stdout or null".to_owned());
    };
    let words = shell_words::split(command).map_err(|error| error.to_string())?;
    if words.first().is_none_or(String::is_empty) {
        return Err("exec: needs a command".to_owned());
    }
    Ok(Target::Exec(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        assert_eq!(parse("stdout"), Ok(Target::Stdout));
        let words = vec!["jq".to_owned(), "-r".to_owned(), ".a b".to_owned()];
        assert_eq!(parse("exec:jq -r '.a b'"), Ok(Target::Exec(words)));
        assert!(parse("exec:").is_err() && parse("exec:''").is_err() && parse("file").is_err());
        assert!(parse("exec:a 'b").is_err());
        assert!(matches!(parse("http://h/{key}"), Ok(Target::Http(_))));
        assert!(parse("http://{key}/").is_err() && parse("ftp://h").is_err());
    }
}
