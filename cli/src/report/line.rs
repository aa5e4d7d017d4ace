//! One message, in text or as JSON.

use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value};
use tidegate::{Level, TopicPartition};

use crate::settings::Format;

/// One message on standard error.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// How much it matters.
    pub(crate) level: Level,
    /// What kind of thing happened, as JSON names it.
    kind: &'static str,
    /// In words.
    text: String,
    /// What JSON has besides.
    fields: Map<String, Value>,
}

impl Message {
    /// A message of a kind.
    pub(crate) fn new(level: Level, kind: &'static str, text: impl Into<String>) -> Self {
        Self { level, kind, text: text.into(), fields: Map::new() }
    }

    /// With a field for JSON.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Whether it is one of the messages that come by the hundred when a downstream is dead.
    pub(super) fn is_failed_attempt(&self) -> bool {
        matches!(self.kind, "attempt-failed" | "overloaded")
    }

    /// This one, as the latest of several.
    pub(super) fn summed_up(mut self, several: &str) -> Self {
        self.text = format!("{several}, latest: {}", self.text);
        self
    }

    /// In words.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// With topic and partition for JSON.
    pub(crate) fn of(self, partition: &TopicPartition) -> Self {
        self.with("topic", &*partition.topic).with("partition", partition.partition)
    }
}

impl Format {
    /// The message's line.
    pub(crate) fn line(self, message: &Message) -> String {
        let Message { level, kind, text, fields } = message;
        match self {
            Self::Json => {
                let mut line = Map::new();
                let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
                line.insert("time".to_owned(), time.into());
                line.insert("level".to_owned(), name(*level).into());
                line.insert("event".to_owned(), (*kind).into());
                line.extend(fields.clone());
                line.insert("message".to_owned(), text.as_str().into());
                Value::Object(line).to_string()
            }
            Self::Text { colour } => {
                let style = if colour { style(*level) } else { Style::new() };
                match level {
                    Level::Info => text.clone(),
                    level => format!("{style}{}{style:#}: {text}", name(*level)),
                }
            }
        }
    }

    /// The line of a command that failed.
    pub(crate) fn failure(self, message: &str) -> String {
        self.line(&Message::new(Level::Error, "failed", message))
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

fn style(level: Level) -> Style {
    match level {
        Level::Debug => Style::new().dimmed(),
        Level::Info => Style::new(),
        Level::Warning => AnsiColor::Yellow.on_default().bold(),
        Level::Error => AnsiColor::Red.on_default().bold(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_colours_only_where_wanted_and_json_has_all_fields() {
        let message = Message::new(Level::Warning, "stuck", "orders/1 is stuck")
            .of(&TopicPartition::new("orders", 1))
            .with("offset", 7);
        let text = Format::Text { colour: false }.line(&message);
        assert_eq!(text, "warning: orders/1 is stuck");
        assert!(Format::Text { colour: true }.line(&message).contains("\x1b["));
        let json: Value = serde_json::from_str(&Format::Json.line(&message)).unwrap();
        assert_eq!(json["event"], "stuck");
        assert_eq!(json["level"], "warning");
        assert_eq!((&json["topic"], &json["offset"]), (&"orders".into(), &7.into()));
        assert_eq!(json["message"], "orders/1 is stuck");
    }
}
