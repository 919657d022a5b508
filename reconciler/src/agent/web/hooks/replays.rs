//! Which messages were believed lately, by a clock that nobody sets.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use sha2::{Digest, Sha256};
use sitewright_cluster::sync::SyncKey;
use tokio::time::Instant;

/// How long a message is known: longer than a signed time may be off, both ways. Not much longer, since "redeliver"
/// in a forge sends the same one again, and somebody wants it to work.
const KNOWN: Duration = Duration::from_secs(15 * 60);

/// Messages that are known at most: more than some hundred SiteSyncs get in that time. 200 KiB.
pub(super) const MOST: usize = 4096;

type Id = [u8; 32];

/// The messages of the last minutes, as digests, so that each takes the same space.
#[derive(Default)]
pub(super) struct Replays {
    known: BTreeSet<Id>,
    /// The same, oldest first.
    order: VecDeque<(Instant, Id)>,
}

impl Replays {
    /// Returns whether a message is new for `key`, and knows it from now on.
    pub(super) fn is_new(&mut self, key: &SyncKey, delivery: &str, now: Instant) -> bool {
        self.forget(now);
        // neither a namespace nor a name has a slash in it
        let text = format!("{}/{}/{delivery}", key.namespace, key.name);
        let id: Id = Sha256::digest(text).into();
        let is_new = self.known.insert(id);
        if is_new {
            self.order.push_back((now, id));
        }
        is_new
    }

    /// Forgets what is too old, and the oldest where one more would be too many.
    fn forget(&mut self, now: Instant) {
        while let Some((at, id)) = self.order.front().copied() {
            if self.order.len() < MOST && now.saturating_duration_since(at) < KNOWN {
                break;
            }
            self.known.remove(&id);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SyncKey {
        SyncKey { namespace: "lab".into(), name: "gpu".into() }
    }

    #[test]
    fn a_message_is_known_for_a_while_and_to_its_target_alone() {
        let (mut replays, now) = (Replays::default(), Instant::now());
        assert!(replays.is_new(&key(), "a", now));
        assert!(!replays.is_new(&key(), "a", now + KNOWN - Duration::from_secs(1)));
        assert!(replays.is_new(&SyncKey { name: "cpu".into(), ..key() }, "a", now));
        assert!(replays.is_new(&key(), "a", now + KNOWN));
    }

    #[test]
    fn a_flood_of_messages_takes_bounded_space_and_the_oldest_goes_first() {
        let (mut replays, now) = (Replays::default(), Instant::now());
        for delivery in 0..2 * MOST {
            assert!(replays.is_new(&key(), &delivery.to_string(), now));
        }
        assert_eq!((replays.known.len(), replays.order.len()), (MOST, MOST));
        assert!(!replays.is_new(&key(), &(2 * MOST - 1).to_string(), now));
        assert!(replays.is_new(&key(), "0", now));
    }
}
