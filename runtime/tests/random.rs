//! Random members, handlers and faults on a paused clock, judged for loss, order, repeats, limit,
//! budget and commits. A failure names its seed; `TIDEGATE_SEED=17 cargo test -p tidegate-runtime
//! --test random` runs that one alone, `TIDEGATE_SEEDS=1000` more than usual.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use common::judge::{History, Lane};
use common::*;
use tidegate_engine::{Backoff, Config, Ordering};
use tidegate_runtime::memory::{MemoryLog, NewRecord};
use tidegate_runtime::{Consumer, Monitor, Outcome, Record, RunError, Settings, Summary};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const SEEDS: u64 = 150;
const STEPS: u64 = 30;

#[test]
fn nothing_is_lost_broken_or_repeated_whatever_happens() {
    let number = |name| std::env::var(name).ok().and_then(|seed| seed.parse().ok());
    let seeds = match number("TIDEGATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TIDEGATE_SEEDS").unwrap_or(SEEDS),
    };
    // Handlers panic on purpose, and often.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"on purpose") {
            hook(info);
        }
    }));
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let world = AssertUnwindSafe(|| runtime.block_on(World::new(seed).play()));
        if let Err(panic) = std::panic::catch_unwind(world) {
            eprintln!("to see it again: TIDEGATE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

struct Member {
    number: u64,
    monitor: Monitor,
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<Summary, RunError>>,
}

struct World {
    seed: u64,
    random: Random,
    log: MemoryLog,
    settings: Settings,
    /// Members are expelled and handlers hang longer than a drain: records come again.
    rough: bool,
    history: History,
    produced: Produced,
    partitions: i32,
    keys: u64,
    members: Vec<Member>,
    joined: u32,
    committed: BTreeMap<i32, i64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let partitions = 1 + random.below(6) as i32;
        let engine = Config {
            ordering: match random.below(4) {
                0 => Ordering::Partition,
                1 => Ordering::None,
                _ => Ordering::Key,
            },
            max_in_flight: 1 + random.below(40) as u32,
            max_queued: 1 + random.below(500) as u32,
            max_bytes: 1_024 + random.below(20_000),
            max_window: if random.one_in(4) { 1 + random.below(50) } else { 131_072 },
            max_attempts: 10_000,
            backoff: Backoff { initial: ms(1), max: ms(20) },
            handler_timeout: Some(ms(300)),
            seed,
            ..Config::default()
        };
        let settings = Settings {
            engine,
            commit_interval: ms(1 + random.below(300)),
            workers: Some(1 + random.below(3) as usize),
            ..Settings::default()
        };
        Self {
            seed,
            log: log(partitions),
            settings,
            rough: random.one_in(3),
            history: History::default(),
            produced: Produced::new(),
            partitions,
            keys: 1 + random.below(60),
            members: Vec::new(),
            joined: 0,
            committed: BTreeMap::new(),
            random,
        }
    }

    async fn play(mut self) {
        let records = 100 + self.random.below(800);
        self.produce(records);
        self.join();
        for _ in 0..STEPS {
            let pause = self.random.below(80);
            sleep_ms(pause).await;
            self.look();
            self.step().await;
        }
        self.log.fail_commits(0);
        let begun = Instant::now();
        while !self.is_done() {
            let late = begun.elapsed() > Duration::from_secs(600);
            assert!(!late, "it stands still: {:#?}", self.snapshots());
            sleep_ms(50).await;
            self.look();
        }
        while let Some(member) = self.members.pop() {
            self.leave(member).await;
        }
        self.judge();
    }

    async fn step(&mut self) {
        match self.random.below(12) {
            0..3 if self.members.len() < 4 => self.join(),
            3..5 if self.members.len() > 1 => {
                let index = self.random.below(self.members.len() as u64) as usize;
                let member = self.members.swap_remove(index);
                self.leave(member).await;
            }
            5 => {
                let more = self.random.below(200);
                self.produce(more);
            }
            6 => self.log.fail_commits(self.random.below(8) as u32),
            7 => {
                self.log.hold_commits(true);
                let pause = self.random.below(500);
                sleep_ms(pause).await;
                self.log.hold_commits(false);
            }
            // Not beside expulsions: the in-memory log has no generations, and takes a commit that
            // was under way when its member was expelled and got the partition back.
            8 if !self.rough => self.log.delay_commits(ms(self.random.below(60))),
            9 if self.rough && !self.members.is_empty() => {
                let index = self.random.below(self.members.len() as u64) as usize;
                self.log.expel(GROUP, self.members[index].number);
            }
            10 if self.partitions < 8 && self.random.one_in(3) => {
                self.partitions += 1;
                self.log.grow_topic(TOPIC, self.partitions).unwrap();
            }
            11 => {
                let partition = self.random.below(self.partitions as u64) as i32;
                let offsets = 1 + self.random.below(20) as u32;
                self.log.skip_offsets(TOPIC, partition, offsets).unwrap();
            }
            _ => {}
        }
    }

    fn produce(&mut self, records: u64) {
        for _ in 0..records {
            let size = if self.random.one_in(100) { 30_000 } else { self.random.below(200) };
            let mut record = NewRecord::value(vec![0; size as usize]);
            let mut key = None;
            if !self.random.one_in(5) {
                let name = self.random.below(self.keys).to_string().into_bytes();
                record = record.key(name.clone());
                key = Some(name);
            }
            self.produced.insert(put(&self.log, record), key);
        }
    }

    fn join(&mut self) {
        self.joined += 1;
        let source = self.log.source(GROUP, [TOPIC]);
        let number = source.member();
        let consumer = Consumer::new(source, self.settings.clone()).unwrap().on_event(|_| {});
        let monitor = consumer.monitor();
        let (stop, stopped) = oneshot::channel::<()>();
        let (history, seed, member) = (self.history.clone(), self.seed, self.joined);
        let run = consumer
            .run(move |record: Record| {
                let running = history.begin(member, &record);
                handle(record, seed, running)
            })
            .with_graceful_shutdown(async {
                _ = stopped.await;
            });
        let run = tokio::spawn(async { run.await });
        self.members.push(Member { number, monitor, stop, run });
    }

    async fn leave(&mut self, member: Member) {
        let before = Instant::now();
        _ = member.stop.send(());
        let summary = member.run.await.unwrap().unwrap();
        assert!(before.elapsed() <= self.settings.shutdown_timeout);
        assert!(summary.closed);
        assert!(self.rough || summary.uncommitted == 0, "{summary}");
    }

    /// What must be true at any moment.
    fn look(&mut self) {
        for member in &self.members {
            let engine = member.monitor.snapshot().engine;
            let admitted = engine.in_flight + engine.queued;
            assert!(engine.bytes <= self.settings.engine.max_bytes || admitted == 1, "{engine:?}");
            assert!(engine.in_flight <= self.settings.engine.max_in_flight);
        }
        for partition in 0..self.partitions {
            let now = committed(&self.log, partition).unwrap_or(0);
            let before = self.committed.insert(partition, now).unwrap_or(0);
            assert!(now >= before, "committed of {partition} went back from {before} to {now}");
        }
    }

    fn is_done(&self) -> bool {
        (0..self.partitions).all(|partition| {
            let end = self.log.end_offset(TOPIC, partition).unwrap();
            committed(&self.log, partition) == Some(end.0)
        })
    }

    fn snapshots(&self) -> Vec<tidegate_runtime::ConsumerSnapshot> {
        self.members.iter().map(|member| member.monitor.snapshot()).collect()
    }

    fn judge(&self) {
        self.history.assert_none_lost(&self.produced);
        assert!(self.history.most() <= self.settings.engine.max_in_flight);
        let lane = match self.settings.engine.ordering {
            Ordering::Key => Some(Lane::Key),
            Ordering::Partition => Some(Lane::Partition),
            _ => None,
        };
        if self.rough {
            // Members overlap when one is expelled. Within each, a lane stays a lane.
            if let Some(lane) = lane {
                self.history.assert_one_at_a_time_in_each_member(lane);
            }
            return;
        }
        self.history.assert_no_repeats();
        if let Some(lane) = lane {
            self.history.assert_order(&self.produced, lane);
        }
    }
}

/// Does what the record's place and the number of the call say: an attempt that is overloaded is
/// not charged, so that its number alone would say the same for ever.
async fn handle(record: Record, seed: u64, running: common::judge::Running) -> Outcome {
    let place = (record.partition() as u64) << 40 ^ (record.offset() as u64) << 8;
    let mut random = Random(seed ^ place ^ running.number().wrapping_mul(0x9e37_79b9));
    match random.below(20) {
        0..8 => {}
        8..12 => sleep_ms(1 + random.below(30)).await,
        12..14 => tokio::task::yield_now().await,
        14 => return Outcome::retry("on purpose"),
        15 => return Outcome::retry_after(ms(random.below(40)), "on purpose"),
        16 => panic!("on purpose"),
        17 => {
            sleep_ms(random.below(10)).await;
            return Outcome::overloaded(None, "on purpose");
        }
        18 if random.one_in(4) => std::future::pending().await,
        _ => {
            running.finish();
            return Outcome::Skip;
        }
    }
    running.finish();
    Outcome::Done
}
