//! The permit: the only key to a delete, and only the guards make it.

use std::collections::BTreeSet;

use super::{Doomed, Finding, look};
use crate::{
    format::blueprint::Hazard,
    live::{Evidence, LiveObject},
    object::{ObjectId, Uid},
    plan::{Action, Change, Consent, Gate, Plan},
};

/// Leave to delete one object, in the state in which it was just read.
///
/// It cannot be made but by [`permits`], so that a delete without plan, guards and a fresh read does not
/// compile (law 1). The delete carries UID and resource version as preconditions.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    id: ObjectId,
    uid: Uid,
    resource_version: String,
    api_version: String,
}

impl Permit {
    /// Returns the object.
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Returns the UID that the delete must name.
    pub fn uid(&self) -> &Uid {
        &self.uid
    }

    /// Returns the resource version that the delete must name.
    pub fn resource_version(&self) -> &str {
        &self.resource_version
    }

    /// Returns the API version to speak to it with.
    pub fn api_version(&self) -> &str {
        &self.api_version
    }
}

/// Why an object may not be deleted now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPermitted {
    /// The plan does not delete or replace it.
    #[error("the plan does not delete {0}")]
    NotPlanned(ObjectId),
    /// Gates hold it.
    #[error("{id} is held by {} gates", gates.len())]
    Held {
        /// The object.
        id: ObjectId,
        /// The gates.
        gates: Vec<Gate>,
    },
    /// The live object is not the one that was planned for.
    #[error("{id} is now another object: the plan names UID {planned}, the live one is {live}")]
    OtherUid {
        /// The object.
        id: ObjectId,
        /// The UID in the plan.
        planned: Uid,
        /// The UID that was read.
        live: Uid,
    },
    /// Since the plan, something came to be at stake, or can no longer be looked at.
    #[error("{id} may not go: {because}")]
    AtStake {
        /// The object.
        id: ObjectId,
        /// What is at stake.
        because: String,
    },
}

/// Returns the permit to delete `id`, for a delete or for a replacement's first half.
///
/// `live` is a read made just now, and `evidence` the answers, as fresh, to what the guards ask about
/// the object's kind ([`super::question`]); for kinds that they ask nothing about it may be empty.
pub fn permits(
    plan: &Plan,
    id: &ObjectId,
    live: &LiveObject,
    evidence: &Evidence,
    consent: Consent,
) -> Result<Permit, Box<NotPermitted>> {
    let change = plan.change(id).ok_or_else(|| NotPermitted::NotPlanned(id.clone()))?;
    let uid = match &change.action {
        Action::Delete { uid } | Action::Replace { uid, .. } => uid,
        _ => return Err(Box::new(NotPermitted::NotPlanned(id.clone()))),
    };
    let gates: Vec<Gate> = change.held_by(consent).cloned().collect();
    if !gates.is_empty() {
        return Err(Box::new(NotPermitted::Held { id: id.clone(), gates }));
    }
    let read = live.object.id();
    // The UID is the proof. The namespace may be one that was recorded and that the kind does not have.
    if *uid != live.uid || (&read.kind, &read.name) != (&id.kind, &id.name) {
        let (planned, live) = (uid.clone(), live.uid.clone());
        return Err(Box::new(NotPermitted::OtherUid { id: id.clone(), planned, live }));
    }
    look_again(change, live, evidence)?;
    Ok(Permit {
        id: id.clone(),
        uid: uid.clone(),
        resource_version: live.resource_version.clone(),
        api_version: change.api_version.clone(),
    })
}

/// The guards look at what is live now. Where the plan already knew that data goes, and no gate holds
/// it, a tombstone has let it go; else nothing may be at stake, not even what the plan still meant to
/// delete first.
fn look_again(
    change: &Change,
    live: &LiveObject,
    evidence: &Evidence,
) -> Result<(), Box<NotPermitted>> {
    if change.hazard == Hazard::DestroysData {
        return Ok(());
    }
    let nothing = BTreeSet::new();
    let body = Some(live.object.expose());
    let doomed = Doomed { id: &change.id, body, evidence, going: &nothing, staying: &nothing };
    match look(&doomed).into_iter().next() {
        None => Ok(()),
        Some(Finding::Stake(because) | Finding::Blind(because)) => {
            Err(Box::new(NotPermitted::AtStake { id: change.id.clone(), because }))
        }
    }
}
