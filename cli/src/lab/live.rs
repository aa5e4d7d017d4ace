//! `--live`: a scenario on the clock, with the real runtime and a log in memory, or on a cluster.
//!
//! `play` is a run from beginning to end, `place` where its records are kept. `state` is what everybody shares, `downstream` what handlers
//! call, `produce` the producers with `sink` (where their records go), `meter` what is measured,
//! `screen` the picture and the keys.

mod downstream;
mod meter;
mod place;
mod play;
mod produce;
mod screen;
mod sink;
mod state;

use tidegate_sim::lab::{Change, Played, Scenario, Strategy};

use super::words;
use crate::exit::Failure;
use crate::settings::Connection;

/// What is played unless something else is asked for.
pub(super) const USUAL: Strategy = Strategy::ClosedLoop { permits: 600 };

/// Plays a scenario in real time under its one strategy.
pub(super) fn run(
    scenario: &Scenario,
    connection: Option<Connection>,
    show: Option<super::Look>,
) -> Result<Played, Failure> {
    let strategy = the_one(scenario)?;
    check(scenario)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
    let played = runtime.block_on(play::play(scenario, strategy, connection, show));
    runtime.shutdown_background();
    played
}

fn the_one(scenario: &Scenario) -> Result<Strategy, Failure> {
    match scenario.strategies[..] {
        [strategy] => Ok(strategy),
        _ => Err(Failure::Usage("--live plays one strategy: give one --strategy".to_owned())),
    }
}

/// Whether it can be played on the clock, by one process that must not die.
fn check(scenario: &Scenario) -> Result<(), Failure> {
    if scenario.consumers.members > 1 {
        return Err(Failure::Usage(
            "--live plays one consumer: add --set consumers.members=1".to_owned(),
        ));
    }
    let cannot = scenario.events.iter().find(|event| {
        !matches!(
            event.change,
            Change::Downstream { .. } | Change::Rate { .. } | Change::HotKey { .. }
        )
    });
    match cannot {
        Some(event) => Err(Failure::Usage(format!(
            "--live cannot play an event of {}: {}; it can change downstream, rate and hot_key",
            scenario.name,
            words::change(&event.change)
        ))),
        None => Ok(()),
    }
}
