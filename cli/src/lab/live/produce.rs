//! A producer on the clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_sim::lab::{Keys, Producer, Strategy, WhenFull, mix};
use tokio::time::{MissedTickBehavior, interval};

use super::sink::{Fresh, Sink};
use super::state::{Live, Stamp, lock};
use crate::exit::Failure;

const TICK: Duration = Duration::from_millis(2);

/// A producer: number, plan, and what it has to send.
pub(super) struct Source {
    number: u32,
    plan: Producer,
    keys: Keys,
    sink: Sink,
    made: u64,
    due: f64,
    burst: u64,
    next_burst: Duration,
    held: Option<Fresh>,
    channel: VecDeque<Fresh>,
    /// It sends at once what has credit: its channel stays empty.
    is_gated: bool,
}

impl Source {
    pub(super) fn new(live: &Live, number: u32, plan: Producer, sink: Sink) -> Self {
        Self {
            number,
            keys: Keys::new(plan.keys, plan.zipf),
            sink,
            made: 0,
            due: 0.0,
            burst: 0,
            next_burst: plan.burst.map_or(Duration::MAX, |burst| burst.every),
            held: None,
            channel: VecDeque::new(),
            is_gated: matches!(live.strategy, Strategy::ClosedLoop { .. }),
            plan,
        }
    }

    /// Produces until it is told to stop. Then it empties its channel, and ends when the log has all of
    /// it.
    pub(super) async fn run(mut self, live: Arc<Live>) -> Result<(), Failure> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.sink.is_ready() && live.producing.load(Ordering::Relaxed) {
            ticks.tick().await;
        }
        let mut before = live.now();
        loop {
            ticks.tick().await;
            let now = live.now();
            self.sink.turn();
            let producing = live.producing.load(Ordering::Relaxed);
            if producing {
                self.advance(&live, now, now - before);
                self.send(&live, now)?;
            }
            before = now;
            self.empty(&live)?;
            if !producing && self.channel.is_empty() {
                return self.sink.close().await;
            }
        }
    }

    fn advance(&mut self, live: &Live, now: Duration, elapsed: Duration) {
        let rate = lock(&live.rates).get(self.number as usize).copied().unwrap_or(self.plan.rate);
        self.due += rate * elapsed.as_secs_f64();
        if let Some(burst) = self.plan.burst
            && now >= self.next_burst
        {
            self.next_burst += burst.every;
            self.burst += u64::from(burst.records);
            live.waiting.fetch_add(burst.records.into(), Ordering::Relaxed);
        }
    }

    fn make(&mut self, live: &Live, now: Duration) -> Fresh {
        live.made.fetch_add(1, Ordering::Relaxed);
        let random = mix(mix(live.scenario.seed, self.number.into()), self.made);
        let hot = mix(random, 2) % 10_000 < u64::from(live.hot.load(Ordering::Relaxed));
        let key = if hot && self.plan.keys > 0 { Some(0) } else { self.keys.pick(mix(random, 3)) };
        let (least, most) = (*self.plan.size.start(), *self.plan.size.end());
        let bytes = u64::from(least) + mix(random, 4) % (u64::from(most - least) + 1);
        let made = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let stamp = Stamp { made, producer: self.number, number: self.made };
        self.made += 1;
        Fresh { key, value: stamp.value(usize::try_from(bytes).unwrap_or(0)) }
    }

    /// Sends what is due, as far as channel or gate let it.
    fn send(&mut self, live: &Live, now: Duration) -> Result<(), Failure> {
        let mut room = live.scenario.topic.quota.saturating_sub(live.unread());
        while self.burst > 0 || self.due >= 1.0 {
            let fresh = match self.held.take() {
                Some(fresh) => fresh,
                None => self.make(live, now),
            };
            let back = if self.is_gated && room > 0 {
                room -= 1;
                self.pass(live, fresh)?
            } else if !self.is_gated && self.channel.len() < self.plan.channel as usize {
                live.waiting.fetch_add(1, Ordering::Relaxed);
                self.channel.push_back(fresh);
                None
            } else {
                Some(fresh)
            };
            if let Some(fresh) = back {
                live.held_back();
                if self.plan.when_full == WhenFull::Wait {
                    self.held = Some(fresh);
                    self.due = self.due.min(1.0);
                    return Ok(());
                }
                live.refused.fetch_add(1, Ordering::Relaxed);
            }
            if self.burst > 0 {
                self.burst -= 1;
                live.waiting.fetch_sub(1, Ordering::Relaxed);
            } else {
                self.due -= 1.0;
            }
        }
        Ok(())
    }

    /// From the channel to Kafka, as long as it takes anything.
    fn empty(&mut self, live: &Live) -> Result<(), Failure> {
        let mut room = live.scenario.topic.quota.saturating_sub(live.unread());
        while room > 0 {
            let Some(fresh) = self.channel.pop_front() else { return Ok(()) };
            match self.pass(live, fresh)? {
                None => _ = live.waiting.fetch_sub(1, Ordering::Relaxed),
                Some(fresh) => {
                    self.channel.push_front(fresh);
                    return Ok(());
                }
            }
            room -= 1;
        }
        Ok(())
    }

    fn pass(&mut self, live: &Live, fresh: Fresh) -> Result<Option<Fresh>, Failure> {
        let back = self.sink.send(fresh)?;
        live.written.fetch_add(u64::from(back.is_none()), Ordering::Release);
        Ok(back)
    }
}
