//! A simulated world for Tidegate's engine: so far the tape that decides everything, the history
//! that a world writes, and the checkers that read it.

#![forbid(unsafe_code)]

pub mod checkers;
mod coverage;
pub mod history;
mod tape;

pub use coverage::{Coverage, Reached};
pub use tape::Tape;
