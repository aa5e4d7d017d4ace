//! Process groups of commands that run.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The process groups of all commands that run.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups(Arc<Mutex<HashSet<Pid>>>);

impl Groups {
    /// Remembers the group of a command that was just started with a group of its own.
    pub(super) fn watch(&self, leader: Pid) -> Group {
        self.lock().insert(leader);
        Group { of: self.clone(), leader: Some(leader) }
    }

    /// Kills all of them: this process is about to end.
    pub(super) fn kill_all(&self) {
        for leader in self.lock().drain() {
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One command's process group. Dropping it kills the whole group at once, unless the command was
/// [waited for](Self::ended) before.
#[derive(Debug)]
pub(super) struct Group {
    of: Groups,
    leader: Option<Pid>,
}

impl Group {
    /// The command has ended and was waited for: its id may belong to another process from now on,
    /// so it must not be killed any more.
    pub(super) fn ended(&mut self) {
        if let Some(leader) = self.leader.take() {
            self.of.lock().remove(&leader);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader.take()
            && self.of.lock().remove(&leader)
        {
            // An error means that nobody of it is left.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}
