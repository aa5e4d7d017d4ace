//! The closed loop on a real broker: producers that would send more than a consumer can do, and what
//! becomes of backlog, throughput and shares while the consumer slows down, recovers, is restarted
//! and is stopped; beside a consumer that is not Tidegate's, and behind a record that never ends.
//!
//! By default two producers play a short form, with bounds that a loaded machine keeps and a broken
//! loop does not. The long form plays everything, prints each goal beside what was measured, and
//! draws what `docs/closed-loop.md` shows:
//! `TIDEGATE_LONG=1 cargo test --release -p tidegate --test closed_loop -- --nocapture`.
//!
//! Reading order: `consumers`, `producers`, `world` (both on a topic, watched), `scenarios` (what
//! happens), `judge` (the numbers), `report` and `plot`.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod consumers;
mod judge;
mod plot;
mod producers;
mod report;
mod scenarios;
mod world;

use report::Report;

#[test]
fn producers_follow_a_consumer_that_slows_down_is_restarted_and_stops() {
    let mut reports: Vec<Report> = Vec::new();
    if long() {
        reports.extend([1, 2, 4].map(scenarios::life_of_a_consumer));
        reports.push(scenarios::plain_consumer());
        reports.extend([scenarios::poison_by_partition(), scenarios::poison_by_key()]);
        reports.iter().for_each(Report::draw);
    } else {
        reports.push(scenarios::life_of_a_consumer(2));
    }
    reports.iter().for_each(Report::print);
    reports.iter().for_each(Report::assert);
}

/// Whether the long form is asked for.
fn long() -> bool {
    std::env::var_os("TIDEGATE_LONG").is_some_and(|value| value != "0")
}

/// So many seconds in the short form, or so many in the long one.
fn seconds(short: u64, long_form: u64) -> f64 {
    (if long() { long_form } else { short }) as f64
}
