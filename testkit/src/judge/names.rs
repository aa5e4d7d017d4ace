//! The numbers that stand for members, partitions and offsets in the simulation's terms, and back.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::Expected;
use crate::history::{Happened, History};

/// A topic and a partition.
type PlaceName = (Arc<str>, i32);

/// Offsets are numbered by their rank among those of their partition that are named at all. So
/// checkers whose state is by offset need no more room than the history, wherever a topic begins
/// and however large its gaps are.
#[derive(Debug)]
struct Place {
    name: PlaceName,
    offsets: Vec<i64>,
}

/// Who and what the numbers are.
#[derive(Debug, Default)]
pub(super) struct Names {
    places: Vec<Place>,
    numbers: HashMap<PlaceName, u32>,
    lives: Vec<String>,
}

impl Names {
    /// Numbers for every partition and offset in `records` and in the history.
    pub(super) fn new(records: &Expected, history: &History) -> Self {
        let mut places: BTreeMap<PlaceName, BTreeSet<i64>> = BTreeMap::new();
        for (place, offsets) in records.partitions() {
            places.entry(place.clone()).or_default().extend(offsets.keys());
        }
        for event in history.events() {
            match &event.happened {
                Happened::Start { record: at, .. }
                | Happened::End { record: at, .. }
                | Happened::Commit { next: at } => {
                    let place = (Arc::clone(&at.topic), at.partition);
                    places.entry(place).or_default().insert(at.offset);
                }
                Happened::Assigned { topic, partition }
                | Happened::Revoked { topic, partition }
                | Happened::Lost { topic, partition } => {
                    places.entry((Arc::clone(topic), *partition)).or_default();
                }
                Happened::Killed => {}
            }
        }
        let place = |(name, offsets): (_, BTreeSet<_>)| Place {
            name,
            offsets: offsets.into_iter().collect(),
        };
        let places: Vec<_> = places.into_iter().map(place).collect();
        let numbers = (0..).zip(&places).map(|(number, place)| (place.name.clone(), number));
        let numbers = numbers.collect();
        Self { places, numbers, lives: Vec::new() }
    }

    /// How many partitions there are.
    pub(super) fn partitions(&self) -> u32 {
        u32::try_from(self.places.len()).expect("partitions are few")
    }

    /// The number of a partition of the history.
    pub(super) fn partition(&self, topic: &Arc<str>, partition: i32) -> u32 {
        self.numbers[&(Arc::clone(topic), partition)]
    }

    /// The number of an offset of the history.
    pub(super) fn offset(&self, partition: u32, offset: i64) -> i64 {
        let offsets = &self.places[partition as usize].offsets;
        let rank = offsets.binary_search(&offset).expect("every offset of the history is known");
        i64::try_from(rank).expect("offsets fit in memory")
    }

    /// A number for one more life of a member.
    pub(super) fn begin_life(&mut self, name: String) -> u32 {
        self.lives.push(name);
        u32::try_from(self.lives.len() - 1).expect("lives are few")
    }

    /// The topic and the number that it has there.
    pub(super) fn place(&self, partition: u32) -> Option<String> {
        let (topic, number) = &self.places.get(partition as usize)?.name;
        Some(format!("{topic}/{number}"))
    }

    /// The offset that a rank stands for.
    pub(super) fn offset_of(&self, partition: u32, rank: i64) -> Option<i64> {
        let offsets = &self.places.get(partition as usize)?.offsets;
        offsets.get(usize::try_from(rank).ok()?).copied()
    }

    /// A checker's text with names for its numbers. Its form is told with
    /// [`Violation::text`](tidegate_sim::checkers::Violation::text).
    pub(super) fn told(&self, text: &str) -> String {
        let mut partition = None;
        let mut before = "";
        let mut words = Vec::new();
        for word in text.split(' ') {
            let number = word.trim_end_matches([',', ':']);
            let name = match (before, number.split_once('/')) {
                ("member", _) => self.life(number),
                ("offset", _) => partition.and_then(|p| self.offset_text(p, number)),
                (_, Some((place, rank))) => {
                    partition = place.parse().ok();
                    partition.and_then(|p| {
                        let (place, offset) = (self.place(p)?, self.offset_text(p, rank)?);
                        Some(format!("{place} offset {offset}"))
                    })
                }
                _ => None,
            };
            words.push(match name {
                Some(name) => name + &word[number.len()..],
                None => word.to_owned(),
            });
            before = word;
        }
        words.join(" ")
    }

    fn life(&self, number: &str) -> Option<String> {
        self.lives.get(number.parse::<usize>().ok()?).cloned()
    }

    fn offset_text(&self, partition: u32, rank: &str) -> Option<String> {
        Some(self.offset_of(partition, rank.parse().ok()?)?.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::RecordAt;

    #[test]
    fn numbers_become_names_again() {
        let mut records = Expected::new();
        for offset in [7, 1_000_000_000_000] {
            records.add(&RecordAt::new("orders", 3, offset), None);
        }
        records.add(&RecordAt::new("bills", 0, 5), None);
        let mut names = Names::new(&records, &History::default());
        names.begin_life("m 1".to_owned());
        let orders = names.partition(&"orders".into(), 3);
        assert_eq!((orders, names.offset(orders, 1_000_000_000_000)), (1, 1));
        assert_eq!(
            names.told("member 0 commits 1/1 after offset 0: handler 1 of 1, member 9, 9/9"),
            "member m 1 commits orders/3 offset 1000000000000 after offset 7: handler 1 of 1, \
             member 9, 9/9"
        );
    }
}
