//! The first signal drains, the second ends at once.

use std::time::Duration;

use tidegate::{Level, Monitor};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::Failure;
use crate::report::{Message, Sender};

/// Signals so close together are one: `timeout`, and other wrappers that pass signals on, send each
/// to the process and to its group.
const SAME: Duration = Duration::from_millis(250);

/// Completes at the first SIGINT or SIGTERM. At the second one (a quarter of a
/// second later or more) the process ends with exit code 1,
/// after `kill` and after saying how many records will come again. Call it inside the runtime.
///
/// # Errors
/// When the signals cannot be listened to.
pub(crate) fn first(
    monitor: Monitor,
    sender: Sender,
    kill: impl FnOnce() + Send + 'static,
) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    first_of(move || {
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
    last: impl FnOnce() + Send + 'static,
) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::Failed(format!("cannot listen to signals: {error}")))
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        // The run may be over already.
        let _ = tell.send(());
        let same = tokio::time::sleep(SAME);
        tokio::pin!(same);
        loop {
            tokio::select! {
                () = &mut same => break,
                () = next(&mut interrupt, &mut terminate) => {}
            }
        }
        next(&mut interrupt, &mut terminate).await;
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

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
