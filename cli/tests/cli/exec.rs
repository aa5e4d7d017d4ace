//! `--to exec:COMMAND`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tidegate_testkit::kafka::{Broker, Isolation, NewRecord, NewTopic, produce, read_topic};

use crate::process::{Call, eventually};
use crate::{committed_sum, filled};

/// A script in a folder where it may leave things, and the words to run it.
struct Script {
    folder: TempDir,
    to: String,
}

impl Script {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script with a space.sh");
        fs::write(&path, text).unwrap();
        let to = format!("exec:sh '{}' '{}'", path.display(), folder.path().display());
        Self { folder, to }
    }

    fn left(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

#[test]
fn a_command_gets_value_coordinates_and_key() {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new("exec-given"));
    let records = [
        NewRecord::new().key("paula").value("the value").header("h", "1"),
        NewRecord::new().key(vec![0, 1]),
        NewRecord::new().value(""),
    ];
    let _ = produce::send(&broker.properties(), "exec-given", records);
    let script = Script::new(
        "exec > \"$1/$TIDEGATE_RECORD_OFFSET\"\n\
         echo \"$TIDEGATE_RECORD_TOPIC $TIDEGATE_RECORD_PARTITION $TIDEGATE_RECORD_ATTEMPT\"\n\
         echo \"${TIDEGATE_RECORD_KEY-unset} ${TIDEGATE_RECORD_KEY_ENCODING-unset}\"\n\
         echo \"$TIDEGATE_RECORD_HEADERS ${TIDEGATE_RECORD_TOMBSTONE-no}\"\n\
         echo \"${TIDEGATE_PROPERTY-no property}${TIDEGATE_ADMIN_TOKEN-}\"\n\
         cat\n",
    );
    let call = Call::run("exec-given", "exec-given", &script.to, &["--until-end"]);
    let call = call.env("TIDEGATE_PROPERTY", "client.id=secret");
    call.env("TIDEGATE_ADMIN_TOKEN", "secret").succeed();
    let first = "exec-given 0 1\n";
    assert_eq!(
        script.left("0"),
        format!("{first}paula text\n[[\"h\",\"1\"]] no\nno property\nthe value")
    );
    assert_eq!(script.left("1"), format!("{first}AAE= base64\n[] 1\nno property\n"));
    assert_eq!(script.left("2"), format!("{first}unset unset\n[] no\nno property\n"));
    assert_eq!(committed_sum("exec-given", "exec-given"), 3);
}

#[test]
fn a_command_need_not_read_its_input_nor_close_its_pipes() {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new("exec-large"));
    let large = (0..5).map(|_| NewRecord::new().value(vec![b'x'; 1_000_000]));
    let _ = produce::send(&broker.properties(), "exec-large", large);
    // What it leaves behind keeps standard error and standard input open.
    let script = Script::new("sleep 20 & exit 0");
    let started = std::time::Instant::now();
    Call::run("exec-large", "exec-large", &script.to, &["--until-end"]).succeed();
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[test]
fn exit_75_is_an_expected_failure() {
    filled("exec-75", 1, 3);
    let text = "if [ $TIDEGATE_RECORD_ATTEMPT = 1 ]; then echo busy >&2; exit 75; fi";
    let script = Script::new(text);
    let quiet = Call::run("exec-75", "quiet", &script.to, &["--until-end", "--backoff", "1ms"]);
    let quiet = quiet.succeed();
    assert_eq!(quiet.events("attempt-failed").len(), 0, "{quiet:#?}");
    assert_eq!(quiet.events("summary")[0]["failed_attempts"], 3);
    assert_eq!(quiet.events("command-stderr").len(), 3);
    let more = ["--until-end", "--backoff", "1ms", "-v"];
    let told = Call::run("exec-75", "told", &script.to, &more).succeed().events("attempt-failed");
    assert_eq!(told.len(), 3);
    assert_eq!(told[0]["level"], "debug");
    assert_eq!(told[0]["reason"], "expected failure (exit status 75): busy");
}

#[test]
fn a_failing_record_stops_its_partition_and_no_other() {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new("exec-stop").partitions(2));
    let record = |partition, value: &str| NewRecord::to(partition).key(value).value(value);
    let records =
        [record(0, "a"), record(0, "bad"), record(0, "c"), record(1, "d"), record(1, "e")];
    let _ = produce::send(&broker.properties(), "exec-stop", records);
    let script = Script::new("read value; case $value in bad) echo no good >&2; exit 3;; esac");
    let more = ["--until-end", "--retries", "2", "--backoff", "1ms", "--ordering", "partition"];
    let stopped = Call::run("exec-stop", "exec-stop", &script.to, &more);
    let stopped = stopped.fail(1, "exec-stop/0 stopped at offset 1: exit status 3: no good");
    assert_eq!(stopped.events("attempt-failed").len(), 2);
    assert_eq!(stopped.events("partition-stopped")[0]["attempts"], 3);
    assert_eq!(committed_sum("exec-stop", "exec-stop"), 1 + 2);

    let skip = [&more[..], &["--after-last-attempt", "skip"]].concat();
    let skipped = Call::run("exec-stop", "exec-stop", &script.to, &skip).succeed();
    assert_eq!(skipped.events("given-up")[0]["offset"], 1);
    assert_eq!(committed_sum("exec-stop", "exec-stop"), 3 + 2);
}

fn alive(process: &str) -> bool {
    let status = Path::new("/proc").join(process.trim()).join("status");
    fs::read_to_string(status).is_ok_and(|status| !status.contains("State:\tZ"))
}

#[test]
fn a_timeout_kills_the_whole_process_group() {
    filled("exec-timeout", 1, 1);
    let script = Script::new("sleep 300 & echo $! >> \"$1/pids\"; echo $$ >> \"$1/pids\"; wait");
    let more = ["--until-end", "--retries", "1", "--backoff", "1ms", "--timeout", "500ms"];
    let call = Call::run("exec-timeout", "exec-timeout", &script.to, &more);
    call.fail(1, "exec-timeout/0 stopped at offset 0");
    let pids = script.left("pids");
    assert_eq!(pids.lines().count(), 4, "two attempts with two processes each: {pids}");
    eventually("all are gone", || !pids.lines().any(alive));
}

#[test]
fn ctrl_c_at_the_terminal_lets_commands_finish() {
    filled("exec-int", 1, 50);
    let script = Script::new("echo started >> \"$1/started\"; sleep 2; echo done >> \"$1/done\"");
    let more = ["--concurrency", "5", "--ordering", "none"];
    let mut run = Call::run("exec-int", "exec-int", &script.to, &more).spawn();
    run.until("five run", |_| script.left("started").lines().count() == 5);
    run.signal_group(Signal::SIGINT);
    let ended = run.wait(Duration::from_secs(25));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let done = script.left("done").lines().count();
    assert_eq!(done, script.left("started").lines().count(), "what was started was finished");
    assert_eq!(ended.events("summary")[0]["done"], done);
    assert_eq!(committed_sum("exec-int", "exec-int"), done as i64);
}

#[test]
fn a_second_signal_ends_at_once_and_says_what_comes_again() {
    filled("exec-second", 1, 50);
    let script = Script::new("echo $$ >> \"$1/pids\"; exec sleep 300");
    let more = ["--concurrency", "5", "--ordering", "none"];
    let mut run = Call::run("exec-second", "exec-second", &script.to, &more).spawn();
    run.until("five run", |_| script.left("pids").lines().count() == 5);
    run.signal(Signal::SIGTERM);
    run.until("it drains", |run| run.stderr().contains("draining"));
    // Sooner would count as the same signal.
    std::thread::sleep(Duration::from_millis(400));
    run.signal(Signal::SIGTERM);
    let ended = run.wait(Duration::from_secs(2));
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let again = &ended.events("second-signal")[0]["delivered_again"];
    assert!((5..=50).contains(&again.as_u64().unwrap()), "{again}");
    eventually("commands are gone", || !script.left("pids").lines().any(alive));
}

#[test]
fn what_a_command_never_processes_goes_to_the_dead_letter_topic() {
    let broker = Broker::shared();
    for topic in ["exec-letters", "exec-letters-dead"] {
        broker.admin().create_topic(NewTopic::new(topic));
    }
    let records = ["good", "bad", "good"].map(|value| NewRecord::new().key("k").value(value));
    let _ = produce::send(&broker.properties(), "exec-letters", records);
    let to = "exec:sh -c 'test \"$(cat)\" = good'";
    let more = ["--until-end", "--retries", "1", "--dead-letter", "exec-letters-dead"];
    let ended = Call::run("exec-letters", "exec-letters", to, &more).succeed();
    assert!(ended.stderr.contains("in the dead-letter topic after 2 attempts"), "{}", ended.stderr);
    assert_eq!(committed_sum("exec-letters", "exec-letters"), 3);
    let letters = read_topic(&broker.properties(), "exec-letters-dead", Isolation::Committed);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(&b"bad"[..]));
}
