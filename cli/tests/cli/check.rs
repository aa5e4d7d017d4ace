//! `tidegate check`: a file, a cluster, a target.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tidegate_testkit::kafka::{Broker, NewTopic, User};

use crate::filled;
use crate::process::{Call, Ended};

/// A file in a folder of its own.
struct File {
    _folder: TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.toml");
    std::fs::write(&path, text).unwrap();
    File { _folder: folder, path }
}

impl File {
    fn check(&self, more: &[&str]) -> Call {
        Call::new(&[&["check", self.path.to_str().unwrap()], more].concat())
    }
}

/// The kinds of what was found of the first command, of this weight.
fn found(ended: &Ended, level: &str) -> Vec<String> {
    let lines = ended.lines();
    let found = lines[0]["found"].as_array().unwrap().iter();
    let of_it = found.filter(|finding| finding["level"] == level);
    of_it.map(|finding| finding["kind"].as_str().unwrap().to_owned()).collect()
}

/// Whether something that was found says this.
fn says(ended: &Ended, words: &str) -> bool {
    let texts = ended.lines().into_iter().flat_map(|line| line["found"].as_array().cloned());
    texts.flatten().any(|finding| finding["text"].as_str().unwrap().contains(words))
}

#[test]
fn without_a_cluster_it_says_what_will_happen_and_what_will_hurt() {
    let file = file(
        "brokers = 'localhost:1'\n\
         topic = 'orders'\n\
         [run]\n\
         group = 'billing'\n\
         to = 'http://localhost:1/orders'\n\
         shutdown-timeout = '40s'\n\
         [produce]\n\
         follow = 'billing'\n",
    );
    let ended = file.check(&["--offline"]).succeed();
    let lines = ended.lines();
    assert_eq!((&lines[0]["command"], &lines[1]["command"]), (&"run".into(), &"produce".into()));
    assert_eq!(found(&ended, "warning"), ["grace"]);
    assert!(found(&file.check(&["--offline", "--grace", "1m"]).succeed(), "warning").is_empty());
    let text = file.check(&["--offline", "--output", "text"]).env("COLUMNS", "80").succeed().stdout;
    for said in
        ["group billing", "up to 100 at once", "tried 6 times", "partition stops", "SIGTERM"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_lines() {
    let wrong = "brokers = 'b:1'\n[run]\nconcurrency = 0\ngruop = 'billing'\n";
    let ended = file(wrong).check(&["--offline"]).fail(78, "tidegate.toml:4");
    assert!(ended.stderr.contains("group"), "{ended:#?}");
    let wrong = "brokers = 'b:1'\ntopic = 't'\nto = 'null'\n[run]\nbackoff = '1m'\n";
    file(wrong).check(&["--offline"]).fail(78, "no group is named");
    let wrong = "brokers = 'b:1'\n[lag]\ngroup = 'g'\n[ingest]\n";
    file(wrong).check(&["--offline"]).fail(78, "[ingest]: topic is missing");
    file("quiet = true\n").check(&["--offline"]).fail(78, "nothing to check");
    Call::new(&["check", "no-such.toml"]).fail(78, "no-such.toml");
    Call::new(&["check"]).fail(2, "FILE");
}

#[test]
fn a_cluster_that_is_not_there_is_no_endless_wait() {
    let file = file("brokers = '127.0.0.1:1'\ntopic = 't'\n[lag]\ngroup = 'g'\n[produce]\n");
    let ended = file.check(&[]).fail(1, "2 checks failed");
    assert_eq!(found(&ended, "error"), ["cluster"]);
    assert!(says(&ended, "127.0.0.1:1"), "{ended:#?}");
}

#[test]
fn topics_group_and_broker_are_looked_at_and_nothing_is_consumed() {
    filled("check-source", 3, 30);
    let admin = Broker::shared().admin();
    let dead = NewTopic::new("check-dead").config("max.message.bytes", 1_000);
    admin.create_topic(dead.config("cleanup.policy", "compact"));
    admin.set_topic_configs("check-source", &[("retention.ms", "1000")]);
    let brokers = Broker::shared().bootstrap();
    let text = format!(
        "brokers = '{brokers}'\n\
         topic = 'check-source'\n\
         group = 'check-group'\n\
         to = 'exec:sleep 1'\n\
         [run]\n\
         ordering = 'partition'\n\
         timeout = '10s'\n\
         metadata-max-bytes = 8192\n\
         dead-letter = 'check-dead'\n"
    );
    let ended = file(&text).check(&[]).succeed();
    let warnings = [
        "concurrency-above-partitions",
        "retention-shorter-than-retries",
        "dead-letters-compacted",
        "dead-letter-too-large",
        "metadata-max-bytes",
    ];
    assert_eq!(found(&ended, "warning"), warnings, "{ended:#?}");
    assert!(says(&ended, "group check-group is new"), "{ended:#?}");
    let lag = ["lag", "-b", brokers, "-G", "check-group", "--no-age"];
    Call::new(&lag).fail(1, "has not committed anything");

    // After a run there are commits.
    admin.set_topic_configs("check-source", &[("retention.ms", "604800000")]);
    Call::run("check-source", "check-group", "null", &["--max-records", "10"]).succeed();
    let ended = file(&text).check(&[]).succeed();
    assert!(says(&ended, "20 records waiting"), "{ended:#?}");
    assert!(says(&ended, "check-group: Empty, 0 members"), "{ended:#?}");
}

#[test]
fn what_is_missing_is_an_error() {
    filled("check-there", 1, 1);
    let brokers = Broker::shared().bootstrap();
    let run = format!(
        "brokers = '{brokers}'\ntopic = 'check-there'\n[run]\ngroup = 'check-missing'\n\
         dead-letter = 'check-not-there'\nto = 'exec:no-such-command'\n"
    );
    let ended = file(&run).check(&[]).fail(1, "2 checks failed");
    assert_eq!(found(&ended, "error"), ["topic-missing", "target"]);
    assert!(says(&ended, "check-not-there") && says(&ended, "no-such-command"), "{ended:#?}");

    let ingest = format!("brokers = '{brokers}'\n[ingest]\ntopic = 'check-there=check-nobody'\n");
    let ended = file(&ingest).check(&[]).succeed();
    assert_eq!(found(&ended, "warning"), ["followed-unknown"]);

    let session = format!(
        "{run}property = {{ 'session.timeout.ms' = 3600000, 'max.poll.interval.ms' = 3600000 }}\n"
    );
    let ended = file(&session).check(&[]).fail(1, "checks failed");
    assert!(found(&ended, "error").contains(&"session-timeout".to_owned()), "{ended:#?}");
}

/// A target that gives its first caller this answer, and nothing behind it until the caller goes. With the
/// caller's request.
fn target(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        connection.write_all(answer.as_bytes()).unwrap();
        let _ = connection.read_to_end(&mut Vec::new());
        String::from_utf8(head).unwrap()
    });
    (url, asked)
}

fn to_target(topic: &str, url: &str) -> File {
    let brokers = Broker::shared().bootstrap();
    file(&format!(
        "brokers = '{brokers}'\n[run]\ntopic = '{topic}'\ngroup = '{topic}'\nto = '{url}'\n"
    ))
}

#[test]
fn an_answer_without_end_is_not_waited_for_and_no_query_is_shown() {
    filled("check-body", 1, 1);
    let (url, asked) = target("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n");
    let url = format!("{url}/take?token=secret");
    let file = to_target("check-body", &url);
    let (since, ended) = (Instant::now(), file.check(&[]).end());
    assert!(asked.join().unwrap().starts_with("OPTIONS /take?token=secret HTTP/1.1"));
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    assert!(says(&ended, "200 OK"), "{ended:#?}");
    assert!(ended.stdout.contains("/take as a POST"), "{ended:#?}");
    assert!(!ended.stdout.contains("secret") && !ended.stderr.contains("secret"), "{ended:#?}");
}

#[test]
fn a_target_is_asked_without_a_record() {
    filled("check-target", 1, 1);
    let (url, asked) = target("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
    let file = to_target("check-target", &format!("{url}/take"));
    let ended = file.check(&[]).succeed();
    assert!(asked.join().unwrap().starts_with("OPTIONS /take HTTP/1.1"));
    assert_eq!(found(&ended, "warning"), ["target"]);
    assert!(says(&ended, "401 Unauthorized"), "{ended:#?}");
    // Now nobody listens there.
    let ended = file.check(&[]).fail(1, "1 check failed");
    assert_eq!(found(&ended, "error"), ["target"]);
}

/// The line of a file with the properties of this user.
fn login(user: User, password: &str) -> String {
    let properties = Broker::shared_sasl_tls().client_properties(user).into_iter();
    let properties = properties.map(|(name, value)| {
        let value = if name == "sasl.password" { password.to_owned() } else { value };
        format!("'{name}' = '{value}'")
    });
    format!("property = {{ {} }}\n", properties.collect::<Vec<_>>().join(", "))
}

#[test]
fn a_refused_login_is_not_told_of_another_one() {
    Broker::shared_sasl_tls().admin().create_topic(NewTopic::new("check-login"));
    let user = User::Scram512;
    let (wrong, right) = (login(user, "wrong-secret"), login(user, user.password()));
    let text = format!(
        "topic = 'check-login'\n[run]\ngroup = 'check-login'\nto = 'null'\n{wrong}[produce]\n{right}"
    );
    let ended = file(&text).check(&[]).fail(1, "check");
    let of_cluster = ended.lines().into_iter().map(|line| {
        let found = line["found"].as_array().unwrap().iter();
        let of_cluster: Vec<_> = found.filter(|finding| finding["kind"] == "cluster").collect();
        (line["command"].clone(), of_cluster[0]["level"].clone())
    });
    let of_cluster: Vec<_> = of_cluster.collect();
    let expected = [("run".into(), "error".into()), ("produce".into(), "good".into())];
    assert_eq!(of_cluster, expected, "{ended:#?}");
}

#[test]
fn each_missing_permission_and_a_refused_login_are_named() {
    let broker = Broker::shared_sasl_tls();
    for topic in ["check-acl", "check-acl-dead"] {
        broker.admin().create_topic(NewTopic::new(topic));
    }
    let text = |user: User, password: &str| {
        let login = login(user, password);
        format!(
            "{login}topic = 'check-acl'\n[run]\ngroup = 'check-acl'\nto = 'null'\n\
             dead-letter = 'check-acl-dead'\n"
        )
    };
    let user = User::Scram512;
    let principal = user.principal();
    let denied = file(&text(user, user.password())).check(&[]).fail(1, "checks failed");
    let lacks =
        ["Read on topic check-acl", "Write on topic check-acl-dead", "Read on group check-acl"];
    for what in lacks {
        assert!(says(&denied, &format!("lacks {what}")), "{what}: {denied:#?}");
    }
    broker.allow(&principal, &["Read"], "--topic", "check-acl");
    broker.allow(&principal, &["Read"], "--group", "check-acl");
    let last = file(&text(user, user.password())).check(&[]).fail(1, "1 check failed");
    assert!(says(&last, "lacks Write on topic check-acl-dead"), "{last:#?}");

    let elsewhere =
        text(user, user.password()).replace("topic = 'check-acl'", "topic = 'check-acl-2'");
    broker.admin().create_topic(NewTopic::new("check-acl-2"));
    let topic_only = file(&elsewhere).check(&[]).fail(1, "2 checks failed");
    assert!(says(&topic_only, "lacks Read on topic check-acl-2"), "{topic_only:#?}");

    let refused = file(&text(user, "wrong-secret")).check(&[]).fail(1, "1 check failed");
    assert!(says(&refused, "refused the login"), "{refused:#?}");
    let all: Value = refused.lines()[0].clone();
    assert!(!all.to_string().contains("wrong-secret") && !refused.stderr.contains("wrong-secret"));
}
