//! What a handler can say: done, skip, try again, slow down. And what follows from it.
//!
//! ```sh
//! cargo run -p tidegate-runtime --example memory_outcomes
//! ```

use std::error::Error;
use std::time::Duration;

use tidegate_engine::{AfterLastAttempt, Backoff, Config};
use tidegate_runtime::memory::{MemoryLog, NewRecord};
use tidegate_runtime::{Consumer, Outcome, Record, Settings};

/// Whatever converts into an outcome may be returned: `()`, a `Result`, or an [`Outcome`].
async fn handle(record: Record) -> Result<Outcome, std::str::Utf8Error> {
    let text = std::str::from_utf8(record.value().unwrap_or_default())?;
    let first = record.attempt() == 1;
    Ok(match text {
        // Finished without being processed.
        "not for us" => Outcome::Skip,
        // A failed attempt. Later records of its key wait; those of other keys do not.
        "flaky" if first => Outcome::retry("connection reset"),
        // The same with a delay of the handler's choice.
        "throttled" if first => Outcome::retry_after(Duration::from_millis(50), "come back later"),
        // Fails until its attempts are used up, as an error (a value that is not UTF-8) does.
        "poison" => Outcome::retry("will never work"),
        _ => Outcome::Done,
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let log = MemoryLog::new();
    log.create_topic("orders", 2)?;
    for value in ["fine", "not for us", "flaky", "throttled", "poison", "fine"] {
        log.produce("orders", NewRecord::value(value).key(value))?;
    }
    log.produce("orders", NewRecord::value([0xff, 0xfe]).key("not text"))?;

    let engine = Config {
        max_attempts: 3,
        // What used up its attempts is lost to the handler. The default stops the partition.
        after_last_attempt: AfterLastAttempt::Skip,
        backoff: Backoff { initial: Duration::from_millis(10), max: Duration::from_secs(1) },
        ..Config::default()
    };
    let settings = Settings { engine, until_end: true, ..Settings::default() };
    let summary = Consumer::new(log.source("billing", ["orders"]), settings)?
        .on_event(|event| println!("{event}"))
        .run(handle)
        .await?;

    let counters = summary.counters;
    assert_eq!((counters.done, counters.skipped, counters.given_up), (4, 1, 2));
    // Two that worked the second time, and two with three attempts each.
    assert_eq!(counters.failed, 8);
    println!("{summary}");
    Ok(())
}
