//! The guards: what may not be lost, told from live state, on by default (law 1).
//!
//! Comes in: an object that would be deleted or replaced, and the evidence about it. Goes out: what is
//! at stake, as gates; and, for the cluster stage, a [`Permit`] for a delete that nothing holds.
//! Each guard is a module of its own, with the incident that it prevents.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    format::site::{Allows, Tombstone},
    live::Evidence,
    object::{GroupKind, ObjectId, Uid},
};

mod claim;
mod class;
mod crd;
mod data;
mod machines;
mod namespace;
mod permit;
mod radius;
mod stateful;

pub use namespace::{is_data, telling};
pub use permit::{NotPermitted, Permit, permits};
pub(crate) use radius::{Reach, is_empty_rendering, reach};

/// An object that would go.
#[derive(Clone, Copy)]
pub(crate) struct Doomed<'a> {
    pub(crate) id: &'a ObjectId,
    /// Its live body; none where it was not read.
    pub(crate) body: Option<&'a Value>,
    pub(crate) evidence: &'a Evidence,
    /// What goes before it, by the same plan and with nothing at stake.
    pub(crate) going: &'a BTreeSet<&'a ObjectId>,
    /// What the site has, or had, and what does not go: it stays, or is released, or is held.
    pub(crate) staying: &'a BTreeSet<&'a ObjectId>,
}

/// What a guard found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Something would be lost: what, in one sentence.
    Stake(String),
    /// It could not look: why.
    Blind(String),
}

/// A guard: looks at an object that would go; nothing found, nothing said.
type Guard = fn(&Doomed<'_>) -> Option<Finding>;

/// All guards.
const GUARDS: &[Guard] = &[
    data::look,
    machines::look,
    claim::look,
    class::look,
    crd::look,
    namespace::look,
    stateful::look,
];

/// Returns what all guards find.
pub(crate) fn look(doomed: &Doomed<'_>) -> Vec<Finding> {
    let unanswered = question(&doomed.id.kind)
        .and_then(|_| doomed.evidence.missing.get(doomed.id))
        .map(|why| Finding::Blind(why.clone()));
    match unanswered {
        Some(blind) => vec![blind],
        None => GUARDS.iter().filter_map(|guard| guard(doomed)).collect(),
    }
}

/// What the guards need to know of an object of some kind beyond its own body, before it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// How many instances the CRD has: [`Evidence::instances`].
    Instances,
    /// What is in the namespace: [`Evidence::namespace_contents`].
    Contents,
    /// Which claims or volumes use the storage class: [`Evidence::class_users`].
    ClassUsers,
    /// Which volume the claim is bound to: [`Evidence::bound_claims`].
    BoundVolume,
}

/// Returns what the guards ask about objects of `kind`, if anything.
pub fn question(kind: &GroupKind) -> Option<Question> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Some(Question::Instances),
        ("", "Namespace") => Some(Question::Contents),
        ("storage.k8s.io", "StorageClass") => Some(Question::ClassUsers),
        ("", "PersistentVolumeClaim") => Some(Question::BoundVolume),
        _ => None,
    }
}

/// How the tombstones of a site speak of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Buried {
    /// None names it.
    No,
    /// One names it with another UID: it was for an earlier object of that name.
    OtherUid,
    /// One names it, UID included, and allows something else.
    OtherDeed,
    /// One names it, UID included.
    Yes,
}

/// Returns whether a tombstone allows `deed` with the object.
pub(crate) fn buried(tombstones: &[Tombstone], id: &ObjectId, uid: &Uid, deed: Allows) -> Buried {
    let naming = tombstones.iter().filter(|tombstone| {
        id.fits(&tombstone.kind, Some(&tombstone.name)) && tombstone.namespace == id.namespace
    });
    let fit = naming.map(|tombstone| match (tombstone.uid == *uid, tombstone.allows == deed) {
        (true, true) => Buried::Yes,
        (true, false) => Buried::OtherDeed,
        (false, _) => Buried::OtherUid,
    });
    fit.max().unwrap_or(Buried::No)
}

fn is(kind: &GroupKind, group: &str, name: &str) -> bool {
    kind.group == group && kind.kind == name
}
