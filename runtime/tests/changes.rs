//! Settings that change while a consumer runs. On a paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::judge::History;
use common::*;
use tidegate_engine::{Config, ConfigChange};
use tidegate_runtime::{Consumer, Record, Settings, SettingsChange};

#[tokio::test(start_paused = true)]
async fn settings_can_be_changed_while_it_runs() {
    let (log, history) = (log(1), History::default());
    fill(&log, 60, 60);
    let engine = Config { max_in_flight: 1, max_queued: 2, ..Config::default() };
    let settings = Settings { commit_interval: Duration::from_secs(1), ..settings(engine) };
    let consumer = Consumer::new(log.source(GROUP, [TOPIC]), settings).unwrap();
    let monitor = consumer.monitor();
    let change = |engine| SettingsChange { engine, ..SettingsChange::default() };
    let wrong =
        ConfigChange { commit_stall: Some(Duration::from_secs(1)), ..ConfigChange::default() };
    let error = monitor.change(&change(wrong)).unwrap_err();
    assert!(error.to_string().contains("half of commit_stall"), "{error}");
    assert_eq!(monitor.config().commit_stall, Config::default().commit_stall);
    let (writes, looks) = (history.clone(), monitor.clone());
    let run = tokio::spawn(
        consumer
            .run(move |record: Record| {
                let running = writes.begin(0, &record);
                async move {
                    sleep_ms(100).await;
                    running.finish();
                }
            })
            .into_future(),
    );
    sleep_ms(450).await;
    assert_eq!(looks.snapshot().engine.queued, 2, "full, and nobody would wake it but an outcome");
    let larger = ConfigChange { max_queued: Some(20), ..ConfigChange::default() };
    let change =
        SettingsChange { commit_interval: Some(Duration::from_millis(10)), ..change(larger) };
    monitor.change(&change).unwrap();
    sleep_ms(20).await;
    assert_eq!(looks.snapshot().engine.queued, 20, "at once");
    assert_eq!(
        looks.snapshot().uncommitted,
        0,
        "the next commit is not waited for as long as before"
    );
    let smaller =
        ConfigChange { max_queued: Some(5), max_in_flight: Some(2), ..ConfigChange::default() };
    monitor.change(&SettingsChange { engine: smaller, ..SettingsChange::default() }).unwrap();
    let mut before = looks.snapshot().engine.queued;
    while before > 5 {
        sleep_ms(50).await;
        let now = looks.snapshot().engine.queued;
        assert!(now <= before, "it only falls: {now} after {before}");
        before = now;
    }
    run.await.unwrap().unwrap();
    assert_eq!(history.most(), 2);
}
