//! Every promise is missed when it is broken, and not when it is kept.

use super::{Expected, Judge, Ordering, testing::*};
use crate::history::{Ending::*, RecordAt};

/// What a judge says about a promise, without the time.
fn found(judge: &Judge, promise: &str, run: &Run) -> Vec<String> {
    let violations = judge.check(&run.history()).violations.into_iter();
    let own = violations.filter(|violation| violation.checker == promise);
    own.map(|violation| violation.text.split(" (at ").next().unwrap().to_owned()).collect()
}

fn judge() -> Judge {
    Judge::new(Expected::new())
}

fn expecting(offsets: std::ops::Range<i64>) -> Judge {
    let mut expected = Expected::new();
    expected.add_range("t", 0, offsets);
    Judge::new(expected)
}

/// What is said about a start and its order, without who started what.
fn order(judge: Judge, run: &Run) -> Vec<String> {
    let problem = |text: String| text.split(' ').skip(6).collect::<Vec<_>>().join(" ");
    found(&judge, "order", run).into_iter().map(problem).collect()
}

fn by_key(run: &Run) -> Vec<String> {
    order(judge().ordering(Ordering::Key), run)
}

#[test]
fn handlers_of_one_key_may_not_overlap_and_others_may() {
    let mut run = Run::new("m");
    run.start(0, 1, 7).start(0, 2, 8).start(1, 3, 7);
    assert_eq!(by_key(&run), [""; 0]);
    assert_eq!(order(judge().ordering(Ordering::Partition), &run).len(), 1);
    assert_eq!(order(judge().ordering(Ordering::None), &run), [""; 0]);
    run.start(0, 4, 8).start(0, 5, 8);
    assert_eq!(by_key(&run), ["while member m handles offset 2"; 2]);
    let text = "member m starts t/0 offset 4 while member m handles offset 2";
    assert_eq!(found(&judge().ordering(Ordering::Key), "order", &run)[0], text);
}

#[test]
fn a_record_may_not_pass_one_that_failed() {
    let mut run = Run::new("m");
    run.handled(0, 1, 1, Retry).handled(0, 2, 1, Done).handled(0, 1, 2, Done);
    let problems =
        ["while offset 1 before it is unfinished", "after offset 2 in the same assignment"];
    assert_eq!(by_key(&run), problems);
}

#[test]
fn a_record_may_not_pass_an_expected_one_that_never_starts() {
    let mut expected = Expected::new();
    expected.add(&RecordAt::new("t", 0, 1), Some(1));
    let mut run = Run::new("m");
    run.handled(0, 2, 1, Done);
    let judge = Judge::new(expected).ordering(Ordering::Key);
    assert_eq!(order(judge, &run), ["while offset 1 before it is unfinished"]);
}

#[test]
fn records_without_a_key_have_no_order_among_them() {
    let mut run = Run::new("m");
    run.start_keyless(0, 2).start_keyless(0, 1);
    assert_eq!(by_key(&run), [""; 0]);
    assert_eq!(order(judge().ordering(Ordering::Partition), &run).len(), 2);
}

#[test]
fn a_kill_excuses_one_step_back_and_then_order_holds() {
    let mut run = Run::new("m");
    run.handled(0, 1, 1, Done).handled(0, 2, 1, Done).start(0, 3, 1).killed();
    run.member("n").handled(0, 2, 1, Done).handled(0, 3, 1, Done);
    assert_eq!(by_key(&run), [""; 0]);
    run.member("o").handled(0, 2, 1, Done);
    assert_eq!(by_key(&run), ["after offset 3 without a crash between"]);
    assert_eq!(order(judge().ordering(Ordering::Key).extra_crashes(1), &run), [""; 0]);
}

#[test]
fn order_holds_within_a_repeat() {
    let mut run = Run::new("m");
    run.handled(0, 1, 1, Done).handled(0, 2, 1, Done).killed();
    run.member("n").handled(0, 1, 1, Retry).handled(0, 2, 1, Done);
    assert_eq!(by_key(&run), ["while offset 1, which is repeated, is not done"]);
}

#[test]
fn order_holds_within_a_repeat_that_another_member_goes_on_with() {
    let mut run = Run::new("m");
    run.handled(0, 1, 1, Done).handled(0, 2, 1, Done).handled(0, 3, 1, Done).killed();
    run.member("n").handled(0, 1, 1, Retry).killed();
    run.member("o").handled(0, 2, 1, Done);
    assert_eq!(by_key(&run), ["while offset 1, which is repeated, is unfinished"]);
    run.handled(0, 1, 1, Done).handled(0, 3, 1, Done);
    let problems = [
        "while offset 1, which is repeated, is unfinished",
        "after offset 2 in the same assignment",
    ];
    assert_eq!(by_key(&run), problems);
}

#[test]
fn a_step_back_needs_a_new_life_even_after_a_crash() {
    let mut run = Run::new("m");
    run.handled(0, 1, 1, Done).handled(0, 2, 1, Done);
    run.member("other").killed().member("m").handled(0, 1, 1, Done);
    assert_eq!(by_key(&run), ["after offset 2 in the same assignment"]);
}

#[test]
fn a_lost_partition_is_a_crash_and_a_revoked_one_is_not() {
    let mut run = Run::new("m");
    run.assigned(0).handled(0, 1, 1, Done).handled(0, 2, 1, Done).lost(0).assigned(0);
    run.handled(0, 1, 1, Done).handled(0, 2, 1, Done);
    assert_eq!(by_key(&run), [""; 0]);
    run.revoked(0).assigned(0).handled(0, 1, 1, Done);
    assert_eq!(by_key(&run), ["after offset 2 without a crash between"]);
}

#[test]
fn a_handler_that_outlives_its_partition_breaks_the_order() {
    for goes in [Run::lost, Run::revoked] {
        let mut run = Run::new("m");
        run.assigned(0).start(0, 1, 1);
        goes(&mut run, 0).member("n").assigned(0).start(0, 1, 1);
        assert_eq!(by_key(&run), ["while member m handles offset 1"]);
    }
}

#[test]
fn one_handler_too_many_is_named_and_a_kill_starts_anew() {
    let two = judge().limit(2);
    let mut run = Run::new("m");
    run.start(0, 1, 1).start(0, 2, 2);
    assert_eq!(found(&two, "limit", &run), [""; 0]);
    run.killed().start(0, 1, 1).start(0, 2, 2).end(0, 1, Done).start(0, 3, 3);
    assert_eq!(found(&two, "limit", &run), [""; 0]);
    run.start(0, 4, 4);
    let text = "member m (life 2) starts t/0 offset 4, handler 3 of at most 2";
    assert_eq!(found(&two, "limit", &run), [text]);
    assert_eq!(found(&judge(), "limit", &run), [""; 0], "there is no limit");
}

#[test]
fn a_commit_over_a_running_record_is_named() {
    let mut run = Run::new("m");
    run.start(0, 5, 1).start(0, 6, 2).end(0, 6, Done).commit(0, 5);
    assert_eq!(found(&judge(), "commit", &run), [""; 0]);
    run.commit(0, 7);
    let text = "member m commits t/0 offset 7 while offset 5 is unfinished";
    assert_eq!(found(&judge(), "commit", &run), [text]);
}

#[test]
fn a_commit_over_an_expected_record_that_never_started_is_named() {
    let mut run = Run::new("m");
    run.handled(0, 0, 1, Done).handled(0, 2, 1, Done).commit(0, 1);
    assert_eq!(found(&expecting(0..3), "commit", &run), [""; 0]);
    run.commit(0, 3).commit(0, 3);
    assert_eq!(found(&expecting(0..3), "commit", &run).len(), 2);
}

#[test]
fn a_failed_record_holds_the_commit() {
    let mut run = Run::new("m");
    run.handled(0, 0, 1, Retry).commit(0, 1);
    assert_eq!(found(&judge(), "commit", &run).len(), 1);
    assert_eq!(found(&judge().last_attempt(1), "commit", &run), [""; 0], "it was given up");
    assert_eq!(found(&judge().last_attempt(2), "commit", &run).len(), 1);
}

#[test]
fn a_record_that_goes_to_the_dead_letter_topic_is_finished_and_an_overloaded_one_is_not() {
    let mut run = Run::new("m");
    run.handled(0, 0, 1, DeadLetter).commit(0, 1);
    assert_eq!(found(&expecting(0..1).last_attempt(1), "commit", &run), [""; 0]);
    let mut run = Run::new("m");
    run.handled(0, 0, 1, Overloaded).commit(0, 1);
    assert_eq!(found(&expecting(0..1).last_attempt(1), "commit", &run).len(), 1);
}

#[test]
fn a_commit_that_goes_backwards_is_named() {
    let mut run = Run::new("m");
    run.handled(0, 0, 1, Done).handled(0, 1, 1, Done).commit(0, 2).commit(0, 1).commit(0, 0);
    // Also where no record lies between them.
    run.handled(1, 50, 1, Done).commit(1, 53).commit(1, 52);
    let of = |before: &str, partition: u32, offset: u32| {
        format!("member m commits t/{partition} offset {offset} after offset {before}: backwards")
    };
    assert_eq!(found(&judge(), "commit", &run), [of("2", 0, 1), of("1", 0, 0), of("53", 1, 52)]);
    assert_eq!(found(&judge().commits_may_go_backwards(), "commit", &run), [""; 0]);
    run.start(0, 3, 2).commit(0, 9);
    assert_eq!(found(&judge().commits_may_go_backwards(), "commit", &run).len(), 1);
}

#[test]
fn a_record_that_never_finished_is_named() {
    let mut expected = Expected::new();
    expected.add_range("t", 2, 0..5);
    let judge = Judge::new(expected);
    let mut run = Run::new("m");
    run.handled(2, 0, 1, Done).handled(2, 1, 1, Retry).handled(2, 2, 1, Skip);
    run.handled(2, 7, 1, Retry).commit(2, 6);
    let [one, two] = [
        "t/2 offset 1 to 1: 1 records never finished",
        "t/2 offset 3 to 4: 2 records never finished",
    ];
    assert_eq!(found(&judge, "lost", &run), [one, two]);
    assert_eq!(found(&judge.clone().last_attempt(1), "lost", &run), [two]);
    run.handled(2, 1, 2, Done);
    assert_eq!(found(&judge, "lost", &run), [two]);
}

#[test]
fn attempts_count_from_one_without_a_gap_and_end() {
    let mut run = Run::new("m");
    run.handled(0, 1, 1, Retry).handled(0, 1, 2, Panicked).handled(0, 1, 3, Overloaded);
    run.handled(0, 1, 3, Cancelled).killed().handled(0, 1, 1, Done);
    assert_eq!(found(&judge().last_attempt(3), "attempts", &run), [""; 0]);
    let text = "member m starts t/0 offset 1 as attempt 3, but there are at most 2";
    assert_eq!(found(&judge().last_attempt(2), "attempts", &run), [text; 2]);
    run.handled(0, 2, 1, Retry).handled(0, 2, 3, Done);
    let text = "member m (life 2) starts t/0 offset 2 as attempt 3, but attempt 2 is due";
    assert_eq!(found(&judge(), "attempts", &run), [text]);
}

#[test]
fn nothing_starts_of_a_partition_that_was_never_given_or_given_back() {
    let mut run = Run::new("m");
    run.assigned(0).start(0, 1, 1).start(1, 2, 2).end(0, 1, Done).revoked(0).start(0, 3, 3);
    let text = |place| format!("member m starts t/{place}, but does not have the partition");
    assert_eq!(found(&judge(), "starts", &run), [text("1 offset 2"), text("0 offset 3")]);
    let mut run = Run::new("m");
    run.assigned(0).lost(0).start(0, 1, 1).end(0, 1, Cancelled);
    assert_eq!(found(&judge(), "starts", &run), [""; 0], "it said so before it acted");
}

#[test]
fn what_was_committed_is_not_repeated_by_a_successor() {
    let mut run = Run::new("m");
    run.handled(0, 0, 1, Done).handled(0, 1, 1, Done).commit(0, 1).killed();
    run.member("n").handled(0, 1, 1, Done);
    let judge = judge().max_repeats(10);
    assert_eq!(found(&judge, "repeats", &run), [""; 0]);
    run.member("o").handled(0, 0, 1, Done);
    let text = "member o starts t/0 offset 0 again, which is below its committed offset";
    assert_eq!(found(&judge, "repeats", &run), [text]);
    assert_eq!(found(&judge.clone().commits_may_go_backwards(), "repeats", &run), [""; 0]);
}

#[test]
fn offsets_may_lie_anywhere() {
    let mut run = Run::new("m");
    let far = i64::MAX - 1;
    run.handled(0, 3, 1, Done).handled(0, far, 1, Done).commit(0, far + 1);
    judge().ordering(Ordering::Partition).check(&run.history()).assert_ok();
}
