//! The file read again while a command runs.

use std::ffi::OsString;

use tidegate::Level;

use super::given::Given;
use super::{Loaded, Refused, live, load};
use crate::cli::Command;
use crate::exit::Failure;
use crate::report::Message;

/// What a command goes by, and how to read it again.
pub(crate) struct Reload {
    words: Vec<OsString>,
    given: Given,
}

impl Reload {
    /// `words` are the command line that `given` was read from.
    pub(crate) fn new(words: Vec<OsString>, given: Given) -> Self {
        Self { words, given }
    }

    /// The settings that the command goes by.
    pub(crate) fn given(&self) -> &Given {
        &self.given
    }

    /// Reads the file again, with the command line and the variables of the start over it. `apply` takes
    /// over what can change; if it does not take it, or the file cannot be used, all stays as it was.
    /// Says what came of it.
    pub(crate) fn again(
        &mut self,
        apply: impl FnOnce(&Command) -> Result<(), Failure>,
    ) -> Vec<Message> {
        let Some(file) = self.given.file() else {
            let words = "SIGHUP: there is nothing to read again, since no --config was given";
            return vec![Message::new(Level::Warning, "nothing-to-reload", words)];
        };
        let path = file.display().to_string();
        let loaded = match load(&self.words) {
            Ok(loaded) => loaded,
            Err(Refused::File(failure, _)) => return vec![refused(failure.message())],
            Err(Refused::Usage(error)) => {
                let words = error.render().to_string();
                return vec![refused(&format!("{path}: {}", words.trim()))];
            }
        };
        self.take_over(&path, loaded, apply)
    }

    fn take_over(
        &mut self,
        path: &str,
        loaded: Loaded,
        apply: impl FnOnce(&Command) -> Result<(), Failure>,
    ) -> Vec<Message> {
        let Loaded { cli, given } = loaded;
        let command = given.command().to_owned();
        let changed = given.changed_since(&self.given).into_iter();
        let (live, fixed): (Vec<_>, Vec<_>) = changed.partition(|key| live::is_live(&command, key));
        if !live.is_empty()
            && let Err(failure) = apply(&cli.command)
        {
            return vec![refused(&format!("{path}: {}", failure.message()))];
        }
        let now: Vec<_> = live.iter().map(|key| format!("{key} {}", given.told(key))).collect();
        let words = match (now.is_empty(), fixed.is_empty()) {
            (true, true) => format!("{path} was read again, and nothing is different"),
            (true, false) => {
                format!("{path} was read again, and nothing of it could be taken over")
            }
            (false, _) => format!("{path} was read again; from now on: {}", now.join(", ")),
        };
        let mut messages =
            vec![Message::new(Level::Info, "reloaded", words).with("changed", live.clone())];
        if !fixed.is_empty() {
            let each: Vec<_> = fixed.iter().map(|key| format!("{key}: needs a restart")).collect();
            let message = Message::new(Level::Warning, "needs-restart", each.join("; "));
            messages.push(message.with("settings", fixed.clone()));
        }
        // What could not be taken over is told again the next time.
        let live: Vec<_> = live.into_iter().map(str::to_owned).collect();
        self.given.take(given, &live);
        messages
    }
}

fn refused(why: &str) -> Message {
    let words = format!("nothing was changed: {why}");
    Message::new(Level::Error, "reload-refused", words)
}
