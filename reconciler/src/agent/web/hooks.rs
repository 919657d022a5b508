//! What forges tell: that somebody pushed.
//!
//! Comes in: a message, and for whom it is. Goes out: a [`Verdict`], and a pull at a [`Trigger`]. Never: anything
//! out of the message: what is new is read from git. So a message that is forged, late or sent twice costs a look
//! at git at most, and a lost one is made good by the next poll.
//!
//! Who has no secret learns nothing, not even which SiteSyncs there are: a target that nobody waits for is judged
//! as one whose secret nobody knows.

mod forge;
mod replays;
mod secret;
mod signature;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use sitewright_cluster::sync::SyncKey;
use tokio::time::Instant;

pub(crate) use self::secret::HookSecret;
use self::{
    forge::{About, delivery},
    replays::Replays,
    secret::Tried,
};
use super::metrics::{Forge, Hooked};
use crate::agent::Trigger;

/// For whom forges send messages. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Arc<Inner>);

struct Inner {
    /// What an unknown target is judged by.
    nobody: Tried,
    targets: Mutex<BTreeMap<SyncKey, Target>>,
    replays: Mutex<Replays>,
}

/// A SiteSync that waits for messages.
pub(crate) struct HookTarget {
    /// What they are signed with: one secret, or the old and the new one while it is changed. More are not tried.
    pub(crate) secrets: Vec<HookSecret>,
    /// Pulled when somebody pushed.
    pub(crate) trigger: Trigger,
    /// Pulled when a signature was wrong: the secrets may be others by now.
    pub(crate) refused: Trigger,
}

#[derive(Clone)]
struct Target {
    tried: Tried,
    trigger: Trigger,
    refused: Trigger,
}

/// A message before anybody believes it.
pub(crate) struct Message<'m> {
    /// Who says to have sent it.
    pub(crate) forge: Forge,
    /// Its headers.
    pub(crate) headers: &'m HeaderMap,
    /// Its body, as it came.
    pub(crate) body: &'m [u8],
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Git is looked at.
    Pulled,
    /// It came before.
    Replayed,
    /// The forge tried whether anybody is there.
    Ping,
    /// It is about something else.
    Ignored,
    /// Its signature is wrong, or nobody waits for it.
    Refused,
}

// === impl Hooks ===

impl Default for Inner {
    fn default() -> Self {
        let (targets, replays) = (Mutex::default(), Mutex::default());
        Self { nobody: Tried::of(&[]), targets, replays }
    }
}

impl Hooks {
    /// Waits for messages for `key`, from now on with these secrets.
    pub(crate) fn set(&self, key: SyncKey, target: HookTarget) {
        let HookTarget { secrets, trigger, refused } = target;
        let target = Target { tried: Tried::of(&secrets), trigger, refused };
        self.targets().insert(key, target);
    }

    /// Waits no longer for messages for `key`.
    pub(crate) fn remove(&self, key: &SyncKey) {
        self.targets().remove(key);
    }

    /// Judges a message for `key`, and pulls the trigger where somebody pushed.
    ///
    /// Costs a few hashes over the body, as many for a wrong signature and an unknown target: a blocking call.
    pub(super) fn take(&self, key: &SyncKey, message: &Message<'_>, now: Timestamp) -> Verdict {
        let target = self.targets().get(key).cloned();
        let tried = target.as_ref().map_or(&self.0.nobody, |target| &target.tried);
        let is_signed = signature::is_signed(message, tried, now);
        let Some(target) = target else { return Verdict::Refused };
        if !is_signed {
            target.refused.pull();
            return Verdict::Refused;
        }
        match forge::about(message) {
            About::Ping => Verdict::Ping,
            About::Else => Verdict::Ignored,
            About::Push => {
                let id = delivery(message);
                if id.is_some_and(|id| !self.replays().is_new(key, id, Instant::now())) {
                    return Verdict::Replayed;
                }
                target.trigger.pull();
                Verdict::Pulled
            }
        }
    }

    fn targets(&self) -> MutexGuard<'_, BTreeMap<SyncKey, Target>> {
        // a map is whole after every call, so a panic elsewhere left nothing half done
        self.0.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replays(&self) -> MutexGuard<'_, Replays> {
        // a panic between its two collections forgets an id at worst: one more look at git
        self.0.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verdict {
    /// Returns the answer to the forge, and how it is counted.
    pub(crate) fn answer(self) -> (StatusCode, Hooked) {
        match self {
            Self::Pulled => (StatusCode::ACCEPTED, Hooked::Pulled),
            Self::Replayed => (StatusCode::OK, Hooked::Replayed),
            Self::Ping => (StatusCode::OK, Hooked::Ping),
            Self::Ignored => (StatusCode::ACCEPTED, Hooked::Ignored),
            Self::Refused => (StatusCode::UNAUTHORIZED, Hooked::Refused),
        }
    }
}
