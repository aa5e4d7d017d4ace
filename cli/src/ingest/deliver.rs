//! Sends the records of a request, and waits for what becomes of them.

use std::time::Duration;

use tidegate::{Delivered, Delivery, DeliveryError, NotSent, Producer, ProducerRecord, SendError};
use tokio::time::timeout;

/// What became of a record.
#[derive(Debug)]
pub(super) enum Fate {
    /// The broker has it.
    Delivered(Delivered),
    /// It was sent, and the broker does not have it, or perhaps has.
    Failed(DeliveryError),
    /// It was not sent.
    NotSent(NotSent),
    /// It was not sent, because one before it was not: sent alone it could overtake that one.
    Behind,
}

/// Sends records in their order, and waits for all of them. The first that is not sent holds up those
/// behind it. `sent` is dropped when all of them are with the client.
pub(super) async fn all<S>(
    producer: &Producer,
    records: Vec<ProducerRecord>,
    time: Duration,
    sent: S,
) -> Vec<Fate> {
    let mut fates: Vec<Result<Delivery, Fate>> = Vec::with_capacity(records.len());
    for record in records {
        let held_up = matches!(fates.last(), Some(Err(_)));
        fates.push(if held_up { Err(Fate::Behind) } else { send(producer, record, time).await });
    }
    drop(sent);
    let mut settled = Vec::with_capacity(fates.len());
    for fate in fates {
        settled.push(match fate {
            Ok(delivery) => delivery.await.map_or_else(Fate::Failed, Fate::Delivered),
            Err(fate) => fate,
        });
    }
    settled
}

async fn send(
    producer: &Producer,
    record: ProducerRecord,
    time: Duration,
) -> Result<Delivery, Fate> {
    match timeout(time, producer.send(record)).await {
        Ok(Ok(delivery)) => Ok(delivery),
        Ok(Err(SendError { cause, .. })) => Err(Fate::NotSent(cause)),
        // What is on its way takes all the room: the broker does not keep up, or is gone.
        Err(_) => Err(Fate::NotSent(NotSent::Full)),
    }
}
