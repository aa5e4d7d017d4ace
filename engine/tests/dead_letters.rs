//! Records that become dead letters.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use tidegate_engine::*;

fn with_letters(credit: u32) -> Config {
    let after_last_attempt = AfterLastAttempt::DeadLetter;
    Config { after_last_attempt, dead_letter_credit: credit, max_attempts: 1, ..Config::default() }
}

#[test]
fn a_dead_letter_holds_its_key_and_its_permit_until_it_is_acknowledged() {
    for outcome in [Outcome::DeadLetter, Outcome::Retry { after: None }] {
        let mut engine = engine(with_letters(10));
        admit(&mut engine, P, 0, &[1, 1], at(0));
        let ticket = dispatch(&mut engine, at(0))[0].ticket;
        let verdict = engine.handle_outcome(ticket, outcome, at(1));
        assert_eq!(verdict, Verdict::DeadLetter { partition: P, offset: Offset(0), attempts: 1 });
        assert!(dispatch(&mut engine, at(1)).is_empty(), "its key waits");
        assert_eq!((engine.in_flight(), engine.snapshot(at(1)).writing), (1, 1));
        assert_eq!(engine.handle_outcome(ticket, Outcome::Done, at(1)), Verdict::Stale);
        assert_eq!(engine.snapshot(at(1)).partitions[0].commit_point, Some(Offset(0)));
        let verdict = engine.handle_dead_letter(ticket, LetterOutcome::Written, at(2));
        assert_eq!(verdict, Verdict::Finished);
        assert_eq!(commit(&mut engine)[0].offset, Offset(1));
        assert_eq!(offsets(&dispatch(&mut engine, at(2))), [1]);
        let counters = engine.snapshot(at(2)).counters;
        assert_eq!((counters.dead_lettered, counters.done), (1, 0));
    }
}

#[test]
fn dead_letters_are_paid_from_successes() {
    let mut engine = engine(with_letters(2));
    admit(&mut engine, P, 0, &[1, 2, 3, 4], at(0));
    let out = dispatch(&mut engine, at(0));
    for letter in &out[..2] {
        engine.handle_outcome(letter.ticket, Outcome::DeadLetter, at(1));
        engine.handle_dead_letter(letter.ticket, LetterOutcome::Written, at(1));
    }
    let verdict = engine.handle_outcome(out[2].ticket, Outcome::DeadLetter, at(1));
    let Verdict::Held { at: again } = verdict else { panic!("{verdict:?}") };
    assert_eq!(engine.snapshot(at(1)).counters.held, 1);
    engine.handle_timeout(again);
    let held = dispatch(&mut engine, again);
    assert_eq!((held[0].offset, held[0].attempt), (Offset(2), 1), "at no charge");
    engine.handle_outcome(out[3].ticket, Outcome::Done, again);
    let verdict = engine.handle_outcome(held[0].ticket, Outcome::DeadLetter, again);
    assert!(matches!(verdict, Verdict::DeadLetter { .. }), "{verdict:?}");
}

#[test]
fn a_refused_letter_stops_the_partition_and_an_abandoned_one_is_tried_again() {
    let mut engine = engine(with_letters(10));
    admit(&mut engine, P, 0, &[1, 1], at(0));
    let first = dispatch(&mut engine, at(0))[0].ticket;
    engine.handle_outcome(first, Outcome::DeadLetter, at(1));
    let verdict = engine.handle_dead_letter(first, LetterOutcome::Abandoned, at(1));
    assert!(matches!(verdict, Verdict::Held { .. }), "{verdict:?}");
    engine.handle_timeout(at(200));
    let again = dispatch(&mut engine, at(200))[0].ticket;
    engine.handle_outcome(again, Outcome::DeadLetter, at(200));
    let verdict = engine.handle_dead_letter(again, LetterOutcome::Refused, at(201));
    assert_eq!(verdict, Verdict::Stopped { partition: P, offset: Offset(0), attempts: 1 });
    assert!(dispatch(&mut engine, at(201)).is_empty());
    assert_eq!(engine.snapshot(at(201)).dead_letter_credit, 10);
}

#[test]
fn a_revoke_waits_for_letters_and_cancels_them_at_its_deadline() {
    let mut engine = engine(with_letters(10));
    admit(&mut engine, P, 0, &[1], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    engine.handle_outcome(ticket, Outcome::DeadLetter, at(1));
    engine.handle_revoking(P, at(2));
    assert!(actions(&mut engine).is_empty(), "a letter is in flight");
    engine.cancel_partition(P, at(3));
    let reason = CancelReason::Revoked;
    assert_eq!(actions(&mut engine), [Action::Cancel { ticket, reason }]);
    let verdict = engine.handle_dead_letter(ticket, LetterOutcome::Abandoned, at(4));
    assert_eq!(verdict, Verdict::Unfinished);
    assert_eq!(actions(&mut engine), [Action::Drained { partition: P }]);
    assert!(commit(&mut engine).iter().all(|point| point.offset == Offset(0)));
}

#[test]
fn without_a_dead_letter_topic_an_unprocessable_record_is_treated_as_after_its_last_attempt() {
    let mut engine = engine(Config::default());
    admit(&mut engine, P, 0, &[1], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    let verdict = engine.handle_outcome(ticket, Outcome::DeadLetter, at(1));
    assert_eq!(verdict, Verdict::Stopped { partition: P, offset: Offset(0), attempts: 1 });
}

#[test]
fn a_letter_of_a_partition_that_goes_away_is_not_charged_and_does_not_stop_it() {
    let mut engine = engine(with_letters(1));
    admit(&mut engine, P, 0, &[1, 2], at(0));
    let out = dispatch(&mut engine, at(0));
    engine.handle_outcome(out[0].ticket, Outcome::DeadLetter, at(1));
    engine.handle_revoking(P, at(1));
    engine.handle_outcome(out[1].ticket, Outcome::Done, at(1));
    let verdict = engine.handle_dead_letter(out[0].ticket, LetterOutcome::Refused, at(2));
    assert_eq!(verdict, Verdict::Unfinished);
    assert_eq!(actions(&mut engine), [Action::Drained { partition: P }]);

    assign(&mut engine, Q);
    admit(&mut engine, Q, 0, &[1], at(3));
    let ticket = dispatch(&mut engine, at(3))[0].ticket;
    engine.handle_outcome(ticket, Outcome::DeadLetter, at(3));
    engine.handle_lost(Q, at(4));
    let snapshot = engine.snapshot(at(4));
    assert_eq!((snapshot.dead_letter_credit, snapshot.writing), (1, 0));
}

#[test]
fn while_a_partition_drains_a_letter_is_written_and_nothing_else_is_given_up() {
    for (policy, is_written) in [
        (AfterLastAttempt::DeadLetter, true),
        (AfterLastAttempt::Skip, false),
        (AfterLastAttempt::StopPartition, false),
    ] {
        let mut engine = engine(Config { after_last_attempt: policy, ..Config::default() });
        admit(&mut engine, P, 0, &[1], at(0));
        let ticket = dispatch(&mut engine, at(0))[0].ticket;
        engine.handle_revoking(P, at(1));
        let verdict = engine.handle_outcome(ticket, Outcome::DeadLetter, at(2));
        match is_written {
            true => assert!(matches!(verdict, Verdict::DeadLetter { .. }), "{verdict:?}"),
            false => assert_eq!(verdict, Verdict::Unfinished),
        }
    }
}

#[test]
fn of_a_stopped_partition_no_letter_is_written() {
    let mut engine = engine(with_letters(10));
    admit(&mut engine, P, 0, &[1], at(0));
    let ticket = dispatch(&mut engine, at(0))[0].ticket;
    engine.stop_partition(P);
    let verdict = engine.handle_outcome(ticket, Outcome::DeadLetter, at(1));
    assert_eq!(verdict, Verdict::Unfinished);
    assert_eq!(commit(&mut engine).iter().map(|p| p.offset).max(), Some(Offset(0)));
}

#[test]
fn without_credit_a_draining_partition_leaves_its_record_to_the_next_owner() {
    let mut engine = engine(with_letters(1));
    admit(&mut engine, P, 0, &[1, 2], at(0));
    let out = dispatch(&mut engine, at(0));
    engine.handle_outcome(out[0].ticket, Outcome::DeadLetter, at(1));
    engine.handle_revoking(P, at(1));
    let verdict = engine.handle_outcome(out[1].ticket, Outcome::DeadLetter, at(1));
    assert_eq!(verdict, Verdict::Unfinished);
    assert_eq!(engine.snapshot(at(1)).counters.held, 1);
    assert_eq!((engine.in_flight(), engine.snapshot(at(1)).writing), (1, 1));
}

#[test]
fn a_record_that_is_held_waits_longer_each_time_and_begins_a_new_row_of_overload_answers() {
    let mut engine = engine(Config { max_attempts: 9, ..with_letters(1) });
    admit(&mut engine, P, 0, &[1, 2], at(0));
    let out = dispatch(&mut engine, at(0));
    engine.handle_outcome(out[0].ticket, Outcome::DeadLetter, at(0));
    let (mut now, mut ticket) = (at(0), out[1].ticket);
    let overloaded = Outcome::Overloaded { retry_after: None };
    for (outcome, whole) in [
        (Outcome::DeadLetter, 100),
        (Outcome::DeadLetter, 200),
        (overloaded, 100),
        (overloaded, 200),
        (Outcome::DeadLetter, 400),
        (overloaded, 100),
    ] {
        let verdict = engine.handle_outcome(ticket, outcome, now);
        let (Verdict::Held { at } | Verdict::Again { at, .. }) = verdict else { panic!() };
        let delay = at.saturating_since(now).as_millis();
        assert!((whole / 2..=whole).contains(&delay), "{delay} of {whole} ms");
        now = at;
        engine.handle_timeout(now);
        ticket = dispatch(&mut engine, now)[0].ticket;
    }
}
