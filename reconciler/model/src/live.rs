//! What was seen on the cluster, reduced to what the plan needs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    digest::Digest,
    inventory::Inventory,
    managed::ManagerEntry,
    object::{GroupKind, Object, ObjectId, Uid},
};

/// What was seen on the cluster for one plan.
#[derive(Clone, Debug)]
pub struct Live {
    /// Which cluster.
    pub cluster: ClusterFacts,
    /// What the site owns there.
    pub inventory: Inventory,
    /// The kinds of all desired and owned objects.
    pub kinds: BTreeMap<GroupKind, KindFacts>,
    /// One observation for each desired object and each inventory entry.
    pub objects: BTreeMap<ObjectId, Observation>,
    /// What the guards of law 1 look at.
    pub evidence: Evidence,
    /// How much of the site was looked at.
    pub reach: Reach,
}

/// How much of a site was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// All that is desired, and all that is owned.
    #[default]
    Whole,
    /// These objects alone; of the inventory, their entries alone.
    Only(BTreeSet<ObjectId>),
}

impl Live {
    /// Returns whether `inventory`, as far as it was looked at, is still what it was then.
    pub fn is_of(&self, inventory: &Inventory) -> bool {
        match &self.reach {
            Reach::Whole => self.inventory == *inventory,
            Reach::Only(ids) => self.inventory == inventory.only(ids),
        }
    }
}

/// Which cluster it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The UID of the namespace `kube-system`: what identifies a cluster.
    pub uid: Uid,
    /// The server's version, for example `v1.37.2`.
    pub version: String,
    /// The context or URL, for people.
    pub name: String,
}

/// What the server knows of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KindFacts {
    /// The server serves it.
    Served {
        /// All served versions.
        versions: BTreeSet<String>,
        /// Whether its objects live in namespaces.
        namespaced: bool,
    },
    /// The server does not serve it, and a desired CRD will bring it.
    Coming {
        /// The desired CRD.
        crd: ObjectId,
        /// Whether its objects will live in namespaces.
        namespaced: bool,
    },
    /// The server does not serve it, and nothing desired will bring it.
    Unknown,
}

/// What was seen of one object.
#[derive(Clone, Debug)]
pub enum Observation {
    /// It is not there; a dry run of its creation was judged, where that was asked for and possible.
    /// Refused as [`Refusal::Unavailable`] or [`Refusal::Forbidden`]: whether it is there cannot be told.
    Absent(Judgement),
    /// It is there, ours by UID, its settled digest and the rendered digest are those of the inventory:
    /// nothing to judge, and the body was dropped.
    Settled,
    /// It is there.
    Present(Box<LiveObject>),
    /// It could not be looked at, so that it must be taken neither for there nor for gone: why.
    Unseen(String),
}

/// An object that is there.
#[derive(Clone, Debug)]
pub struct LiveObject {
    /// Its UID.
    pub uid: Uid,
    /// Its resource version.
    pub resource_version: String,
    /// When its deletion was asked for, RFC 3339.
    pub deleting_since: Option<String>,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// The live body, `managedFields` removed.
    pub object: Object,
    /// Who owns which field.
    pub managers: Vec<ManagerEntry>,
    /// [`settled_digest`] of the body.
    pub settled: Digest,
    /// What the server says of applying the desired object; [`Judgement::NotAsked`] where it is not desired.
    pub judgement: Judgement,
}

/// What the server, or a schema in its place, says of applying one object.
#[derive(Clone, Debug)]
pub enum Judgement {
    /// Nothing was asked.
    NotAsked,
    /// The server's dry run accepted it; what the object would become, `managedFields` removed.
    Accepted(Box<Object>),
    /// A dry run is not possible yet; the CRD's own schema, where known, has no objection.
    Deferred(Deferred),
    /// It was refused.
    Refused(Refusal),
}

/// Why a dry run is not possible yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deferred {
    /// Its kind is not served yet; checked against the schema of the CRD that this plan brings.
    KindIsComing,
    /// Its namespace is not there yet.
    NamespaceIsComing,
    /// The webhook that would judge it is not up yet: name, message.
    WebhookNotReady(String, String),
}

/// Why an object was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Other managers own fields that we set (HTTP 409 of server-side apply).
    Conflict(Vec<FieldConflict>),
    /// The server, or the CRD's schema, finds fields invalid (HTTP 400 or 422).
    Invalid(Vec<Cause>),
    /// Fields are immutable, and the server's dry run accepts (`Ok`) or refuses (`Err`) a new object in its place.
    Immutable {
        /// The fields that cannot change.
        causes: Vec<Cause>,
        /// Whether the replacement was proven (law 5).
        replacement: Result<(), Vec<Cause>>,
    },
    /// An admission webhook or policy said no.
    Denied(String),
    /// We have no right to do it.
    Forbidden(String),
    /// Nothing serves the kind, and no desired CRD brings it.
    NoSuchKind,
    /// The server did not answer sensibly, retries included.
    Unavailable(String),
}

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldConflict {
    /// The manager.
    pub manager: String,
    /// The field, as the server writes it: `.spec.replicas`.
    pub field: String,
}

/// One thing that a validator found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The field; empty for the whole object.
    pub field: String,
    /// The validator's reason, for example `FieldValueInvalid`.
    pub reason: String,
    /// What it says; secrets already taken out.
    pub message: String,
}

/// Live state that the guards look at, of the kinds that [`crate::plan::guard::question`] names.
///
/// An object that goes and has no entry where one is due was not looked at: its guard holds. What was
/// looked at and is empty has an entry that says so (`0`, an empty list); claims alone need none, since
/// their own body tells whether they are bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// For owned CRDs that might go: the number of instances, by CRD.
    pub instances: BTreeMap<ObjectId, u64>,
    /// For owned namespaces that might go: the data, machines and work in them
    /// ([`crate::plan::guard::telling`]), as `Kind name`, bounded; of work not what another object
    /// controls that is looked at itself.
    pub namespace_contents: BTreeMap<ObjectId, Vec<String>>,
    /// For storage classes that might go: the claims or volumes that use them, bounded.
    pub class_users: BTreeMap<ObjectId, Vec<String>>,
    /// For claims that might go: the volume they are bound to.
    pub bound_claims: BTreeMap<ObjectId, String>,
    /// Questions that could not be answered, and why: the guard then holds (missing evidence).
    pub missing: BTreeMap<ObjectId, String>,
}

/// Returns the digest of a live object without what changes by itself: `status`, and in `metadata`
/// `managedFields`, `resourceVersion`, `generation`, `uid`, `creationTimestamp`, `selfLink`.
pub fn settled_digest(body: &Value) -> Digest {
    let mut body = body.clone();
    if let Some(map) = body.as_object_mut() {
        map.remove("status");
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            for key in [
                "managedFields",
                "resourceVersion",
                "generation",
                "uid",
                "creationTimestamp",
                "selfLink",
            ] {
                metadata.remove(key);
            }
        }
    }
    Digest::of_json(&body)
}
