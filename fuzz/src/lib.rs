//! The targets as plain functions of bytes: a fuzzer calls them with what it invents, and
//! `tests/corpus.rs` with what was worth keeping. They panic when something is wrong, and for no
//! other reason.

#![allow(clippy::expect_used, reason = "to panic is how a target speaks")]

mod engine;
mod metadata;
mod replay;
#[cfg(feature = "settings")]
mod settings;
mod tape;

pub use engine::engine;
pub use metadata::metadata;
pub use replay::{replay_arguments, replay_folder};
#[cfg(feature = "settings")]
pub use settings::settings;
