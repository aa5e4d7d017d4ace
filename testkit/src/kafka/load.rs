//! Records that go on coming while something happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Fill, Properties, Written, produce};

/// How often a few records are sent.
const TICK: Duration = Duration::from_millis(20);

/// A producer on a thread of its own that sends records at a steady rate.
///
/// It is idempotent, so that every record is written once, in order, whatever becomes of the
/// brokers; and it is patient: it goes on trying for a minute.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Written>>,
}

impl Load {
    /// Sends the records that `fill` describes, so many a second, until they have been sent or
    /// it is stopped.
    ///
    /// # Panics
    /// When no thread can be started. On its thread, when a record is refused.
    #[must_use]
    pub fn start(properties: &Properties, fill: Fill, per_second: u32) -> Self {
        let mut properties = properties.clone();
        for (name, value) in [("enable.idempotence", "true"), ("message.timeout.ms", "60000")] {
            properties.push((name.to_owned(), value.to_owned()));
        }
        let stop = Arc::<AtomicBool>::default();
        let thread = thread::Builder::new().name("load".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut sending = produce::Sending::start(&properties, fill.topic());
                let begun = Instant::now();
                for (sent, record) in (0..).zip(fill.iter()) {
                    // By the clock and not by the tick, so that the rate is kept on a busy machine.
                    while sent >= begun.elapsed().as_millis() as u64 * u64::from(per_second) / 1_000
                    {
                        sending.serve();
                        if stop.load(Ordering::SeqCst) {
                            return sending.finish();
                        }
                        thread::sleep(TICK);
                    }
                    sending.send(&record);
                }
                sending.finish()
            }
        });
        Self { stop, thread: thread.expect("a thread") }
    }

    /// Sends nothing more, waits for the acknowledgements and says where everything went.
    ///
    /// # Panics
    /// When a record was refused.
    #[must_use]
    pub fn stop(self) -> Vec<Written> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("every record is acknowledged")
    }
}
