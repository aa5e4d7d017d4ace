//! How far consumer groups are, and what logs hold: asked in rounds by a client that joins no group.
//!
//! One probe serves every gate of a process. A round asks for the topics, then for what the groups
//! have committed, and only then for the logs' ends, so that a commit is never beyond the end that
//! it is compared with.

mod bell;
mod clients;
mod round;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use tidegate_engine::gate::{ProbeFailure, ProbeSample, until_next_probe};

use super::settings::SettingsError;
use bell::{Bell, bell};
use clients::Clients;
use round::Round;

/// The clients' queues are looked at this often at least, so that a stop is noticed.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Who wants to know of a topic.
pub(crate) trait Follower: Send + Sync {
    /// The topic.
    fn topic(&self) -> &str;
    /// The groups whose commits are wanted, in their order.
    fn groups(&self) -> &[String];
    /// How many partitions the topic has. Told before the answer, each time.
    fn handle_partitions(&self, partitions: u32);
    /// What was learned.
    fn handle_answer(&self, sample: &ProbeSample);
    /// Nothing was learned. `detail` is what the broker or the client said.
    fn handle_failure(&self, failure: ProbeFailure, detail: &str);
}

/// Asks at an interval how far consumer groups are, by one thread and a client for each group, for any
/// number of [producers](crate::Producer). Cloning it is cheap; it ends with its last clone.
///
/// The interval is the longest time between two rounds, and three fifths of it the average: see
/// [`until_next_probe`](tidegate_engine::gate::until_next_probe).
#[derive(Clone)]
pub struct Probe {
    shared: Arc<Shared>,
}

struct Shared {
    followers: Arc<Mutex<Vec<Weak<dyn Follower>>>>,
    stopped: Arc<AtomicBool>,
    interval: Duration,
}

impl Probe {
    /// A probe of the cluster that `config` names, every `interval` (10 ms to 60 s). `group` is one
    /// that will be asked for, if there is one.
    pub(crate) fn start(
        config: ClientConfig,
        group: Option<&str>,
        interval: Duration,
    ) -> Result<Self, SettingsError> {
        let (ringer, bell) = bell();
        let clients = Clients::new(config, group, ringer)?;
        let followers = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let work = Work {
            clients,
            bell,
            followers: Arc::clone(&followers),
            stopped: Arc::clone(&stopped),
            interval,
            random: RandomState::new(),
            rounds: 0,
        };
        thread::Builder::new()
            .name("tidegate-probe".to_owned())
            .spawn(move || work.run())
            .map_err(|error| SettingsError::Inconsistent(format!("no thread: {error}")))?;
        Ok(Self { shared: Arc::new(Shared { followers, stopped, interval }) })
    }

    /// The longest time from one round to the next.
    pub fn interval(&self) -> Duration {
        self.shared.interval
    }

    /// Adds one who wants to know, for as long as it lives.
    pub(crate) fn follow(&self, follower: Weak<dyn Follower>) {
        let mut followers = self.shared.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.push(follower);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("interval", &self.shared.interval).finish_non_exhaustive()
    }
}

/// What the thread does.
struct Work {
    clients: Clients,
    bell: Bell,
    followers: Arc<Mutex<Vec<Weak<dyn Follower>>>>,
    stopped: Arc<AtomicBool>,
    interval: Duration,
    random: RandomState,
    rounds: u64,
}

impl Work {
    fn run(mut self) {
        let mut next = Instant::now();
        while !self.stopped.load(Ordering::Relaxed) {
            let wait = next.saturating_duration_since(Instant::now()).min(LONGEST_WAIT);
            if !wait.is_zero() {
                // Nothing is waited for but answers to earlier rounds, which keep their client's state.
                self.bell.wait(wait);
                while self.clients.poll().is_some() {}
                continue;
            }
            let followers = self.followers();
            if followers.is_empty() {
                // Whoever comes is served soon.
                next = Instant::now() + Duration::from_millis(10);
                continue;
            }
            let started = Instant::now();
            self.round(followers);
            self.rounds += 1;
            let wait = until_next_probe(self.interval, self.random.hash_one(self.rounds));
            next = (started + wait).max(Instant::now() + Duration::from_millis(1));
        }
    }

    fn followers(&self) -> Vec<Arc<dyn Follower>> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| follower.strong_count() > 0);
        followers.iter().filter_map(Weak::upgrade).collect()
    }

    /// One round. Its requests have a time limit of their own in the clients.
    fn round(&mut self, followers: Vec<Arc<dyn Follower>>) {
        let mut round = Round::new(followers, crate::clock::now());
        while !self.stopped.load(Ordering::Relaxed) {
            round.ask(&mut self.clients);
            if round.is_over() {
                break;
            }
            match self.clients.poll() {
                Some((request, result)) => round.take(request, result),
                None => self.bell.wait(LONGEST_WAIT),
            }
        }
        round.tell();
    }
}
