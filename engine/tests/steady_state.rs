//! In the steady state a record costs no allocation, and little time.

#![allow(clippy::unwrap_used, missing_docs, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant as WallInstant;

use tidegate_engine::*;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: it only counts and passes on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PARTITIONS: u32 = 12;
const KEYS: u64 = 10_000;

/// Skewed as real keys are: rank from a power of a uniform number.
fn key(state: &mut u64) -> KeyHash {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let uniform = (*state >> 11) as f64 / (1u64 << 53) as f64;
    let rank = (KEYS as f64).powf(uniform) as u64;
    KeyHash(rank.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

struct Load {
    engine: Engine<u64>,
    next: Vec<i64>,
    arrivals: Vec<Arrival<u64>>,
    dispatches: Vec<Dispatch<u64>>,
    state: u64,
    handled: u64,
}

impl Load {
    fn new() -> Self {
        let now = Instant::from_nanos(0);
        let mut engine = Engine::new(Config::default(), now).unwrap();
        for partition in 0..PARTITIONS {
            engine.handle_assigned(PartitionId(partition), Start::default(), now).unwrap();
        }
        Self {
            engine,
            next: vec![0; PARTITIONS as usize],
            arrivals: Vec::new(),
            dispatches: Vec::new(),
            state: 1,
            handled: 0,
        }
    }

    /// Reads what fits, up to 256 a partition, and handles what may run, 64 at a time.
    fn round(&mut self) {
        let now = Instant::from_nanos(self.handled);
        for partition in 0..PARTITIONS {
            let id = PartitionId(partition);
            let next = &mut self.next[partition as usize];
            let count = self.engine.capacity(id, now).records.min(256);
            for _ in 0..count {
                let (offset, key) = (Offset(*next), Some(key(&mut self.state)));
                let arrival = Arrival { offset, bytes: 100, key, leader_epoch: 0, payload: 0 };
                self.arrivals.push(arrival);
                *next += 1;
            }
            self.engine.handle_records(
                id,
                self.arrivals.drain(..),
                Some(Offset(*next).into()),
                now,
            );
            for _ in 0..4 {
                self.engine.poll_dispatch(&mut self.dispatches, 64, now);
                for dispatch in self.dispatches.drain(..) {
                    self.engine.handle_outcome(dispatch.ticket, Outcome::Done, now);
                    self.handled += 1;
                }
            }
        }
    }
}

#[test]
fn no_allocation_per_record() {
    let mut load = Load::new();
    while load.handled < 500_000 {
        load.round();
    }
    let (before, handled) = (ALLOCATIONS.get(), load.handled);
    while load.handled < handled + 1_000_000 {
        load.round();
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

/// Not a gate: machines differ. `cargo test --release -p tidegate-engine -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn records_per_second() {
    let mut load = Load::new();
    while load.handled < 1_000_000 {
        load.round();
    }
    for _ in 0..5 {
        let (begun, handled) = (WallInstant::now(), load.handled);
        while load.handled < handled + 5_000_000 {
            load.round();
        }
        let rate = (load.handled - handled) as f64 / begun.elapsed().as_secs_f64();
        println!("{:.2} M records/s on one core, key order", rate / 1e6);
    }
}
