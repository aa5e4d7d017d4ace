//! So many a second, evenly.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What was not used may be made up for, up to this much.
const SLACK: Duration = Duration::from_millis(100);

/// Gives turns.
pub(super) struct Pace {
    each: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many turns a second.
    pub(super) fn new(rate: u32) -> Self {
        Self { each: Duration::from_secs(1) / rate.max(1), next: Mutex::new(None) }
    }

    /// Waits for a turn. One that is dropped is lost.
    pub(super) async fn turn(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let earliest = now.checked_sub(SLACK).unwrap_or(now);
            let turn = next.map_or(now, |next| next.max(earliest));
            *next = Some(turn + self.each);
            turn
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_evenly_and_an_idle_time_is_not_made_up_for() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (pace, start) = (Pace::new(10), Instant::now());
            for _ in 0..11 {
                pace.turn().await;
            }
            assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
            assert!(start.elapsed() < Duration::from_millis(1_100), "{:?}", start.elapsed());
            tokio::time::sleep(Duration::from_secs(60)).await;
            let again = Instant::now();
            for _ in 0..11 {
                pace.turn().await;
            }
            assert!(again.elapsed() >= Duration::from_millis(800), "{:?}", again.elapsed());
        });
    }
}
