//! What happens during a run, on standard error.
//!
//! `line` is one message in text or JSON, `event` puts the library's events into it, `burst` sums up
//! failed attempts when there are many, `progress` is the line that is redrawn on a terminal, `log` takes what is traced. The [`Reporter`] is the
//! only one that writes: a thread behind a bounded queue, so that a slow terminal holds up nothing.

mod burst;
mod event;
mod line;
mod log;
mod progress;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tidegate::{Event, Level};

use crate::settings::{Format, OutputArgs};
use burst::Burst;
pub(crate) use event::{CLOSED, EXPECTED, TARGET};
pub(crate) use line::Message;
pub(crate) use progress::{Lag, Progress, Rate, whole};

/// How many messages may wait; more are counted and not shown.
const QUEUE: usize = 1_024;
/// How often the progress line is drawn.
const REDRAW: Duration = Duration::from_millis(200);

/// How long the last words of a process may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A number with commas between its thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What is drawn as the progress line.
pub(crate) trait ProgressLine: Send {
    /// The line as it is now.
    fn line(&mut self) -> String;
}

/// What the reporter's thread is told.
enum Order {
    /// Show this.
    Message(Message),
    /// Draw this from now on.
    Progress(Box<dyn ProgressLine>),
    /// Answer when everything before this is written.
    Flush(SyncSender<()>),
    /// As `Flush`, and then go.
    Stop(SyncSender<()>),
}

/// Writes messages to standard error from a thread of its own, and ends it when dropped.
pub(crate) struct Reporter {
    sender: Sender,
}

/// Tells the reporter. Never blocks.
#[derive(Clone)]
pub(crate) struct Sender {
    queue: SyncSender<Order>,
    dropped: Arc<AtomicU64>,
    least: Level,
}

impl Reporter {
    /// Starts the thread.
    pub(crate) fn start(output: &OutputArgs) -> Self {
        let (queue, orders) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let least = match (output.quiet, output.verbose) {
            (true, _) => Level::Error,
            (_, 0) => Level::Info,
            _ => Level::Debug,
        };
        let sender = Sender { queue, dropped: Arc::clone(&dropped), least };
        log::install(output, &sender);
        let (format, burst) = (output.format(), Burst::default());
        let screen = Screen { format, dropped, burst, progress: None, drawn: false };
        // Without a thread nothing is shown; there is nobody who could be told.
        let _ = std::thread::Builder::new()
            .name("tidegate-report".to_owned())
            .spawn(move || screen.run(&orders));
        Self { sender }
    }

    /// What others tell it with.
    pub(crate) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Draws this progress from now on.
    pub(crate) fn show(&self, progress: impl ProgressLine + 'static) {
        let _ = self.sender.queue.send(Order::Progress(Box::new(progress)));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.sender.finish(Order::Stop);
    }
}

impl Sender {
    /// Shows a message if its level is wanted.
    pub(crate) fn message(&self, message: Message) {
        if message.level < self.least {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Order::Message(message)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shows a message whatever its level, and waits for a moment until it is written: the process
    /// is about to end.
    pub(crate) fn last_words(&self, message: Message) {
        if self.queue.try_send(Order::Message(message)).is_ok() {
            self.finish(Order::Flush);
        }
    }

    /// Waits until everything is written, but not for long: when nobody reads standard error, a
    /// write to it may never return, and the process has to end all the same.
    fn finish(&self, order: impl FnOnce(SyncSender<()>) -> Order) {
        let deadline = Instant::now() + LAST_WORDS;
        let (answer, answered) = sync_channel(1);
        let mut order = order(answer);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(order) {
            if Instant::now() > deadline {
                return;
            }
            order = back;
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = answered.recv_timeout(LAST_WORDS);
    }

    /// Shows an event if its level is wanted.
    pub(crate) fn event(&self, event: &Event) {
        if event::level(event) >= self.least {
            self.message(event::message(event));
        }
    }

    /// Shows an event if something is wrong.
    pub(crate) fn quiet_event(&self, event: &Event) {
        if event.level() >= Level::Warning {
            self.event(event);
        }
    }
}

/// The reporter's thread: standard error belongs to it.
struct Screen {
    format: Format,
    dropped: Arc<AtomicU64>,
    burst: Burst,
    progress: Option<Box<dyn ProgressLine>>,
    /// Whether the last line is a progress line that has to go before anything else is written.
    drawn: bool,
}

impl Screen {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut redraw = Instant::now();
        let mut finished = None;
        loop {
            let redraws = self.progress.is_some().then_some(redraw);
            let order = match redraws.into_iter().chain(self.burst.due()).min() {
                Some(until) => orders.recv_timeout(until.saturating_duration_since(Instant::now())),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            self.sum_up(Some(Instant::now()));
            match order {
                Ok(Order::Message(message)) => self.show(message),
                Ok(Order::Flush(answer)) => {
                    let _ = answer.try_send(());
                }
                Ok(Order::Progress(progress)) => self.progress = Some(progress),
                Ok(Order::Stop(answer)) => {
                    finished = Some(answer);
                    break;
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= redraw {
                redraw = Instant::now() + REDRAW;
                self.tell_dropped();
                self.draw();
            }
        }
        self.sum_up(None);
        self.tell_dropped();
        self.clear();
        if let Some(answer) = finished {
            let _ = answer.try_send(());
        }
    }

    /// Writes a message, or counts it as one of many.
    fn show(&mut self, message: Message) {
        let message = match self.format {
            Format::Json => Some(message),
            Format::Text { .. } => self.burst.take(message, Instant::now()),
        };
        if let Some(message) = message {
            self.write(&message);
        }
    }

    /// Tells what was left out in a second that is over, or until the end.
    fn sum_up(&mut self, now: Option<Instant>) {
        if let Some(summary) = self.burst.summary(now) {
            self.write(&summary);
        }
    }

    /// Errors are ignored: without standard error nobody can be told.
    fn write(&mut self, message: &Message) {
        self.clear();
        let _ = writeln!(io::stderr().lock(), "{}", self.format.line(message));
    }

    fn tell_dropped(&mut self) {
        match self.dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            count => self.write(&Message::new(
                Level::Warning,
                "messages-left-out",
                format!("{count} more messages came too fast to be shown"),
            )),
        }
    }

    fn draw(&mut self) {
        if let Some(progress) = &mut self.progress {
            let width = terminal_size::terminal_size_of(io::stderr());
            let width = width.map_or(80, |(width, _)| usize::from(width.0));
            // A line that wraps could not be cleared.
            let line: String = progress.line().chars().take(width.saturating_sub(1)).collect();
            let _ = write!(io::stderr().lock(), "\r\x1b[2K{line}");
            self.drawn = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }
}
