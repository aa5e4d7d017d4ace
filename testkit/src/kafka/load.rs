//! Records that go on coming while something happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
    acknowledged: Arc<AtomicU64>,
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
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let thread = thread::Builder::new().name("load".to_owned()).spawn({
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            move || {
                let mut sending = produce::Sending::start(&properties, fill.topic());
                let begun = Instant::now();
                for (sent, record) in (0..).zip(fill.iter()) {
                    // By the clock and not by the tick, so that the rate is kept on a busy machine.
                    while sent >= begun.elapsed().as_millis() as u64 * u64::from(per_second) / 1_000
                    {
                        acknowledged.store(sending.acknowledged(), Ordering::SeqCst);
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
        Self { stop, acknowledged, thread: thread.expect("a thread") }
    }

    /// How many records were acknowledged, a moment ago.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
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
