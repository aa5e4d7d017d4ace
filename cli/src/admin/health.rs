//! Whether what waits moves.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One thing that may be stuck, at a moment.
pub(crate) struct Look<K, S> {
    pub(crate) of: K,
    /// What changes when it moves.
    pub(crate) state: S,
    /// Whether there is work that waits for nothing but itself.
    pub(crate) waits: bool,
}

/// Remembers since when each thing looks as it does.
pub(crate) struct Health<K, S> {
    seen: Mutex<HashMap<K, (S, Instant)>>,
}

impl<K: Clone + Eq + Hash, S: PartialEq> Health<K, S> {
    /// Nothing was seen yet.
    pub(crate) fn new() -> Self {
        Self { seen: Mutex::new(HashMap::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (S, Instant)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a look at everything there is. What is stuck, and for how long: what does not move is,
    /// when `patience` is over.
    pub(crate) fn look(
        &self,
        looks: Vec<Look<K, S>>,
        patience: Duration,
        now: Instant,
    ) -> Option<(K, Duration)> {
        let mut seen = self.lock();
        let mut next = HashMap::with_capacity(looks.len());
        let mut stuck: Option<(K, Duration)> = None;
        for Look { of, state, waits } in looks {
            let since = match seen.remove(&of) {
                Some((before, since)) if waits && before == state => since,
                _ => now,
            };
            let still = now.saturating_duration_since(since);
            if still >= patience && stuck.as_ref().is_none_or(|(_, longest)| still > *longest) {
                stuck = Some((of.clone(), still));
            }
            next.insert(of, (state, since));
        }
        *seen = next;
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuck_is_what_waits_and_looks_the_same_for_too_long() {
        let (health, patience) = (Health::new(), Duration::from_secs(10));
        let start = Instant::now();
        let look = |at, state, waits| {
            let looks =
                vec![Look { of: "p", state, waits }, Look { of: "q", state: at, waits: true }];
            health.look(looks, patience, start + Duration::from_secs(at)).map(|(of, _)| of)
        };
        assert_eq!(look(0, 1, true), None);
        assert_eq!(look(9, 1, true), None);
        assert_eq!(look(10, 1, true), Some("p"));
        assert_eq!(look(11, 2, true), None, "it moved");
        assert_eq!(look(30, 2, false), None, "nothing waits");
        assert_eq!(look(39, 2, true), None, "from then on");
        assert_eq!(look(40, 2, true), Some("p"));
        assert_eq!(
            health.look(Vec::new(), patience, start + Duration::from_secs(50)),
            None,
            "it is gone"
        );
        assert_eq!(look(60, 2, true), None);
    }
}
