//! Brokers and topics that are not there.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tidegate_testkit::kafka::{Broker, Fill, NewTopic};

use crate::process::Call;
use crate::{committed_sum, filled};

#[test]
fn fail_fast_names_an_unknown_topic() {
    let call = Call::run("no-such-topic", "g", "null", &["--fail-fast"]);
    call.fail(1, "topic no-such-topic does not exist");
}

#[test]
fn fail_fast_names_a_broker_that_is_not_there() {
    let args = ["run", "-b", "127.0.0.1:1", "-t", "t", "-G", "g", "--to", "null", "--fail-fast"];
    Call::new(&args).fail(1, "127.0.0.1:1");
}

#[test]
fn without_fail_fast_it_says_so_and_goes_on_when_the_topic_comes() {
    let started = Instant::now();
    let mut run = Call::run(
        "late-topic",
        "late-topic",
        "null",
        &["-X", "topic.metadata.refresh.interval.ms=1000"],
    )
    .spawn();
    run.until("it says so", |run| run.stderr().contains("topic late-topic does not exist"));
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new("late-topic"));
    let written = broker.fill(&Fill::new("late-topic").records(10));
    assert_eq!(written.len(), 10);
    run.until("it goes on", |_| committed_sum("late-topic", "late-topic") == 10);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.wait(Duration::from_secs(25)).code, Some(0));
}

#[test]
fn without_fail_fast_an_unreachable_broker_is_told_within_seconds() {
    let args = ["run", "-b", "127.0.0.1:1", "-t", "t", "-G", "g", "--to", "null"];
    let started = Instant::now();
    let mut run = Call::new(&args).spawn();
    run.until("it says so", |run| run.stderr().contains("127.0.0.1:1"));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    std::thread::sleep(Duration::from_secs(1));
    assert!(run.runs(), "it tries on");
}

#[test]
fn text_is_for_people_and_json_for_programs() {
    let args = ["run", "-b", "127.0.0.1:1", "-t", "t", "-G", "g", "--to", "null", "--fail-fast"];
    let text = Call::new(&[&args[..], &["--output", "text"]].concat()).fail(1, "error: ");
    assert!(!text.stderr.contains('\x1b') && !text.stderr.contains('{'), "{}", text.stderr);
    let json = Call::new(&args).fail(1, "");
    assert_eq!(json.events("failed")[0]["level"], "error");
}

#[test]
fn a_dead_downstream_is_a_few_lines_a_second_in_text() {
    filled("dead", 2, 200);
    let more = ["--output", "text", "--retries", "9999", "--backoff", "100ms"];
    let call = Call::run("dead", "dead", "exec:false", &more);
    let mut running = call.env("TIDEGATE_BACKOFF_MAX", "100ms").spawn();
    running.until("sums", |run| run.stderr().matches("more attempts failed").count() >= 2);
    running.signal(Signal::SIGTERM);
    let ended = running.wait(Duration::from_secs(30));
    let lines = |words: &str| ended.stderr.lines().filter(|line| line.contains(words)).count();
    let sums = lines(" more attempts failed in the last second, latest: dead/");
    let single = lines("warning: dead/");
    assert!(sums >= 2 && single <= 5 * (sums + 2), "{sums} sums, {single} single lines");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
