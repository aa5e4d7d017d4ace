//! Consumes a topic: handlers run side by side, those of one key in order, and what is finished is
//! committed. Ctrl-C finishes what is in flight, commits and leaves the group.
//!
//! ```sh
//! cargo run --release -p tidegate --example consume -- localhost:9092 orders billing
//! ```

use tidegate::{Consumer, Record};

async fn bill(record: &Record) -> Result<(), std::io::Error> {
    println!("{}/{} offset {}", record.topic(), record.partition(), record.offset());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or_else(|| default.to_owned());

    let consumer = Consumer::builder()
        .brokers(arg("localhost:9092"))
        .topic(arg("orders"))
        .group(arg("billing"))
        .max_in_flight(100)
        .build()?;

    let summary = consumer
        .run(|record: Record| async move { bill(&record).await })
        .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or(()) })
        .await?;
    println!("{summary}");
    Ok(())
}
