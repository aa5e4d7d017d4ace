//! Which of a worker's futures were woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Wake, Waker};

use atomic_waker::AtomicWaker;

const BITS: usize = u64::BITS as usize;

/// Wakes one worker and says what for: a bit for each of its slots, and one to look at the engine.
///
/// Two levels: a word has a bit for each of 64 slots, a summary word a bit for each of 64 words,
/// so that an empty doorbell of 100,000 slots is seen as such in 25 loads.
///
/// Setting goes up (slot bit, then summary bit, then the task is woken), taking comes down
/// (summary word, then slot words). Whoever sets the first bit in a word sets its summary bit, so
/// a bit that is set behind the taker's back brings its summary bit along again and is seen the
/// next time; the taker registers its waker before it looks, so there is a next time.
#[derive(Debug)]
pub(crate) struct Doorbell {
    task: AtomicWaker,
    look: AtomicBool,
    summary: Box<[AtomicU64]>,
    words: Box<[AtomicU64]>,
}

impl Doorbell {
    /// For `slots` slots.
    pub(crate) fn new(slots: usize) -> Arc<Self> {
        let words = slots.div_ceil(BITS);
        let zeros = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            task: AtomicWaker::new(),
            look: AtomicBool::new(false),
            summary: zeros(words.div_ceil(BITS)),
            words: zeros(words),
        })
    }

    /// Names the task to wake. Before looking at anything.
    pub(crate) fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Has the worker look at the engine.
    pub(crate) fn ring(&self) {
        if !self.look.swap(true, Ordering::AcqRel) {
            self.task.wake();
        }
    }

    /// Whether it was rung since the last time.
    pub(crate) fn take_ring(&self) -> bool {
        // A load first: the common answer is no, and needs no exclusive cache line.
        self.look.load(Ordering::Acquire) && self.look.swap(false, Ordering::AcqRel)
    }

    fn set(&self, slot: u32) {
        let word = slot as usize / BITS;
        let Some(bits) = self.words.get(word) else { return };
        if bits.fetch_or(1 << (slot as usize % BITS), Ordering::AcqRel) != 0 {
            return;
        }
        let before = self.summary[word / BITS].fetch_or(1 << (word % BITS), Ordering::AcqRel);
        if before == 0 {
            self.task.wake();
        }
    }

    /// Takes woken slots, at least `enough` if so many are there, and at most 63 more.
    pub(crate) fn take_woken(&self, out: &mut Vec<u32>, enough: usize) {
        for (group, summary) in self.summary.iter().enumerate() {
            if summary.load(Ordering::Acquire) == 0 {
                continue;
            }
            let mut words = summary.swap(0, Ordering::AcqRel);
            while words != 0 {
                if out.len() >= enough {
                    // Left for the next time; whoever sets one of them finds it set.
                    summary.fetch_or(words, Ordering::AcqRel);
                    return;
                }
                let word = group * BITS + words.trailing_zeros() as usize;
                words &= words - 1;
                let mut bits = self.words[word].swap(0, Ordering::AcqRel);
                while bits != 0 {
                    out.push((word * BITS) as u32 + bits.trailing_zeros());
                    bits &= bits - 1;
                }
            }
        }
    }

    /// Whether a slot was woken.
    pub(crate) fn has_woken(&self) -> bool {
        self.summary.iter().any(|summary| summary.load(Ordering::Acquire) != 0)
    }

    /// The waker of a slot.
    pub(crate) fn waker(self: &Arc<Self>, slot: u32) -> Waker {
        Waker::from(Arc::new(SlotWaker { doorbell: Arc::clone(self), slot }))
    }
}

/// Made once for a slot and used for every future that it holds. A waker that a future left
/// behind wakes the next one for nothing, which futures must bear.
struct SlotWaker {
    doorbell: Arc<Doorbell>,
    slot: u32,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.doorbell.set(self.slot);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.doorbell.set(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    struct CountWakes(AtomicUsize);
    impl Wake for CountWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn every_woken_slot_is_taken_once_and_the_rest_stays() {
        let bell = Doorbell::new(100_000);
        let slots = [0, 1, 63, 64, 4_095, 4_096, 99_999];
        for slot in slots {
            bell.waker(slot).wake_by_ref();
            bell.waker(slot).wake();
        }
        let mut out = Vec::new();
        bell.take_woken(&mut out, 4);
        assert_eq!(out, [0, 1, 63, 64]);
        assert!(bell.has_woken());
        bell.take_woken(&mut out, 100);
        assert_eq!(out, slots);
        assert!(!bell.has_woken());
    }

    #[test]
    fn no_wake_is_lost_between_threads() {
        const SLOTS: u32 = 300;
        const ROUNDS: usize = 2_000;
        let bell = Doorbell::new(SLOTS as usize);
        let wakes = Arc::new(CountWakes(AtomicUsize::new(0)));
        bell.register(&Waker::from(Arc::clone(&wakes)));
        let seen: Vec<AtomicUsize> = (0..SLOTS).map(|_| AtomicUsize::new(0)).collect();
        std::thread::scope(|scope| {
            for part in 0..2 {
                let (bell, seen) = (&bell, &seen);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        for slot in (part..SLOTS).step_by(2) {
                            bell.waker(slot).wake();
                        }
                        // The taker must see this round of each slot before the next begins.
                        for slot in (part..SLOTS).step_by(2) {
                            while seen[slot as usize].load(Ordering::Acquire) <= round {
                                std::thread::yield_now();
                            }
                        }
                    }
                });
            }
            let mut out = Vec::new();
            let mut left = SLOTS as usize * ROUNDS;
            while left > 0 {
                out.clear();
                bell.take_woken(&mut out, 64);
                for slot in &out {
                    seen[*slot as usize].fetch_add(1, Ordering::AcqRel);
                    left -= 1;
                }
                std::thread::yield_now();
            }
        });
        assert!(wakes.0.load(Ordering::SeqCst) >= 1);
        assert!(!bell.has_woken());
    }
}
