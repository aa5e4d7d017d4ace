//! Test-only: real Kafka brokers, independent clients, the history of a run and its judge.
//!
//! A test on real Kafka has four steps, and each has its module:
//!
//! 1. [`kafka`]: start a broker ([`kafka::Broker`]), create topics ([`kafka::Admin`]) and fill
//!    them ([`kafka::produce`]). Nothing here uses Tidegate's own Kafka code.
//! 2. Run the code under test, with a [`history::HistoryWriter`] inside its handler. The
//!    history is on disk after every event, so it survives `kill -9`.
//! 3. Read the committed offsets back with an independent client ([`kafka::offsets`]).
//! 4. Give the history to the [`judge::Judge`], which knows the invariants.
//!
//! ```no_run
//! use tidegate_testkit::{
//!     history::{History, HistoryWriter},
//!     judge::{Judge, Ordering},
//!     kafka::{Broker, Fill, NewTopic},
//! };
//!
//! let broker = Broker::shared();
//! broker.admin().create_topic(NewTopic::new("orders").partitions(3));
//! let written = broker.fill(&Fill::new("orders").records(1_000).keys(50));
//!
//! let folder = tempfile::tempdir().expect("a temporary folder");
//! let path = folder.path().join("history");
//! let history = HistoryWriter::open(&path, "member-1").expect("history file");
//! // In the handler: let seen = history.start(topic, partition, offset, key, attempt);
//! //                 ... the work ...
//! //                 seen.end(Ending::Done);
//!
//! Judge::expecting_written(&written)
//!     .ordering(Ordering::Key)
//!     .limit(100)
//!     .max_repeats(0)
//!     .check(&History::read(&path).expect("history"))
//!     .assert_ok();
//! # drop(history);
//! ```
//!
//! The crate panics where a production crate would return an error: a test can do nothing
//! better, and the message names what failed.
#![allow(clippy::expect_used, clippy::unwrap_used)]

pub mod history;
pub mod judge;
pub mod kafka;
pub mod process;
