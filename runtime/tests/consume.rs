//! Order, limits, budgets, and where a run begins and ends. On a paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::Ordering as Atomic;
use std::sync::{Arc, Mutex};

use common::judge::{History, Lane};
use common::watched::Watched;
use common::*;
use tidegate_engine::{Config, Offset, Ordering};
use tidegate_runtime::memory::{NewRecord, StartFrom};
use tidegate_runtime::{Consumer, Event, Record, Settings};

/// A handler that takes some milliseconds, by offset, and writes the history.
fn recorded(history: &History) -> impl Fn(Record) -> Handled + Send + Sync + use<> {
    let history = history.clone();
    move |record| {
        let running = history.begin(0, &record);
        Box::pin(async move {
            match record.offset() % 4 {
                0 => {}
                some => sleep_ms(some.unsigned_abs() * 3).await,
            }
            running.finish();
        })
    }
}

#[tokio::test(start_paused = true)]
async fn every_record_is_handled_once_and_in_the_order_of_its_key() {
    let (log, history) = (log(3), History::default());
    let produced = fill(&log, 3_000, 40);
    let summary = run(&log, settings(Config::default()), recorded(&history)).await;
    assert_eq!((summary.finished(), summary.counters.started), (3_000, 3_000));
    assert_eq!((summary.unfinished, summary.uncommitted, summary.closed), (0, 0, true));
    history.assert_none_lost(&produced);
    history.assert_no_repeats();
    history.assert_order(&produced, Lane::Key);
    assert_all_committed(&log, 3);
}

#[tokio::test(start_paused = true)]
async fn no_more_handlers_run_than_the_limit_and_no_fewer() {
    let (log, history) = (log(2), History::default());
    fill(&log, 700, 700);
    let engine = Config { max_in_flight: 7, ordering: Ordering::None, ..Config::default() };
    let begun = tokio::time::Instant::now();
    let writes = history.clone();
    run(&log, settings(engine), move |record| {
        let running = writes.begin(0, &record);
        async move {
            sleep_ms(10).await;
            running.finish();
        }
    })
    .await;
    assert_eq!(history.most(), 7);
    // 100 rounds of 10 ms, rounded up to a millisecond each by the timer.
    assert!(begun.elapsed() <= ms(1_150), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn partition_order_is_one_at_a_time_and_partitions_side_by_side() {
    let (log, history) = (log(5), History::default());
    let produced = fill(&log, 500, 50);
    let engine = Config { ordering: Ordering::Partition, ..Config::default() };
    run(&log, settings(engine), recorded(&history)).await;
    history.assert_none_lost(&produced);
    history.assert_order(&produced, Lane::Partition);
    assert_eq!(history.most(), 5);
}

#[tokio::test(start_paused = true)]
async fn without_order_one_key_runs_side_by_side() {
    let (log, history) = (log(1), History::default());
    let produced = fill(&log, 400, 1);
    let engine = Config { ordering: Ordering::None, max_in_flight: 30, ..Config::default() };
    run(&log, settings(engine), recorded(&history)).await;
    history.assert_none_lost(&produced);
    assert_eq!(history.most(), 30);
    assert_all_committed(&log, 1);
}

#[tokio::test(start_paused = true)]
async fn null_keys_have_no_order_and_an_empty_key_is_a_key() {
    for (key, most) in [(None, 20), (Some(""), 1)] {
        let (log, history) = (log(1), History::default());
        for _ in 0..20 {
            let record = NewRecord::value("v");
            put(&log, key.map_or(record.clone(), |key| record.key(key)));
        }
        let writes = history.clone();
        run(&log, settings(Config::default()), move |record| {
            let running = writes.begin(0, &record);
            async move {
                sleep_ms(1).await;
                running.finish();
            }
        })
        .await;
        assert_eq!(history.most(), most, "{key:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_arrives_as_it_was_produced() {
    let log = log(1);
    put(&log, NewRecord::tombstone().key("k"));
    let record = NewRecord::value("").key("").header("h", Some(b"1")).header("n", None);
    put(&log, record.header("h", Some(&[0xff, 0x00])).header("e", Some(b"")));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    run(&log, settings(Config::default()), move |record: Record| {
        let headers: Vec<_> =
            record.headers().map(|h| (h.name.to_owned(), h.value.map(<[u8]>::to_vec))).collect();
        let time = record.timestamp().map(tidegate_runtime::Timestamp::millis);
        assert_eq!((record.topic(), record.attempt()), (TOPIC, 1));
        let key = record.key().map(<[u8]>::to_vec);
        let value = record.value().map(<[u8]>::to_vec);
        sees.lock().unwrap().push((record.offset(), key, value, time, headers));
        async {}
    })
    .await;
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.sort();
    let (_, key, value, _, headers) = &seen[0];
    assert_eq!((key.as_deref(), value), (Some(&b"k"[..]), &None));
    assert!(headers.is_empty());
    let (_, key, value, time, headers) = &seen[1];
    assert_eq!((key.as_deref(), value.as_deref()), (Some(&b""[..]), Some(&b""[..])));
    assert!(time.is_some_and(|millis| millis > 1_600_000_000_000));
    let expected = [
        ("h".to_owned(), Some(b"1".to_vec())),
        ("n".to_owned(), None),
        ("h".to_owned(), Some(vec![0xff, 0])),
        ("e".to_owned(), Some(Vec::new())),
    ];
    assert_eq!(headers, &expected);
}

#[tokio::test(start_paused = true)]
async fn admitted_bytes_stay_within_the_budget_and_a_larger_record_goes_alone() {
    const BUDGET: u64 = 8 << 10;
    let log = log(2);
    let mut produced = 0;
    for round in 0..40 {
        for partition in 0..2 {
            let size = if (round, partition) == (5, 1) { 100 << 10 } else { 700 };
            put(&log, NewRecord::value(vec![7; size]).partition(partition));
            produced += 1;
        }
    }
    let engine = Config { max_bytes: BUDGET, ..Config::default() };
    let consumer = consumer(&log, settings(engine));
    let monitor = consumer.monitor();
    let most = Arc::new(Mutex::new((0, 0)));
    let sees = Arc::clone(&most);
    let summary = consumer
        .run(move |record: Record| {
            let (monitor, sees) = (monitor.clone(), Arc::clone(&sees));
            async move {
                let snapshot = monitor.snapshot().engine;
                let large = record.value().is_some_and(|v| v.len() > 1_000);
                if large {
                    assert_eq!((snapshot.in_flight, snapshot.queued), (1, 0), "not alone");
                    sees.lock().unwrap().1 += 1;
                } else {
                    assert!(snapshot.bytes <= BUDGET, "{} bytes", snapshot.bytes);
                    let mut sees = sees.lock().unwrap();
                    sees.0 = sees.0.max(snapshot.bytes);
                }
                sleep_ms(1 + record.offset().unsigned_abs() % 3).await;
            }
        })
        .await
        .unwrap();
    let (bytes, large) = *most.lock().unwrap();
    assert_eq!((summary.finished(), summary.counters.failed, large), (produced, 0, 1));
    assert!(bytes > BUDGET / 2, "only {bytes} of {BUDGET} used");
}

#[tokio::test(start_paused = true)]
async fn a_large_record_gets_its_turn_beside_small_ones() {
    let (log, history) = (log(4), History::default());
    // The large one last, or it would be read into an empty budget.
    for partition in 0..3 {
        (0..2_000).for_each(|_| _ = put(&log, NewRecord::value([0; 200]).partition(partition)));
    }
    put(&log, NewRecord::value(vec![0; 15 << 10]).partition(3));
    let engine = Config { max_bytes: 16 << 10, ..Config::default() };
    let writes = history.clone();
    let summary = run(&log, settings(engine), move |record| {
        let running = writes.begin(0, &record);
        async move {
            // They end one by one, so that the budget is never empty by itself.
            let spread =
                record.offset().unsigned_abs() * 7 + u64::from(record.partition().unsigned_abs());
            sleep_ms(1 + spread % 11).await;
            running.finish();
        }
    })
    .await;
    assert_eq!((summary.finished(), summary.counters.failed), (6_001, 0));
    let before = history.ran().iter().position(|ran| ran.at.0 == 3).unwrap();
    assert!(before < 300, "{before} small records went first");
}

#[tokio::test(start_paused = true)]
async fn one_slow_partition_does_not_hold_up_the_others() {
    let (log, history) = (log(4), History::default());
    for partition in 0..4 {
        for _ in 0..1_000 {
            put(&log, NewRecord::value("v").key("same").partition(partition));
        }
    }
    let engine = Config { max_queued: 200, ..Config::default() };
    let writes = history.clone();
    let begun = tokio::time::Instant::now();
    let others_took = Arc::new(Mutex::new(ms(0)));
    let took = Arc::clone(&others_took);
    run(&log, settings(engine), move |record| {
        let running = writes.begin(0, &record);
        let took = Arc::clone(&took);
        async move {
            let slow = record.partition() == 0;
            sleep_ms(if slow { 100 } else { 2 }).await;
            if !slow {
                *took.lock().unwrap() = begun.elapsed();
            }
            running.finish();
        }
    })
    .await;
    // 1,000 records of 2 to 3 ms one after another.
    assert!(*others_took.lock().unwrap() <= ms(3_300), "{others_took:?}");
}

#[tokio::test(start_paused = true)]
async fn max_records_stops_exactly_there_and_the_next_run_goes_on() {
    let (log, history) = (log(3), History::default());
    let produced = fill(&log, 1_000, 30);
    let first =
        Settings { until_end: false, max_records: Some(333), ..settings(Config::default()) };
    let summary = run(&log, first, recorded(&history)).await;
    assert_eq!((summary.finished(), summary.counters.admitted), (333, 333));
    assert_eq!(history.ran().len(), 333);
    run(&log, settings(Config::default()), recorded(&history)).await;
    history.assert_none_lost(&produced);
    history.assert_no_repeats();
    history.assert_order(&produced, Lane::Key);
}

#[tokio::test(start_paused = true)]
async fn until_the_end_copes_with_holes_and_with_empty_partitions() {
    let (log, history) = (log(4), History::default());
    for _ in 0..10 {
        log.skip_offsets(TOPIC, 0, 29).unwrap();
        put(&log, NewRecord::value("v").key("k").partition(0));
    }
    log.skip_offsets(TOPIC, 0, 5).unwrap();
    log.skip_offsets(TOPIC, 1, 3).unwrap();
    put(&log, NewRecord::value("gone").partition(2));
    log.delete_records(TOPIC, 2, Offset(1)).unwrap();
    let summary = run(&log, settings(Config::default()), recorded(&history)).await;
    assert_eq!(summary.finished(), 10);
    assert_eq!(history.offsets(0), (0..10).map(|n| 29 + 30 * n).collect::<Vec<_>>());
    assert_eq!(committed(&log, 0), Some(305));
    assert_eq!((committed(&log, 1), committed(&log, 2)), (Some(3), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn until_the_end_does_not_run_after_new_records() {
    let log = log(1);
    fill(&log, 100, 10);
    let produces = log.clone();
    let summary = run(&log, settings(Config::default()), move |_| {
        let produces = produces.clone();
        async move {
            put(&produces, NewRecord::value("more").key("k"));
            sleep_ms(1).await;
        }
    })
    .await;
    assert!((100..1_000).contains(&summary.finished()), "{}", summary.finished());
}

#[tokio::test(start_paused = true)]
async fn a_start_at_the_latest_and_one_out_of_range() {
    let log = log(1);
    fill_partition(&log, 0, 10);
    let first = Settings { max_records: Some(3), until_end: false, ..settings(Config::default()) };
    run(&log, first, |_: Record| async {}).await;
    log.grow_topic(TOPIC, 2).unwrap();
    fill_partition(&log, 1, 10);
    assert_eq!((committed(&log, 0), committed(&log, 1)), (Some(3), None));
    log.delete_records(TOPIC, 0, Offset(5)).unwrap();
    let source = log.source(GROUP, [TOPIC]).start_from(StartFrom::Latest);
    let events = EventLog::default();
    let consumer = Consumer::new(source, settings(Config::default())).unwrap();
    let consumer = consumer.on_event(events.listener());
    let summary = consumer.run(|_: Record| async {}).await.unwrap();
    assert_eq!(summary.finished(), 0);
    assert_eq!(summary.stopped.len(), 1);
    let text = summary.stopped[0].to_string();
    assert!(text.contains("t/0") && text.contains('3') && text.contains('5'), "{text}");
    assert_eq!(events.count(|e| matches!(e, Event::PartitionFailed { .. })), 1);
    // Nothing was reset: the group's offset is what it was.
    assert_eq!((committed(&log, 0), committed(&log, 1)), (Some(3), Some(10)));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_starts_makes_room_for_the_next_at_once() {
    let (log, history) = (log(1), History::default());
    fill_partition(&log, 0, 300);
    let engine = Config { max_queued: 1, max_in_flight: 100, ..Config::default() };
    let writes = history.clone();
    let run = consumer(&log, settings(engine)).run(move |record| {
        let running = writes.begin(0, &record);
        async move {
            sleep_ms(10_000).await;
            running.finish();
        }
    });
    let run = tokio::spawn(async { run.await });
    // No handler ends in this time, so that only starts can have made room.
    sleep_ms(20).await;
    assert_eq!(history.most(), 100);
    assert_eq!(run.await.unwrap().unwrap().finished(), 300);
}

#[tokio::test(start_paused = true)]
async fn no_partition_with_room_is_overlooked_among_many_without() {
    let log = log(12);
    let flows = 11;
    for partition in 0..12 {
        let records = if partition == flows { 50 } else { 5 };
        fill_partition(&log, partition, records);
    }
    // Each window takes one record, and all but one partition are stuck in theirs. Nothing but
    // outcomes wakes the pump.
    let engine = Config { max_window: 1, commit_stall: ms(120_000), ..Config::default() };
    let commit_interval = ms(60_000);
    let settings = Settings { commit_interval, ..settings(engine) };
    let took = Arc::new(Mutex::new(ms(0)));
    let (sees, begun) = (Arc::clone(&took), tokio::time::Instant::now());
    run(&log, settings, move |record: Record| {
        let sees = Arc::clone(&sees);
        async move {
            if record.partition() != flows {
                return sleep_ms(5_000).await;
            }
            sleep_ms(2).await;
            *sees.lock().unwrap() = begun.elapsed();
        }
    })
    .await;
    assert!(*took.lock().unwrap() < ms(500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn waiting_costs_nothing() {
    // Nothing is admitted and the end is further on than the log's end.
    let log = log(2);
    let mut source = Watched::<false>::new(log.source(GROUP, [TOPIC]));
    source.further = 1;
    let polls = Arc::clone(&source.polls);
    let consumer = Consumer::new(source, settings(Config::default())).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = consumer.run(|_: Record| async {}).with_graceful_shutdown(async {
        _ = stopped.await;
    });
    let run = tokio::spawn(async { run.await });
    sleep_ms(60_000).await;
    let idle = polls.load(Atomic::Relaxed);
    assert!(idle < 100, "{idle} turns in an idle minute");
    // A shutdown while commits are not answered: it waits for them, and sleeps while it waits.
    put(&log, NewRecord::value("v"));
    log.hold_commits(true);
    sleep_ms(1_000).await;
    _ = stop.send(());
    let summary = run.await.unwrap().unwrap();
    assert_eq!((summary.finished(), summary.uncommitted), (1, 1));
    let ending = polls.load(Atomic::Relaxed) - idle;
    assert!(ending < 100, "{ending} turns while waiting for a commit");
}

#[tokio::test(start_paused = true)]
async fn the_limit_can_be_changed_while_it_runs() {
    let (log, history) = (log(1), History::default());
    fill(&log, 300, 300);
    let engine = Config { max_in_flight: 2, ordering: Ordering::None, ..Config::default() };
    let consumer = Consumer::new(log.source(GROUP, [TOPIC]), settings(engine)).unwrap();
    let monitor = consumer.monitor();
    assert!(monitor.set_max_in_flight(0).is_err() && monitor.set_max_in_flight(100_001).is_err());
    let (writes, changes) = (history.clone(), monitor.clone());
    let begun = tokio::time::Instant::now();
    let run = consumer.run(move |record: Record| {
        let running = writes.begin(0, &record);
        match record.offset() {
            20 => changes.set_max_in_flight(9).unwrap(),
            250 => changes.set_max_in_flight(1).unwrap(),
            _ => {}
        }
        async move {
            sleep_ms(10).await;
            running.finish();
        }
    });
    run.await.unwrap();
    assert_eq!(history.most(), 9, "raised, it wakes who waits");
    // About 10 rounds of two, 26 of nine and 45 of one.
    let took = begun.elapsed().as_millis();
    assert!((750..1_100).contains(&took), "{took}");
}
