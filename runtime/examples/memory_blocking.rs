//! A handler that blocks its thread, on a pool of threads of its own.
//!
//! ```sh
//! cargo run -p tidegate-runtime --example memory_blocking
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use tidegate_runtime::memory::{MemoryLog, NewRecord};
use tidegate_runtime::{Consumer, Record, Settings, blocking};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let log = MemoryLog::new();
    log.create_topic("images", 4)?;
    for number in 0..100 {
        log.produce("images", NewRecord::value(format!("image {number}")))?;
    }

    let handler = blocking(|record: Record| {
        // Work that cannot be stopped should look at the token between its steps.
        if record.cancellation().is_cancelled() {
            return Err("stopped half-way");
        }
        std::thread::sleep(Duration::from_millis(20));
        Ok(())
    });
    let settings = Settings { until_end: true, ..Settings::default() };
    let source = log.source("thumbnails", ["images"]);
    let begun = Instant::now();
    let summary = Consumer::new(source, settings)?.run(handler.threads(25)).await?;

    assert_eq!(summary.finished(), 100);
    // One after another they would take 2 s.
    assert!(begun.elapsed() < Duration::from_secs(1));
    println!("{summary} in {:.0?}", begun.elapsed());
    Ok(())
}
