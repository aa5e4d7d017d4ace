//! What earlier calls have moved already.
//!
//! A call is a *pass* through the dead-letter topic: a consumer group, and the selection that it is
//! for. What the group has committed says how far the pass has come, and together with the selection,
//! which letters it has moved. The selection is kept in the commit of a second group that nobody
//! joins, `tidegate-redrive-selection:TOPIC:GROUP`. So a letter that one pass has moved is left out by
//! every other one that goes to the same place, whatever selects it; and a group that is used with
//! another selection than its own is refused.

use std::collections::HashMap;

use tidegate::{Metadata, Offset, OffsetRange};

use super::letter::Letter;
use super::selection::Selection;
use crate::exit::Failure;
use crate::kafka::{Committed, Observer};
use crate::settings::Connection;

/// The group of a selection. No topic has a colon in its name.
pub(super) fn group_of(topic: &str, selection: &Selection) -> String {
    match selection.is_all() {
        true => format!("tidegate-redrive:{topic}"),
        false => format!("tidegate-redrive:{topic}:{:016x}", hash(&selection.text())),
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn keepers(topic: &str) -> String {
    format!("tidegate-redrive-selection:{topic}:")
}

/// How far a group has come in a partition.
struct Reached {
    committed: i64,
    /// Above it.
    finished: Vec<OffsetRange>,
}

impl Reached {
    fn of(commit: &Committed) -> Self {
        let offset = Offset(commit.offset);
        // Ranges that cannot be read are not finished for the consumer either.
        let finished = Metadata::decode(&commit.metadata, offset)
            .map_or_else(|_| Vec::new(), |metadata| metadata.finished.iter().collect());
        Self { committed: commit.offset, finished }
    }

    fn has(&self, offset: i64) -> bool {
        let within = |range: &OffsetRange| range.start.0 <= offset && offset < range.end.0;
        offset < self.committed || self.finished.iter().any(within)
    }
}

/// One pass, as far as it has come.
struct Pass {
    group: String,
    selection: Selection,
    reached: HashMap<i32, Reached>,
}

impl Pass {
    fn has_moved(&self, partition: i32, offset: i64, letter: &Letter<'_>) -> bool {
        let passed = self.reached.get(&partition).is_some_and(|reached| reached.has(offset));
        passed && self.selection.wants(letter)
    }
}

/// This pass, and those before it that go to the same place.
pub(super) struct Passes {
    topic: String,
    group: String,
    selection: Selection,
    reached: HashMap<i32, Reached>,
    others: Vec<Pass>,
}

fn reached(
    observer: &Observer,
    group: &str,
    topic: &str,
    partitions: &[i32],
) -> Result<HashMap<i32, Reached>, Failure> {
    let commits = observer.commits(group, topic, partitions)?;
    Ok(commits.iter().map(|commit| (commit.partition, Reached::of(commit))).collect())
}

impl Passes {
    /// Looks for them. `observer` asks for `group`.
    ///
    /// # Errors
    /// When the cluster does not answer, or the group was used with another selection.
    pub(super) fn read(
        connection: &Connection,
        observer: &Observer,
        topic: &str,
        partitions: &[i32],
        group: &str,
        selection: &Selection,
    ) -> Result<Self, Failure> {
        let prefix = keepers(topic);
        let mut others = Vec::new();
        for keeper in observer.groups(&prefix)? {
            let Some(of) = keeper.strip_prefix(&prefix) else { continue };
            let commits =
                Observer::new(connection, &keeper)?.commits(&keeper, topic, partitions)?;
            // What a commit of it does not say any more was forgotten with the group.
            let Some(text) = commits.iter().map(|commit| &commit.metadata).find(|m| !m.is_empty())
            else {
                continue;
            };
            let Some(known) = Selection::read(text) else {
                return Err(Failure::Failed(format!(
                    "what group {of} has moved cannot be told: the commit of group {keeper} was not \
                     written by this version of Tidegate"
                )));
            };
            if of == group && known != *selection {
                return Err(Failure::Usage(format!(
                    "group {group} has been used for topic {topic} with another selection: a group \
                     has one; name another one with --group, or leave it out"
                )));
            }
            if of != group && known.goes_where(selection) {
                let reached = reached(&Observer::new(connection, of)?, of, topic, partitions)?;
                others.push(Pass { group: of.to_owned(), selection: known, reached });
            }
        }
        let reached = reached(observer, group, topic, partitions)?;
        let (topic, group) = (topic.to_owned(), group.to_owned());
        Ok(Self { topic, group, selection: selection.clone(), reached, others })
    }

    /// Writes down what this pass is for, before it moves anything.
    ///
    /// # Errors
    /// When the cluster does not take it.
    pub(super) fn register(
        &self,
        connection: &Connection,
        partitions: &[i32],
    ) -> Result<(), Failure> {
        let keeper = keepers(&self.topic) + &self.group;
        let Some(partition) = partitions.iter().min() else { return Ok(()) };
        let metadata = self.selection.text();
        let commit = Committed { partition: *partition, offset: 0, metadata };
        Observer::new(connection, &keeper)?.commit(&self.topic, &commit).map_err(|failure| {
            match failure {
                Failure::Failed(words) => Failure::Failed(format!(
                    "{words}; the selection is kept there by group {keeper}, and nothing is moved"
                )),
                other => other,
            }
        })
    }

    pub(super) fn group(&self) -> &str {
        &self.group
    }

    pub(super) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Where this pass goes on in a partition; 0 if it was never there.
    pub(super) fn start(&self, partition: i32) -> i64 {
        self.reached.get(&partition).map_or(0, |reached| reached.committed)
    }

    /// The group of a pass that is beyond the end of a partition, and how far it is: it speaks of
    /// another topic of this name.
    pub(super) fn beyond(&self, partition: i32, end: i64) -> Option<(&str, i64)> {
        let own = [(self.group.as_str(), &self.reached)];
        let others = self.others.iter().map(|pass| (pass.group.as_str(), &pass.reached));
        own.into_iter().chain(others).find_map(|(group, reached)| {
            let committed = reached.get(&partition)?.committed;
            (committed > end).then_some((group, committed))
        })
    }

    /// Whether this pass had the letter.
    pub(super) fn had(&self, partition: i32, offset: i64) -> bool {
        self.reached.get(&partition).is_some_and(|reached| reached.has(offset))
    }

    /// Whether another one has moved it to where this one would.
    pub(super) fn moved_before(&self, partition: i32, offset: i64, letter: &Letter<'_>) -> bool {
        self.others.iter().any(|pass| pass.has_moved(partition, offset, letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redrive::selection::Wanted;

    #[test]
    fn groups_are_named_after_topic_and_selection() {
        let of = |reason: Option<&str>| {
            Selection::new(Wanted {
                to: None,
                topics: vec![],
                reason: reason.map(str::to_owned),
                keys: vec![],
                since: None,
                until: None,
            })
        };
        assert_eq!(group_of("dead", &of(None)), "tidegate-redrive:dead");
        let (one, two) = (group_of("dead", &of(Some("a"))), group_of("dead", &of(Some("b"))));
        assert!(one != two && one.len() == "tidegate-redrive:dead:".len() + 16, "{one}");
        // The published value of this function.
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn what_is_below_the_commit_or_in_its_ranges_was_had() {
        let finished = vec![OffsetRange { start: Offset(7), end: Offset(9) }];
        let reached = Reached { committed: 5, finished };
        let had: Vec<_> = (0..10).filter(|offset| reached.has(*offset)).collect();
        assert_eq!(had, [0, 1, 2, 3, 4, 7, 8]);
        let odd = Committed { partition: 0, offset: 5, metadata: "nonsense".to_owned() };
        assert!(Reached::of(&odd).has(4) && !Reached::of(&odd).has(5));
    }
}
