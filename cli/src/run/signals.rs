//! The first signal drains, the second ends at once; SIGHUP has the file read again.

use std::io::IsTerminal as _;
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

/// Has the file read again at each SIGHUP, and tells what came of it. Nothing is done where the signal
/// [ends](hangup_ends) the run. Call it inside the runtime.
///
/// # Errors
/// When the signal cannot be listened to.
pub(crate) fn reload_on_hangup(
    mut reload: Reload,
    sender: Sender,
    apply: impl Fn(&Command) -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    if hangup_ends(&reload) {
        return Ok(());
    }
    let mut hangup = listen(SignalKind::hangup())?;
    // Reading a file may take long: it may be on a disk that is not there.
    let (ask, asked) = std::sync::mpsc::sync_channel::<()>(1);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // One that waits already will see what this one would.
            let _ = ask.try_send(());
        }
    });
    let reads = move || {
        while asked.recv().is_ok() {
            reload.again(&apply).into_iter().for_each(|message| sender.message(message));
        }
    };
    let thread = std::thread::Builder::new().name("tidegate-reload".to_owned()).spawn(reads);
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
        kill();
        let again = monitor.snapshot().repeats_after_kill();
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
