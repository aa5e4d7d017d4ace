//! The admin port of `run` and `ingest`.

mod format;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tidegate_testkit::kafka::{Broker, NewRecord, NewTopic, produce};

use self::format::{Metrics, parse};
use crate::filled;
use crate::process::{Call, Running, eventually, json_lines};

/// Where the admin port of a process is.
pub(crate) fn admin(running: &mut Running) -> SocketAddr {
    let address = |running: &Running| {
        let lines = json_lines(&running.stderr());
        let line = lines.iter().find(|line| line["event"] == "admin-listening")?;
        line["address"].as_str()?.parse::<SocketAddr>().ok()
    };
    running.until("its admin port is there", |running| address(running).is_some());
    let mut address = address(running).unwrap();
    if address.ip().is_unspecified() {
        address.set_ip([127, 0, 0, 1].into());
    }
    address
}

/// Status, head and body of an answer.
fn ask(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

fn get_with(address: SocketAddr, path: &str, header: &str) -> (u16, String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\n{header}Connection: close\r\n\r\n");
    ask(address, &request)
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, _, body) = get_with(address, path, "");
    (status, body)
}

fn scrape(address: SocketAddr) -> Metrics {
    let (status, head, body) = get_with(address, "/metrics", "");
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    parse(&body)
}

pub(crate) fn snapshot(address: SocketAddr) -> Value {
    let (status, body) = get(address, "/snapshot");
    assert_eq!(status, 200);
    serde_json::from_str(&body).unwrap()
}

/// The names in the reference below these headings.
fn reference(headings: &[&str]) -> BTreeSet<String> {
    let text = include_str!("../../../docs/metrics.md");
    let mut names = BTreeSet::new();
    for section in text.split("\n## ").filter(|s| headings.iter().any(|h| s.starts_with(h))) {
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        names.extend(rows.map(|row| row.split('`').next().unwrap().to_owned()));
    }
    assert!(!names.is_empty());
    names
}

/// A command that waits for a file, and the file.
fn gate() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("open");
    (folder, format!("exec:sh -c 'until test -e {}; do sleep 0.05; done'", path.display()))
}

#[test]
fn a_run_is_scraped_while_it_runs() {
    filled("admin-run", 3, 300);
    let (folder, to) = gate();
    let more = ["--admin", "127.0.0.1:0", "--concurrency", "7", "--max-queued", "100"];
    let mut run = Call::run("admin-run", "admin \"run\"", &to, &more).spawn();
    let address = admin(&mut run);
    eventually("its permits are used", || {
        scrape(address).value("tidegate_in_flight_records", &[]) == Some(7.0)
    });
    eventually("its lag is known", || scrape(address).sum("tidegate_lag_records") == 300.0);
    let metrics = scrape(address);
    let names = reference(&["A run", "Partitions of a run"]);
    assert_eq!(metrics.names(), names, "what is served is what the reference has");
    assert!(metrics.samples.iter().all(|s| s.label("group") == Some("admin \"run\"")));
    let labels = ["group", "topic", "partition", "le"];
    let known = |name: &String| labels.contains(&name.as_str());
    assert!(metrics.samples.iter().all(|s| s.labels.iter().all(|(name, _)| known(name))));
    let value = |name| metrics.value(name, &[]).unwrap();
    assert_eq!(value("tidegate_limit_records"), 7.0);
    assert_eq!(value("tidegate_budget_bytes"), f64::from(64 << 20));
    assert_eq!(value("tidegate_budget_queued_records"), 100.0);
    assert_eq!(value("tidegate_assigned_partitions"), 3.0);
    assert!(value("tidegate_queued_records") > 0.0 && value("tidegate_admitted_bytes") > 0.0);
    eventually("its age is known", || {
        let of = [("topic", "admin-run"), ("partition", "1")];
        scrape(address).value("tidegate_lag_seconds", &of).is_some_and(|age| age > 0.0)
    });

    std::fs::write(folder.path().join("open"), "").unwrap();
    eventually("all is done", || {
        let metrics = scrape(address);
        metrics.value("tidegate_done_records_total", &[]) == Some(300.0)
            && metrics.sum("tidegate_lag_records") == 0.0
            && metrics.sum("tidegate_lag_seconds") == 0.0
    });
    let metrics = scrape(address);
    assert_eq!(metrics.value("tidegate_handler_seconds_count", &[]), Some(300.0));
    assert_eq!(metrics.value("tidegate_handler_seconds_bucket", &[("le", "+Inf")]), Some(300.0));
    let snapshot = snapshot(address);
    assert_eq!((&snapshot["version"], &snapshot["command"]), (&1.into(), &"run".into()));
    assert_eq!(snapshot["counters"]["done"], 300);
    assert_eq!(snapshot["handler"]["attempts"], 300);
    assert_eq!(snapshot["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(get(address, "/healthz").0, 200);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.wait(Duration::from_secs(25)).code, Some(0));
}

#[test]
fn healthz_fails_while_a_handler_hangs_and_never_for_lag() {
    let broker = Broker::shared();
    broker.admin().create_topic(NewTopic::new("admin-hang").partitions(2));
    let records = (0..20).map(|n| NewRecord::to(1).key("k").value(n.to_string()));
    let _ = produce::send(&broker.properties(), "admin-hang", records);
    let (folder, to) = gate();
    let more = ["--admin", "127.0.0.1:0", "--stuck-after", "2s"];
    let mut run = Call::run("admin-hang", "admin-hang", &to, &more).spawn();
    let address = admin(&mut run);
    eventually("it is ready", || get(address, "/readyz").0 == 200);
    assert_eq!(get(address, "/healthz").0, 200, "not at once");
    eventually("it hangs", || get(address, "/healthz").0 == 503);
    let (_, body) = get(address, "/healthz");
    assert!(body.contains("admin-hang/1 has unfinished records"), "{body}");
    assert_eq!(get(address, "/readyz").0, 200, "another thing");
    std::fs::write(folder.path().join("open"), "").unwrap();
    eventually("it moves again", || get(address, "/healthz").0 == 200);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.wait(Duration::from_secs(25)).code, Some(0));

    // A target that fails is tried again: the lag stays, and it is no reason to start it anew.
    let more = ["--admin", "127.0.0.1:0", "--stuck-after", "1s", "--backoff", "10s"];
    let mut run = Call::run("admin-hang", "admin-lag", "exec:false", &more).spawn();
    let address = admin(&mut run);
    eventually("it has failed", || {
        scrape(address).value("tidegate_failed_attempts_total", &[]).is_some_and(|n| n > 0.0)
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(get(address, "/healthz").0, 200);
    eventually("its lag is seen", || scrape(address).sum("tidegate_lag_records") == 20.0);
}

#[test]
fn it_is_not_ready_before_a_partition_and_while_it_drains() {
    let args = ["run", "-b", "127.0.0.1:1", "-t", "t", "-G", "g", "--to", "null"];
    let args = [&args[..], &["--admin", "127.0.0.1:0"]].concat();
    let mut lonely = Call::new(&args).spawn();
    let address = admin(&mut lonely);
    let (status, body) = get(address, "/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("group g has given it no partition yet"), "{body}");
    assert_eq!(get(address, "/healthz").0, 200, "nothing waits");
    drop(lonely);

    filled("admin-drain", 1, 5);
    let (_folder, to) = gate();
    let more = ["--admin", "127.0.0.1:0", "--shutdown-timeout", "5s"];
    let mut run = Call::run("admin-drain", "admin-drain", &to, &more).spawn();
    let address = admin(&mut run);
    eventually("it is ready", || get(address, "/readyz").0 == 200);
    run.signal(Signal::SIGTERM);
    eventually("it drains", || get(address, "/readyz").1.contains("shutting down"));
    assert_eq!(snapshot(address)["draining"], true);
}

#[test]
fn ingest_shows_its_gates() {
    filled("admin-ingest", 2, 1);
    let topic = "admin-ingest=admin-group";
    let args = ["ingest", "-b", Broker::shared().bootstrap(), "-t", topic];
    let more = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut ingest = Call::new(&[&args[..], &more].concat()).spawn();
    let address = admin(&mut ingest);
    eventually("it is ready", || get(address, "/readyz").0 == 200);
    let listening = json_lines(&ingest.stderr());
    let listening = listening.iter().find(|line| line["event"] == "listening").unwrap();
    let records = listening["address"].as_str().unwrap().parse().unwrap();
    let post = "POST /topics/admin-ingest HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\
                Content-Length: 1\r\n\r\nv";
    eventually("one is taken", || ask(records, post).0 == 202);
    let metrics = scrape(address);
    let names = reference(&["Gates", "The groups", "Ingest"]);
    assert_eq!(metrics.names(), names);
    let of = [("topic", "admin-ingest")];
    assert_eq!(metrics.value("tidegate_gate_delivered_records_total", &of), Some(1.0));
    assert!(metrics.value("tidegate_gate_window_records", &of).unwrap() >= 100.0);
    let of = [("topic", "admin-ingest"), ("group", "admin-group")];
    assert!(metrics.value("tidegate_gate_group_lag_records", &of).is_some());
    assert_eq!(metrics.value("tidegate_ingest_delivered_records_total", &[]), Some(1.0));
    let snapshot = snapshot(address);
    assert_eq!((&snapshot["version"], &snapshot["command"]), (&1.into(), &"ingest".into()));
    assert_eq!(snapshot["topics"][0]["counters"]["delivered"], 1);
    assert_eq!(get(address, "/healthz").0, 200);
}

#[test]
fn who_may_ask_and_what_is_refused() {
    let run = |more: &[&str]| {
        let args = ["run", "-b", "127.0.0.1:1", "-t", "t", "-G", "g", "--to", "null"];
        Call::new(&[&args[..], more].concat())
    };
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        run(&["--admin", address]).fail(2, "--admin-insecure");
    }
    run(&["--admin", "nowhere"]).fail(2, "--admin");
    run(&["--admin-insecure=true"]).fail(2, "--admin");
    run(&["--admin", "127.0.0.1:0", "--admin-token-file", "/no/such"]).fail(78, "/no/such");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    run(&["--admin", &taken]).fail(1, &taken);

    let call = run(&["--admin", "0.0.0.0:0"]).env("TIDEGATE_ADMIN_TOKEN", "secret-17");
    let mut running = call.spawn();
    let address = admin(&mut running);
    for wrong in ["", "Authorization: Bearer secret-1\r\n", "Authorization: Basic secret-17\r\n"] {
        for path in ["/metrics", "/snapshot", "/"] {
            let (status, head, _) = get_with(address, path, wrong);
            assert_eq!(status, 401, "{path} {wrong}");
            assert!(head.contains("www-authenticate: bearer"), "{head}");
        }
        let (status, _, body) = get_with(address, "/readyz", wrong);
        assert_eq!((status, body.contains("group")), (503, false), "{body}");
    }
    let right = "Authorization: Bearer secret-17\r\n";
    assert_eq!(get_with(address, "/metrics", right).0, 200);
    assert!(get_with(address, "/readyz", right).2.contains("group g"));
    assert!(!running.stderr().contains("secret-17"));
    drop(running);

    let mut running = run(&["--admin", "127.0.0.1:0"]).spawn();
    let address = admin(&mut running);
    assert_eq!(get_with(address, "/metrics", "Origin: http://page.example\r\n").0, 403);
    assert_eq!(get(address, "/other").0, 404);
    let post = "POST /metrics HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello";
    let (status, head, _) = ask(address, post);
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, head"), "{head}");
    let large = format!("GET /metrics HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(ask(address, &large).0, 431);
}
