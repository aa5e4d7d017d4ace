//! What a command finds in its environment.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate::Record;
use tokio::process::Command;

use crate::run::record;

const KEY: &str = "TIDEGATE_RECORD_KEY";
const KEY_ENCODING: &str = "TIDEGATE_RECORD_KEY_ENCODING";
const TIMESTAMP: &str = "TIDEGATE_RECORD_TIMESTAMP";
const TOMBSTONE: &str = "TIDEGATE_RECORD_TOMBSTONE";
/// May hold a password, which is none of the command's business.
const PROPERTY: &str = "TIDEGATE_PROPERTY";
/// Neither is this.
const ADMIN_TOKEN: &str = "TIDEGATE_ADMIN_TOKEN";

/// Sets the record's coordinates, key and headers.
pub(super) fn set(command: &mut Command, record: &Record) {
    // Tidegate may itself run as a command of another one.
    for name in [KEY, KEY_ENCODING, TIMESTAMP, TOMBSTONE, PROPERTY, ADMIN_TOKEN] {
        command.env_remove(name);
    }
    command
        .env("TIDEGATE_RECORD_TOPIC", record.topic())
        .env("TIDEGATE_RECORD_PARTITION", record.partition().to_string())
        .env("TIDEGATE_RECORD_OFFSET", record.offset().to_string())
        .env("TIDEGATE_RECORD_ATTEMPT", record.attempt().to_string());
    if let Some(timestamp) = record.timestamp() {
        command.env(TIMESTAMP, timestamp.millis().to_string());
    }
    if let Some(key) = record.key() {
        match text(key) {
            Some(key) => command.env(KEY, key).env(KEY_ENCODING, "text"),
            None => command.env(KEY, STANDARD.encode(key)).env(KEY_ENCODING, "base64"),
        };
    }
    if record.value().is_none() {
        command.env(TOMBSTONE, "1");
    }
    let mut headers = Vec::new();
    record::headers(record, &mut headers);
    // JSON is text, and has its zero bytes escaped.
    command.env("TIDEGATE_RECORD_HEADERS", String::from_utf8_lossy(&headers).as_ref());
}

/// What can be in an environment as it is: a zero byte cannot.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn zero_bytes_are_not_text() {
        assert_eq!(text(b"a"), Some("a"));
        assert_eq!((text(b"a\0b"), text(b"\xff")), (None, None));
    }
}
