//! What each gate has sent and not seen released, counted by hand.

use super::{broken, entry};
use crate::checkers::Violation;
use crate::history::{Event, RecordAt, What};

/// Groups that are told apart.
const GROUPS: usize = 8;

/// A record of which its producer knows that it was written, and the groups that have released it.
#[derive(Clone, Copy, Debug)]
struct Own {
    offset: i64,
    released: u8,
}

/// What a group is known to have released of a partition.
#[derive(Clone, Debug, Default)]
struct Known {
    below: i64,
    ranges: Vec<(i64, i64)>,
}

impl Known {
    fn has(&self, offset: i64) -> bool {
        offset < self.below || self.ranges.iter().any(|(s, e)| (*s..*e).contains(&offset))
    }
}

#[derive(Clone, Debug, Default)]
struct Partition {
    /// Sent, and nothing heard of it.
    sending: u64,
    own: Vec<Own>,
    /// What the log has, by the newest answer.
    span: Option<(i64, i64)>,
    /// An unclean election has cut it in this gate's time.
    was_cut: bool,
    known: [Known; GROUPS],
}

impl Partition {
    fn outstanding(&self) -> u64 {
        self.sending + self.own.len() as u64
    }
}

/// One life of a producer.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) groups: u32,
    pub(super) floor_rate: u32,
    /// What the gate publishes.
    pub(super) window: u64,
    pub(super) partitions: u32,
    stuck: u64,
    parts: Vec<Partition>,
    /// When the newest answer was asked for, and which topic it was about.
    asked: Option<u64>,
    incarnation: u64,
    /// The answer that is being told was overtaken by a newer one, and changes nothing.
    is_stale: bool,
    /// Whose ranges are being told.
    ranges_of: (u32, u32),
}

impl Book {
    fn part(&mut self, partition: u32) -> &mut Partition {
        entry(&mut self.parts, partition)
    }

    pub(super) fn is_stuck(&self, partition: u32) -> bool {
        self.stuck & 1 << (partition % 64) != 0
    }

    /// What a partition has outstanding.
    pub(super) fn of(&self, partition: u32) -> u64 {
        self.parts.get(partition as usize).map_or(0, Partition::outstanding)
    }

    /// What all partitions have outstanding.
    pub(super) fn outstanding(&self) -> u64 {
        self.parts.iter().map(Partition::outstanding).sum()
    }

    /// What those have that are not said to be stuck.
    pub(super) fn counted(&self) -> u64 {
        let counted = (0..).zip(&self.parts).filter(|(partition, _)| !self.is_stuck(*partition));
        counted.map(|(_, part)| part.outstanding()).sum()
    }

    /// What one partition may have in any case.
    pub(super) fn share(&self) -> u64 {
        let partitions = u64::from(self.partitions.max(1));
        self.window.saturating_mul(2).div_ceil(partitions).max(1)
    }

    fn answer(&mut self, asked: u64, incarnation: u64) {
        self.is_stale = self.asked.is_some_and(|newest| asked <= newest);
        if self.is_stale {
            return;
        }
        self.asked = Some(asked);
        if incarnation == 0 {
            return;
        }
        let before = std::mem::replace(&mut self.incarnation, incarnation);
        if before != 0 && before != incarnation {
            for part in &mut self.parts {
                part.own.clear();
                part.known = <[Known; GROUPS]>::default();
            }
        }
    }

    fn heeds(&self, partition: u32) -> bool {
        !self.is_stale && partition < self.partitions
    }

    fn log(&mut self, partition: u32, start: i64, end: i64) {
        let part = self.part(partition);
        part.span = Some((start, end));
        // The gate cannot tell what the new log got while the answer was on its way from what the
        // old one lost.
        if part.was_cut {
            part.own.retain(|own| own.offset < end);
        }
        // What was released above the end is not there any more; what comes in its place is new.
        for known in &mut part.known {
            known.below = known.below.min(end);
            known.ranges.iter_mut().for_each(|(_, behind)| *behind = (*behind).min(end));
        }
    }

    fn commit(&mut self, group: u32, partition: u32, offset: Option<i64>) {
        let part = self.part(partition);
        let Some(known) = part.known.get_mut(group as usize) else { return };
        let below = match (offset, part.span) {
            // A commit beyond the end is one of another log.
            (Some(offset), Some((start, end))) if offset > end => start,
            (Some(offset), span) => span.map_or(offset, |(start, _)| start.max(offset)),
            (None, Some((start, _))) => start,
            (None, None) => return,
        };
        known.below = known.below.max(below);
        known.ranges.clear();
        self.release(group, partition);
    }

    fn range(&mut self, start: i64, end: i64) {
        let (group, partition) = self.ranges_of;
        let Some(known) = self.part(partition).known.get_mut(group as usize) else { return };
        known.ranges.push((start, end));
        self.release(group, partition);
    }

    fn release(&mut self, group: u32, partition: u32) {
        let all = self.all_groups();
        let part = self.part(partition);
        let known = &part.known[group as usize];
        for own in &mut part.own {
            own.released |= u8::from(known.has(own.offset)) << group;
        }
        part.own.retain(|own| own.released != all);
    }

    fn all_groups(&self) -> u8 {
        (1u16 << self.groups.min(GROUPS as u32)).wrapping_sub(1) as u8
    }

    fn written(&mut self, partition: u32, record: Option<RecordAt>) {
        let (all, groups) = (self.all_groups(), self.groups.min(GROUPS as u32));
        let part = self.part(partition);
        part.sending = part.sending.saturating_sub(1);
        let Some(RecordAt { offset, .. }) = record else { return };
        let has = |group: u32| u8::from(part.known[group as usize].has(offset)) << group;
        let released = (0..groups).fold(0, |bits, group| bits | has(group));
        if released != all {
            part.own.push(Own { offset, released });
        }
    }
}

/// All of them. It has to see every event.
#[derive(Debug, Default)]
pub(super) struct Books {
    books: Vec<Option<Book>>,
    /// Of each partition, each unclean election: where it cut, and the epoch that followed.
    cuts: Vec<Vec<(i64, i32)>>,
}

impl Books {
    /// The book of a gate that lives.
    pub(super) fn get(&mut self, gate: u32) -> Option<&mut Book> {
        self.books.get_mut(gate as usize)?.as_mut()
    }

    pub(super) fn see(&mut self, event: &Event) {
        match event.what {
            What::GateBegins { gate, groups, floor_rate } => {
                *entry(&mut self.books, gate) =
                    Some(Book { groups, floor_rate, ..Book::default() });
            }
            What::GateEnds { gate } => *entry(&mut self.books, gate) = None,
            What::Truncated { partition, offset, epoch } => {
                entry(&mut self.cuts, partition).push((offset, epoch));
                for book in self.books.iter_mut().flatten() {
                    let part = book.part(partition);
                    part.own.retain(|own| own.offset < offset);
                    part.was_cut = true;
                }
            }
            What::GateSays { gate, .. }
            | What::Sent { gate, .. }
            | What::Acknowledged { gate, .. }
            | What::NotWritten { gate, .. }
            | What::Answer { gate, .. }
            | What::AnswerLog { gate, .. }
            | What::AnswerCommit { gate, .. }
            | What::AnswerRange { gate, .. } => self.enter(gate, event.what),
            _ => {}
        }
    }

    fn enter(&mut self, gate: u32, what: What) {
        let Some(book) = self.books.get_mut(gate as usize).and_then(Option::as_mut) else { return };
        match what {
            What::GateSays { window, partitions, stuck, .. } => {
                (book.window, book.partitions, book.stuck) = (window, partitions, stuck);
            }
            What::Sent { partition, .. } => book.part(partition).sending += 1,
            What::NotWritten { partition, .. } => {
                let part = book.part(partition);
                part.sending = part.sending.saturating_sub(1);
            }
            What::Acknowledged { partition, record, .. } => {
                let cuts = entry(&mut self.cuts, partition);
                let is_gone = |r: &RecordAt| {
                    cuts.iter().any(|(at, after)| *after > r.epoch && *at <= r.offset)
                };
                book.written(partition, record.filter(|r| !is_gone(r)));
            }
            What::Answer { asked, incarnation, .. } => book.answer(asked, incarnation),
            // Of partitions that it does not know yet it learns nothing.
            What::AnswerLog { partition, start, end, .. } if book.heeds(partition) => {
                book.log(partition, start, end);
            }
            What::AnswerCommit { group, partition, offset, .. } => {
                book.ranges_of = (group, partition);
                if book.heeds(partition) {
                    book.commit(group, partition, offset);
                }
            }
            What::AnswerRange { start, end, .. } if book.heeds(book.ranges_of.1) => {
                book.range(start, end);
            }
            _ => {}
        }
    }
}

/// A violation that names a gate.
pub(super) fn gate_broken(
    invariant: &'static str,
    event: &Event,
    gate: u32,
    text: &str,
) -> Violation {
    broken(invariant, event, format!("gate {gate} {text}"))
}
