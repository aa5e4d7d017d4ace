//! Playing one schedule after another on all cores, until time is up or a promise is broken.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidegate_sim::checkers::Violation;
use tidegate_sim::{Coverage, Tape, run};

/// Every so many schedules one is played twice.
const TWICE: u64 = 1_000;

/// What the schedules came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) schedules: u64,
    pub(crate) records: u64,
    pub(crate) coverage: Coverage,
    pub(crate) failed: Option<Failed>,
}

/// A schedule that broke a promise.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) seed: Option<u64>,
    pub(crate) tape: Vec<u8>,
    pub(crate) violation: Violation,
}

/// Plays the seeds from `first` on.
pub(crate) fn search(first: u64, time: Duration) -> Totals {
    let until = Instant::now() + time;
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let totals = Mutex::new(Totals::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut own = Totals::default();
                while Instant::now() < until && !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let seed = first.wrapping_add(number);
                    own.play_seed(seed, number % TWICE == 0);
                    if own.failed.is_some() {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                if let Ok(mut all) = totals.lock() {
                    all.add(own);
                }
            });
        }
    });
    totals.into_inner().unwrap_or_default()
}

impl Totals {
    pub(crate) fn play_seed(&mut self, seed: u64, twice: bool) {
        self.play(Tape::from_seed(seed), Some(seed), twice);
    }

    pub(crate) fn play(&mut self, mut tape: Tape, seed: Option<u64>, twice: bool) {
        let finished = run(&mut tape, &mut self.coverage);
        self.schedules += 1;
        self.records += finished.records;
        let mut violation = finished.violation;
        if twice && violation.is_none() {
            let mut again = Tape::from_bytes(tape.read().to_vec());
            if run(&mut again, &mut Coverage::default()).hash != finished.hash {
                let text = "the same tape gave another run".to_owned();
                violation = Some(Violation { invariant: "determinism", text, at: 0 });
            }
        }
        if let Some(violation) = violation {
            self.failed = Some(Failed { seed, tape: tape.read().to_vec(), violation });
        }
    }

    fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.records += other.records;
        self.coverage.merge(&other.coverage);
        self.failed = self.failed.take().or(other.failed);
    }
}
