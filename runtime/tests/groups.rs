//! Partitions that come and go, and the end of a run: nothing lost, no order broken, nothing
//! repeated that need not be. On a paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};
use std::time::Duration;

use common::judge::{History, Lane};
use common::watched::Watched;
use common::*;
use tidegate_engine::Config;
use tidegate_runtime::memory::{MemoryLog, NewRecord};
use tidegate_runtime::{Consumer, Event, Record, RunError, Settings, Summary};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A running member.
struct Member {
    number: u64,
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<Summary, RunError>>,
}

impl Member {
    /// Drains and returns the summary.
    async fn stop(self) -> Summary {
        _ = self.stop.send(());
        self.run.await.unwrap().unwrap()
    }
}

fn start<F>(
    log: &MemoryLog,
    settings: Settings,
    events: &EventLog,
    handler: impl Fn(Record) -> F + Send + Sync + 'static,
) -> Member
where
    F: Future<Output = ()> + Send + 'static,
{
    let source = log.source(GROUP, [TOPIC]);
    let number = source.member();
    let consumer = Consumer::new(source, Settings { until_end: false, ..settings }).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let run = consumer.on_event(events.listener()).run(handler).with_graceful_shutdown(async {
        // A member whose handle is dropped goes on.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    Member { number, stop, run: tokio::spawn(async { run.await }) }
}

/// A handler of 1 to 20 ms that writes the history.
fn recorded(history: &History, member: u32) -> impl Fn(Record) -> Handled + Send + Sync + use<> {
    let history = history.clone();
    move |record| {
        let running = history.begin(member, &record);
        let millis = 1 + record.offset().unsigned_abs() * 7 % 20;
        Box::pin(async move {
            sleep_ms(millis).await;
            running.finish();
        })
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(600), "waited in vain until {what}");
        sleep_ms(5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn members_join_and_leave_without_a_loss_a_repeat_or_an_order_break() {
    let (log, history, events) = (log(7), History::default(), EventLog::default());
    let produced = fill(&log, 6_000, 90);
    let settings = settings(Config { max_in_flight: 20, ..Config::default() });
    let first = start(&log, settings.clone(), &events, recorded(&history, 1));
    until("the first is at work", || history.finished() > 500).await;
    let second = start(&log, settings.clone(), &events, recorded(&history, 2));
    until("the second is at work", || history.ran().iter().any(|ran| ran.member == 2)).await;
    sleep_ms(300).await;
    let third = start(&log, settings.clone(), &events, recorded(&history, 3));
    sleep_ms(300).await;
    let summary = first.stop().await;
    assert_eq!((summary.unfinished > 0, summary.uncommitted, summary.closed), (true, 0, true));
    sleep_ms(200).await;
    second.stop().await;
    until("all is done", || history.finished() >= 6_000).await;
    third.stop().await;
    history.assert_none_lost(&produced);
    history.assert_no_repeats();
    history.assert_order(&produced, Lane::Key);
    assert!((1..=3).all(|member| history.ran().iter().any(|ran| ran.member == member)));
    assert!(history.most() <= 20);
    assert_all_committed(&log, 7);
    assert_eq!(events.count(|e| matches!(e, Event::Lost { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn an_expelled_member_drops_what_it_ran_and_joins_again() {
    let (log, history, events) = (log(4), History::default(), EventLog::default());
    let produced = fill(&log, 3_000, 60);
    let settings = settings(Config::default());
    let first = start(&log, settings.clone(), &events, recorded(&history, 1));
    let second = start(&log, settings, &events, recorded(&history, 2));
    until("both are at work", || history.finished() > 600).await;
    let (number, before) = (first.number, history.finished());
    log.expel(GROUP, number);
    until("all is done", || committed_in_all(&log, 4) == 3_000).await;
    let (one, two) = (first.stop().await, second.stop().await);
    history.assert_none_lost(&produced);
    assert_eq!(events.count(|e| matches!(e, Event::Trouble(_))), 1);
    assert!(events.count(|e| matches!(e, Event::Lost { .. })) >= 1);
    // It came back, and what came again is bounded by what was in flight or not committed.
    let again = history.ran().len() - 3_000;
    assert!(again > 0 && again <= before.min(1_500), "{again} came again");
    assert!(history.ran().iter().rev().take(500).any(|ran| ran.member == 1), "it never came back");
    assert_eq!(one.uncommitted + two.uncommitted, 0);
    assert_all_committed(&log, 4);
}

fn committed_in_all(log: &MemoryLog, partitions: i32) -> i64 {
    (0..partitions).filter_map(|partition| committed(log, partition)).sum()
}

#[tokio::test(start_paused = true)]
async fn a_revoked_partition_waits_for_its_handlers_only_until_the_drain_deadline() {
    let (log, events) = (log(2), EventLog::default());
    for partition in 0..2 {
        fill_partition(&log, partition, 10);
    }
    let settings = settings(Config::default());
    let drain = settings.drain_timeout;
    let history = History::default();
    let (hangs, writes) = (history.clone(), history.clone());
    let first = start(&log, settings.clone(), &events, move |record| {
        let running = hangs.begin(1, &record);
        async move {
            if record.offset() == 4 {
                std::future::pending::<()>().await;
            }
            running.finish();
        }
    });
    until("the rest is done", || history.finished() == 18).await;
    let begun = Instant::now();
    let second = start(&log, settings, &events, move |record| {
        let running = writes.begin(2, &record);
        async move { running.finish() }
    });
    until("the second got the record", || history.finished() == 19).await;
    let took = begun.elapsed();
    assert!(took >= drain && took < drain + ms(500), "{took:?}");
    assert_eq!(events.count(|e| matches!(e, Event::DrainDeadline { in_flight: 1, .. })), 1);
    // Finished ranges went with it: the second member ran that one record only.
    let ran: Vec<_> = history.ran().iter().filter(|ran| ran.member == 2).map(|r| r.at.1).collect();
    assert_eq!(ran, [4]);
    second.stop().await;
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_finishes_what_is_in_flight_starts_nothing_and_commits() {
    let (log, history, events) = (log(3), History::default(), EventLog::default());
    let produced = fill(&log, 2_000, 500);
    let settings = settings(Config { max_in_flight: 30, ..Config::default() });
    let slow = {
        let history = history.clone();
        move |record: Record| {
            let running = history.begin(1, &record);
            async move {
                sleep_ms(400).await;
                running.finish();
            }
        }
    };
    let member = start(&log, settings.clone(), &events, slow);
    sleep_ms(900).await;
    let (in_flight, begun) = (history.ran().len() - history.finished(), Instant::now());
    assert_eq!(in_flight, 30);
    let summary = member.stop().await;
    assert!(begun.elapsed() <= ms(500), "{:?}", begun.elapsed());
    assert_eq!((history.ran().len(), history.finished()), (90, 90));
    assert_eq!((summary.finished(), summary.uncommitted, summary.closed), (90, 0, true));
    assert_eq!(summary.unfinished, summary.counters.admitted - 90);
    let draining = |e: &Event| matches!(e, Event::Draining { in_flight: 30, .. });
    assert_eq!(events.count(draining), 1);
    run(&log, Settings { until_end: true, ..settings }, recorded(&history, 2)).await;
    history.assert_none_lost(&produced);
    history.assert_no_repeats();
    history.assert_order(&produced, Lane::Key);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_handler_does_not_hold_up_a_shutdown_beyond_its_deadline() {
    let (log, events) = (log(1), EventLog::default());
    fill(&log, 20, 20);
    let fired = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&fired);
    let mut settings = settings(Config::default());
    settings.shutdown_timeout = Duration::from_secs(10);
    let member = start(&log, settings, &events, move |record| {
        let told = Arc::clone(&told);
        async move {
            if record.offset() == 3 {
                let token = record.cancellation().clone();
                tokio::spawn(async move {
                    token.cancelled().await;
                    told.store(true, Atomic::Relaxed);
                });
                std::future::pending::<()>().await;
            }
        }
    });
    sleep_ms(1_000).await;
    let begun = Instant::now();
    let summary = member.stop().await;
    // Handlers have four fifths of the time.
    assert!((ms(8_000)..ms(8_500)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert!(fired.load(Atomic::Relaxed), "the token did not fire");
    assert_eq!((summary.finished(), summary.unfinished, summary.uncommitted), (19, 1, 0));
    assert_eq!(committed(&log, 0), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_with_the_log_out_of_reach_ends_in_time_and_says_what_is_not_committed() {
    let (log, events) = (log(2), EventLog::default());
    fill(&log, 50, 50);
    let member = start(&log, settings(Config::default()), &events, |_| sleep_ms(10));
    log.unreachable(true);
    sleep_ms(1_000).await;
    log.unreachable(false);
    sleep_ms(5).await;
    log.unreachable(true);
    sleep_ms(1_000).await;
    let begun = Instant::now();
    let summary = member.stop().await;
    assert!(begun.elapsed() <= Duration::from_secs(25), "{:?}", begun.elapsed());
    assert_eq!((summary.finished(), summary.uncommitted, summary.closed), (50, 50, false));
    assert_eq!(committed_in_all(&log, 2), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_drops_its_handlers_and_commits_nothing_unfinished() {
    let (log, history) = (log(2), History::default());
    let produced = fill(&log, 1_000, 40);
    let run_1 = consumer(&log, settings(Config::default())).run(recorded(&history, 1));
    let cut = tokio::time::timeout(ms(150), async { run_1.await }).await;
    assert!(cut.is_err());
    sleep_ms(1_000).await;
    let ran = history.ran();
    let finished = history.finished();
    assert!(finished > 0 && finished < 1_000);
    assert!(ran.iter().all(|ran| ran.end.is_some()), "a handler was not dropped");
    for partition in 0..2 {
        let committed = committed(&log, partition).unwrap_or(0);
        let done = |offset| ran.iter().any(|ran| ran.at == (partition, offset) && ran.finished);
        assert!((0..committed).all(done), "of {partition} something unfinished is committed");
    }
    run(&log, settings(Config::default()), recorded(&history, 2)).await;
    history.assert_none_lost(&produced);
    assert_all_committed(&log, 2);
}

#[tokio::test(start_paused = true)]
async fn partitions_that_are_added_are_read() {
    let (log, history, events) = (log(1), History::default(), EventLog::default());
    let mut produced = fill(&log, 200, 20);
    let member = start(&log, settings(Config::default()), &events, recorded(&history, 1));
    sleep_ms(50).await;
    log.grow_topic(TOPIC, 3).unwrap();
    produced.extend(fill_partition(&log, 2, 100));
    until("all is done", || history.finished() == 300).await;
    member.stop().await;
    history.assert_none_lost(&produced);
    history.assert_no_repeats();
    assert_all_committed(&log, 3);
}

#[tokio::test(start_paused = true)]
async fn one_group_does_not_disturb_another() {
    let (log, events) = (log(2), EventLog::default());
    fill(&log, 100, 10);
    let run_1 = consumer(&log, settings(Config::default())).on_event(events.listener());
    let other = Consumer::new(log.source("other", [TOPIC]), settings(Config::default())).unwrap();
    let (one, two) = tokio::join!(async { run_1.run(|_: Record| sleep_ms(1)).await }, async {
        other.run(|_: Record| sleep_ms(2)).await
    },);
    assert_eq!((one.unwrap().finished(), two.unwrap().finished()), (100, 100));
    assert_eq!(events.count(|e| matches!(e, Event::Revoking { .. })), 2, "{:?}", events.lines());
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_commit_of_an_earlier_assignment_is_not_taken_for_this_one() {
    let log = log(2);
    fill(&log, 400, 10);
    let mut source = Watched::<false>::new(log.source(GROUP, [TOPIC]));
    source.stale_answers = true;
    let events = EventLog::default();
    let commit_interval = ms(20);
    let settings = Settings { commit_interval, ..settings(Config::default()) };
    let consumer = Consumer::new(source, settings).unwrap().on_event(events.listener());
    let summary = consumer.run(|_: Record| sleep_ms(5)).await.unwrap();
    assert_eq!((summary.finished(), summary.uncommitted), (400, 0));
    let beyond = |e: &Event| matches!(e, Event::Committed { offset, .. } if offset.0 > 400);
    assert_eq!(events.count(beyond), 0);
    assert_all_committed(&log, 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_answer_to_an_earlier_commit_is_not_taken_for_this_one() {
    let (log, events) = (log(1), EventLog::default());
    fill(&log, 60, 10);
    log.hold_commits(true);
    let member = start(&log, settings(Config::default()), &events, |_| sleep_ms(10));
    sleep_ms(500).await;
    // The partition comes back, and its second commit waits behind the first one.
    log.expel(GROUP, member.number);
    sleep_ms(50).await;
    fill(&log, 60, 10);
    sleep_ms(800).await;
    assert_eq!(events.count(|e| matches!(e, Event::Assigned { .. })), 2);
    log.fail_commits(1);
    log.hold_commits(false);
    sleep_ms(300).await;
    assert_eq!(
        events.count(|e| matches!(e, Event::CommitFailed { .. })),
        0,
        "{:?}",
        events.lines()
    );
    assert_all_committed(&log, 1);
    member.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_wakes_an_idle_run() {
    let (log, history, events) = (log(3), History::default(), EventLog::default());
    let member = start(&log, settings(Config::default()), &events, recorded(&history, 1));
    for round in 1..20 {
        tokio::time::sleep(Duration::from_secs(100)).await;
        put(&log, NewRecord::value("v"));
        sleep_ms(30).await;
        assert_eq!(history.finished(), round);
    }
    member.stop().await;
}
