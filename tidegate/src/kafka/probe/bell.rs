//! How the probe's thread is woken: by its clients' threads, and by itself after a while.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Rings; any number of rings before a wait is one.
#[derive(Clone)]
pub(super) struct Ringer(SyncSender<()>);

/// Is waited for.
pub(super) struct Bell(Receiver<()>);

pub(super) fn bell() -> (Ringer, Bell) {
    let (ringer, bell) = sync_channel(1);
    (Ringer(ringer), Bell(bell))
}

impl Ringer {
    pub(super) fn ring(&self) {
        // Full: it rings already. Without a bell nobody waits any more.
        let _ = self.0.try_send(());
    }
}

impl Bell {
    /// Waits for a ring, and for so long at most.
    pub(super) fn wait(&self, longest: Duration) {
        // A ring, the time, or nobody who could ring: all of them end the wait.
        let _ = self.0.recv_timeout(longest);
    }
}
