//! Asks where the logs end, for the progress line only. The consumer's own client would not know:
//! its numbers go stale exactly while it is held back.

use std::time::Duration;

use tidegate::Monitor;

use crate::exit::Failure;
use crate::kafka::Observer;
use crate::report::Lag;
use crate::settings::Connection;

/// How often it asks.
const EVERY: Duration = Duration::from_secs(2);

/// How soon it looks again whether there are partitions.
const SOON: Duration = Duration::from_millis(100);

/// Asks from a thread of its own, until the process ends. With `until_end` the first answer for a
/// partition stays.
///
/// # Errors
/// When a property is not accepted.
pub(super) fn watch(
    connection: &Connection,
    monitor: Monitor,
    lag: &Lag,
    until_end: bool,
) -> Result<(), Failure> {
    let observer = Observer::new(connection, "tidegate-lag")?;
    let lag = lag.clone();
    let thread = std::thread::Builder::new().name("tidegate-lag".to_owned()).spawn(move || {
        loop {
            let partitions = monitor.snapshot().partitions;
            let pause = if partitions.is_empty() { SOON } else { EVERY };
            for status in partitions {
                let partition = status.partition;
                // A cluster that does not answer is told by the consumer itself.
                if let Ok((_, end)) = observer.watermarks(&partition.topic, partition.partition) {
                    lag.set(partition, end, until_end);
                }
            }
            std::thread::sleep(pause);
        }
    });
    thread.map(|_| ()).map_err(|error| Failure::Failed(error.to_string()))
}
