//! The first signal drains, the second ends at once; SIGHUP has the file read again.

use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, sync_channel};
use std::task::Poll;
use std::time::Duration;

use tidegate::{Level, Monitor};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::cli::Command;
use crate::config::Reload;
use crate::exit::Failure;
use crate::report::{Message, Sender};

/// Signals so close together are one: `timeout`, and other wrappers that pass signals on, send each
/// to the process and to its group.
const SAME: Duration = Duration::from_millis(250);

/// Whether SIGHUP ends a run as SIGTERM does: when nothing can be read again and standard input is a
/// terminal, it means that the terminal is gone.
pub(crate) fn hangup_ends(reload: &Reload) -> bool {
    reload.given().file().is_none() && std::io::stdin().is_terminal()
}

/// SIGHUPs of a command that has its file read again, or `None` where the signal [ends](hangup_ends) it.
pub(crate) struct Hangups(Option<Receiver<()>>);

impl Hangups {
    /// Listens from now on. It is the first thing that a command does: whoever does not listen is ended by
    /// the signal, and whoever sends it does not know how far the command has come.
    ///
    /// # Errors
    /// When the signal cannot be listened to.
    pub(crate) fn listen(reload: &Reload) -> Result<Self, Failure> {
        if hangup_ends(reload) {
            return Ok(Self(None));
        }
        // The command has no runtime yet.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
        let mut hangup = {
            let _inside = runtime.enter();
            listen(SignalKind::hangup())?
        };
        let (ask, asked) = sync_channel(1);
        thread("tidegate-hangup", move || {
            runtime.block_on(async {
                while hangup.recv().await.is_some() {
                    // One that waits already will see what this one would.
                    let _ = ask.try_send(());
                }
            });
        })?;
        Ok(Self(Some(asked)))
    }

    /// Has the file read again at each of them, and tells what came of it. One that came before is served
    /// now.
    ///
    /// # Errors
    /// When there can be no thread for it.
    pub(crate) fn reload(
        self,
        mut reload: Reload,
        sender: Sender,
        apply: impl Fn(&Command) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let Some(asked) = self.0 else { return Ok(()) };
        // Reading a file may take long: it may be on a disk that is not there.
        thread("tidegate-reload", move || {
            while asked.recv().is_ok() {
                reload.again(&apply).into_iter().for_each(|message| sender.message(message));
            }
        })
    }
}

fn thread(name: &str, does: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(does);
    thread.map(|_| ()).map_err(|error| Failure::Failed(format!("cannot start a thread: {error}")))
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Failed(format!("cannot listen to signals: {error}")))
}

/// Completes at the first SIGINT or SIGTERM (and SIGHUP, if `hangup`). At the second one (a quarter of a
/// second later or more) the process ends with exit code 1,
/// after `kill` and after saying how many records will come again. Call it inside the runtime.
///
/// # Errors
/// When the signals cannot be listened to.
pub(crate) fn first(
    monitor: Monitor,
    sender: Sender,
    hangup: bool,
    kill: impl FnOnce() + Send + 'static,
) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    first_of(hangup, move || {
        // Before handlers end because of it: what they had will come again as well.
        let again = monitor.snapshot().repeats_after_kill();
        kill();
        sender.last_words(
            Message::new(
                Level::Error,
                "second-signal",
                format!(
                    "second signal: ending at once without a last commit; {again} records will be \
                     delivered again"
                ),
            )
            .with("delivered_again", again),
        );
    })
}

/// The same with other last words: `last` is called before the process ends at the second signal.
///
/// # Errors
/// When the signals cannot be listened to.
pub(crate) fn first_of(
    hangup: bool,
    last: impl FnOnce() + Send + 'static,
) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let kinds = kinds.into_iter().take(if hangup { 3 } else { 2 });
    let mut signals = kinds.map(listen).collect::<Result<Vec<_>, _>>()?;
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        next(&mut signals).await;
        // The run may be over already.
        let _ = tell.send(());
        let same = tokio::time::sleep(SAME);
        tokio::pin!(same);
        loop {
            tokio::select! {
                () = &mut same => break,
                () = next(&mut signals) => {}
            }
        }
        next(&mut signals).await;
        last();
        std::process::exit(1);
    });
    Ok(async move {
        if told.await.is_err() {
            // The runtime is going down and nobody listens any more.
            std::future::pending::<()>().await;
        }
    })
}

async fn next(signals: &mut [Signal]) {
    std::future::poll_fn(|context| {
        let any = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if any { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
