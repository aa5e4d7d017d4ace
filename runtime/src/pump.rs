//! The loop between the source and the engine.
//!
//! One task (or one thread) owns the source. In each turn it serves the source's events
//! (`events`), the engine's timers and actions, gives back what is revoked (`revocation`), commits
//! (`commits`, `stalls`), reads what fits (`reading`), looks whether the run is over (`finish`), and sleeps
//! when none of it had anything to do. `turn` is that loop.

mod commits;
mod events;
mod finish;
mod reading;
mod revocation;
mod stalls;
mod turn;

pub(crate) use finish::Finished;
pub(crate) use turn::Pump;
