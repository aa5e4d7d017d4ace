//! What needs real threads and a real clock: handlers that block, and sources with a thread of
//! their own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering as Atomic};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::judge::{History, Lane};
use common::watched::Watched;
use common::*;
use tidegate_engine::{Config, Ordering};
use tidegate_runtime::{Consumer, Outcome, Record, Settings, blocking};

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_handler_that_blocks_its_thread_does_not_stop_the_others() {
    // Who is blocked depends on which thread wakes which.
    for _ in 0..30 {
        one_handler_blocks_its_thread().await;
    }
}

async fn one_handler_blocks_its_thread() {
    let log = log(4);
    let blocker = fill_partition(&log, 0, 1).len();
    fill(&log, 4_000, 400);
    let (done, blocked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (counts, blocks) = (Arc::clone(&done), Arc::clone(&blocked));
    let settings = settings(Config { ordering: Ordering::None, ..Config::default() });
    let run = consumer(&log, settings).run(move |record: Record| {
        let (counts, blocks) = (Arc::clone(&counts), Arc::clone(&blocks));
        async move {
            if at(&record) == (0, 0) {
                blocks.store(true, Atomic::Relaxed);
                let begun = Instant::now();
                // Those that share its worker wait with it: fewer than the limit of 100.
                while counts.load(Atomic::Relaxed) < 3_900 {
                    std::thread::sleep(ms(1));
                    let count = counts.load(Atomic::Relaxed);
                    assert!(begun.elapsed() < Duration::from_secs(5), "others stand at {count}");
                }
            } else {
                if record.offset() % 50 == 0 {
                    tokio::time::sleep(ms(1)).await;
                }
                counts.fetch_add(1, Atomic::Relaxed);
            }
        }
    });
    let summary = run.await.unwrap();
    assert!(blocked.load(Atomic::Relaxed));
    assert_eq!((summary.finished() as usize, summary.panics), (4_000 + blocker, 0));
}

/// Nobody is woken for the second record while one worker seems to be at work, until it is seen
/// that nobody takes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_idle_worker_takes_what_a_blocked_one_leaves() {
    let log = log(1);
    let [blocked, free] = [0, 1].map(|_| Arc::new(AtomicBool::new(false)));
    let (is_blocked, is_free) = (Arc::clone(&blocked), Arc::clone(&free));
    let settings =
        Settings { until_end: false, max_records: Some(2), ..settings(Config::default()) };
    fill_partition(&log, 0, 1);
    let run = consumer(&log, settings).run(move |record: Record| {
        let (blocked, free) = (Arc::clone(&is_blocked), Arc::clone(&is_free));
        async move {
            if record.offset() > 0 {
                return free.store(true, Atomic::SeqCst);
            }
            blocked.store(true, Atomic::SeqCst);
            let begun = Instant::now();
            while !free.load(Atomic::SeqCst) {
                assert!(begun.elapsed() < Duration::from_secs(5), "nobody took the second record");
                std::thread::sleep(ms(1));
            }
        }
    });
    let run = tokio::spawn(run.into_future());
    while !blocked.load(Atomic::SeqCst) {
        sleep_ms(1).await;
    }
    // Until the pump and the other workers sleep.
    sleep_ms(20).await;
    fill_partition(&log, 0, 1);
    let summary = run.await.unwrap().unwrap();
    assert_eq!((summary.finished(), summary.panics), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_threads_keep_order_limit_and_count() {
    let (log, history) = (log(6), History::default());
    let produced = fill(&log, 20_000, 300);
    let writes = history.clone();
    let engine = Config { max_in_flight: 40, ..Config::default() };
    let summary = run(&log, settings(engine), move |record: Record| {
        let running = writes.begin(0, &record);
        async move {
            match record.offset() % 16 {
                0 => tokio::time::sleep(ms(1)).await,
                1..4 => tokio::task::yield_now().await,
                4 => {
                    let begun = Instant::now();
                    while begun.elapsed() < Duration::from_micros(20) {}
                }
                _ => {}
            }
            running.finish();
        }
    })
    .await;
    assert_eq!((summary.finished(), summary.counters.started), (20_000, 20_000));
    history.assert_none_lost(&produced);
    history.assert_no_repeats();
    history.assert_order(&produced, Lane::Key);
    assert!(history.most() <= 40, "{}", history.most());
    assert_all_committed(&log, 6);
}

#[tokio::test]
async fn blocking_handlers_run_on_a_pool_of_their_own() {
    let (log, history) = (log(2), History::default());
    let produced = fill(&log, 60, 30);
    let (writes, me) = (history.clone(), std::thread::current().id());
    let handler = blocking(move |record: Record| {
        assert_ne!(std::thread::current().id(), me);
        assert_eq!(std::thread::current().name(), Some("tidegate-blocking"));
        let running = writes.begin(0, &record);
        std::thread::sleep(ms(10));
        assert!(record.attempt() > 1 || record.offset() != 7, "a panic");
        running.finish();
        if record.offset() == 8 { Outcome::Skip } else { Outcome::Done }
    });
    let begun = Instant::now();
    let summary =
        consumer(&log, settings(Config::default())).run(handler.threads(20)).await.unwrap();
    assert_eq!((summary.finished(), summary.counters.skipped), (60, 2));
    assert_eq!((summary.panics, summary.counters.failed), (2, 2));
    assert!(history.most() <= 20 && history.most() > 10, "{}", history.most());
    assert!(begun.elapsed() < ms(600), "not side by side: {:?}", begun.elapsed());
    history.assert_none_lost(&produced);
    history.assert_order(&produced, Lane::Key);
}

#[tokio::test]
async fn a_blocking_handler_past_its_timeout_is_waited_for() {
    let (log, history) = (log(1), History::default());
    let produced = fill(&log, 5, 1);
    let fired = Arc::new(AtomicBool::new(false));
    let (writes, sees) = (history.clone(), Arc::clone(&fired));
    let handler = blocking(move |record: Record| {
        let running = writes.begin(0, &record);
        if record.offset() == 1 && record.attempt() == 1 {
            std::thread::sleep(ms(200));
            sees.store(record.cancellation().is_cancelled(), Atomic::Relaxed);
            return Err("gave up");
        }
        running.finish();
        Ok(())
    });
    let engine = Config { handler_timeout: Some(ms(50)), ..Config::default() };
    let summary = consumer(&log, settings(engine)).run(handler).await.unwrap();
    assert!(fired.load(Atomic::Relaxed), "the token did not fire");
    let counters = summary.counters;
    assert_eq!((summary.finished(), counters.timed_out, counters.failed), (5, 1, 1));
    // The second attempt began after the first had ended.
    history.assert_order(&produced, Lane::Key);
}

#[tokio::test]
async fn a_blocking_handler_does_not_hold_up_the_end() {
    let log = log(1);
    fill(&log, 3, 3);
    let (begun, released) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (says, waits) = (Arc::clone(&begun), Arc::clone(&released));
    let settings =
        Settings { until_end: false, shutdown_timeout: ms(1_000), ..settings(Config::default()) };
    let run = consumer(&log, settings).run(blocking(move |record: Record| {
        if record.offset() == 1 {
            says.store(true, Atomic::Relaxed);
            while !waits.load(Atomic::Relaxed) {
                std::thread::sleep(ms(1));
            }
        }
    }));
    let asked = Arc::clone(&begun);
    let run = run.with_graceful_shutdown(async move {
        while !asked.load(Atomic::Relaxed) {
            tokio::time::sleep(ms(5)).await;
        }
    });
    let from = Instant::now();
    let summary = run.await.unwrap();
    assert!(from.elapsed() < ms(2_000), "{:?}", from.elapsed());
    assert_eq!((summary.finished(), summary.unfinished), (2, 1));
    assert_eq!(committed(&log, 0), Some(1));
    released.store(true, Atomic::Relaxed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_with_a_thread_of_its_own_is_looked_at_once_a_second() {
    let log = log(2);
    fill(&log, 500, 50);
    let source = Watched::<true>::new(log.source(GROUP, [TOPIC]));
    let polls = Arc::clone(&source.polls);
    let settings = Settings { until_end: false, ..settings(Config::default()) };
    let consumer = Consumer::new(source, settings).unwrap();
    let monitor = consumer.monitor();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = consumer.run(|_: Record| async {}).with_graceful_shutdown(async {
        _ = stopped.await;
    });
    let run = tokio::spawn(async { run.await });
    while monitor.snapshot().engine.counters.done < 500 || monitor.snapshot().uncommitted > 0 {
        tokio::time::sleep(ms(5)).await;
    }
    tokio::time::sleep(ms(300)).await;
    let before = polls.load(Atomic::Relaxed);
    tokio::time::sleep(ms(3_200)).await;
    let looks = polls.load(Atomic::Relaxed) - before;
    assert!((3..=8).contains(&looks), "{looks} looks in 3.2 s");
    _ = stop.send(());
    let summary = run.await.unwrap().unwrap();
    assert_eq!((summary.finished(), summary.uncommitted, summary.closed), (500, 0, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_run_lets_go_of_a_source_with_a_thread_of_its_own() {
    let log = log(1);
    fill(&log, 10, 10);
    let first = Consumer::new(
        Watched::<true>::new(log.source(GROUP, [TOPIC])),
        settings(Config::default()),
    );
    let run_1 = first.unwrap().run(|_: Record| std::future::pending::<()>());
    assert!(tokio::time::timeout(ms(100), async { run_1.await }).await.is_err());
    let seen = Arc::new(Mutex::new(0));
    let counts = Arc::clone(&seen);
    // The second gets the partition once the first is gone.
    let settings =
        Settings { until_end: false, max_records: Some(10), ..settings(Config::default()) };
    let run_2 = run(&log, settings, move |_: Record| {
        *counts.lock().unwrap() += 1;
        async {}
    });
    let summary = tokio::time::timeout(Duration::from_secs(5), run_2).await.unwrap();
    assert_eq!((summary.finished(), *seen.lock().unwrap()), (10, 10));
}

#[cfg(feature = "tower")]
mod tower {
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use tidegate_runtime::service;

    use super::*;

    /// Ready at the second poll, and fails every tenth record once.
    #[derive(Clone)]
    struct Reluctant {
        polls: u32,
        seen: Arc<Mutex<Vec<i64>>>,
    }

    impl tower_service::Service<Record> for Reluctant {
        type Response = ();
        type Error = String;
        type Future = std::future::Ready<Result<(), String>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
            self.polls += 1;
            if self.polls == 1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, record: Record) -> Self::Future {
            assert_eq!(self.polls, 2, "called before it was ready");
            if record.offset() % 10 == 0 && record.attempt() == 1 {
                return std::future::ready(Err("once more".to_owned()));
            }
            self.seen.lock().unwrap().push(record.offset());
            std::future::ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tower_service_handles_records() {
        let log = log(1);
        fill(&log, 100, 1);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handler = service(Reluctant { polls: 0, seen: Arc::clone(&seen) });
        let summary = consumer(&log, settings(Config::default())).run(handler).await.unwrap();
        assert_eq!((summary.finished(), summary.counters.failed), (100, 10));
        assert_eq!(summary.panics, 0);
        assert_eq!(*seen.lock().unwrap(), (0..100).collect::<Vec<_>>());
    }

    /// A service whose response is nothing and that cannot fail is one as well.
    #[test]
    fn infallible_services_are_handlers() {
        #[derive(Clone)]
        struct Nothing;
        impl tower_service::Service<Record> for Nothing {
            type Response = Outcome;
            type Error = Infallible;
            type Future = std::future::Ready<Result<Outcome, Infallible>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, _: Record) -> Self::Future {
                std::future::ready(Ok(Outcome::Skip))
            }
        }
        fn is_handler(_: impl tidegate_runtime::Handler) {}
        is_handler(service(Nothing));
    }
}
