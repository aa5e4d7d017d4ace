//! Real faults, on a cluster of three brokers.
//!
//! Each test has a short form, which is what runs by default, and a long one with more rounds:
//! `TIDEGATE_LONG=1 cargo test --release -p tidegate --test cluster`.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod brokers;
mod members;
mod network;
mod trial;
mod truncation;

/// How often something is done: so often by default, or so often in the long form.
fn rounds(short: u32, long: u32) -> u32 {
    match std::env::var_os("TIDEGATE_LONG").is_some_and(|value| value != "0") {
        true => long,
        false => short,
    }
}
