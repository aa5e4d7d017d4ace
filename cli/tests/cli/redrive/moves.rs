//! What arrives, and what is refused.

use std::time::Duration;

use tidegate_testkit::kafka::{Broker, NewRecord, NewTopic};

use super::{letter, moved, plan, read, redrive, send, topic, values};
use crate::committed_sum;
use crate::process::Call;

#[test]
fn letters_of_a_run_come_back_as_they_were() {
    topic("redrive-trip", 3);
    topic("redrive-trip-dead", 2);
    let records = [
        NewRecord::to(2).key("a").value("bad-1").header("own", "1").null_header("none"),
        NewRecord::to(1).value(vec![0xff, 0]),
        NewRecord::to(0).key("c").header("own", "1").header("own", "2"),
    ];
    send("redrive-trip", records);
    let more = ["--until-end", "--retries", "0", "--dead-letter", "redrive-trip-dead"];
    let run = || Call::run("redrive-trip", "redrive-trip", "exec:false", &more).succeed();
    run();
    assert_eq!(read("redrive-trip-dead").len(), 3);

    let dry = redrive("redrive-trip-dead", &[]).succeed();
    let rows = dry.lines();
    let count: i64 = rows.iter().filter_map(|row| row["count"].as_i64()).sum();
    assert_eq!((count, &rows[0]["topic"]), (3, &"redrive-trip".into()), "{rows:?}");
    assert_eq!((&plan(&dry)["moves"], &plan(&dry)["dry_run"]), (&3.into(), &true.into()));
    let text = redrive("redrive-trip-dead", &["--output", "text"]).succeed().stdout;
    assert!(text.starts_with("TOPIC") && text.contains("exit status 1"), "{text}");
    assert!(text.contains("with --yes, 3 of 3") && text.contains("after the younger"), "{text}");
    assert_eq!(read("redrive-trip").len(), 3, "a dry run moves nothing");
    assert_eq!(committed_sum("tidegate-redrive:redrive-trip-dead", "redrive-trip-dead"), 0);

    let call = redrive("redrive-trip-dead", &["--yes", "--original-partition"]);
    let ended = call.succeed();
    assert_eq!(moved(&ended), 3, "{ended:#?}");
    assert!(ended.stderr.contains("comes after the younger ones of its key"), "{}", ended.stderr);
    let after = read("redrive-trip");
    assert_eq!(after.len(), 6);
    for partition in 0..3 {
        let of: Vec<_> = after.iter().filter(|r| r.partition == partition).collect();
        let (before, again) = (of[0], of[1]);
        assert_eq!((&before.key, &before.value), (&again.key, &again.value));
        let mut headers = before.headers.clone();
        headers.push(("tidegate-redriven".to_owned(), Some(b"1".to_vec())));
        assert_eq!(again.headers, headers);
    }

    // They fail again: what became a letter meanwhile is there for the next call, and is counted.
    run();
    let again = redrive("redrive-trip-dead", &["--yes", "--original-partition"]).succeed();
    assert_eq!(moved(&again), 3, "only those that are new: {again:#?}");
    let twice = read("redrive-trip").into_iter().filter(|record| {
        record.headers.last() == Some(&("tidegate-redriven".to_owned(), Some(b"2".to_vec())))
    });
    assert_eq!(twice.count(), 3);
    assert_eq!(moved(&redrive("redrive-trip-dead", &["--yes"]).succeed()), 0);
}

#[test]
fn what_does_not_say_where_it_comes_from_is_named_and_stays() {
    topic("redrive-stray", 1);
    topic("redrive-stray-dead", 1);
    topic("redrive-stray-other", 1);
    let stray = NewRecord::new().key("s").value("stray");
    let circle = letter("redrive-stray-dead", "circle", "r");
    send("redrive-stray-dead", [stray, letter("redrive-stray", "one", "r"), circle]);
    let ended = redrive("redrive-stray-dead", &["--yes"]).succeed();
    assert_eq!(moved(&ended), 1);
    let strays = ended.events("no-origin");
    let at = |n: usize| (strays[n]["partition"].as_i64(), strays[n]["offset"].as_i64());
    assert_eq!([at(0), at(1)], [(Some(0), Some(0)), (Some(0), Some(2))]);
    assert_eq!(ended.events("summary")[0]["without_origin"], 2);
    assert_eq!(values("redrive-stray"), ["one"]);

    send("redrive-stray-dead", [NewRecord::new().key("s").value("later")]);
    let again = redrive("redrive-stray-dead", &["--yes"]).succeed();
    assert_eq!((moved(&again), again.events("no-origin").len()), (0, 1), "it is one all the same");

    // To a topic that is named they all go.
    let to = ["--yes", "--to-topic", "redrive-stray-other"];
    assert_eq!(moved(&redrive("redrive-stray-dead", &to).succeed()), 4);
    assert_eq!(values("redrive-stray-other"), ["circle", "later", "one", "stray"]);
}

#[test]
fn a_topic_that_is_no_dead_letter_topic_is_refused() {
    topic("redrive-plain", 1);
    send("redrive-plain", [NewRecord::new().value("v")]);
    for more in [&[][..], &["--yes"]] {
        redrive("redrive-plain", more).fail(1, "redrive-plain holds no dead letters");
    }
    redrive("redrive-nowhere", &[]).fail(1, "redrive-nowhere does not exist");
    topic("redrive-empty", 1);
    let empty = redrive("redrive-empty", &["--output", "text", "--yes"]).succeed();
    assert!(empty.stdout.contains("nothing of redrive-empty is to be moved"), "{empty:#?}");
}

#[test]
fn what_becomes_a_letter_meanwhile_is_for_the_next_call() {
    topic("redrive-meanwhile", 1);
    topic("redrive-meanwhile-dead", 2);
    let letters = |from: usize| {
        send(
            "redrive-meanwhile-dead",
            (from..from + 50).map(|n| letter("redrive-meanwhile", &n.to_string(), "r")),
        );
    };
    letters(0);
    let mut call = redrive("redrive-meanwhile-dead", &["--yes", "--rate", "50"]).spawn();
    let mut sent = 50;
    while call.runs() && sent < 5_000 {
        letters(sent);
        sent += 50;
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = call.wait(Duration::from_secs(60));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(plan(&ended)["moves"], moved(&ended), "what was there when it began");
    assert!((moved(&ended) as usize) < sent);
    let rest = redrive("redrive-meanwhile-dead", &["--yes"]).succeed();
    assert_eq!((moved(&ended) + moved(&rest)) as usize, sent);
    assert_eq!(values("redrive-meanwhile").len(), sent, "none twice");
}

#[test]
fn a_large_letter_is_moved() {
    let large = |name: &str| NewTopic::new(name).config("max.message.bytes", 3_000_000);
    Broker::shared().admin().create_topic(large("redrive-large"));
    Broker::shared().admin().create_topic(large("redrive-large-dead"));
    let value = "x".repeat(2_000_000);
    send("redrive-large-dead", [letter("redrive-large", "1", "r").value(value.as_str())]);
    assert_eq!(moved(&redrive("redrive-large-dead", &["--yes"]).succeed()), 1);
    assert_eq!(values("redrive-large"), [value]);
}

#[test]
fn a_rate_is_kept() {
    topic("redrive-rate", 1);
    topic("redrive-rate-dead", 1);
    send("redrive-rate-dead", (0..31).map(|n| letter("redrive-rate", &n.to_string(), "r")));
    let ended = redrive("redrive-rate-dead", &["--yes", "--rate", "10"]).succeed();
    assert_eq!(moved(&ended), 31);
    let times: Vec<_> = read("redrive-rate").iter().map(|r| r.timestamp.unwrap()).collect();
    let took = times.iter().max().unwrap() - times.iter().min().unwrap();
    assert!(took >= 2_800, "{took} ms for what takes 3 s");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let nowhere = |more: &[&str]| {
        let args = ["redrive", "-b", "127.0.0.1:1", "-t", "t"];
        Call::new(&[&args[..], more].concat())
    };
    for (flag, value) in [
        ("--rate", "0"),
        ("--max-records", "0"),
        ("--concurrency", "0"),
        ("--since", "yesterday"),
        ("--until", "-1"),
        ("--older-than", "0"),
        ("--to-topic", "a b"),
        ("--original-topic", "^a"),
        ("--reason", ""),
        ("--group", ""),
        ("--delivery-timeout", "1ms"),
    ] {
        nowhere(&[flag, value]).fail(2, flag);
    }
    nowhere(&["--to-topic", "t"]).fail(2, "the dead-letter topic itself");
    nowhere(&["--since", "2", "--until", "2"]).fail(2, "both that old and that young");
    nowhere(&["--since", "1", "--younger-than", "1h"]).fail(2, "--younger-than");
    nowhere(&["--to-topic", "u", "--original-partition"]).fail(2, "--original-partition");
    nowhere(&["-X", "no.such.property=1"]).fail(78, "no.such.property");
    Call::new(&["redrive", "-b", "127.0.0.1:1"]).fail(2, "--topic");
}
