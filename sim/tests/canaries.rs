//! Every planted bug is found. Only in a build with the bugs in it:
//! `RUSTFLAGS='--cfg tidegate_canary' cargo test --release -p tidegate-sim --test canaries`

#![cfg(tidegate_canary)]
#![allow(clippy::panic)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidegate_sim::{Canary, Coverage, Tape, run};

/// For each, on one core.
const PATIENCE: Duration = Duration::from_secs(60);

/// One test, since only one bug can be awake in a process.
#[test]
fn every_planted_bug_is_found() {
    // The engine panics under some of them, which is one way to be found.
    std::panic::set_hook(Box::new(|_| {}));
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() / 86_400);
    let mut missed = Vec::new();
    for canary in Canary::ALL {
        canary.plant();
        // Other schedules every day, so that it is not one lucky seed that finds it.
        let (first, began) = (days << 20, Instant::now());
        let found = (first..).take_while(|_| began.elapsed() < PATIENCE).find_map(|seed| {
            let violation = run(&mut Tape::from_seed(seed), &mut Coverage::default()).violation?;
            Some((seed - first + 1, violation))
        });
        let name = canary.name();
        match found {
            Some((schedules, violation)) => {
                println!("{name:>22}: {} after {schedules} schedules", violation.invariant);
            }
            None => missed.push(name),
        }
    }
    assert!(missed.is_empty(), "not found within {PATIENCE:?}: {missed:?}");
}
