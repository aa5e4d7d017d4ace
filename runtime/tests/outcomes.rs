//! What handlers say and do: failures, panics, hangs, overload; and commits that fail. On a paused
//! clock.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering as Atomic};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::judge::{History, Lane};
use common::*;
use tidegate_engine::{AfterLastAttempt, Backoff, Config, Ordering};
use tidegate_runtime::memory::NewRecord;
use tidegate_runtime::{Event, FailureCause, IntoOutcome, Outcome, Record, Settings, Summary};
use tokio::time::Instant;

type Answered = std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Writes the history around `work` and hands its outcome on.
fn recorded<W, F>(
    history: &History,
    work: W,
) -> impl Fn(Record) -> Answered + Send + Sync + use<W, F>
where
    W: Fn(Record) -> F + Send + Sync + Clone + 'static,
    F: Future<Output: IntoOutcome> + Send,
{
    let history = history.clone();
    move |record| {
        let running = history.begin(0, &record);
        let work = work.clone();
        Box::pin(async move {
            let outcome = work(record).await.into_outcome();
            if matches!(outcome, Outcome::Done | Outcome::Skip) {
                running.finish();
            }
            outcome
        })
    }
}

/// Runs to the end with a listener.
async fn run_with<F, O>(
    log: &tidegate_runtime::memory::MemoryLog,
    settings: Settings,
    events: &EventLog,
    handler: impl Fn(Record) -> F + Send + Sync + 'static,
) -> Summary
where
    F: Future<Output = O> + Send + 'static,
    O: IntoOutcome + 'static,
{
    consumer(log, settings).on_event(events.listener()).run(handler).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_failed_key_waits_with_growing_delays_and_other_keys_flow() {
    let (log, history, events) = (log(1), History::default(), EventLog::default());
    let produced = fill(&log, 100, 10);
    let ms100 = Backoff { initial: ms(100), max: Duration::from_secs(10) };
    let mut settings = settings(Config::default());
    settings.engine.backoff = ms100;
    let others = Arc::new(Mutex::new(ms(0)));
    let begins = Arc::new(Mutex::new(Vec::new()));
    let (last, starts, origin) = (Arc::clone(&others), Arc::clone(&begins), Instant::now());
    let work = move |record: Record| {
        let (last, starts) = (Arc::clone(&last), Arc::clone(&starts));
        async move {
            sleep_ms(1).await;
            if record.offset() == 3 {
                starts.lock().unwrap().push((record.attempt(), origin.elapsed()));
                return if record.attempt() < 4 { Err("not yet") } else { Ok(()) };
            }
            if record.key() != Some(b"key-3") {
                *last.lock().unwrap() = origin.elapsed();
            }
            Ok(())
        }
    };
    let summary = run_with(&log, settings, &events, recorded(&history, work)).await;
    assert_eq!((summary.finished(), summary.counters.failed), (100, 3));
    history.assert_none_lost(&produced);
    history.assert_order(&produced, Lane::Key);
    assert!(*others.lock().unwrap() < ms(50), "other keys took {others:?}");
    let begins = begins.lock().unwrap();
    assert_eq!(begins.iter().map(|b| b.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for (gap, whole) in begins.windows(2).zip([100, 200, 400]) {
        let gap = gap[1].1 - gap[0].1;
        assert!((ms(whole / 2)..=ms(whole + 5)).contains(&gap), "{gap:?} of {whole} ms");
    }
    let failed =
        |e: &Event| matches!(e, Event::AttemptFailed { reason, .. } if reason == "not yet");
    assert_eq!(events.count(failed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_handler_names_its_own_delay() {
    let (log, begun) = (log(1), Instant::now());
    fill(&log, 1, 1);
    let summary = run(&log, settings(Config::default()), |record: Record| async move {
        match record.attempt() {
            1 => Outcome::retry_after(Duration::from_secs(30), "later"),
            _ => Outcome::Skip,
        }
    })
    .await;
    assert_eq!((summary.counters.skipped, summary.counters.done), (1, 0));
    assert!((29..=31).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_all_committed(&log, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_attempt_and_nothing_more() {
    let (log, history, events) = (log(2), History::default(), EventLog::default());
    let produced = fill(&log, 200, 20);
    let writes = history.clone();
    let summary = run_with(&log, settings(Config::default()), &events, move |record: Record| {
        let running = writes.begin(0, &record);
        let first = record.attempt() == 1;
        assert!(!(first && record.offset() == 7), "in the call");
        async move {
            assert!(!(first && record.offset() == 11), "in the first poll");
            sleep_ms(1).await;
            assert!(!(first && record.offset() == 13), "in a later poll");
            running.finish();
        }
    })
    .await;
    assert_eq!((summary.finished(), summary.panics, summary.counters.failed), (200, 6, 6));
    history.assert_none_lost(&produced);
    history.assert_order(&produced, Lane::Key);
    for words in ["in the call", "in the first poll", "in a later poll"] {
        let told = |e: &Event| {
            let panicked = FailureCause::Panicked;
            matches!(e, Event::AttemptFailed { cause, reason, .. }
                if *cause == panicked && reason == words)
        };
        assert_eq!(events.count(told), 2, "{words}");
    }
}

/// An error that cannot even be shown.
struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("in Display")
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_when_it_is_shown_is_a_failed_attempt() {
    let (log, history, events) = (log(1), History::default(), EventLog::default());
    let produced = fill(&log, 50, 5);
    let writes = history.clone();
    let summary = run_with(&log, settings(Config::default()), &events, move |record: Record| {
        let running = writes.begin(0, &record);
        async move {
            if record.attempt() == 1 && record.offset() == 7 {
                return Err(Unspeakable);
            }
            running.finish();
            Ok(())
        }
    })
    .await;
    assert_eq!((summary.finished(), summary.panics, summary.counters.failed), (50, 1, 1));
    history.assert_none_lost(&produced);
    let told = |e: &Event| {
        let panicked = FailureCause::Panicked;
        matches!(e, Event::AttemptFailed { cause, reason, .. }
            if *cause == panicked && reason == "in Display")
    };
    assert_eq!(events.count(told), 1, "{:?}", events.lines());
}

/// Drops count, and the token of the attempt is kept.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Atomic::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_cancelled_by_the_timeout_and_counts_as_an_attempt() {
    let (log, history, events) = (log(1), History::default(), EventLog::default());
    let produced = fill(&log, 40, 4);
    let engine = Config { handler_timeout: Some(ms(500)), ..Config::default() };
    let (drops, fired) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let (counts, fires) = (Arc::clone(&drops), Arc::clone(&fired));
    let work = move |record: Record| {
        let (counts, fires) = (Arc::clone(&counts), Arc::clone(&fires));
        async move {
            if record.offset() == 5 && record.attempt() == 1 {
                let token = record.cancellation().clone();
                assert!(!token.is_cancelled());
                // A task outlives the drop of the future, and learns of it by the token.
                tokio::spawn(async move {
                    token.cancelled().await;
                    fires.store(token.is_cancelled(), Atomic::Relaxed);
                });
                let _dropped = Dropped(counts);
                std::future::pending::<()>().await;
            }
            sleep_ms(1).await;
        }
    };
    let begun = Instant::now();
    let summary = run_with(&log, settings(engine), &events, recorded(&history, work)).await;
    let counters = summary.counters;
    assert_eq!((summary.finished(), counters.timed_out, counters.failed), (40, 1, 1));
    assert_eq!((drops.load(Atomic::Relaxed), fired.load(Atomic::Relaxed)), (1, true));
    assert!((ms(500)..ms(700)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    history.assert_none_lost(&produced);
    history.assert_order(&produced, Lane::Key);
    let timed_out = FailureCause::TimedOut;
    let told = |e: &Event| matches!(e, Event::AttemptFailed { cause, .. } if *cause == timed_out);
    assert_eq!(events.count(told), 1);
}

/// With the clock paused: it must not depend on time passing.
#[tokio::test(start_paused = true)]
async fn a_handler_that_wakes_itself_lets_other_tasks_run() {
    let log = log(1);
    fill(&log, 5, 5);
    let summary = run(&log, settings(Config::default()), |_: Record| {
        let done = Arc::new(AtomicBool::new(false));
        let does = Arc::clone(&done);
        tokio::spawn(async move { does.store(true, Atomic::Relaxed) });
        std::future::poll_fn(move |context| {
            if done.load(Atomic::Relaxed) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
    })
    .await;
    assert_eq!(summary.finished(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_record_and_its_partition_are_reported_once() {
    let (log, events) = (log(1), EventLog::default());
    fill(&log, 20, 20);
    let engine = Config { stuck_after: Duration::from_secs(10), ..Config::default() };
    run_with(&log, settings(engine), &events, |record: Record| async move {
        let seconds = if record.offset() == 4 { 60 } else { 1 };
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    })
    .await;
    let stuck = |e: &Event| matches!(e, Event::Stuck { offset, attempt: 1, .. } if offset.0 == 4);
    assert_eq!(events.count(stuck), 1);
    assert_eq!(events.count(|e| matches!(e, Event::Stuck { .. })), 1);
    let still = |e: &Event| matches!(e, Event::NoProgress { offset, .. } if offset.0 == 4);
    assert_eq!(events.count(still), 1);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_the_partition_stops_or_the_record_is_skipped() {
    for after_last_attempt in [AfterLastAttempt::StopPartition, AfterLastAttempt::Skip] {
        let (log, history, events) = (log(2), History::default(), EventLog::default());
        for partition in 0..2 {
            fill_partition(&log, partition, 50);
        }
        let engine = Config {
            after_last_attempt,
            max_attempts: 3,
            ordering: Ordering::Partition,
            ..Config::default()
        };
        let work = |record: Record| async move {
            let bad = (record.partition(), record.offset()) == (0, 20);
            if bad { Err("no good") } else { Ok(()) }
        };
        let summary = run_with(&log, settings(engine), &events, recorded(&history, work)).await;
        assert_eq!(summary.counters.failed, 3);
        assert_eq!(committed(&log, 1), Some(50));
        let first = |partition| history.offsets(partition);
        assert_eq!(first(1), (0..50).collect::<Vec<_>>());
        if after_last_attempt == AfterLastAttempt::Skip {
            assert_eq!((summary.counters.given_up, summary.finished()), (1, 100));
            assert_eq!((summary.stopped.len(), committed(&log, 0)), (0, Some(50)));
            assert_eq!(events.count(|e| matches!(e, Event::GivenUp { attempts: 3, .. })), 1);
        } else {
            assert_eq!((summary.finished(), committed(&log, 0)), (70, Some(20)));
            assert_eq!(first(0)[20..], [20, 20, 20], "something ran behind the failed record");
            let text = summary.stopped[0].to_string();
            assert!(text.contains("t/0") && text.contains("20") && text.contains("no good"));
            let stopped = |e: &Event| matches!(e, Event::PartitionStopped { attempts: 3, .. });
            assert_eq!(events.count(stopped), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn overload_charges_no_attempt() {
    let (log, history, events) = (log(1), History::default(), EventLog::default());
    let produced = fill(&log, 10, 2);
    let engine = Config { max_attempts: 1, ..Config::default() };
    let answers = Arc::new(AtomicU32::new(0));
    let work = move |record: Record| {
        let answers = Arc::clone(&answers);
        async move {
            assert_eq!(record.attempt(), 1);
            if record.offset() == 0 && answers.fetch_add(1, Atomic::Relaxed) < 9 {
                return Outcome::overloaded(Some(ms(50)), "slow down");
            }
            Outcome::Done
        }
    };
    let summary = run_with(&log, settings(engine), &events, recorded(&history, work)).await;
    let counters = summary.counters;
    assert_eq!((summary.finished(), counters.overloaded, counters.failed), (10, 9, 0));
    assert_eq!(events.count(|e| matches!(e, Event::Overloaded { .. })), 9);
    history.assert_order(&produced, Lane::Key);
}

#[tokio::test(start_paused = true)]
async fn refused_or_stalled_commits_stop_admission_until_they_succeed() {
    for stalled in [false, true] {
        let (log, history, events) = (log(1), History::default(), EventLog::default());
        let produced = fill(&log, 20_000, 50);
        if stalled {
            log.hold_commits(true);
        } else {
            log.fail_commits(u32::MAX);
        }
        let writes = history.clone();
        let consumer = consumer(&log, settings(Config::default())).on_event(events.listener());
        let monitor = consumer.monitor();
        let run = consumer.run(move |record: Record| {
            let running = writes.begin(0, &record);
            async move {
                sleep_ms(50).await;
                running.finish();
            }
        });
        let run = tokio::spawn(async { run.await });
        sleep_ms(30_000).await;
        let handled = history.finished();
        // 50 keys at 20 records a second for 3 s, and what was admitted by then.
        assert!((1_000..9_000).contains(&handled), "{handled}");
        assert!(monitor.snapshot().engine.commits_stalled);
        sleep_ms(30_000).await;
        assert_eq!(history.finished(), handled, "admission went on");
        assert_eq!(committed(&log, 0), None);
        log.hold_commits(false);
        log.fail_commits(0);
        let summary = run.await.unwrap().unwrap();
        assert_eq!((summary.finished(), summary.uncommitted), (20_000, 0));
        history.assert_none_lost(&produced);
        history.assert_no_repeats();
        assert_all_committed(&log, 1);
        let failed = events.count(|e| matches!(e, Event::CommitFailed { .. }));
        let stalls = events.count(|e| matches!(e, Event::CommitsStalled { .. }));
        let over = events.count(|e| matches!(e, Event::CommitsResumed { .. }));
        assert_eq!((stalls, over), (1, 1), "{:?}", events.lines());
        // One in an interval of 200 ms, for a minute.
        assert!(if stalled { failed == 0 } else { (200..=320).contains(&failed) }, "{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_commits_are_waited_for_at_the_end() {
    let log = log(3);
    fill(&log, 3_000, 30);
    log.delay_commits(ms(900));
    let summary = run(&log, settings(Config::default()), |_: Record| async {}).await;
    assert_eq!((summary.finished(), summary.uncommitted), (3_000, 0));
    assert_all_committed(&log, 3);
}

#[tokio::test(start_paused = true)]
async fn finished_records_above_an_unfinished_one_are_not_handled_again_after_a_restart() {
    let (log, history) = (log(2), History::default());
    let mut produced = fill(&log, 1_000, 50);
    let hangs = [put(&log, NewRecord::value("h").key("a")), put(&log, NewRecord::value("h"))];
    let key = Some(b"a".to_vec());
    produced.extend([(hangs[0], key), (hangs[1], None)]);
    produced.extend(fill(&log, 800, 80));
    let first = Settings { until_end: false, ..settings(Config::default()) };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let work = move |record: Record| async move {
        if hangs.contains(&at(&record)) {
            std::future::pending::<()>().await;
        }
    };
    let run_1 = consumer(&log, first)
        .run(recorded(&history, work))
        .with_graceful_shutdown(async { _ = stopped.await });
    let run_1 = tokio::spawn(async { run_1.await });
    sleep_ms(5_000).await;
    _ = stop.send(());
    let summary = run_1.await.unwrap().unwrap();
    assert_eq!((summary.finished(), summary.unfinished, summary.uncommitted), (1_800, 2, 0));
    let lowest = |partition| hangs.iter().filter(|h| h.0 == partition).map(|h| h.1).min();
    for partition in 0..2 {
        if let Some(offset) = lowest(partition) {
            let (committed, ranges) = log.committed(GROUP, TOPIC, partition).unwrap();
            assert_eq!(committed.0, offset);
            assert!(ranges.starts_with("tg1:"), "{ranges}");
        }
    }

    let second =
        run(&log, settings(Config::default()), recorded(&history, |_: Record| async {})).await;
    assert_eq!(second.finished(), 2);
    assert!(second.counters.already_finished > 0);
    history.assert_none_lost(&produced);
    history.assert_no_repeats();
    assert_all_committed(&log, 2);
}
