//! What libraries trace, such as the Kafka client's own log: shown with `-vv`.

use std::io::{self, Write};

use tidegate::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::{Message, Sender};
use crate::settings::OutputArgs;

/// Sends everything that is traced to the reporter, if `-vv` wants it.
pub(super) fn install(output: &OutputArgs, sender: &Sender) {
    if output.verbose < 2 {
        return;
    }
    // A second one in the same process, and a filter that cannot be read, change nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::builder()
                .with_env_var("TIDEGATE_LOG")
                .with_default_directive(tracing_subscriber::filter::LevelFilter::DEBUG.into())
                .from_env_lossy(),
        )
        .with_ansi(false)
        .without_time()
        .with_writer(Lines(sender.clone()))
        .try_init();
}

/// Makes a message of each line.
#[derive(Clone)]
struct Lines(Sender);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.message(Message::new(Level::Debug, "log", text.trim()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
