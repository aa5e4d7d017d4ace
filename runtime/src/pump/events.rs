//! What the source tells.

use tidegate_engine::{Instant, Metadata, MetadataError, Offset, PartitionId, Start};

use super::finish::Stage;
use super::turn::{Held, Pump};
use crate::event::Event;
use crate::shared::{Known, Stopped};
use crate::source::{Assignment, Source, SourceError, SourceEvent};

/// Events served in one turn.
const EVENTS_PER_TURN: usize = 64;
/// After a failed commit the next one waits so long, lest a refusal that comes at once be
/// answered by a storm.
const COMMIT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

impl<S: Source> Pump<S> {
    pub(super) fn serve_events(&mut self, now: Instant) -> bool {
        for served in 0..EVENTS_PER_TURN {
            let Some(event) = self.source.poll_event() else { return served > 0 };
            self.serve(event, now);
        }
        true
    }

    fn serve(&mut self, event: SourceEvent, now: Instant) {
        match event {
            SourceEvent::Assigned(assignment) => self.assigned(assignment, now),
            SourceEvent::Revoking(ids) => self.revoking(ids, now),
            SourceEvent::Lost(ids) => self.lost(&ids, now),
            SourceEvent::Settled => self.settled = true,
            SourceEvent::Committed { partition, offset, result } => {
                let ok = result.is_ok();
                // Not the answer to what was sent last, so one to an earlier assignment's commit.
                if self.held(partition).is_none_or(|held| held.sent != Some(offset)) {
                    return;
                }
                self.shared.lock().engine.handle_committed(partition, offset, ok, now);
                if ok {
                    if let Some(Some(held)) = self.held.get_mut(partition.index()) {
                        held.committed = Some(offset);
                    }
                } else {
                    self.commit_not_before = now + COMMIT_PAUSE;
                    self.schedule_commit(now);
                }
                self.tell_each(&[partition], |_, partition| match &result {
                    Ok(()) => Event::Committed { partition, offset },
                    Err(error) => Event::CommitFailed { partition, offset, error: error.clone() },
                });
                if ok {
                    self.commit_succeeded(partition, now);
                }
            }
            SourceEvent::PartitionFailed { partition, error } => {
                self.partition_failed(partition, error);
            }
            SourceEvent::Trouble(error) => self.events.emit(&Event::Trouble(error)),
            SourceEvent::Recovered(what) => self.events.emit(&Event::Recovered(what)),
            SourceEvent::Failed(error) => {
                self.events.emit(&Event::Failed(error.clone()));
                self.failure.get_or_insert(error);
                self.begin_shutdown(now);
            }
            SourceEvent::Closed => self.stage = Stage::Closed,
        }
    }

    fn assigned(&mut self, assignment: Assignment, now: Instant) {
        let Assignment { id, name, committed, metadata, incarnation, end } = assignment;
        if self.stage != Stage::Running {
            // Not given back at once: this member is still in the group, which may give it right
            // back, and the two would never come to an end.
            self.declined.push(id);
            return;
        }
        let refused = {
            let mut core = self.shared.lock();
            let known = &mut core.partitions;
            while known.len() <= id.index() {
                known.push(Known { name: name.clone(), stopped: None });
            }
            known[id.index()] = Known { name: name.clone(), stopped: None };
            let start = Start { committed, metadata: &metadata, incarnation };
            core.engine.handle_assigned(id, start, now).err()
        };
        if self.held.len() <= id.index() {
            self.held.resize_with(id.index() + 1, || None);
        }
        // A commit beyond the end of the log is not the end: it has to be read, to be told that it
        // is not there.
        let end = match committed {
            Some(committed) => end.map(|end| if committed > end { committed.next() } else { end }),
            None => end,
        };
        let held = Held {
            name: name.clone(),
            committed,
            sent: None,
            position: committed,
            end,
            more: true,
            empty: false,
            too_large: 0,
        };
        self.held[id.index()] = Some(held);
        if !self.active.contains(&id) {
            self.active.push(id);
        }
        let finished_ahead = refused.is_none() && names_finished(committed, &metadata);
        self.events.emit(&Event::Assigned { partition: name.clone(), committed, finished_ahead });
        if let Some(error) = refused {
            let error = known_reason(error, committed, &metadata, incarnation);
            self.events.emit(&Event::MetadataIgnored { partition: name, error });
        }
    }

    /// Gone already: nothing can be committed any more.
    fn lost(&mut self, ids: &[PartitionId], now: Instant) {
        let uncommitted = self.uncommitted_of(ids, now);
        if self.is_ending() {
            self.uncommitted += uncommitted.values().sum::<u64>();
        }
        self.tell_each(ids, |id, partition| Event::Lost {
            partition,
            uncommitted: uncommitted.get(&id).copied().unwrap_or(0),
        });
        self.change(|core| {
            for &id in ids {
                core.engine.handle_lost(id, now);
            }
        });
        for revocation in &mut self.revocations {
            revocation.forget(ids);
        }
        self.active.retain(|id| !ids.contains(id));
        self.declined.retain(|id| !ids.contains(id));
        self.forget(ids);
        self.source.release(ids);
    }

    fn partition_failed(&mut self, id: PartitionId, error: SourceError) {
        {
            let mut core = self.shared.lock();
            core.engine.stop_partition(id);
            if let Some(known) = core.partitions.get_mut(id.index()) {
                known.stopped = Some(Stopped { offset: None, reason: error.to_string() });
            }
        }
        self.tell_each(&[id], |_, partition| Event::PartitionFailed {
            partition,
            error: error.clone(),
        });
    }
}

/// Whether a commit names finished ranges. It may name the topic's id only.
fn names_finished(committed: Option<Offset>, metadata: &str) -> bool {
    let decoded = committed.and_then(|offset| Metadata::decode(metadata, offset).ok());
    decoded.is_some_and(|metadata| !metadata.finished.is_empty())
}

/// Why a commit's metadata was refused. The engine takes an unknown topic id (0) for another one
/// than any known, which is right but no reason to speak of an earlier topic.
fn known_reason(
    error: MetadataError,
    committed: Option<Offset>,
    metadata: &str,
    incarnation: u64,
) -> Option<MetadataError> {
    if error != MetadataError::OtherIncarnation {
        return Some(error);
    }
    let named = committed.and_then(|offset| Metadata::decode(metadata, offset).ok());
    let named = named.map_or(0, |metadata| metadata.incarnation);
    (named != 0 && incarnation != 0).then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_topic_id_is_not_called_another_topic() {
        let other = || MetadataError::OtherIncarnation;
        let at = Some(Offset(4));
        assert_eq!(known_reason(other(), at, "", 0), None, "unknown now");
        assert_eq!(known_reason(other(), at, "", 7), None, "unknown then");
        assert_eq!(known_reason(MetadataError::Corrupt, at, "", 0), Some(MetadataError::Corrupt));
    }
}
