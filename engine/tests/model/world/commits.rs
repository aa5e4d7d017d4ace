//! What the log is told.

use tidegate_engine::*;

use super::{LogRecord, World};

impl World {
    /// One round of commits; the log may refuse.
    pub(super) fn commit(&mut self, member: usize, accept: bool) {
        let mut points = Vec::new();
        self.members[member].engine.poll_commits(&mut points);
        for point in points {
            let p = point.partition.index();
            let m = &self.members[member];
            let assigned = &m.assigned[&p];
            let position = assigned.position.expect("a commit needs a position");
            let begin = self.committed[p].as_ref().map_or(0, |c| c.0);
            let unfinished = |r: &&LogRecord| !assigned.finished.contains(&r.offset);
            let below = self.logs[p].iter().filter(|r| r.offset < position);
            let expected = below.clone().find(unfinished).map_or(position, |r| r.offset);
            assert_eq!(point.offset.0, expected, "{p}: the first unfinished offset");
            assert!(point.offset.0 >= begin, "{p}: the commit moved back");
            let ranges = Metadata::decode(&point.metadata, point.offset).unwrap().finished;
            for record in self.logs[p].iter().filter(|r| r.offset >= expected) {
                let named = ranges.iter().any(|r| r.contains(Offset(record.offset)));
                let finished = assigned.finished.contains(&record.offset);
                assert!(!named || finished, "{p}/{}: named but unfinished", record.offset);
                assert!(named || !finished, "{p}/{}: finished but not named", record.offset);
            }
            if accept {
                self.committed[p] = Some((point.offset.0, point.metadata));
            }
            let m = &mut self.members[member];
            m.engine.handle_committed(point.partition, point.offset, accept, self.now);
            if accept && let Some(assigned) = m.assigned.get_mut(&p) {
                (assigned.uncommitted_since, assigned.stalled) = (None, false);
            }
        }
    }
}
