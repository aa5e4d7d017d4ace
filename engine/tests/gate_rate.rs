//! What a gate takes for the rate of a group, whose members commit each at their own times.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use tidegate_engine::gate::*;
use tidegate_engine::*;

const PARTITIONS: usize = 12;
/// Records a second of the whole group.
const RATE: i64 = 6_000;
const END: Offset = Offset(100_000_000);

/// A group with more to do than it can, seen by a gate that sends nothing.
struct World {
    gate: Gate,
    members: usize,
    commit_ms: u64,
    now_ms: u64,
    done: [i64; PARTITIONS],
    committed: [i64; PARTITIONS],
    next_probe: u64,
    probes: u64,
    /// Records a second.
    rate: i64,
}

impl World {
    fn new(members: usize, commit_ms: u64) -> Self {
        let config = GateConfig { groups: 1, ..GateConfig::default() };
        let mut gate = Gate::new(config, Instant::from_nanos(0)).unwrap();
        gate.handle_partitions(PARTITIONS as u32);
        let (done, committed) = ([0; PARTITIONS], [0; PARTITIONS]);
        let (next_probe, probes, rate) = (0, 0, RATE);
        Self { gate, members, commit_ms, now_ms: 0, done, committed, next_probe, probes, rate }
    }

    /// The rate at each probe of so many seconds.
    fn run(&mut self, seconds: u64) -> Vec<f64> {
        let mut rates = Vec::new();
        for _ in 0..seconds * 100 {
            self.now_ms += 10;
            for p in 0..PARTITIONS {
                // They do not commit at the same moment, but at their own.
                let member = (p % self.members) as u64;
                let phase = member * self.commit_ms / self.members as u64 / 10 * 10;
                self.done[p] += self.rate / 100 / PARTITIONS as i64;
                if self.rate > 0 && (self.now_ms + phase).is_multiple_of(self.commit_ms) {
                    self.committed[p] = self.done[p];
                }
            }
            if self.now_ms >= self.next_probe {
                rates.extend(self.probe());
            }
        }
        rates
    }

    fn probe(&mut self) -> Option<f64> {
        let now = Instant::from_nanos(self.now_ms * 1_000_000);
        let finished = FinishedRanges::default;
        let at = |offset: &i64| Commit::At { offset: Offset(*offset), finished: finished() };
        self.gate.handle_probe(
            &ProbeSample {
                asked: now,
                incarnation: 1,
                logs: vec![Some(LogSpan { start: Offset(0), end: END }); PARTITIONS],
                groups: vec![self.committed.iter().map(at).collect()],
            },
            now,
        );
        self.probes += 1;
        let random = self.probes.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let wait = until_next_probe(Duration::from_millis(500), random);
        self.next_probe = self.now_ms + wait.as_millis() as u64;
        self.gate.snapshot(now).groups[0].rate
    }
}

fn worlds() -> impl Iterator<Item = (String, World)> {
    let each = [1, 4, 12].into_iter().flat_map(|members| [(members, 500), (members, 5_000)]);
    each.map(|(members, commit_ms)| {
        let mut world = World::new(members, commit_ms);
        world.run(60);
        (format!("{members} members, every {commit_ms} ms"), world)
    })
}

#[test]
fn it_is_what_the_group_does() {
    for (name, mut world) in worlds() {
        let rates = world.run(60);
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        assert!((5_850.0..6_150.0).contains(&mean), "{name}: {mean}");
    }
}

#[test]
fn a_seek_of_one_partition_is_not_taken_for_speed() {
    for (name, mut world) in worlds() {
        world.done[0] += 1_000_000;
        for rate in world.run(30) {
            assert!((4_500.0..7_500.0).contains(&rate), "{name}: {rate}");
        }
    }
}

#[test]
fn a_pause_is_not_taken_for_slowness() {
    for (name, mut world) in worlds() {
        world.rate = 0;
        world.run(60);
        world.rate = RATE;
        for rate in world.run(30) {
            assert!((4_500.0..7_500.0).contains(&rate), "{name}: {rate}");
        }
    }
}

#[test]
fn a_group_that_becomes_slower_or_faster_is_believed() {
    for (name, mut world) in worlds() {
        let seconds = 3 * world.commit_ms / 1_000 + 8;
        for rate in [RATE / 5, RATE] {
            world.rate = rate;
            let seen = world.run(seconds).pop().unwrap() / rate as f64;
            assert!((0.85..1.15).contains(&seen), "{name}: {seen} of {rate}");
        }
    }
}
