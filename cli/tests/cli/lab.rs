//! `tidegate lab`: from the command line to the report. What is played on a cluster here is short; what
//! is measured there is in a test binary of its own.

use std::io::Write as _;

use nix::sys::signal::Signal;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::Value;
use tidegate_testkit::kafka::Broker;

use crate::process::{Call, eventually};

fn json(more: &[&str]) -> Value {
    let args = [&["lab", "--output", "json"], more].concat();
    serde_json::from_str(&Call::new(&args).succeed().stdout).unwrap()
}

#[test]
fn the_incident_is_understood_at_80_columns_and_without_colours() {
    let text = Call::new(&["lab", "--output", "text"]).env("COLUMNS", "80").succeed().stdout;
    for said in
        ["unbounded", "bounded:600", "closed-loop", "Little's law", "killed 3 times", "70,000"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours in a file");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn results_are_one_object_and_the_same_seed_gives_the_same_bytes() {
    let run = || Call::new(&["lab", "hot-key", "--output", "json"]).succeed().stdout;
    assert_eq!(run(), run());
    let results = json(&[]);
    assert_eq!(
        (results["scenario"].as_str(), results["seed"].as_u64()),
        (Some("incident"), Some(1))
    );
    let names: Vec<_> =
        results["strategies"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["unbounded", "bounded", "bounded:600", "closed-loop"]);
    let unbounded = &results["strategies"][0];
    assert_eq!(unbounded["total_at_first_block"], 70_000);
    for key in ["channel", "kafka", "queued", "in_flight", "total", "bytes"] {
        assert!(unbounded["peak"][key].is_u64(), "{key}");
    }
    for key in ["feedback_s", "throughput_per_s", "drain_s"] {
        assert!(unbounded[key].is_f64(), "{key}");
    }
    for key in ["oom_kills", "refused", "repeated", "lost"] {
        assert!(unbounded[key].is_u64(), "{key}");
    }
    assert!(unbounded["age_s"]["p50"].is_f64() && unbounded["age_s"]["p99"].is_f64());
    assert_eq!(unbounded["series"].as_array().unwrap().len(), 241);
}

#[test]
fn one_thing_is_changed_without_a_file() {
    let results = json(&[
        "--strategy",
        "bounded:50,unbounded:commit-when-done",
        "--set",
        "downstream.service=50ms",
        "--set",
        "producers.orders.rate=500/s",
        "--seed",
        "7",
        "--duration",
        "10s",
    ]);
    assert_eq!(results["seed"], 7);
    let bounded = &results["strategies"][0];
    assert_eq!(bounded["name"], "bounded:50");
    assert!((480.0..520.0).contains(&bounded["throughput_per_s"].as_f64().unwrap()));
    assert_eq!(results["strategies"][1]["name"], "unbounded:commit-when-done");
}

#[test]
fn what_cannot_be_played_is_refused_early_and_explained() {
    Call::new(&["lab", "incidents"]).fail(2, "slow-downstream");
    Call::new(&["lab", "--strategy", "open"]).fail(2, "closed-loop");
    Call::new(&["lab", "--set", "downstream.serverz=5"]).fail(2, "downstream.servers");
    Call::new(&["lab", "--set", "downstream.servers=0"]).fail(2, "downstream.servers");
    Call::new(&["lab", "--set", "duration"]).fail(2, "NAME=VALUE");
    Call::new(&["lab", "--sweep", "concurrency"]).fail(2, "10..1000");
    Call::new(&["lab", "--sweep", "concurrency=0..5"]).fail(2, "from 1 to 100,000");
    Call::new(&["lab", "--report", "report.pdf"]).fail(2, ".html or .svg");
    Call::new(&["lab", "--report", "/no/such/folder/x.svg"]).fail(1, "/no/such/folder");
    Call::new(&["lab", "-b", "127.0.0.1:1"]).fail(2, "--live");
    Call::new(&["lab", "no-such.toml"]).fail(78, "no-such.toml");
    let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(b"duration = \"20s\"\n[downstream]\nservers = 5\n").unwrap();
    let ended = Call::new(&["lab", file.path().to_str().unwrap()]).fail(78, "line 3");
    assert!(ended.stderr.contains("500 servers"), "{}", ended.stderr);
}

#[test]
fn a_printed_scenario_can_be_played_from_a_file() {
    let text = Call::new(&["lab", "burst", "--print"]).succeed().stdout;
    let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let (shipped, own) = (json(&["burst"]), json(&[path]));
    assert_eq!(shipped["strategies"], own["strategies"]);
    let list = Call::new(&["lab", "--list"]).succeed().stdout;
    assert!(list.contains("rebalance-storm") && list.contains("poison-record"));
}

#[test]
fn reports_need_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for (name, begins, more) in [
        ("a.html", "<!doctype html>", &["rebalance-storm"][..]),
        ("a.svg", "<svg", &[]),
        ("b.html", "<!doctype html>", &["--sweep", "concurrency=100,600"]),
        ("b.svg", "<svg", &["--sweep", "downstream.service=50..200ms", "--strategy", "bounded"]),
    ] {
        let file = folder.path().join(name);
        let args = [&["lab", "--report", file.to_str().unwrap()], more].concat();
        Call::new(&args).succeed();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with(begins), "{name}");
        let foreign =
            text.matches("http").count() - text.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(foreign, 0, "{name} asks for something");
        assert!(!text.contains("NaN") && !text.contains("inf\""), "{name}");
    }
}

#[test]
fn a_sweep_shows_what_a_setting_does() {
    let results = json(&["--sweep", "concurrency=100,500,600", "--strategy", "bounded"]);
    let points = results["strategies"][0]["points"].as_array().unwrap();
    let throughput: Vec<_> =
        points.iter().map(|p| p["throughput_per_s"].as_f64().unwrap().round()).collect();
    assert_eq!(throughput, [1_000.0, 5_000.0, 5_000.0], "Little's law");
    assert_eq!(points[0]["value"], "100");
}

#[test]
fn what_cannot_be_played_on_the_clock_is_refused() {
    Call::new(&["lab", "--live", "rebalance-storm"]).fail(2, "consumers.members=1");
    Call::new(&["lab", "--live", "poison-record"]).fail(2, "poison");
    Call::new(&["lab", "--live", "--strategy", "bounded,closed-loop"]).fail(2, "one strategy");
    Call::new(&["lab", "--live", "--sweep", "concurrency=1,2"]).fail(2, "--sweep");
    Call::new(&["lab", "--live", "-b", "127.0.0.1:1"]).fail(1, "cannot ask for topic");
}

/// Whether the lab has a topic on the cluster.
fn has_a_topic() -> bool {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", Broker::shared().bootstrap());
    let client: BaseConsumer = config.create().unwrap();
    let metadata = client.fetch_metadata(None, std::time::Duration::from_secs(15)).unwrap();
    metadata.topics().iter().any(|topic| topic.name().starts_with("tidegate-lab"))
}

#[test]
fn on_a_cluster_the_last_records_are_delivered_and_nothing_is_left_even_by_a_signal() {
    let live = ["lab", "--live", "-b", Broker::shared().bootstrap(), "--strategy", "bounded:20"];
    // The producers stop while their last records wait to be sent.
    let slow = ["--set", "producers.rate=200/s", "--duration", "2s", "-X", "linger.ms=500"];
    let ended = Call::new(&[&live[..], &slow, &["--output", "json"]].concat()).succeed();
    let results: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(results["strategies"][0]["drain_s"].is_number(), "not everything was handled");
    assert!(!has_a_topic());

    // Whether it waits for its partitions or has begun.
    let running = Call::new(&[&live[..], &["--duration", "60s"]].concat()).spawn();
    eventually("the topic is there", has_a_topic);
    running.signal(Signal::SIGINT);
    let ended = running.wait(std::time::Duration::from_secs(30));
    assert!(ended.code.is_some() && !has_a_topic(), "{ended:#?}");
}
