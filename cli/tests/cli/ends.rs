//! How a run ends, and where it starts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use tidegate_testkit::kafka::{Broker, NewRecord, NewTopic, produce};

use crate::process::Call;
use crate::{committed_sum, filled, seen};

#[test]
fn sigterm_under_load_drains_commits_and_repeats_nothing() {
    const RECORDS: u64 = 300_000;
    filled("term", 6, RECORDS);
    let mut first = Call::run("term", "term", "stdout", &["--commit-interval", "1s"]).spawn();
    first.until("it is in the middle", |run| run.stdout().len() > 1_000_000);
    first.signal(Signal::SIGTERM);
    let first = first.wait(Duration::from_secs(25));
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let mut lines = first.lines();
    assert!(lines.len() < RECORDS as usize, "it was over before the signal");
    assert_eq!(first.events("summary")[0]["done"], lines.len());
    assert_eq!(first.events("summary")[0]["uncommitted"], 0);
    assert!(committed_sum("term", "term") <= lines.len() as i64);

    lines.extend(Call::run("term", "term", "stdout", &["--until-end"]).succeed().lines());
    let seen = seen(&lines);
    assert_eq!(seen.len() as u64, RECORDS, "none is lost");
    assert!(seen.values().all(|count| *count == 1), "none is repeated");
    assert_eq!(committed_sum("term", "term"), RECORDS as i64);
}

#[test]
fn sigterm_ends_an_idle_run_and_one_without_a_broker() {
    filled("idle", 1, 1);
    let mut idle = Call::run("idle", "idle", "null", &[]).spawn();
    idle.until("it has everything", |_| committed_sum("idle", "idle") == 1);
    idle.signal(Signal::SIGTERM);
    assert_eq!(idle.wait(Duration::from_secs(25)).code, Some(0));

    let args = ["run", "-b", "127.0.0.1:1", "-t", "t", "-G", "g", "--to", "null"];
    let mut lonely = Call::new(&args).spawn();
    lonely.until("it says so", |run| run.stderr().contains("127.0.0.1:1"));
    lonely.signal(Signal::SIGTERM);
    assert_eq!(lonely.wait(Duration::from_secs(25)).code, Some(0));
}

#[test]
fn max_records_is_kept_and_the_next_run_goes_on() {
    filled("max", 3, 1_000);
    let first = Call::run("max", "max", "stdout", &["--max-records", "300"]).succeed().lines();
    assert_eq!(first.len(), 300);
    let rest = Call::run("max", "max", "stdout", &["--until-end"]).succeed().lines();
    assert_eq!(rest.len(), 700);
    assert_eq!(seen(&[first, rest].concat()).len(), 1_000);
}

#[test]
fn variables_do_what_flags_do() {
    filled("variables", 1, 10);
    let ended = Call::new(&["run"])
        .env("TIDEGATE_BROKERS", Broker::shared().bootstrap())
        .env("TIDEGATE_TOPIC", "variables")
        .env("TIDEGATE_GROUP", "variables")
        .env("TIDEGATE_TO", "stdout")
        .env("TIDEGATE_UNTIL_END", "true")
        .env("TIDEGATE_QUIET", "yes")
        .succeed();
    assert_eq!(ended.lines().len(), 10);
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_pattern_takes_all_topics_it_fits() {
    filled("pattern-one", 1, 10);
    filled("pattern-two", 2, 20);
    let ended = Call::run("^pattern-.*", "pattern", "stdout", &["--until-end"]).succeed();
    assert_eq!(ended.lines().len(), 30);
    assert_eq!(committed_sum("pattern", "pattern-two"), 20);
}

#[test]
fn a_new_group_starts_where_it_is_told_to() {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new("from"));
    // A minute ago: what is older than the retention would go.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let at = |n: i64| now - 60_000 + n * 1_000;
    let records = (0..10).map(|n| NewRecord::new().value("v").timestamp(at(n)));
    let _ = produce::send(&broker.properties(), "from", records);
    let offsets = |group: &str, from: &[&str]| {
        let ended = Call::run("from", group, "stdout", &[from, &["--until-end"]].concat());
        let mut offsets: Vec<_> =
            ended.succeed().lines().iter().map(|line| line["offset"].as_i64().unwrap()).collect();
        offsets.sort_unstable();
        offsets
    };
    let date = UNIX_EPOCH + Duration::from_millis(at(8) as u64);
    let date = humantime::format_rfc3339_millis(date).to_string();
    assert_eq!(offsets("from-1", &[]), (0..10).collect::<Vec<_>>());
    assert_eq!(offsets("from-2", &["--from", "latest"]), [] as [i64; 0]);
    assert_eq!(offsets("from-3", &["--from", &at(7).to_string()]), [7, 8, 9]);
    assert_eq!(offsets("from-4", &["--from", &date]), [8, 9]);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client.properties");
    std::fs::write(&path, "auto.offset.reset=latest\nenable.auto.commit=true\n").unwrap();
    let file = ["-F", path.to_str().unwrap()];
    assert_eq!(offsets("from-5", &file), [] as [i64; 0]);
    assert_eq!(offsets("from-6", &[&file[..], &["--from", "earliest"]].concat()).len(), 10);
}
