//! The live screen, and the keys.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use tidegate_sim::lab::{Played, Scenario};
use tokio::sync::mpsc;

use crate::lab::text::{self, Look};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Slower,
    Faster,
    AddProducer,
    Quit,
}

/// A terminal that gives each key at once, until this is dropped.
pub(super) struct Keys(Option<Termios>);

impl Keys {
    /// Begins to read keys, if standard input is a terminal.
    pub(super) fn listen(tell: mpsc::Sender<Key>) -> Self {
        let stdin = std::io::stdin();
        let Ok(before) = tcgetattr(stdin.as_fd()) else { return Self(None) };
        let mut raw = before.clone();
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        if tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).is_err() {
            return Self(None);
        }
        // It ends with the process: reading a terminal cannot be given up.
        std::thread::spawn(move || {
            let mut byte = [0];
            while let Ok(1) = std::io::stdin().read(&mut byte) {
                let key = match byte[0] {
                    b's' | b'-' => Key::Slower,
                    b'f' | b'+' => Key::Faster,
                    b'p' => Key::AddProducer,
                    b'q' => Key::Quit,
                    _ => continue,
                };
                if tell.blocking_send(key).is_err() {
                    return;
                }
            }
        });
        Self(Some(before))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Nothing can be done if the terminal is gone.
            let _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSANOW, before);
        }
    }
}

/// A picture that is painted over itself.
pub(super) struct Screen {
    look: Look,
    lines: usize,
}

impl Screen {
    pub(super) fn new(look: Look) -> Self {
        Self { look, lines: 0 }
    }

    /// Paints how it is now.
    pub(super) fn paint(&mut self, scenario: &Scenario, played: &Played, news: &str) {
        let frame = text::frame(scenario, played, news, self.look);
        let mut painted = String::new();
        if self.lines > 0 {
            painted.push_str(&format!("\u{1b}[{}A", self.lines));
        }
        self.lines = frame.lines().count();
        for line in frame.lines() {
            painted.push_str(line);
            painted.push_str("\u{1b}[K\n");
        }
        painted.push_str("\u{1b}[J");
        let mut out = std::io::stdout().lock();
        // A picture that cannot be shown is not missed.
        let _ = out.write_all(painted.as_bytes()).and_then(|()| out.flush());
    }

    /// Takes it away.
    pub(super) fn clear(&mut self) {
        if self.lines > 0 {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\u{1b}[{}A\u{1b}[J", self.lines);
            let _ = out.flush();
        }
    }
}
