//! Intrusive lists through the slab: O(1), no allocation.

use crate::slab::{NIL, Slab};

/// Which pair of links of an entry a list runs through.
pub(crate) trait Links<P> {
    fn prev(slab: &mut Slab<P>, slot: u32) -> &mut u32;
    fn next(slab: &mut Slab<P>, slot: u32) -> &mut u32;
}

/// Head and tail of a list; the links are in the entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) head: u32,
    pub(crate) tail: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self { head: NIL, tail: NIL };

    pub(crate) fn push_back<P, L: Links<P>>(&mut self, slab: &mut Slab<P>, slot: u32) {
        *L::prev(slab, slot) = self.tail;
        *L::next(slab, slot) = NIL;
        match self.tail {
            NIL => self.head = slot,
            tail => *L::next(slab, tail) = slot,
        }
        self.tail = slot;
    }

    pub(crate) fn remove<P, L: Links<P>>(&mut self, slab: &mut Slab<P>, slot: u32) {
        let (prev, next) = (*L::prev(slab, slot), *L::next(slab, slot));
        match prev {
            NIL => self.head = next,
            prev => *L::next(slab, prev) = next,
        }
        match next {
            NIL => self.tail = prev,
            next => *L::prev(slab, next) = prev,
        }
    }
}

/// First in, first out: the records of a partition whose turn it is. Linked one way only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    head: u32,
    tail: u32,
}

impl Queue {
    pub(crate) const EMPTY: Self = Self { head: NIL, tail: NIL };

    pub(crate) fn is_empty(&self) -> bool {
        self.head == NIL
    }

    pub(crate) fn push_back<P>(&mut self, slab: &mut Slab<P>, slot: u32) {
        slab[slot].turn_next = NIL;
        match self.tail {
            NIL => self.head = slot,
            tail => slab[tail].turn_next = slot,
        }
        self.tail = slot;
    }

    pub(crate) fn pop_front<P>(&mut self, slab: &Slab<P>) -> Option<u32> {
        let head = self.head;
        if head == NIL {
            return None;
        }
        self.head = slab[head].turn_next;
        if self.head == NIL {
            self.tail = NIL;
        }
        Some(head)
    }
}

/// The unfinished records of a partition in offset order.
pub(crate) struct Track;

impl<P> Links<P> for Track {
    fn prev(slab: &mut Slab<P>, slot: u32) -> &mut u32 {
        &mut slab[slot].track_prev
    }

    fn next(slab: &mut Slab<P>, slot: u32) -> &mut u32 {
        &mut slab[slot].track_next
    }
}

/// The records in flight by start time. What is ready waits in a [`Queue`] through the same link:
/// a record is never in both.
pub(crate) struct Turn;

impl<P> Links<P> for Turn {
    fn prev(slab: &mut Slab<P>, slot: u32) -> &mut u32 {
        &mut slab.attempt_mut(slot).turn_prev
    }

    fn next(slab: &mut Slab<P>, slot: u32) -> &mut u32 {
        &mut slab[slot].turn_next
    }
}
