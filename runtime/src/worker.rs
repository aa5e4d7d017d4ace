//! The tasks that run handlers.
//!
//! A worker takes dispatches from the engine, a batch at a time, puts each future in one of its
//! slots and polls it there; what is pending is polled again when its waker rings. Outcomes are
//! handed in at the next lock. `doorbell` says what was woken, `slots` holds the futures, `pace`
//! decides how much to take at once, `turn` is the loop.

mod doorbell;
mod pace;
mod slots;
mod turn;

pub(crate) use doorbell::Doorbell;
pub(crate) use turn::Worker;
