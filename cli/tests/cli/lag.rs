//! `tidegate lag`.

use serde_json::Value;
use tidegate_testkit::kafka::Broker;

use crate::filled;
use crate::process::{Call, Ended, json_lines};

fn lag(group: &str, more: &[&str]) -> Call {
    let args = ["lag", "-b", Broker::shared().bootstrap(), "-G", group, "--interval", "200ms"];
    Call::new(&[&args[..], more].concat())
}

fn sum(ended: &Ended, field: &str) -> i64 {
    ended.lines().iter().filter_map(|line| line[field].as_i64()).sum()
}

#[test]
fn lag_age_and_rates_of_each_partition_are_told() {
    filled("lag-table", 3, 300);
    Call::run("lag-table", "lag-table", "null", &["--max-records", "100"]).succeed();
    let ended = lag("lag-table", &[]).succeed();
    let lines = ended.lines();
    assert_eq!(lines.len(), 3, "the topic is found by the group's commits: {lines:?}");
    assert_eq!((sum(&ended, "end"), sum(&ended, "lag")), (300, 200));
    let finished = sum(&ended, "committed") + sum(&ended, "finished_ahead");
    assert_eq!(finished, 100);
    for line in &lines {
        let age = line["age_s"].as_f64().unwrap();
        let waits = line["lag"].as_i64().unwrap() > 0;
        assert_eq!(age > 0.0, waits, "{line}");
        assert_eq!(line["done_per_s"], Value::from(0.0));
    }
    let text = lag("lag-table", &["--output", "text", "-t", "lag-table"]).succeed().stdout;
    let last = text.lines().last().unwrap();
    assert!(text.starts_with("group lag-table\n") && last.contains("200"), "{text}");
}

#[test]
fn it_goes_on_with_watch_until_nobody_reads() {
    filled("lag-watch", 1, 10);
    let call = lag("lag-watch", &["-t", "lag-watch", "--watch", "--no-age"]);
    let (mut running, stdout) = call.spawn_piped();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    for _ in 0..3 {
        let line = lines.next().unwrap().unwrap() + "\n";
        let line = &json_lines(&line)[0];
        assert_eq!((&line["lag"], &line["committed"]), (&10.into(), &Value::Null));
    }
    drop(lines);
    crate::process::eventually("it ends", || !running.runs());
}

#[test]
fn what_is_not_there_is_named() {
    lag("lag-nobody", &[]).fail(1, "lag-nobody has not committed anything");
    lag("lag-nobody", &["-t", "lag-no-such-topic"]).fail(1, "lag-no-such-topic");
}
