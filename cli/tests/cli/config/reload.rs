//! SIGHUP.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use tempfile::NamedTempFile;
use tidegate_testkit::kafka::{Broker, Isolation, NewTopic, read_topic};

use super::file;
use crate::admin::{admin, snapshot};
use crate::process::{Call, Running, eventually, json_lines};
use crate::{committed_sum, filled};

const PATIENCE: Duration = Duration::from_secs(30);

/// The messages of this kind so far.
fn told(running: &Running, kind: &str) -> Vec<Value> {
    json_lines(&running.stderr()).into_iter().filter(|line| line["event"] == kind).collect()
}

/// Writes the file anew and has it read; the last message of this kind, when there are so many.
fn reload(
    running: &mut Running,
    file: &NamedTempFile,
    text: &str,
    (kind, count): (&str, usize),
) -> String {
    std::fs::write(file.path(), text).unwrap();
    running.signal(Signal::SIGHUP);
    running.until("the file is read again", |running| told(running, kind).len() == count);
    let message = told(running, kind).pop().unwrap();
    message["message"].as_str().unwrap().to_owned()
}

#[test]
fn limits_of_a_run_change_without_a_rebalance_and_nothing_is_lost_or_repeated() {
    filled("reload-run", 2, 300);
    let settings = format!(
        "brokers = '{}'\nadmin = '127.0.0.1:0'\n[run]\ntopic = 'reload-run'\ngroup = 'reload-run'\n\
         to = '''exec:sh -c 'sleep 0.03; echo $TIDEGATE_RECORD_PARTITION-$TIDEGATE_RECORD_OFFSET' '''\n\
         ordering = 'none'\nuntil-end = true\n",
        Broker::shared().bootstrap()
    );
    let with = |more: &str| format!("{settings}{more}");
    let file = file(&with("concurrency = 2\n"));
    let config = file.path().to_str().unwrap();
    let mut run = Call::new(&["run", "--config", config, "--retries", "3"]).spawn();
    let address = admin(&mut run);
    run.until("its permits are used", |_| snapshot(address)["in_flight"] == 2);

    let more = "concurrency = 6\nmax-bytes = '1MiB'\nretries = 9\n";
    let message = reload(&mut run, &file, &with(more), ("reloaded", 1));
    assert!(message.ends_with("from now on: concurrency 6, max-bytes 1MiB"), "{message}");
    run.until("more run", |_| snapshot(address)["in_flight"] == 6);
    let now = snapshot(address);
    assert_eq!((&now["limit"], &now["budget_bytes"]), (&6.into(), &(1 << 20).into()));

    let wrong = with("concurrency = 0\nmax-byte = 5\n");
    let message = reload(&mut run, &file, &wrong, ("reload-refused", 1));
    assert!(message.contains(&format!("{config}:10: [run] has no setting")), "{message}");
    let wrong = with("concurrency = 9\nbackoff-max = '1ms'\n");
    let message = reload(&mut run, &file, &wrong, ("reload-refused", 2));
    assert!(message.contains("--backoff-max"), "{message}");
    assert_eq!(snapshot(address)["limit"], 6);

    let less = "concurrency = 1\nordering = 'key'\ngroup-instance-id = 'x'\n";
    let message = reload(
        &mut run,
        &file,
        &with(less).replace("ordering = 'none'\n", ""),
        ("needs-restart", 1),
    );
    assert_eq!(message, "group-instance-id: needs a restart; ordering: needs a restart");
    let mut before = snapshot(address)["in_flight"].as_u64().unwrap();
    while before > 1 {
        let now = snapshot(address)["in_flight"].as_u64().unwrap();
        assert!(now <= before, "after a cut it only falls: {now} after {before}");
        before = now;
    }
    let message = reload(&mut run, &file, &with("concurrency = 30\n"), ("reloaded", 3));
    assert!(message.contains("concurrency 30"), "{message}");

    let ended = run.wait(PATIENCE);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let mut seen = BTreeMap::new();
    ended.stdout.lines().for_each(|line| *seen.entry(line).or_insert(0) += 1);
    assert_eq!((seen.len(), seen.values().max()), (300, Some(&1)));
    assert_eq!(committed_sum("reload-run", "reload-run"), 300);
    let kinds = ["assigned", "revoking"].map(|kind| ended.events(kind).len());
    assert_eq!(kinds, [2, 2], "each partition once, and back at the end: {ended:#?}");
}

#[test]
fn the_rate_of_a_producer_changes() {
    Broker::shared().admin().create_topic(NewTopic::new("reload-produce").partitions(1));
    let settings = |rate: u32| {
        let broker = Broker::shared().bootstrap();
        format!("brokers = '{broker}'\n[produce]\ntopic = 'reload-produce'\nrate = {rate}\n")
    };
    let file = file(&settings(1));
    let lines: String = (0..500).map(|n| format!("{n}\n")).collect();
    let call = Call::new(&["produce", "--config", file.path().to_str().unwrap()]);
    let mut running = call.stdin(lines.as_bytes()).spawn();
    let sent = || {
        let properties = Broker::shared().properties();
        read_topic(&properties, "reload-produce", Isolation::Committed).len()
    };
    running.until("it has begun", |_| sent() > 0);
    let message = reload(&mut running, &file, &settings(100_000), ("reloaded", 1));
    assert!(message.ends_with("from now on: rate 100000"), "{message}");
    let ended = running.wait(Duration::from_secs(20));
    assert_eq!((ended.code, &ended.events("summary")[0]["delivered"]), (Some(0), &500.into()));
}

#[test]
fn a_signal_that_comes_before_all_is_up_is_served_once_it_is() {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new("reload-early").partitions(1));
    let lines: String = (0..60).map(|n| format!("{n}\n")).collect();
    for (command, settings) in [
        ("run", "group = 'reload-early'\nto = 'null'\n"),
        ("produce", "rate = 1\n"),
        ("ingest", "listen = '127.0.0.1:0'\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let properties = folder.path().join("properties");
        mkfifo(&properties, Mode::S_IRWXU).unwrap();
        let named = properties.display();
        let file = file(&format!(
            "command-config = '{named}'\n[{command}]\ntopic = 'reload-early'\n{settings}"
        ));
        let call = Call::new(&[command, "--config", file.path().to_str().unwrap()]);
        let mut running = call.stdin(lines.as_bytes()).spawn();
        // There is a reader when the command reads its properties, which is before everything else.
        let mut pipe = None;
        eventually("it reads its properties", || {
            let mut options = OpenOptions::new();
            let options = options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
            pipe = options.open(&properties).ok();
            pipe.is_some()
        });
        running.signal(Signal::SIGHUP);
        let text = format!("bootstrap.servers={}\n", broker.bootstrap());
        pipe.take().unwrap().write_all(text.as_bytes()).unwrap();
        running.until(command, |running| told(running, "reloaded").len() == 1);
        running.signal(Signal::SIGTERM);
        let ended = running.wait(PATIENCE);
        assert!(ended.code.is_some(), "a signal ended it: {ended:#?}");
    }
}

#[test]
fn without_a_file_there_is_nothing_to_reload_and_the_run_goes_on() {
    filled("reload-nothing", 1, 10);
    let mut run = Call::run("reload-nothing", "reload-nothing", "stdout", &[]).spawn();
    run.until("it runs", |run| run.stdout().lines().count() == 10);
    run.signal(Signal::SIGHUP);
    run.until("it says so", |run| told(run, "nothing-to-reload").len() == 1);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.wait(PATIENCE).code, Some(0));
}
