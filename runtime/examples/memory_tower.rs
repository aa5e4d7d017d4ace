//! A `tower::Service` as handler, with a layer around it.
//!
//! ```sh
//! cargo run -p tidegate-runtime --features tower --example memory_tower
//! ```

use std::error::Error;
use std::time::Duration;

use tidegate_runtime::memory::{MemoryLog, NewRecord};
use tidegate_runtime::{Consumer, Record, Settings, service};
use tower::ServiceBuilder;

async fn deliver(record: Record) -> Result<(), &'static str> {
    // The first attempt at some records takes too long: the timeout layer fails it.
    if record.attempt() == 1 && record.offset() % 10 == 3 {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let log = MemoryLog::new();
    log.create_topic("orders", 1)?;
    for number in 0..50 {
        log.produce("orders", NewRecord::value(format!("order {number}")))?;
    }

    let stack = ServiceBuilder::new()
        .concurrency_limit(8)
        .timeout(Duration::from_millis(50))
        .service_fn(deliver);
    let settings = Settings { until_end: true, ..Settings::default() };
    let summary =
        Consumer::new(log.source("billing", ["orders"]), settings)?.run(service(stack)).await?;

    assert_eq!((summary.finished(), summary.counters.failed), (50, 5));
    println!("{summary}");
    Ok(())
}
