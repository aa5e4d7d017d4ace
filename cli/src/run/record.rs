//! A record as JSON.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate::Record;

/// Appends the record's line, newline included.
pub(super) fn line(record: &Record, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    string(record.topic(), out);
    // Writing to a vector does not fail.
    let _ = write!(
        out,
        ",\"partition\":{},\"offset\":{},\"timestamp\":",
        record.partition(),
        record.offset()
    );
    match record.timestamp() {
        Some(timestamp) => {
            let _ = write!(out, "{}", timestamp.millis());
        }
        None => out.extend_from_slice(b"null"),
    }
    field("key", record.key(), out);
    field("value", record.value(), out);
    out.extend_from_slice(b",\"headers\":");
    headers(record, out);
    out.extend_from_slice(b"}\n");
}

/// Appends the headers as an array of `[name, value]`; of a value that is not text, the base64
/// form and `"base64"` as a third element.
pub(super) fn headers(record: &Record, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, header) in record.headers().enumerate() {
        out.extend_from_slice(if index == 0 { b"[" } else { b",[" });
        string(header.name, out);
        out.push(b',');
        if text_or_base64(header.value, out) {
            out.extend_from_slice(b",\"base64\"");
        }
        out.push(b']');
    }
    out.push(b']');
}

fn field(name: &str, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    let _ = write!(out, ",\"{name}\":");
    if text_or_base64(bytes, out) {
        let _ = write!(out, ",\"{name}_encoding\":\"base64\"");
    }
}

/// Appends bytes as a string, or null; says whether it had to be base64.
fn text_or_base64(bytes: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => out.extend_from_slice(b"null"),
        Some((_, Ok(text))) => string(text, out),
        Some((bytes, Err(_))) => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
            return true;
        }
    }
    false
}

fn string(text: &str, out: &mut Vec<u8>) {
    // Neither can a string be impossible to write as JSON, nor does a vector refuse it.
    let _ = serde_json::to_writer(out, text);
}
