//! The records that are on their way to the broker, and what became of those whose [`Delivery`] was
//! not asked yet.
//!
//! A record takes a slot when it is handed to the client, and the client carries the slot's number. A
//! slot is used again once its report has come and its `Delivery` was answered or dropped, so that
//! nothing is allocated for a record.
//!
//! [`Delivery`]: super::Delivery

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tidegate_engine::gate::Credit;
use tokio::sync::Notify;

use super::delivery::{Delivered, DeliveryError};

/// Everything that is settled by a record's report.
#[derive(Debug)]
pub(super) struct Flight {
    /// Which of the producer's topics.
    pub(super) topic: u32,
    pub(super) credit: Credit,
    /// What it takes of the room.
    pub(super) bytes: u32,
}

type Outcome = Result<Delivered, DeliveryError>;

/// The number of a slot.
pub(super) type Slot = usize;

#[derive(Debug)]
struct Entry {
    topic: u32,
    /// Until its report comes.
    flight: Option<Flight>,
    /// Which client has it.
    client: u32,
    reply: Reply,
}

#[derive(Debug)]
enum Reply {
    /// Nobody has asked, or this one waits.
    Wanted(Option<Waker>),
    /// Nobody will ask.
    Unwanted,
    Here(Outcome),
}

#[derive(Debug)]
struct Slots {
    entries: Vec<Entry>,
    free: Vec<Slot>,
    /// On their way, of each topic.
    of_topic: Vec<u64>,
}

/// The slots of a producer.
#[derive(Debug)]
pub(super) struct OnTheirWay {
    slots: Mutex<Slots>,
    empty: Notify,
}

impl OnTheirWay {
    pub(super) fn new(topics: usize) -> Self {
        let slots = Slots { entries: Vec::new(), free: Vec::new(), of_topic: vec![0; topics] };
        Self { slots: Mutex::new(slots), empty: Notify::new() }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record goes to this client.
    pub(super) fn begin(&self, flight: Flight, client: u32) -> Slot {
        let mut slots = self.slots();
        slots.of_topic[flight.topic as usize] += 1;
        let topic = flight.topic;
        let entry = Entry { topic, flight: Some(flight), client, reply: Reply::Wanted(None) };
        match slots.free.pop() {
            Some(slot) => {
                slots.entries[slot] = entry;
                slot
            }
            None => {
                slots.entries.push(entry);
                slots.entries.len() - 1
            }
        }
    }

    /// The client did not take it: what it had comes back, and nobody has a `Delivery`.
    pub(super) fn abort(&self, slot: Slot) -> Option<Flight> {
        let mut slots = self.slots();
        let flight = slots.take(slot);
        slots.arrived(slot);
        slots.release(slot);
        let empty = slots.count() == 0;
        drop(slots);
        self.tell_empty(empty);
        flight
    }

    /// What the records with these reports had.
    pub(super) fn take(&self, slots: impl Iterator<Item = Slot>, into: &mut Vec<Flight>) {
        let mut all = self.slots();
        into.extend(slots.filter_map(|slot| all.take(slot)));
    }

    /// The slots whose report this client will never give.
    pub(super) fn of_client(&self, client: u32) -> Vec<Slot> {
        let slots = self.slots();
        let entries = slots.entries.iter().enumerate();
        let open = entries.filter(|(_, entry)| entry.flight.is_some() && entry.client == client);
        open.map(|(slot, _)| slot).collect()
    }

    /// What became of records whose report was taken. Those who wait for it are to be woken.
    pub(super) fn finish(
        &self,
        outcomes: impl Iterator<Item = (Slot, Outcome)>,
        woken: &mut Vec<Waker>,
    ) {
        let mut slots = self.slots();
        for (slot, outcome) in outcomes {
            slots.arrived(slot);
            match std::mem::replace(&mut slots.entries[slot].reply, Reply::Here(outcome)) {
                Reply::Wanted(waker) => woken.extend(waker),
                _ => slots.release(slot),
            }
        }
        let empty = slots.count() == 0;
        drop(slots);
        self.tell_empty(empty);
    }

    /// Asks for what became of a record. Not again once it was answered.
    pub(super) fn poll(&self, slot: Slot, cx: &Context<'_>) -> Poll<Outcome> {
        let mut slots = self.slots();
        match std::mem::replace(&mut slots.entries[slot].reply, Reply::Unwanted) {
            Reply::Here(outcome) => {
                slots.release(slot);
                Poll::Ready(outcome)
            }
            _ => {
                slots.entries[slot].reply = Reply::Wanted(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// Nobody will ask what became of it.
    pub(super) fn forget(&self, slot: Slot) {
        let mut slots = self.slots();
        // Its report may be half settled: the slot is free when that is done.
        if let Reply::Here(_) = std::mem::replace(&mut slots.entries[slot].reply, Reply::Unwanted) {
            slots.release(slot);
        }
    }

    /// How many there are of a topic.
    pub(super) fn of_topic(&self, topic: usize) -> u64 {
        self.slots().of_topic[topic]
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.slots().count()
    }

    fn tell_empty(&self, empty: bool) {
        if empty {
            self.empty.notify_waiters();
        }
    }

    /// Waits until there are none.
    pub(super) async fn is_empty(&self) {
        loop {
            let empty = self.empty.notified();
            tokio::pin!(empty);
            empty.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Slots {
    fn take(&mut self, slot: Slot) -> Option<Flight> {
        self.entries.get_mut(slot)?.flight.take()
    }

    /// It is not on its way any more.
    fn arrived(&mut self, slot: Slot) {
        let topic = self.entries[slot].topic as usize;
        self.of_topic[topic] -= 1;
    }

    fn count(&self) -> u64 {
        self.of_topic.iter().sum()
    }

    fn release(&mut self, slot: Slot) {
        self.entries[slot].reply = Reply::Unwanted;
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tidegate_engine::gate::{Gate, GateConfig};
    use tidegate_engine::{Instant, Offset};

    fn flight(gate: &mut Gate) -> Flight {
        let now = Instant::from_nanos(0) + Duration::from_secs(3_600);
        let credit = gate.try_acquire(0, now).unwrap();
        Flight { topic: 0, credit, bytes: 10 }
    }

    fn gate() -> Gate {
        let now = Instant::from_nanos(0) + Duration::from_secs(3_600);
        let mut gate = Gate::new(GateConfig::default(), now).unwrap();
        gate.handle_partitions(1);
        gate
    }

    fn settle(all: &OnTheirWay, gate: &mut Gate, slot: Slot, offset: i64) -> usize {
        let mut flights = Vec::new();
        all.take([slot].into_iter(), &mut flights);
        for flight in flights {
            gate.handle_delivered(flight.credit, Some(Offset(offset)));
        }
        let mut woken = Vec::new();
        let outcome = Ok(Delivered { partition: 0, offset: Offset(offset) });
        all.finish([(slot, outcome)].into_iter(), &mut woken);
        woken.len()
    }

    #[test]
    fn a_slot_is_used_again_when_both_sides_are_done_with_it() {
        let (mut gate, all) = (gate(), OnTheirWay::new(1));
        let cx = Context::from_waker(Waker::noop());
        let first = all.begin(flight(&mut gate), 0);
        let second = all.begin(flight(&mut gate), 0);
        assert_eq!((first, second, all.count()), (0, 1, 2));
        // Asked first, settled then.
        assert!(all.poll(first, &cx).is_pending());
        assert_eq!(settle(&all, &mut gate, first, 7), 1);
        assert_eq!(all.count(), 1);
        // Its answer is not taken yet, so that the next record has another slot.
        let third = all.begin(flight(&mut gate), 0);
        assert_eq!(third, 2);
        let Poll::Ready(Ok(delivered)) = all.poll(first, &cx) else { panic!("no answer") };
        assert_eq!(delivered.offset, Offset(7));
        // Dropped first, settled then.
        all.forget(second);
        let fourth = all.begin(flight(&mut gate), 0);
        assert_eq!(fourth, first);
        assert_eq!(settle(&all, &mut gate, second, 8), 0);
        assert_eq!(all.begin(flight(&mut gate), 0), second);
    }

    #[test]
    fn dropped_while_it_is_settled_its_slot_is_free_only_then() {
        let (mut gate, all) = (gate(), OnTheirWay::new(1));
        let slot = all.begin(flight(&mut gate), 0);
        let mut flights = Vec::new();
        all.take([slot].into_iter(), &mut flights);
        all.forget(slot);
        let other = all.begin(flight(&mut gate), 0);
        assert_ne!(other, slot);
        let outcome = Ok(Delivered { partition: 0, offset: Offset(1) });
        all.finish([(slot, outcome)].into_iter(), &mut Vec::new());
        assert_eq!(all.begin(flight(&mut gate), 0), slot);
        assert_eq!(all.of_client(0), [slot, other]);
        for flight in flights {
            gate.handle_delivered(flight.credit, None);
        }
        for slot in [slot, other] {
            let flight = all.abort(slot).unwrap();
            gate.handle_delivered(flight.credit, None);
        }
        assert_eq!(all.count(), 0);
    }
}
