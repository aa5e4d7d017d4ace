//! Playing scenarios on as many threads as there are processors.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_sim::lab::{Played, Scenario, Strategy, play};

use crate::exit::Failure;

/// Plays a scenario under each of its strategies, in their order.
pub(super) fn side_by_side(scenario: &Scenario) -> Result<Vec<Played>, Failure> {
    let all: Vec<_> = scenario.strategies.iter().map(|strategy| (scenario, *strategy)).collect();
    all_of(&all)
}

/// Plays all of these. Each is the same whatever runs beside it.
pub(super) fn all_of(runs: &[(&Scenario, Strategy)]) -> Result<Vec<Played>, Failure> {
    let next = AtomicUsize::new(0);
    let results: Vec<_> = runs.iter().map(|_| Mutex::new(None)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(runs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((scenario, strategy)) = runs.get(index) else { return };
                    let played = play(scenario, *strategy);
                    if let Ok(mut result) = results[index].lock() {
                        *result = Some(played);
                    }
                }
            });
        }
    });
    let found = results.into_iter().map(|result| result.into_inner().ok().flatten());
    found
        .map(|played| match played {
            Some(Ok(played)) => Ok(played),
            Some(Err(error)) => Err(Failure::Usage(error.to_string())),
            None => Err(Failure::Failed("a run ended without a result".to_owned())),
        })
        .collect()
}
