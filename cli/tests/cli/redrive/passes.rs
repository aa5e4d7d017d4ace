//! Filters, and what a second call does.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{letter, moved, plan, redrive, send, topic, values};

#[test]
fn each_filter_moves_what_it_names() {
    topic("redrive-filter-a", 1);
    topic("redrive-filter-b", 1);
    topic("redrive-filter-dead", 3);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let letters = [
        letter("redrive-filter-a", "1", "no route").timestamp(now - 7_200_000),
        letter("redrive-filter-a", "2", "no route"),
        letter("redrive-filter-a", "3", "timed out"),
        letter("redrive-filter-b", "4", "timed out"),
    ];
    send("redrive-filter-dead", letters);
    let would =
        |more: &[&str]| plan(&redrive("redrive-filter-dead", more).succeed())["moves"].clone();
    let hour_ago = (now - 3_600_000).to_string();
    assert_eq!(would(&[]), 4);
    assert_eq!(would(&["--max-records", "3"]), 3);
    assert_eq!(would(&["--reason", "route"]), 2);
    assert_eq!(would(&["--original-topic", "redrive-filter-b"]), 1);
    assert_eq!(would(&["--key", "1", "--key", "4"]), 2);
    assert_eq!(would(&["--older-than", "1h"]), 1);
    assert_eq!(would(&["--younger-than", "1h"]), 3);
    assert_eq!(would(&["--until", &hour_ago]), 1);
    assert_eq!(would(&["--since", &hour_ago, "--reason", "route"]), 1);
    assert_eq!(would(&["--key", "5"]), 0);

    // Whatever selects it, a letter moves once.
    let yes = |more: &[&str]| {
        let more = [&["--yes"], more].concat();
        moved(&redrive("redrive-filter-dead", &more).succeed())
    };
    assert_eq!(yes(&["--reason", "timed"]), 2);
    assert_eq!(values("redrive-filter-a"), ["3"]);
    assert_eq!(yes(&["--reason", "timed"]), 0, "the same call goes on where it stopped");
    assert_eq!(yes(&["--original-topic", "redrive-filter-a", "--older-than", "1h"]), 1);
    assert_eq!(would(&[]), 1, "only what none of them has moved");
    let rest = redrive("redrive-filter-dead", &["--yes"]).succeed();
    assert_eq!((moved(&rest), &rest.events("summary")[0]["moved_before"]), (1, &3.into()));
    assert_eq!(values("redrive-filter-a"), ["1", "2", "3"]);
    assert_eq!(values("redrive-filter-b"), ["4"]);
}

#[test]
fn a_group_has_one_selection() {
    topic("redrive-group", 1);
    topic("redrive-group-dead", 1);
    let letters = [letter("redrive-group", "1", "a"), letter("redrive-group", "2", "b")];
    send("redrive-group-dead", letters);
    let named =
        |more: &[&str]| redrive("redrive-group-dead", &[&["-G", "mine", "--yes"], more].concat());
    assert_eq!(moved(&named(&["--reason", "a"]).succeed()), 1);
    named(&[])
        .fail(2, "group mine has been used for topic redrive-group-dead with another selection");
    named(&["--reason", "b"]).fail(2, "another selection");
    assert_eq!(values("redrive-group"), ["1"], "what is refused moves nothing");
    assert_eq!(moved(&named(&["--reason", "a"]).succeed()), 0);
    // A group of its own that was named is known to the others as well.
    assert_eq!(moved(&redrive("redrive-group-dead", &["--yes"]).succeed()), 1);
    assert_eq!(values("redrive-group"), ["1", "2"]);
}

#[test]
fn at_most_so_many_and_the_next_call_goes_on() {
    topic("redrive-max", 2);
    topic("redrive-max-dead", 2);
    send("redrive-max-dead", (0..50).map(|n| letter("redrive-max", &format!("{n:02}"), "r")));
    let some = ["--yes", "--max-records", "20"];
    assert_eq!(moved(&redrive("redrive-max-dead", &some).succeed()), 20);
    assert_eq!(values("redrive-max").len(), 20);
    assert_eq!(moved(&redrive("redrive-max-dead", &["--yes"]).succeed()), 30);
    let all: Vec<_> = (0..50).map(|n| format!("{n:02}")).collect();
    assert_eq!(values("redrive-max"), all);
}
