//! What a command writes to standard error: shown, and its last line kept as the reason of a
//! failure.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tidegate::{Level, TopicPartition};
use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;

use crate::report::{Message, Sender};

/// A longer line is shown in pieces.
const LINE: usize = 4_096;
/// What is kept of the last line.
const REASON: usize = 200;

/// The last line that was not empty.
#[derive(Debug, Default)]
pub(super) struct Last(Mutex<String>);

impl Last {
    /// Takes it.
    pub(super) fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, line: &str) {
        let line = line.trim();
        if !line.is_empty() {
            let kept = line.chars().take(REASON).collect();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        }
    }
}

/// Reads to the end. What has come so far is in `last` whenever it is stopped.
pub(super) async fn follow(
    stderr: Option<ChildStderr>,
    last: &Last,
    reporter: Option<&Sender>,
    of: &TopicPartition,
    offset: i64,
) {
    let Some(mut stderr) = stderr else { return };
    let tell = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        last.set(&line);
        if let Some(reporter) = reporter {
            let line = line.trim_end_matches(['\r', '\n']);
            let message = Message::new(Level::Info, "command-stderr", line);
            reporter.message(message.of(of).with("offset", Value::from(offset)));
        }
    };
    let mut pending = Vec::new();
    let mut piece = [0; 1_024];
    while let Ok(count @ 1..) = stderr.read(&mut piece).await {
        pending.extend_from_slice(&piece[..count]);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            tell(&pending[..end]);
            pending.drain(..=end);
        }
        if pending.len() >= LINE {
            tell(&pending);
            pending.clear();
        }
    }
    if !pending.is_empty() {
        tell(&pending);
    }
}
