//! The limit in a closed loop on virtual time: targets of several kinds, and what they get.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tidegate_engine::Instant;
use tidegate_engine::limit::{Answer, Controller, Sample, Start};

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// Decides about calls, by the time at which they come in and how many are there.
trait Target {
    fn call(&mut self, now: u64, there: u32) -> Answer;
}

/// So many tokens come in a second, and so many are kept.
struct Bucket {
    rate: u64,
    burst: u64,
    /// In billionths.
    tokens: u64,
    at: u64,
    retry_after: Option<Duration>,
}

impl Bucket {
    fn new(rate: u64, burst: u64) -> Self {
        Self { rate, burst, tokens: burst * S, at: 0, retry_after: None }
    }
}

impl Target for Bucket {
    fn call(&mut self, now: u64, _: u32) -> Answer {
        self.tokens = (self.tokens + (now - self.at) * self.rate).min(self.burst * S);
        self.at = now;
        if self.tokens < S {
            return Answer::Overloaded { retry_after: self.retry_after };
        }
        self.tokens -= S;
        Answer::Done
    }
}

/// So many in each second of the clock.
struct Window {
    rate: u64,
    second: u64,
    taken: u64,
    retry_after: Option<Duration>,
}

impl Target for Window {
    fn call(&mut self, now: u64, _: u32) -> Answer {
        if now / S != self.second {
            (self.second, self.taken) = (now / S, 0);
        }
        self.taken += 1;
        match self.taken <= self.rate {
            true => Answer::Done,
            false => Answer::Overloaded { retry_after: self.retry_after },
        }
    }
}

/// So many at once.
struct Room(u32);

impl Target for Room {
    fn call(&mut self, _: u64, there: u32) -> Answer {
        match there <= self.0 {
            true => Answer::Done,
            false => Answer::Overloaded { retry_after: None },
        }
    }
}

impl<F: FnMut(u64) -> Answer> Target for F {
    fn call(&mut self, now: u64, _: u32) -> Answer {
        self(now)
    }
}

/// What came of a stretch of time.
#[derive(Debug, Default)]
struct Seen {
    done: u64,
    rejected: u64,
    most_at_once: u32,
}

impl Seen {
    fn rejected_share(&self) -> f64 {
        self.rejected as f64 / (self.done + self.rejected).max(1) as f64
    }
}

/// A target, and a controller before it that always has work. Timers are as coarse as tokio's.
struct World<T> {
    controller: Controller,
    target: T,
    took: u64,
    now: u64,
    calls: BinaryHeap<Reverse<(u64, u64, u64)>>,
    answers: Vec<Answer>,
    late: u64,
}

impl<T: Target> World<T> {
    fn new(target: T, took: u64) -> Self {
        let controller = Controller::new(100, 7, Instant::from_nanos(0));
        let calls = BinaryHeap::new();
        Self { controller, target, took, now: 0, calls, answers: Vec::new(), late: 0 }
    }

    fn run(&mut self, seconds: u64) -> Seen {
        let mut seen = Seen::default();
        let end = self.now + seconds * S;
        let mut alarm = 0;
        loop {
            let next_end = self.calls.peek().map(|Reverse((at, ..))| *at);
            if let Some(at) = next_end.filter(|at| *at <= self.now) {
                let Some(Reverse((_, started, id))) = self.calls.pop() else { break };
                let answer = self.answers[id as usize];
                match answer {
                    Answer::Done => seen.done += 1,
                    _ => seen.rejected += 1,
                }
                let in_flight = self.calls.len() as u32 + 1;
                let started = Instant::from_nanos(started);
                let ended = Instant::from_nanos(at);
                self.controller.update(Sample { started, ended, in_flight, key: id, answer });
                continue;
            }
            let in_flight = self.calls.len() as u32;
            let wait = match self.controller.start(in_flight, Instant::from_nanos(self.now)) {
                Start::Now => {
                    let answer = self.target.call(self.now, in_flight + 1);
                    self.answers.push(answer);
                    let id = self.answers.len() as u64 - 1;
                    // Some jitter, the same each time.
                    let took = self.took + self.took * (id * 7_919 % 100) / 400;
                    self.calls.push(Reverse((self.now + took, self.now, id)));
                    seen.most_at_once = seen.most_at_once.max(in_flight + 1);
                    continue;
                }
                // The end of the millisecond, and a lateness that varies.
                Start::At(at) => {
                    if alarm <= self.now {
                        self.late = (self.late + 37) % 100;
                        alarm = at.as_nanos().div_ceil(MS) * MS + self.late * MS / 100;
                    }
                    Some(alarm)
                }
                Start::Full => None,
            };
            let next = [wait, self.calls.peek().map(|Reverse((at, ..))| *at)];
            let Some(next) = next.into_iter().flatten().min() else { break };
            if next >= end {
                self.now = end;
                break;
            }
            self.now = next;
        }
        seen
    }
}

/// After the first 10 s.
fn settled(target: impl Target, took: u64) -> (Seen, Seen) {
    let mut world = World::new(target, took);
    (world.run(10), world.run(120))
}

#[test]
fn a_target_of_200_a_second_gets_nine_tenths_of_it_and_refuses_less_than_a_twentieth() {
    let second = Some(Duration::from_secs(1));
    let window = |retry_after| Window { rate: 200, second: 0, taken: 0, retry_after };
    let told = Bucket { retry_after: second, ..Bucket::new(200, 20) };
    let targets = [
        ("few tokens", settled(Bucket::new(200, 2), MS)),
        ("tokens of a tenth", settled(Bucket::new(200, 20), MS)),
        ("tokens of a second", settled(Bucket::new(200, 200), MS)),
        ("windows of a second", settled(window(None), MS)),
        ("slow calls", settled(Bucket::new(200, 20), 100 * MS)),
        ("tokens, and retry after a second", settled(told, MS)),
        ("windows, and retry after a second", settled(window(second), MS)),
    ];
    for (name, (first, seen)) in targets {
        println!(
            "{name}: first 10 s {} done {} rejected; then {:.1}/s, {:.2} % rejected",
            first.done,
            first.rejected,
            seen.done as f64 / 120.0,
            100.0 * seen.rejected_share()
        );
        assert!(seen.done >= 120 * 180, "{name}: {seen:?}");
        assert!(seen.rejected_share() < 0.05, "{name}: {seen:?}");
        assert!(first.rejected_share() < 0.2, "{name}: {first:?}");
    }
}

#[test]
fn a_target_with_room_for_so_many_at_once_is_kept_full() {
    for (room, took) in [(1, 50 * MS), (3, 20 * MS), (20, 50 * MS), (60, 10 * MS)] {
        let (_, seen) = settled(Room(room), took);
        // Calls take 12 % longer on average.
        let ideal = 120 * S * u64::from(room) / (took + took / 8);
        println!(
            "{room} at once: {} of {ideal}, {:.2} %",
            seen.done,
            100.0 * seen.rejected_share()
        );
        assert!(seen.done >= ideal * 8 / 10, "{room}: {seen:?} of {ideal}");
        assert!(seen.rejected_share() < 0.05, "{room}: {seen:?}");
    }
}

#[test]
fn a_target_without_limits_gets_all_there_may_be() {
    let mut world = World::new(|_| Answer::Done, 10 * MS);
    let first = world.run(1);
    assert_eq!(first.most_at_once, 100);
    assert_eq!(world.run(10).most_at_once, 100);
}

#[test]
fn capacity_that_comes_back_is_found_and_capacity_that_goes_is_given_up() {
    let mut bucket = Bucket::new(1_000, 20);
    let target = move |now: u64| {
        bucket.rate = match now / S {
            0..30 => 1_000,
            30..60 => 50,
            _ => 2_000,
        };
        bucket.call(now, 0)
    };
    let mut world = World::new(target, 5 * MS);
    let fast = world.run(30);
    assert!(fast.done > 30 * 850 && fast.rejected_share() < 0.05, "{fast:?}");
    let slow = world.run(30);
    assert!(slow.done > 30 * 42 && slow.rejected_share() < 0.2, "{slow:?}");
    world.run(45);
    let again = world.run(30);
    assert!(again.done > 30 * 1_700, "{again:?}");
}

#[test]
fn a_target_that_is_down_gets_probes_and_recovers() {
    for down in [Answer::Unreachable, Answer::Failed, Answer::Overloaded { retry_after: None }] {
        let target = move |now: u64| match now / S {
            10..70 => down,
            _ => Answer::Done,
        };
        let mut world = World::new(target, 10 * MS);
        world.run(10);
        let meanwhile = world.run(60);
        // The hundred that were on their way, and the probes.
        assert!((15..=700).contains(&meanwhile.rejected), "{down:?}: {meanwhile:?}");
        world.run(6);
        let after = world.run(5);
        assert_eq!(after.most_at_once, 100, "{down:?}: {after:?}");
    }
}

#[test]
fn while_it_says_so_nothing_is_sent() {
    let retry_after = Some(Duration::from_secs(3));
    let mut calls = Vec::new();
    let mut seen = 0;
    let target = |now: u64| {
        calls.push(now);
        seen += 1;
        if seen == 50 { Answer::Overloaded { retry_after } } else { Answer::Done }
    };
    World::new(target, MS).run(10);
    let refused = calls[49];
    let next = calls.iter().find(|at| **at > refused + 2 * MS).unwrap();
    assert!(*next >= refused + 3 * S, "{}", (next - refused) / MS);
}
