//! What a handler can say of a record, and what follows from it. Reads to the end and stops.
//!
//! ```sh
//! cargo run --release -p tidegate --example outcomes -- localhost:9092 orders outcomes
//! ```

use std::time::Duration;

use tidegate::{AfterLastAttempt, Backoff, Consumer, Event, Level, Outcome, Record};

/// Whatever converts into an outcome may be returned: `()`, a `Result`, or an [`Outcome`].
async fn handle(record: Record) -> Result<Outcome, std::str::Utf8Error> {
    let Some(value) = record.value() else {
        // Finished without being processed.
        return Ok(Outcome::Skip);
    };
    // An error is a failed attempt: tried again after a backoff, while other keys flow.
    let text = std::str::from_utf8(value)?;
    Ok(match text {
        // A failed attempt with a delay of the handler's choice.
        "later" if record.attempt() == 1 => {
            Outcome::retry_after(Duration::from_secs(1), "come back later")
        }
        // What the handler calls is overloaded. Costs the record no attempt.
        "busy" => Outcome::overloaded(Some(Duration::from_millis(500)), "429 from the target"),
        _ => Outcome::Done,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or_else(|| default.to_owned());

    let consumer = Consumer::builder()
        .brokers(arg("localhost:9092"))
        .topic(arg("orders"))
        .group(arg("outcomes"))
        .max_attempts(3)
        .backoff(Backoff { initial: Duration::from_millis(50), max: Duration::from_secs(5) })
        // The default, which loses nothing: the partition stops at a record that fails for good.
        // `Skip` gives the record up and goes on.
        .after_last_attempt(AfterLastAttempt::StopPartition)
        .until_end(true)
        .build()?;

    let summary = consumer
        .on_event(|event: &Event| {
            if event.level() >= Level::Warning {
                eprintln!("{event}");
            }
        })
        .run(handle)
        .await?;
    println!("{summary}");
    for stopped in &summary.stopped {
        println!("{stopped}");
    }
    Ok(())
}
