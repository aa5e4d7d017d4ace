//! `--to stdout`, and `--to null`.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tidegate::{Metadata, Offset};
use tidegate_testkit::kafka::{Broker, NewRecord, NewTopic, offsets, produce};

use crate::process::{Call, json_lines};
use crate::{committed_sum, filled, seen};

#[test]
fn every_form_of_a_record_has_its_own_json() {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new("stdout-forms").config("retention.ms", -1));
    let records = [
        NewRecord::new().key("kéy").value("a \"value\"\n").timestamp(1_700_000_000_000),
        NewRecord::new().key(vec![0xff, 0]).value(vec![0xc3, 0x28]),
        NewRecord::new().key("").value(""),
        NewRecord::new(),
        NewRecord::new()
            .key("h")
            .value("v")
            .header("same", "one")
            .header("same", "two")
            .header("binary", vec![0xfe])
            .header("empty", "")
            .null_header("null"),
    ];
    let written = produce::send(&broker.properties(), "stdout-forms", records);
    assert_eq!(written.len(), 5);

    let ended = Call::run("stdout-forms", "stdout-forms", "stdout", &["--until-end"]).succeed();
    let mut lines = ended.lines();
    lines.sort_by_key(|line| line["offset"].as_i64());
    assert_eq!(
        ended.stdout.lines().find(|line| line.contains("kéy")).unwrap(),
        "{\"topic\":\"stdout-forms\",\"partition\":0,\"offset\":0,\"timestamp\":1700000000000,\
         \"key\":\"kéy\",\"value\":\"a \\\"value\\\"\\n\",\"headers\":[]}"
    );
    let of = |index: usize| {
        let line = &lines[index];
        json!([line["key"], line["key_encoding"], line["value"], line["value_encoding"]])
    };
    assert_eq!(of(1), json!(["/wA=", "base64", "wyg=", "base64"]));
    assert_eq!(of(2), json!(["", null, "", null]));
    assert_eq!(of(3), json!([null, null, null, null]));
    assert!(lines[3].get("value").is_some(), "a tombstone has a value, which is null");
    let headers = json!([
        ["same", "one"],
        ["same", "two"],
        ["binary", "/g==", "base64"],
        ["empty", ""],
        ["null", null]
    ]);
    assert_eq!(lines[4]["headers"], headers);
    assert_eq!(committed_sum("stdout-forms", "stdout-forms"), 5);
    assert_eq!(ended.events("summary")[0]["done"], 5);
}

#[test]
fn null_takes_everything() {
    filled("null", 3, 5_000);
    let ended = Call::run("null", "null", "null", &["--until-end"]).succeed();
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.events("summary")[0]["done"], 5_000);
    assert_eq!(committed_sum("null", "null"), 5_000);
}

#[test]
fn kill_9_loses_no_line() {
    filled("kill", 4, 20_000);
    // Slow enough to be in the middle of it: one line in flight for each flush.
    let short = ["--concurrency", "4", "-X", "session.timeout.ms=6000"];
    let mut first = Call::run("kill", "kill", "stdout", &short).spawn();
    first.until("some lines", |run| run.stdout().lines().count() > 1_000);
    first.signal(Signal::SIGKILL);
    let first = first.wait(Duration::from_secs(5));
    let mut lines = json_lines(&first.stdout);
    let second = Call::run("kill", "kill", "stdout", &["--until-end"]).succeed();
    lines.extend(second.lines());
    assert_eq!(seen(&lines).len(), 20_000, "every record is on a line of one of the runs");
    assert_eq!(committed_sum("kill", "kill"), 20_000);
}

/// What is read from a pipe at once, and how much a pipe holds (Linux: 16 pages).
const BUFFER: usize = 8 << 10;
const PIPE: usize = 64 << 10;

#[test]
fn a_closed_pipe_ends_the_run_and_commits_nothing_unwritten() {
    filled("closed", 2, 50_000);
    let (mut running, stdout) = Call::run("closed", "closed", "stdout", &[]).spawn_piped();
    let mut lines = BufReader::with_capacity(BUFFER, stdout).lines();
    let read: Vec<_> = lines.by_ref().take(100).map(Result::unwrap).collect();
    assert_eq!(read.len(), 100);
    drop(lines);
    running.until("its end", |run| run.stderr().contains("standard output"));
    let ended = running.wait(Duration::from_secs(10));
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.events("attempt-failed").is_empty() && ended.events("overloaded").is_empty());
    // Written is what was read here, and what then lay in this buffer and in the pipe. As another
    // client sees it, neither a committed offset nor the ranges above it name more than that.
    let shortest = read.iter().map(|line| line.len() + 1).min().unwrap();
    let written = read.len() + (BUFFER + PIPE).div_ceil(shortest);
    let commits = offsets::committed(&Broker::shared().properties(), "closed", "closed");
    let named = |commit: &offsets::Committed| {
        let metadata = Metadata::decode(&commit.metadata, Offset(commit.offset)).unwrap();
        let ahead: i64 = metadata.finished.iter().map(|range| range.end.0 - range.start.0).sum();
        commit.offset + ahead
    };
    let named: i64 = commits.values().map(named).sum();
    assert!(named <= written as i64, "{named} are named as finished, {written} were written");
    assert!(named < 50_000, "the test is too slow to show anything");
}
