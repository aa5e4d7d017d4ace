//! Credits: who gets one, and what becomes of it.

use core::time::Duration;

use super::math::duration;
use super::{Cause, Gate, Mode, Reason, Refusal, WhenShut};
use crate::canary::{Canary, is_planted};
use crate::{Instant, Offset};

/// The longest that a refused producer is told to stay away, and the shortest.
const LONGEST: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_millis(1);

/// The right to send one record to one partition. It counts as outstanding from now on and goes back
/// to the gate exactly once, whatever becomes of the record. Dropping one leaks its place in the
/// window for good.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a credit that is dropped takes its place in the window for good"]
pub struct Credit {
    partition: u32,
    /// It is one of those by which a half-open breaker decides.
    probe: bool,
}

impl Credit {
    /// The partition that the record must go to.
    pub fn partition(&self) -> u32 {
        self.partition
    }
}

/// What a send that follows the gate's policy has to do.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// Send.
    Go(Credit),
    /// Wait, and ask again when the gate was told something, at the latest then.
    Wait {
        /// The latest time to ask again.
        until: Instant,
    },
    /// Give the record back to whoever sent it.
    Refused(Refusal),
}

/// Whose fault it is that a record was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The record's: it is too large, or its topic does not take it. The breaker takes no notice.
    Record,
    /// The broker's, or that of the way to it.
    Broker,
}

impl Gate {
    /// The partition that a record with this key goes to: the one that Java's producer would choose.
    /// Without a key, a random one that has room, the same for a short run of records. 0 while the
    /// topic's partitions are unknown.
    pub fn pick_partition(&mut self, key: Option<&[u8]>, now: Instant) -> u32 {
        if let Some(key) = key {
            return super::partition_of_key(key, self.partitions);
        }
        let (ledger, share) = (&self.ledger, self.share);
        let free = self.limit.saturating_sub(ledger.counted());
        let logs = &self.logs;
        self.spreader.next(self.partitions, now, |partition| {
            let log = logs.get(partition as usize);
            match log.and_then(|log| log.stuck_cap) {
                Some(_) => false,
                None => ledger.of(partition as usize) < share.max(free),
            }
        })
    }

    /// A credit for a record to this partition, or why there is none and when to try again.
    ///
    /// # Errors
    /// When the gate is shut, or this partition has its share outstanding.
    pub fn try_acquire(&mut self, partition: u32, now: Instant) -> Result<Credit, Refusal> {
        if now >= self.due {
            self.handle_timeout(now);
        }
        match self.find_cause(partition, now) {
            Ok(floor) => Ok(self.take(partition, floor, now)),
            Err(held) => Err(self.refuse(held)),
        }
    }

    /// Whether a record to this partition would get a credit now; takes none. For those who want to
    /// know before they have the record's value.
    ///
    /// # Errors
    /// As [`try_acquire`](Self::try_acquire), and a refusal counts like one of its.
    pub fn check(&mut self, partition: u32, now: Instant) -> Result<(), Refusal> {
        if now >= self.due {
            self.handle_timeout(now);
        }
        match self.find_cause(partition, now) {
            Ok(_) => Ok(()),
            Err(held) => Err(self.refuse(held)),
        }
    }

    /// Remembers what held the producer back, without which the window would not grow.
    fn refuse(&mut self, (cause, retry_after): (Cause, Duration)) -> Refusal {
        let from_window = matches!(cause.reason, Reason::Window | Reason::PartitionCap);
        if from_window || self.held_back[0].is_none() {
            self.held_back[0] = Some(cause);
        }
        self.counters.refused += 1;
        Refusal { cause, retry_after: retry_after.clamp(SHORTEST, LONGEST) }
    }

    /// The same by the gate's [policy](super::GateConfig::when_shut), for a send that began at
    /// `since`: it is told to wait until its time is over, or is refused at once.
    pub fn acquire(&mut self, partition: u32, since: Instant, now: Instant) -> Answer {
        match (self.try_acquire(partition, now), self.config.when_shut) {
            (Ok(credit), _) => Answer::Go(credit),
            (Err(refusal), WhenShut::Wait { max }) if now < since + max => {
                Answer::Wait { until: (now + refusal.retry_after).min(since + max) }
            }
            (Err(refusal), _) => Answer::Refused(refusal),
        }
    }

    /// The record of a credit was acknowledged at this offset; `None` if the broker did not say,
    /// and then it cannot be followed and counts as released.
    pub fn handle_delivered(&mut self, credit: Credit, offset: Option<Offset>) {
        self.breaker.handle_delivered(credit.probe);
        self.counters.delivered += 1;
        if !self.follows() {
            return;
        }
        let partition = credit.partition as usize;
        match offset.filter(|_| credit.partition < self.partitions) {
            Some(offset) => self.ledger.delivered(partition, offset),
            None => {
                self.counters.untracked += 1;
                self.ledger.give_back(partition);
            }
        }
    }

    /// The record of a credit was not delivered, for good.
    pub fn handle_failed(&mut self, credit: Credit, fault: Fault, now: Instant) {
        match fault {
            Fault::Record if is_planted(Canary::BreakerTryLost) => {}
            Fault::Record => self.breaker.give_back(credit.probe),
            Fault::Broker => {
                self.breaker.handle_failed(credit.probe, now);
                self.refresh(now);
            }
        }
        self.counters.failed += 1;
        self.give_back(credit.partition);
    }

    /// The record of a credit is not sent after all.
    pub fn cancel(&mut self, credit: Credit, now: Instant) {
        self.breaker.give_back(credit.probe);
        if let Some(bucket) = &mut self.bucket {
            bucket.give_back(now);
        }
        self.counters.cancelled += 1;
        self.give_back(credit.partition);
    }

    fn give_back(&mut self, partition: u32) {
        if self.follows() {
            self.ledger.give_back(partition as usize);
        }
    }

    fn take(&mut self, partition: u32, floor: bool, now: Instant) -> Credit {
        let within = self.ledger.counted() < self.limit || self.is_stuck(partition);
        assert!(floor || within, "a record would be sent beyond the window of {}", self.limit);
        if floor {
            self.floor.take(now);
            self.counters.floor += 1;
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
        if self.follows() {
            self.ledger.take(partition as usize);
            self.wave.sent(now);
        }
        self.counters.admitted += 1;
        Credit { partition, probe: self.breaker.take() }
    }

    /// Nothing, and whether it takes a token of the floor rate; or what holds a record back, and for
    /// how long.
    pub(super) fn find_cause(
        &self,
        partition: u32,
        now: Instant,
    ) -> Result<bool, (Cause, Duration)> {
        if let Err(wait) = self.breaker.check(now) {
            let cause = Cause::of(Reason::Breaker, None);
            return Err((cause, wait.unwrap_or(self.config.breaker_open.initial)));
        }
        if partition >= self.partitions {
            let cause =
                Cause { partition: Some(partition), ..Cause::of(Reason::NoPartition, None) };
            return Err((cause, self.config.probe_interval));
        }
        let mut floor = false;
        if self.follows() {
            let held = match self.mode {
                Mode::Floor(cause) => Err((cause, LONGEST)),
                Mode::Window(cause) => {
                    self.within_window(partition, now).map_err(|_| (cause, LONGEST))
                }
                Mode::Following => self.within_window(partition, now),
            };
            if let Err((cause, wait)) = held {
                if self.mode == Mode::Following {
                    return Err((cause, wait));
                }
                let next = self.floor.next_at(now);
                let wait = next.map_or(LONGEST, |next| next.saturating_since(now));
                if next.is_none_or(|next| next > now) {
                    return Err((cause, wait));
                }
                floor = true;
            }
        }
        match self.bucket.and_then(|bucket| bucket.next_at(now)) {
            Some(next) if next > now => {
                Err((Cause::of(Reason::Rate, None), next.saturating_since(now)))
            }
            _ => Ok(floor),
        }
    }

    /// Whether the window has room for a record to this partition.
    fn within_window(&self, partition: u32, now: Instant) -> Result<(), (Cause, Duration)> {
        let index = partition as usize;
        let (counted, of_partition) = (self.ledger.counted(), self.ledger.of(index));
        if let Some(cap) = self.stuck_cap(partition) {
            if of_partition < cap {
                return Ok(());
            }
            let group = self.stuck_group(index);
            let cause = Cause { reason: Reason::PartitionStuck, group, partition: Some(partition) };
            return Err((cause, self.target));
        }
        if counted >= self.limit {
            let wait = self.until_released(counted - self.limit + 1, 1, now);
            return Err((Cause::of(Reason::Window, self.slowest()), wait));
        }
        // A share of its own, or as much as is still free: alone, a partition gets half the window,
        // and beside others it can never take what they need.
        let cap = self.share.max(self.limit - counted);
        if of_partition >= cap {
            let group = self.slowest();
            let cause = Cause { reason: Reason::PartitionCap, group, partition: Some(partition) };
            let wait = self.until_released(of_partition - cap + 1, self.partitions, now);
            return Err((cause, wait));
        }
        Ok(())
    }

    /// When so many records of a part of the partitions will be released, by what was released in
    /// the last time: not before the next probe.
    fn until_released(&self, records: u64, parts: u32, now: Instant) -> Duration {
        let due = self.asked.map(|asked| asked + self.config.probe_interval);
        let next_probe = due.map_or(self.config.probe_interval, |due| due.saturating_since(now));
        let seconds = records as f64 * f64::from(parts) / self.release_rate;
        match self.release_rate > 0.0 {
            true => duration(seconds, LONGEST).max(next_probe),
            false => next_probe.max(self.config.probe_interval),
        }
    }

    /// The cap of a partition that is stuck.
    fn stuck_cap(&self, partition: u32) -> Option<u64> {
        let cap = self.logs.get(partition as usize)?.stuck_cap?;
        Some(cap.min(self.share))
    }

    fn is_stuck(&self, partition: u32) -> bool {
        self.stuck_cap(partition).is_some()
    }
}
