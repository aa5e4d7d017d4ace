//! What the client logs goes to `tracing`.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::ConsumerContext;

/// Takes the client's log lines. Events are taken from its queue instead.
pub(crate) struct Context;

impl ClientContext for Context {
    fn log(&self, level: Level, facility: &str, text: &str) {
        match level {
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(target: "librdkafka", facility, "{text}");
            }
            Level::Warning => tracing::warn!(target: "librdkafka", facility, "{text}"),
            Level::Notice | Level::Info => {
                tracing::info!(target: "librdkafka", facility, "{text}");
            }
            Level::Debug => tracing::debug!(target: "librdkafka", facility, "{text}"),
        }
    }
}

impl ConsumerContext for Context {}

/// librdkafka's levels are syslog's.
pub(crate) fn log_level(level: i32) -> Level {
    match level {
        i32::MIN..=3 => Level::Error,
        4 => Level::Warning,
        5 | 6 => Level::Info,
        _ => Level::Debug,
    }
}
