//! A `tower::Service` as handler, with layers around it. Reads to the end and stops.
//!
//! ```sh
//! cargo run --release -p tidegate --features tower --example tower -- localhost:9092 orders tower
//! ```

use std::time::Duration;

use tidegate::{Consumer, Record, service};
use tower::ServiceBuilder;

async fn deliver(record: Record) -> Result<(), &'static str> {
    match record.value() {
        Some(_) => Ok(()),
        None => Err("a tombstone cannot be delivered"),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or_else(|| default.to_owned());

    // A service that is not ready holds records back; an error of any layer is a failed attempt.
    let stack = ServiceBuilder::new()
        .concurrency_limit(50)
        .timeout(Duration::from_secs(2))
        .service_fn(deliver);

    let consumer = Consumer::builder()
        .brokers(arg("localhost:9092"))
        .topic(arg("orders"))
        .group(arg("tower"))
        .until_end(true)
        .build()?;
    println!("{}", consumer.run(service(stack)).await?);
    Ok(())
}
