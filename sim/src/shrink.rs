//! Making a tape that fails shorter and calmer, as long as it fails.

use std::time::{Duration, Instant};

/// The shortest and calmest tape that was found within `time` for which `fails` still holds.
///
/// Zero is the calm choice everywhere ([`Tape`](crate::Tape)), so pieces are cut off the end, cut
/// out, zeroed, and at last single bytes made smaller: delta debugging (Zeller and Hildebrandt,
/// "Simplifying and isolating failure-inducing input", 2002) with an order of simplicity of its
/// own. Each pass begins again where the one before got stuck, until nothing helps any more.
pub fn shrink(tape: &[u8], time: Duration, mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let until = Instant::now() + time;
    let mut best = tape.to_vec();
    let mut try_it = |candidate: Vec<u8>, best: &mut Vec<u8>| {
        let simpler = simplicity(&candidate) < simplicity(best);
        let better = simpler && Instant::now() < until && fails(&candidate);
        if better {
            *best = candidate;
        }
        better
    };
    loop {
        let before = simplicity(&best);
        let mut size = best.len().max(1);
        while size > 0 {
            let mut at = best.len().saturating_sub(size);
            loop {
                let end = (at + size).min(best.len());
                let cut = [&best[..at], &best[end..]].concat();
                let mut zeroed = best.clone();
                zeroed[at..end].fill(0);
                if !try_it(cut, &mut best) {
                    try_it(zeroed, &mut best);
                }
                if at == 0 || Instant::now() >= until {
                    break;
                }
                at = at.saturating_sub(size).min(best.len());
            }
            size /= 2;
        }
        for at in (0..best.len()).rev() {
            let mut smaller = best.clone();
            for value in [best[at] / 2, best[at].saturating_sub(1)] {
                if let Some(byte) = smaller.get_mut(at) {
                    *byte = value;
                    try_it(smaller.clone(), &mut best);
                }
            }
        }
        while best.last() == Some(&0) {
            best.pop();
        }
        if simplicity(&best) == before || Instant::now() >= until {
            return best;
        }
    }
}

/// Fewer bytes are simpler, then fewer that are not zero, then smaller ones.
fn simplicity(tape: &[u8]) -> (usize, usize, u64) {
    let length = tape.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let set = tape.iter().filter(|b| **b != 0).count();
    (length, set, tape.iter().map(|b| u64::from(*b)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_goes() {
        let tape: Vec<u8> = (0..200).map(|n| (n * 7 % 251) as u8).collect();
        let fails = |tape: &[u8]| tape.iter().any(|b| *b >= 40) && tape.len() >= 3;
        let small = shrink(&tape, Duration::from_secs(10), fails);
        assert_eq!(small.len(), 3);
        assert_eq!(small.iter().filter(|b| **b != 0).count(), 1);
        assert_eq!(small.iter().max(), Some(&40));
    }

    #[test]
    fn without_time_it_stays_as_it_is() {
        assert_eq!(shrink(&[1, 2, 3], Duration::ZERO, |_| true), [1, 2, 3]);
    }
}
