//! A simulated world for Tidegate's engine.
//!
//! A log, a group, members and handlers live on virtual time, and one tape of bytes decides
//! everything that happens. The engine is the real one; everything around it misbehaves.

#![forbid(unsafe_code)]

pub mod checkers;
mod coverage;
pub mod history;
pub mod lab;
mod shrink;
mod tape;
mod world;

pub use coverage::{Coverage, Reached};
pub use shrink::shrink;
pub use tape::Tape;
#[cfg(tidegate_canary)]
pub use tidegate_engine::Canary;
pub use world::{Finished, run, run_and_keep};
