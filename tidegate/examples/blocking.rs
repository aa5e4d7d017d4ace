//! A handler that blocks its thread, on a pool of threads of its own. Reads to the end and stops.
//!
//! ```sh
//! cargo run --release -p tidegate --example blocking -- localhost:9092 images thumbnails
//! ```

use std::time::Duration;

use tidegate::{Consumer, Record, blocking};

fn scale(record: &Record) -> Result<(), &'static str> {
    for _ in 0..4 {
        // Nothing can stop a thread. Work that looks at its token between two steps ends soon after
        // its time is up; work that does not may overlap with the next owner of its partition.
        if record.cancellation().is_cancelled() {
            return Err("stopped half-way");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or_else(|| default.to_owned());

    let consumer = Consumer::builder()
        .brokers(arg("localhost:9092"))
        .topic(arg("images"))
        .group(arg("thumbnails"))
        .max_in_flight(32)
        .handler_timeout(Duration::from_secs(10))
        .until_end(true)
        .build()?;

    // As many threads as handlers may be in flight; with fewer, records wait for a thread while
    // their timeout runs.
    let handler = blocking(|record: Record| scale(&record)).threads(32);
    println!("{}", consumer.run(handler).await?);
    Ok(())
}
