//! Members that are killed and paused, a broker that dies.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use common::{Recorder, Running, builder, may_come_again, on_both_protocols, recorded, wait_for};
use tidegate::{Consumer, Record};
use tidegate_testkit::history::{Event, Happened, History, HistoryWriter};
use tidegate_testkit::judge::{Judge, Ordering as Order};
use tidegate_testkit::kafka::{Broker, Fill, NewTopic, Written, offsets};
use tidegate_testkit::process::Guarded;

const LIMIT: u32 = 20;
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

fn fill(broker: &Broker, name: &str, partitions: i32, records: u64) -> Vec<Written> {
    broker.admin().create_topic(NewTopic::new(name).partitions(partitions));
    broker.fill(&Fill::new(name).records(records).keys(200).value_bytes(100))
}

fn committed(broker: &Broker, name: &str) -> i64 {
    offsets::committed_sum(&broker.properties(), name, name)
}

async fn five_ms(_: Record) {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Not a test: a member in a process of its own, started by the tests below.
#[test]
#[ignore = "started by other tests as a process of its own"]
fn member_process() {
    let given = |name: &str| std::env::var(name).unwrap();
    let history = HistoryWriter::open(given("MEMBER_HISTORY"), &given("MEMBER_NAME")).unwrap();
    let mut builder = Consumer::builder()
        .brokers(given("MEMBER_BROKERS"))
        .group(given("MEMBER_TOPIC"))
        .topic(given("MEMBER_TOPIC"))
        .max_in_flight(LIMIT)
        .commit_interval(COMMIT_INTERVAL);
    // Under the consumer protocol these are the broker's, and the test's broker has the same.
    match std::env::var("MEMBER_PROTOCOL").as_deref() {
        Ok("consumer") => builder = builder.property("group.protocol", "consumer"),
        _ => {
            builder = builder
                .property("session.timeout.ms", "6000")
                .property("heartbeat.interval.ms", "500");
        }
    }
    if let Ok(interval) = std::env::var("MEMBER_MAX_POLL") {
        builder = builder.property("max.poll.interval.ms", interval);
        builder = builder.drain_timeout(Duration::from_secs(2));
    }
    let told = std::sync::Arc::default();
    let listener = common::listener(history.clone(), told);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        builder
            .build()
            .unwrap()
            .on_event(move |event| {
                listener(event);
                eprintln!("{event}");
            })
            .run(recorded(history, five_ms))
            .with_graceful_shutdown(async move {
                terminate.recv().await;
            })
            .await
            .unwrap();
    });
}

/// Starts [`member_process`].
fn member(
    broker: &Broker,
    topic: &str,
    name: &str,
    folder: &Path,
    more: &[(&str, &str)],
) -> Guarded {
    let given = |name: &str, value: &str| format!("{name}={value}");
    let mut arguments = vec![
        given("MEMBER_BROKERS", broker.bootstrap()),
        given("MEMBER_TOPIC", topic),
        given("MEMBER_NAME", name),
        given("MEMBER_HISTORY", &folder.join("history").to_string_lossy()),
    ];
    arguments.extend(more.iter().map(|(name, value)| given(name, value)));
    arguments.push(std::env::current_exe().unwrap().to_string_lossy().into_owned());
    arguments.extend(["member_process", "--exact", "--ignored", "--nocapture"].map(str::to_owned));
    let output = File::create(folder.join(format!("output-{name}"))).unwrap();
    Guarded::spawn("env", arguments, &output, None).unwrap()
}

fn output(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(format!("output-{name}"))).unwrap_or_default()
}

/// How many handlers of a member have ended.
fn ended(history: &History, member: &str) -> u64 {
    let ended =
        |event: &&Event| &*event.member == member && matches!(event.happened, Happened::End { .. });
    history.events().iter().filter(ended).count() as u64
}

/// Waits until a member has committed after it gave partitions back: brokers refuse commits for about
/// a second around a rebalance.
fn wait_until_it_commits_again(folder: &Path, member: &str) {
    wait_for("it to commit again", || {
        let text = output(folder, member);
        let released = text.rfind(" released").unwrap_or(text.len());
        text[released..].contains(" committed ")
    });
}

/// How many handlers of a member ended that the last commit of their partition may not cover. A commit
/// is sent when the one before was answered, so that it covers what had ended by then.
fn finished_since_commits(history: &History, member: &str) -> u64 {
    let own = || history.events().iter().filter(|event| &*event.member == member);
    // Of each partition when the last commit was answered, and the one before.
    let mut answered: HashMap<i32, (u64, u64)> = HashMap::new();
    for event in own() {
        if let Happened::Commit { next } = &event.happened {
            let (last, before) = answered.entry(next.partition).or_default();
            *before = std::mem::replace(last, event.t_us);
        }
    }
    let open = |event: &&Event| match &event.happened {
        Happened::End { record, .. } => {
            let (_, before) = answered.get(&record.partition).copied().unwrap_or_default();
            event.t_us >= before
        }
        _ => false,
    };
    own().filter(open).count() as u64
}

#[test]
fn after_kill_9_nothing_is_lost_and_repeats_are_few() {
    on_both_protocols(|protocol| killed(protocol, &format!("killed-{protocol}")));
}

fn killed(protocol: &str, name: &str) {
    let broker = Broker::shared();
    let protocol = [("MEMBER_PROTOCOL", protocol)];
    let written = fill(broker, name, 6, 20_000);
    let folder = tempfile::tempdir().unwrap();
    let history = || History::read(folder.path().join("history")).unwrap_or_else(|_| empty());
    let ends = |member: &str| ended(&history(), member);
    let mut a = member(broker, name, "a", folder.path(), &protocol);
    wait_for("a to work", || ends("a") > 500);
    let mut b = member(broker, name, "b", folder.path(), &protocol);
    wait_for("b to work", || ends("b") > 500);
    wait_until_it_commits_again(folder.path(), "a");
    a.kill();
    HistoryWriter::open(folder.path().join("history"), "a").unwrap().killed();
    wait_for("everything to be committed", || committed(broker, name) == 20_000);
    b.terminate();
    assert!(b.wait(Duration::from_secs(25)).unwrap().success(), "{}", output(folder.path(), "b"));

    // What was in flight, and what was finished since the last commit, however long that took.
    let lately = finished_since_commits(&history(), "a");
    let report = Judge::expecting_written(&written)
        .ordering(Order::Key)
        .limit(LIMIT as usize)
        .max_repeats(u64::from(LIMIT) + lately)
        .check(&history());
    report.assert_ok();
}

fn empty() -> History {
    History::from_events(Vec::new())
}

#[test]
fn a_paused_member_is_expelled_says_so_and_joins_again() {
    on_both_protocols(|protocol| paused(protocol, &format!("paused-{protocol}")));
}

fn paused(protocol: &str, name: &str) {
    let broker = Broker::shared();
    let written = fill(broker, name, 4, 12_000);
    let folder = tempfile::tempdir().unwrap();
    let history = || History::read(folder.path().join("history")).unwrap_or_else(|_| empty());
    let ends = |member: &str| ended(&history(), member);
    let interval = [("MEMBER_MAX_POLL", "6000"), ("MEMBER_PROTOCOL", protocol)];
    let a = member(broker, name, "a", folder.path(), &interval);
    wait_for("a to work", || ends("a") > 200);
    let mut b = member(broker, name, "b", folder.path(), &interval);
    wait_for("b to work", || ends("b") > 200);
    wait_until_it_commits_again(folder.path(), "a");
    a.pause();
    std::thread::sleep(Duration::from_secs(9));
    a.resume();
    wait_for("a to say so", || output(folder.path(), "a").contains(" lost"));
    let more =
        broker.fill(&Fill::new(name).records(8_000).keys(200).value_bytes(100).first(12_000));
    let assigned_again = || {
        let text = output(folder.path(), "a");
        let lost = text.find(" lost").unwrap_or(text.len());
        text[lost..].contains("assigned")
    };
    wait_for("a to join again", assigned_again);
    wait_for("everything to be committed", || committed(broker, name) == 20_000);
    for member in [&a, &b] {
        member.terminate();
    }
    assert!(b.wait(Duration::from_secs(25)).unwrap().success());
    let said = output(folder.path(), "a");
    assert!(said.contains("expelled") || said.contains("lost"), "{said}");
    println!("a: {said}\nb: {}", output(folder.path(), "b"));
    // A handler that was frozen may end after another member has repeated its record.
    let written: Vec<_> = written.into_iter().chain(more).collect();
    let bound = may_come_again(&history(), "a", "b");
    Judge::expecting_written(&written)
        .max_repeats(bound)
        .commits_may_go_backwards()
        .check(&history())
        .assert_ok();
}

#[test]
fn a_broker_that_dies_stops_the_work_and_nothing_is_repeated() {
    let mut broker = Broker::start();
    let members = ["classic", "consumer"].map(|protocol| {
        let name = format!("broker-dies-{protocol}");
        let written = fill(&broker, &name, 6, 30_000);
        let recorder = Recorder::new();
        let consumer = builder(&broker, &name)
            .property("group.protocol", protocol)
            .max_in_flight(LIMIT)
            .max_queued(500)
            .commit_stall(Duration::from_secs(1));
        let running = Running::start(consumer, &recorder.member("a"), five_ms);
        (name, written, recorder, running)
    });
    for (.., running) in &members {
        running.wait_done(2_000);
    }
    broker.kill();
    for (.., running) in &members {
        running.wait_told("can be reached");
        running.wait_told("no commit has succeeded");
    }
    std::thread::sleep(Duration::from_secs(4));
    let stalled = members.each_ref().map(|(.., running)| running.done());
    std::thread::sleep(Duration::from_secs(2));
    for ((.., running), stalled) in members.iter().zip(stalled) {
        assert_eq!(running.done(), stalled, "nothing starts any more");
        assert!(stalled < 29_000, "the test is too slow to show anything: {stalled}");
        assert!(running.monitor.snapshot().engine.commits_stalled);
    }
    broker.restart();
    for (name, written, recorder, running) in members {
        running.wait_done(30_000);
        wait_for("everything to be committed", || committed(&broker, &name) == 30_000);
        // Unless the broker, once it was back, took the session for expired: then it is lost first.
        let over = |line: &String| line.contains("commits succeed again") || line.contains(" lost");
        assert!(running.told().iter().any(over), "{:#?}", running.told());
        running.stop();
        Judge::expecting_written(&written)
            .ordering(Order::Key)
            .limit(LIMIT as usize)
            .max_repeats(0)
            .check(&recorder.history())
            .assert_ok();
    }
}

#[test]
fn a_shutdown_ends_in_time_though_the_broker_is_gone() {
    let mut broker = Broker::start();
    let name = "gone";
    let _ = fill(&broker, name, 4, 20_000);
    let recorder = Recorder::new();
    let consumer = builder(&broker, name).shutdown_timeout(Duration::from_secs(5));
    let running = Running::start(consumer, &recorder.member("a"), five_ms);
    running.wait_done(500);
    broker.kill();
    std::thread::sleep(Duration::from_millis(500));
    let begun = std::time::Instant::now();
    let summary = running.stop();
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    assert!(summary.uncommitted > 0, "what was not committed is said: {summary}");
}

#[test]
fn a_broker_that_is_not_there_is_named_within_seconds() {
    let recorder = Recorder::new();
    let nobody = || Consumer::builder().brokers("127.0.0.1:1").group("nobody").topic("nothing");
    let running = Running::start(nobody(), &recorder.member("a"), five_ms);
    let begun = std::time::Instant::now();
    running.wait_told("127.0.0.1:1");
    assert!(begun.elapsed() < Duration::from_secs(5));
    running.stop();
    let failed = Running::start(nobody().fail_fast(true), &recorder.member("b"), five_ms).join();
    assert!(failed.unwrap_err().to_string().contains("127.0.0.1:1"));
}

/// Preloaded into a member, it gives it a wall clock that the test sets.
#[cfg(target_os = "linux")]
fn wall_clock_library(folder: &Path) -> std::path::PathBuf {
    let library = folder.join("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clock.c");
    let compiled = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, Path::new(source), Path::new("-ldl")])
        .status();
    assert!(compiled.unwrap().success(), "cc does not compile tests/clock.c");
    library
}

#[cfg(target_os = "linux")]
#[test]
fn a_wall_clock_that_is_set_back_has_no_effect() {
    on_both_protocols(|protocol| set_back(protocol, &format!("clock-{protocol}")));
}

#[cfg(target_os = "linux")]
fn set_back(protocol: &str, name: &str) {
    let broker = Broker::shared();
    let written = fill(broker, name, 4, 4_000);
    let folder = tempfile::tempdir().unwrap();
    let library = wall_clock_library(folder.path());
    let clock = folder.path().join("wall-clock");
    // Written over in place: the member has it mapped.
    let file = File::options().create(true).truncate(true).read(true).write(true).open(&clock);
    let file = file.unwrap();
    let set = |seconds: i64| {
        std::os::unix::fs::FileExt::write_all_at(&file, &seconds.to_ne_bytes(), 0).unwrap();
    };
    set(0);
    let more = [
        ("LD_PRELOAD", &*library.to_string_lossy()),
        ("WALL_CLOCK", &*clock.to_string_lossy()),
        ("MEMBER_PROTOCOL", protocol),
    ];
    let mut member = member(broker, name, "a", folder.path(), &more);
    let history = || History::read(folder.path().join("history")).unwrap_or_else(|_| empty());
    let ends = || ended(&history(), "a");
    // Under load,
    wait_for("a to work", || ends() > 1_000);
    set(-3_600);
    wait_for("everything to be committed", || committed(broker, name) == 4_000);
    // and, which is harder, when nothing happens for longer than the session timeout.
    std::thread::sleep(Duration::from_secs(2));
    set(-7_200);
    std::thread::sleep(Duration::from_secs(10));
    let said = || output(folder.path(), "a");
    assert!(!said().contains(" lost") && !said().contains("expelled"), "{}", said());
    let more = broker.fill(&Fill::new(name).records(1_000).keys(200).value_bytes(100).first(4_000));
    wait_for("everything to be committed", || committed(broker, name) == 5_000);
    member.terminate();
    assert!(member.wait(Duration::from_secs(25)).unwrap().success(), "{}", said());
    assert!(!said().contains(" lost") && !said().contains("expelled"), "{}", said());
    let written: Vec<_> = written.into_iter().chain(more).collect();
    Judge::expecting_written(&written)
        .ordering(Order::Key)
        .limit(LIMIT as usize)
        .max_repeats(0)
        .check(&history())
        .assert_ok();
}
