//! Dead letters on the in-memory log, on a paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};
use std::sync::{Arc, Mutex};

use common::*;
use tidegate_engine::{AfterLastAttempt, Config};
use tidegate_runtime::memory::MemoryLog;
use tidegate_runtime::{
    Consumer, Event, Letter, Outcome, Record, RunError, Settings, Sink, SinkError, SinkFuture,
    Summary,
};

const DEAD: &str = "dead";

fn letters(max_attempts: u32) -> Config {
    let after_last_attempt = AfterLastAttempt::DeadLetter;
    Config { after_last_attempt, max_attempts, ..Config::default() }
}

fn logs(partitions: i32) -> MemoryLog {
    let log = log(partitions);
    log.create_topic(DEAD, 1).unwrap();
    log
}

async fn run_to_end<F>(
    log: &MemoryLog,
    settings: Settings,
    events: &EventLog,
    handler: impl Fn(Record) -> F + Send + Sync + 'static,
) -> Summary
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let consumer = consumer(log, settings).dead_letters(log.sink(DEAD));
    let run = consumer.on_event(events.listener()).run(handler);
    let day = std::time::Duration::from_secs(24 * 3_600);
    tokio::time::timeout(day, async { run.await }).await.expect("the run did not end").unwrap()
}

/// The letters in the dead-letter topic: their values, and the value of one header.
async fn read_letters(log: &MemoryLog, header: &'static str) -> Vec<(String, String)> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let settings = Settings { until_end: true, ..Settings::default() };
    let consumer = Consumer::new(log.source("reader", [DEAD]), settings).unwrap();
    let into = Arc::clone(&seen);
    consumer
        .run(move |record: Record| {
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
            into.lock().unwrap().push((text(record.value()), text(record.header(header))));
            async {}
        })
        .await
        .unwrap();
    std::mem::take(&mut *seen.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_no_attempt_processes_goes_to_the_dead_letter_topic_at_once_or_after_the_last() {
    let (log, events) = (logs(3), EventLog::default());
    fill(&log, 200, 20);
    let summary = run_to_end(&log, settings(letters(3)), &events, |record| async move {
        match record.value() {
            Some(b"50") => Outcome::dead_letter("malformed"),
            Some(b"120") => Outcome::retry(format!("attempt {}", record.attempt())),
            _ => Outcome::Done,
        }
    })
    .await;
    let counters = summary.counters;
    assert_eq!((summary.finished(), counters.dead_lettered, counters.failed), (200, 2, 4));
    assert_all_committed(&log, 3);
    let letters: BTreeSet<_> = read_letters(&log, "reason").await.into_iter().collect();
    let letter = |value: &str, reason: &str| (value.to_owned(), reason.to_owned());
    assert_eq!(letters, [letter("120", "attempt 3"), letter("50", "malformed")].into());
    assert_eq!(events.count(|e| matches!(e, Event::DeadLettered { attempts: 3, .. })), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_topic_that_is_down_holds_key_and_commit_and_loses_nothing() {
    let (log, events) = (logs(1), EventLog::default());
    fill(&log, 20, 2);
    log.refuse_letters(true);
    let behind = Arc::new(AtomicBool::new(false));
    let (other, seen) = (log.clone(), Arc::clone(&behind));
    let watch = tokio::spawn(async move {
        sleep_ms(60_000).await;
        let held = (committed(&other, 0), seen.load(Atomic::Relaxed));
        other.refuse_letters(false);
        held
    });
    let summary = run_to_end(&log, settings(letters(1)), &events, move |record| {
        if record.offset() > 4 && record.offset() % 2 == 0 {
            behind.store(true, Atomic::Relaxed);
        }
        let bad = record.offset() == 4;
        async move { if bad { Outcome::retry("bad") } else { Outcome::Done } }
    })
    .await;
    assert_eq!(watch.await.unwrap(), (Some(4), false), "its key or its offset went on");
    assert_eq!((summary.counters.dead_lettered, summary.finished()), (1, 20));
    assert_all_committed(&log, 1);
    assert_eq!(events.count(|e| matches!(e, Event::DeadLettersFail { .. })), 1, "told once");
    assert_eq!(events.count(|e| matches!(e, Event::Recovered(_))), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_downstream_does_not_flush_the_topic_into_its_dead_letters() {
    let (log, events) = (logs(1), EventLog::default());
    fill(&log, 500, 100);
    let down = Arc::new(AtomicBool::new(true));
    let (heals, other) = (Arc::clone(&down), log.clone());
    let watch = tokio::spawn(async move {
        sleep_ms(600_000).await;
        heals.store(false, Atomic::Relaxed);
        other.end_offset(DEAD, 0).unwrap().0
    });
    let summary = run_to_end(&log, settings(letters(2)), &events, move |_| {
        let down = down.load(Atomic::Relaxed);
        async move { if down { Outcome::retry("no route") } else { Outcome::Done } }
    })
    .await;
    assert_eq!(watch.await.unwrap(), 10, "the credit to start with, and no more");
    assert_eq!((summary.counters.dead_lettered, summary.counters.done), (10, 490));
    assert_eq!(events.count(|e| matches!(e, Event::DeadLetterHeld { .. })), 1, "told once");
}

/// Refuses everything, or panics.
struct Broken {
    panics: bool,
    called: Arc<AtomicBool>,
}

impl Sink for Broken {
    fn write<'a>(&'a self, _: &'a Letter) -> SinkFuture<'a> {
        let first = !self.called.swap(true, Atomic::Relaxed);
        assert!(!(self.panics && first), "a sink that panics");
        let refused = SinkError::Refused("10 bytes too large".to_owned());
        let result = if self.panics { Ok(()) } else { Err(refused) };
        Box::pin(std::future::ready(result))
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_letter_stops_its_partition_and_a_sink_that_panics_is_asked_again() {
    for panics in [false, true] {
        let log = log(1);
        fill(&log, 5, 1);
        let (sink, events) = (Broken { panics, called: Arc::default() }, EventLog::default());
        let consumer = consumer(&log, settings(letters(1))).dead_letters(sink);
        let run = consumer.on_event(events.listener()).run(|record: Record| async move {
            if record.offset() == 2 { Outcome::dead_letter("bad") } else { Outcome::Done }
        });
        let summary = run.await.unwrap();
        if panics {
            assert_eq!(events.count(|e| matches!(e, Event::DeadLettersFail { .. })), 1);
            assert_eq!(events.count(|e| matches!(e, Event::Recovered(_))), 1);
            assert_eq!((summary.counters.dead_lettered, summary.finished()), (1, 5));
        } else {
            assert_eq!((summary.finished(), committed(&log, 0)), (2, Some(2)));
            let text = summary.stopped[0].to_string();
            assert!(text.contains("offset 2") && text.contains("10 bytes too large"), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_letters_up_at_its_deadline_and_the_record_comes_again() {
    let (log, events) = (logs(1), EventLog::default());
    fill(&log, 3, 1);
    log.refuse_letters(true);
    let all_bad = |_: Record| async { Outcome::dead_letter("bad") };
    let consumer = consumer(&log, settings(letters(1))).dead_letters(log.sink(DEAD));
    let run =
        consumer.on_event(events.listener()).run(all_bad).with_graceful_shutdown(sleep_ms(5_000));
    let summary = run.await.unwrap();
    assert_eq!((summary.finished(), committed(&log, 0).unwrap_or(0)), (0, 0));
    assert_eq!(events.count(|e| matches!(e, Event::Unfinished { .. })), 1);
    log.refuse_letters(false);
    let summary = run_to_end(&log, settings(letters(1)), &events, all_bad).await;
    assert_eq!((summary.counters.dead_lettered, committed(&log, 0)), (3, Some(3)));
}

#[tokio::test(start_paused = true)]
async fn dead_letters_without_a_sink_are_refused_at_the_start() {
    let run = consumer(&log(1), settings(letters(1))).run(|_: Record| async {});
    assert!(matches!(run.await, Err(RunError::NoSink)));
}
