//! A few thousand schedules, the same ones twice, and the tapes that once failed.

#![allow(clippy::panic, clippy::expect_used)]

use std::path::Path;

use tidegate_sim::{Coverage, Reached, Tape, run};

#[test]
fn schedules_keep_every_promise_and_break_a_lot() {
    let mut coverage = Coverage::default();
    for seed in 0..3_000 {
        let finished = run(&mut Tape::from_seed(seed), &mut coverage);
        assert_eq!(finished.violation, None, "seed {seed}");
    }
    let never: Vec<_> = Reached::ALL.iter().filter(|r| coverage.count(**r) == 0).collect();
    assert_eq!(never, Vec::<&Reached>::new(), "never reached");
}

#[test]
fn a_tape_gives_the_same_run_twice() {
    for seed in 0..40 {
        let mut tape = Tape::from_seed(seed);
        let first = run(&mut tape, &mut Coverage::default());
        let mut again = Tape::from_bytes(tape.read().to_vec());
        assert_eq!(run(&mut again, &mut Coverage::default()).hash, first.hash, "seed {seed}");
    }
}

#[test]
fn tapes_that_once_failed_do_not_any_more() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).expect("sim/tapes") {
        let path = entry.expect("an entry of sim/tapes").path();
        if path.extension().is_none_or(|ending| ending != "tape") {
            continue;
        }
        let tape = std::fs::read(&path).expect("a tape");
        let finished = run(&mut Tape::from_bytes(tape), &mut Coverage::default());
        assert_eq!(finished.violation, None, "{}", path.display());
        played += 1;
    }
    assert!(played > 0, "sim/tapes has no tape");
}
