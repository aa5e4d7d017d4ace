//! The consumer on a real broker.

#![allow(missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tidegate::{Consumer, Record};
use tidegate_testkit::kafka::{Broker, Fill, NewTopic, offsets};

fn topic(name: &str, partitions: i32, records: u64) -> &'static Broker {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new(name).partitions(partitions));
    broker.fill(&Fill::new(name).records(records).keys(100).value_bytes(100));
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_handled_once_and_committed() {
    let broker = tokio::task::spawn_blocking(|| topic("simple", 12, 20_000)).await.unwrap();
    let (seen, running, peak) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (seen.clone(), running.clone(), peak.clone());
    let summary = Consumer::builder()
        .brokers(broker.bootstrap())
        .group("simple")
        .topic("simple")
        .max_in_flight(10)
        .until_end(true)
        .build()
        .unwrap()
        .on_event(|event| eprintln!("{event}"))
        .run(move |_: Record| {
            let (seen, running, peak) = counters.clone();
            async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                peak.fetch_max(now, Ordering::SeqCst);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                seen.fetch_add(1, Ordering::SeqCst);
            }
        })
        .await
        .unwrap();
    assert_eq!(summary.finished(), 20_000);
    assert_eq!(seen.load(Ordering::SeqCst), 20_000);
    assert!(peak.load(Ordering::SeqCst) <= 10);
    let committed = tokio::task::spawn_blocking(|| {
        offsets::committed_sum(&broker.properties(), "simple", "simple")
    });
    assert_eq!(committed.await.unwrap(), 20_000);
}
