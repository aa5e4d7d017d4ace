//! A few hundred schedules, and the same one twice.

#![allow(clippy::panic)]

use tidegate_sim::{Coverage, Tape, run};

#[test]

fn schedules_keep_every_promise() {
    let mut coverage = Coverage::default();
    for seed in 0..400 {
        let finished = run(&mut Tape::from_seed(seed), &mut coverage);
        assert_eq!(finished.violation, None, "seed {seed}");
    }
}

#[test]
fn a_tape_gives_the_same_run_twice() {
    for seed in 0..20 {
        let mut tape = Tape::from_seed(seed);
        let first = run(&mut tape, &mut Coverage::default());
        let mut again = Tape::from_bytes(tape.read().to_vec());
        assert_eq!(run(&mut again, &mut Coverage::default()).hash, first.hash, "seed {seed}");
    }
}
