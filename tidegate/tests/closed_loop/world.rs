//! A topic with its producers and its consumer, watched four times a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidegate_testkit::kafka::{Broker, Fill, NewRecord, NewTopic, offsets, produce};
use tokio::runtime::Runtime;

use crate::consumers::{Consuming, PARTITIONS, POISON, Work};
use crate::producers::{Policy, Sender};

const EVERY: Duration = Duration::from_millis(250);

/// Everything at a moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Seconds since the producers began.
    pub at: f64,
    pub handled: [u64; PARTITIONS],
    /// Seconds that handlers took, all together.
    pub busy: f64,
    pub producers: Vec<ProducerSample>,
}

#[derive(Clone, Debug)]
pub struct ProducerSample {
    pub delivered: u64,
    pub shed: u64,
    pub window: u64,
    /// The drain time as the gate knows it, and the one that it aims for, in seconds.
    pub drain: Option<f64>,
    pub target: f64,
    /// Partitions in which the gate sees that the group does not move.
    pub stuck: Vec<u32>,
}

impl Sample {
    pub fn done(&self) -> u64 {
        self.handled.iter().sum()
    }

    pub fn delivered(&self) -> u64 {
        self.producers.iter().map(|producer| producer.delivered).sum()
    }
}

/// A while in which nothing is changed from outside.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    pub name: &'static str,
    pub from: f64,
    pub to: f64,
}

/// What the consumer can do: so many handlers at once, as busy as they are when enough waits; or a
/// rate that it keeps to.
#[derive(Clone, Copy, Debug)]
pub enum Capacity {
    Handlers { permits: f64, busy: f64 },
    Rate(f64),
}

/// What was seen.
pub struct Seen {
    pub samples: Vec<Sample>,
    pub stages: Vec<Stage>,
    pub capacity: Capacity,
    /// Records that were in the topic before the producers began, all handled by then.
    pub filled: u64,
}

pub struct World {
    pub topic: &'static str,
    pub work: Arc<Work>,
    pub senders: Vec<Sender>,
    consumer: Option<Box<dyn Consuming>>,
    stages: Vec<Stage>,
    capacity: Capacity,
    filled: u64,
    poisoned: u64,
    begun: Instant,
    watch: Option<Watch>,
    runtime: Runtime,
}

struct Watch {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    thread: JoinHandle<()>,
}

impl World {
    pub fn new(topic: &'static str) -> Self {
        Broker::shared().admin().create_topic(NewTopic::new(topic).partitions(PARTITIONS as i32));
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        Self {
            topic,
            work: Arc::new(Work::default()),
            senders: Vec::new(),
            consumer: None,
            stages: Vec::new(),
            capacity: Capacity::Rate(0.0),
            filled: 0,
            poisoned: 0,
            begun: Instant::now(),
            watch: None,
            runtime: runtime.worker_threads(2).enable_all().build().unwrap(),
        }
    }

    pub fn bootstrap() -> &'static str {
        Broker::shared().bootstrap()
    }

    pub fn set_consumer(&mut self, consumer: impl Consuming + 'static) {
        self.consumer = Some(Box::new(consumer));
    }

    pub fn stop_consumer(&mut self) {
        self.consumer.take().unwrap().stop();
    }

    /// Waits until the consumer has joined and handled something.
    pub fn wait_handling(&self) {
        let before = self.work.sum();
        wait_until("something is handled", || self.work.sum() > before);
    }

    /// Lets the consumer work off so many records with nobody beside it, and finds out what it can
    /// do: how busy `permits` handlers are when there is always something to do. Returns when all
    /// of it is committed.
    pub fn calibrate(&mut self, records: u64, permits: u32) {
        self.fill(records);
        let seen = |part: u64| {
            wait_until("a part of the records", || self.work.sum() >= records * part / 10);
            (Instant::now(), self.work.busy(), self.work.sum())
        };
        let (first, last) = (seen(2), seen(8));
        let (took, permits) = ((last.0 - first.0).as_secs_f64(), f64::from(permits));
        let busy = (last.1 - first.1) / (took * permits);
        println!("{:.0}/s, handlers {:.1} % busy", (last.2 - first.2) as f64 / took, busy * 100.0);
        self.capacity = Capacity::Handlers { permits, busy };
        self.wait_committed();
    }

    /// The same for a consumer that keeps to a rate, and needs no finding out.
    pub fn assume(&mut self, records: u64, rate: f64) {
        self.fill(records);
        self.capacity = Capacity::Rate(rate);
        self.wait_committed();
    }

    fn fill(&mut self, records: u64) {
        let fill = Fill::new(self.topic).records(records).keys(20_000).value_bytes(100);
        self.filled = Broker::shared().fill(&fill).len() as u64;
    }

    fn wait_committed(&self) {
        let properties = Broker::shared().properties();
        let committed = || offsets::committed_sum(&properties, self.topic, self.topic);
        wait_until("everything is committed", || committed() as u64 == self.filled);
    }

    /// The producers are there, and watched, and want nothing yet.
    pub fn begin(&mut self, producers: u64, policy: Policy) {
        let runtime = self.runtime.handle();
        let start = |number| Sender::start(runtime, Self::bootstrap(), self.topic, number, policy);
        self.senders = (0..producers).map(start).collect();
        let known = || self.senders.iter().all(|sender| sender.gate().groups[0].has_commit);
        wait_until("every gate knows how far the group is", known);
        self.begun = Instant::now();
        self.watch = Some(Watch::start(self));
    }

    pub fn want(&self, each: u64) {
        self.senders.iter().for_each(|sender| sender.want(each));
    }

    /// Writes a record whose handler never ends to partition 0, beside the gates.
    pub fn poison(&mut self) {
        let poison = NewRecord::to(0).key(POISON).value(POISON);
        let _ = produce::send(&Broker::shared().properties(), self.topic, [poison]);
        self.poisoned += 1;
    }

    /// A stage begins, and the one before ends.
    pub fn enter(&mut self, name: &'static str) {
        let from = self.now();
        self.leave(from);
        self.stages.push(Stage { name, from, to: from });
    }

    /// Lets so many seconds go by.
    pub fn live(&self, seconds: f64) {
        thread::sleep(Duration::from_secs_f64(seconds));
    }

    fn leave(&mut self, now: f64) {
        if let Some(stage) = self.stages.last_mut() {
            stage.to = now;
        }
    }

    /// Seconds since the producers began.
    pub fn now(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Ends everything, and gives what was seen.
    pub fn end(mut self) -> Seen {
        self.leave(self.now());
        let watch = self.watch.take().unwrap();
        watch.stop.store(true, Ordering::Relaxed);
        watch.thread.join().unwrap();
        let runtime = self.runtime.handle();
        let delivered: u64 = self.senders.drain(..).map(|sender| sender.stop(runtime)).sum();
        if let Some(consumer) = self.consumer.take() {
            consumer.stop();
        }
        let (written, handled) = (self.filled + self.poisoned + delivered, self.work.sum());
        println!("{}: {delivered} delivered, {handled} handled", self.topic);
        let ends = offsets::watermarks(&Broker::shared().properties(), self.topic);
        let in_the_log: i64 = ends.values().map(|w| w.end).sum();
        assert_eq!(in_the_log as u64, written, "what was delivered is there, and nothing else");
        assert!(handled <= written, "no more was handled than there is");
        let samples = std::mem::take(&mut *watch.samples.lock().unwrap());
        Seen { samples, stages: self.stages, capacity: self.capacity, filled: self.filled }
    }
}

impl Watch {
    fn start(world: &World) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let samples = Arc::new(Mutex::new(Vec::new()));
        let (senders, work, begun) = (world.senders.clone(), Arc::clone(&world.work), world.begun);
        let (stopped, into) = (Arc::clone(&stop), Arc::clone(&samples));
        let thread = thread::spawn(move || {
            let mut next = begun;
            while !stopped.load(Ordering::Relaxed) {
                // Deliveries first: what is handled meanwhile makes the backlog smaller, never
                // negative.
                let producers = senders.iter().map(sample).collect();
                let (handled, busy) = (work.handled(), work.busy());
                let at = begun.elapsed().as_secs_f64();
                into.lock().unwrap().push(Sample { at, handled, busy, producers });
                next += EVERY;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        Self { stop, samples, thread }
    }
}

fn sample(sender: &Sender) -> ProducerSample {
    let gate = sender.gate();
    ProducerSample {
        delivered: gate.counters.delivered,
        shed: sender.shed(),
        window: gate.window,
        drain: gate.drain.map(|drain| drain.as_secs_f64()),
        target: gate.target.as_secs_f64(),
        stuck: gate.groups.first().map(|group| group.stuck.clone()).unwrap_or_default(),
    }
}

pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
