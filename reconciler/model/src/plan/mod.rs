//! The plan: what would change, what it would do to running work, and what waits for what.
//!
//! Comes in: [`Desired`](crate::desired::Desired), [`Live`](crate::live::Live) and the time.
//! Goes out: one [`Plan`] with one digest, which the command line, the agent, a pull-request
//! comment and a page all read. Never: I/O, a clock, a client, a secret in a field that prints.

mod approval;
mod decide;
pub mod diff;
mod digest;
mod drain;
mod drift;
mod gate;
pub mod graph;
pub mod guard;
mod hazard;
mod ownership;
mod unwanted;
mod wanted;
mod window;

pub use approval::{ApprovalFile, SeenApproval, Standing};
pub use decide::plan;
pub use drain::{Draining, Wanted};
pub use drift::{DRIFT_FORMAT, Drift, DriftReport, DriftedField, DriftedObject, Mended, drift};
pub(crate) use hazard::is_job;
pub use window::{Calendar, Opening};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::managed::Attribution;
use crate::{
    code::{Code, plan as code},
    digest::Digest,
    drain::{DrainStage, Unmatched, WavePlan},
    format::blueprint::Hazard,
    name::{BlueprintName, ComponentName, SiteName},
    object::{ObjectId, Shown, Uid},
    revision::Revision,
    work::Hits,
};

/// The digest that an approval and an apply are bound to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct PlanDigest(pub Digest);

/// The name and version of the JSON form of a plan.
pub const FORMAT: &str = "sitewright.dev/plan/v1";

/// All changes, hazards and gates of one revision on one cluster at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Always [`FORMAT`].
    pub format: String,
    /// The site.
    pub site: SiteName,
    /// What it was rendered from.
    pub revision: Revision,
    /// Which cluster.
    pub cluster: PlannedCluster,
    /// When it was made.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub made: Timestamp,
    /// The approval files beside the site, in order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<SeenApproval>,
    /// What approvals bind: everything below that does not change by itself.
    pub digest: PlanDigest,
    /// By component, in the order of the site file; removed components last.
    pub components: Vec<ComponentPlan>,
    /// What is taken node by node once the objects are applied; waves with nothing left to do are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<WavePlan>,
    /// Waves whose selectors match nothing now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<Unmatched>,
}

/// Which cluster a plan is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedCluster {
    /// The UID of the namespace `kube-system`.
    pub uid: Uid,
    /// The server's version.
    pub version: String,
    /// The context or URL.
    pub name: String,
}

/// The changes of one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentPlan {
    /// The name.
    pub name: ComponentName,
    /// The blueprint and version; none where the component is no longer in the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<(BlueprintName, String)>,
    /// Components that must be healthy first.
    pub depends_on: Vec<ComponentName>,
    /// One for each desired or owned object, also where nothing changes; in order of identity.
    pub changes: Vec<Change>,
}

/// What the plan says of one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The object.
    pub id: ObjectId,
    /// The API version to speak to it with, for example `apps/v1`.
    pub api_version: String,
    /// What is to be done.
    pub action: Action,
    /// Why: a new revision, drift, or both.
    pub cause: ChangeCause,
    /// The worst that it does to running work.
    pub hazard: Hazard,
    /// Why it is hazardous, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// The running work that it would hit now; none where it hurts nothing, or nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<Hits>,
    /// What it waits for; empty: it goes ahead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// What it waited for, and an approval of the plan in git has opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<Gate>,
    /// How sure the plan is of it.
    pub judged: Judged,
    /// Where it was declared; none where it is no longer declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// What is to be done with one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Action {
    /// Nothing; it is as desired.
    None,
    /// No field but our own labels: applied all the same, so that the fields, the labels and the
    /// inventory's record are ours as the rendering has it.
    Record,
    /// Create it.
    Create,
    /// Change these fields.
    Update {
        /// Field by field.
        fields: Vec<FieldChange>,
    },
    /// Take an object that is there and belongs to nobody into ownership, and change these fields.
    Adopt {
        /// Field by field; may be empty.
        fields: Vec<FieldChange>,
    },
    /// Delete it and create it anew, since fields that differ are immutable.
    Replace {
        /// The UID that goes.
        uid: Uid,
        /// The immutable fields.
        immutable: Vec<String>,
    },
    /// Delete it.
    Delete {
        /// The UID that goes.
        uid: Uid,
    },
    /// Leave it on the cluster and take our labels off: it was there before us.
    Release {
        /// Its UID.
        uid: Uid,
    },
    /// Forget it: it is in the inventory and no longer on the cluster.
    Forget,
    /// Nothing can be said: the reason is among the gates.
    Unknown,
}

/// Why an object changes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum ChangeCause {
    /// Nothing changes.
    None,
    /// The rendering differs from what was last applied.
    Revision,
    /// The rendering is what was last applied; the live object differs from it.
    Drift,
    /// Both.
    Both,
}

/// How sure the plan is of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "by")]
pub enum Judged {
    /// By the digests of the inventory: nothing differs.
    Digest,
    /// By the server's dry run.
    Server,
    /// By the CRD's own schema; the server will judge at apply time.
    Schema,
    /// Not yet: why.
    NotYet {
        /// Why.
        why: String,
    },
}

/// A field that changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// The field, for example `spec.template.spec.containers[name=manager].image`.
    pub field: String,
    /// The live value.
    pub before: Shown,
    /// The value it gets.
    pub after: Shown,
    /// Who wrote the live value, where it is not us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Attribution>,
}

/// Why a change waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "waitsFor", remote = "Self")]
#[schemars(rename = "Gate", transform = gate::with_code)]
pub enum Gate {
    /// A person must approve the plan's digest: the hazard is at or above the site's `approve`.
    Approval {
        /// The hazard.
        hazard: Hazard,
    },
    /// It holds data: the site file must name it in a tombstone.
    Tombstone {
        /// The UID that the tombstone must give.
        uid: Uid,
        /// What is at stake, one sentence.
        because: String,
    },
    /// The plan deletes or replaces more than the site's limit.
    BlastRadius {
        /// How many it would.
        wanted: u64,
        /// How many it may.
        allowed: u64,
    },
    /// Other managers own fields that we set.
    Conflict {
        /// `manager` and `field`, pair by pair.
        fields: Vec<(String, String)>,
    },
    /// The rendering has no objects at all, and the site owns some: nothing is deleted unless the
    /// site's `policy.limits.deletes` is `100%`.
    EmptyRendering {
        /// How many objects the site owns.
        owned: u64,
    },
    /// It is there and not ours: the component's policy must say `adopt: true`.
    Adoption,
    /// Another site owns it.
    OtherSite {
        /// The site.
        site: String,
    },
    /// The server or a schema refuses it.
    Refused {
        /// `field: message`, one each.
        causes: Vec<String>,
    },
    /// A guard needs to look at something that could not be looked at.
    MissingEvidence {
        /// What and why.
        because: String,
    },
    /// The site's or component's policy is to report drift only.
    ReportOnly,
    /// It is being deleted and finalizers hold it.
    Terminating {
        /// The finalizers.
        finalizers: Vec<String>,
    },
    /// A replacement that the server has not accepted in a dry run (law 5).
    UnprovenReplacement {
        /// What the dry run said.
        causes: Vec<String>,
    },
    /// It hurts running work, and the site's maintenance windows are closed.
    Window {
        /// When the next one opens; none where none does within two weeks.
        opens: Option<Opening>,
    },
    /// Running jobs and notebooks that it would hit finish first: the component's `policy.drain`.
    Drain {
        /// Where the draining stands.
        stage: DrainStage,
        /// How many of them are left; none where nobody looked.
        left: Option<u64>,
        /// Since when they are waited for.
        #[schemars(with = "Option<String>", extend("format" = "date-time"))]
        since: Option<Timestamp>,
        /// Until when they are waited for.
        #[schemars(with = "Option<String>", extend("format" = "date-time"))]
        deadline: Option<Timestamp>,
        /// Why what it hits cannot be told.
        unknown: Option<String>,
    },
}

/// Whether a person has agreed to this very plan, by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Nobody has.
    None,
    /// Somebody named the plan's digest, to have it done now.
    Given,
}

impl Plan {
    /// Returns whether `digest`, which a person named (`apply --plan DIGEST`), is this plan's.
    pub fn approved_by(&self, digest: Option<&PlanDigest>) -> Consent {
        if digest == Some(&self.digest) { Consent::Given } else { Consent::None }
    }

    /// Returns the change of the object `id`, if the plan has one; within a component they are in order of identity.
    pub fn change(&self, id: &ObjectId) -> Option<&Change> {
        self.components.iter().find_map(|component| {
            let index = component.changes.binary_search_by(|change| change.id.cmp(id)).ok()?;
            component.changes.get(index)
        })
    }

    /// Returns every change with its component.
    pub fn changes(&self) -> impl Iterator<Item = (&ComponentPlan, &Change)> {
        self.components
            .iter()
            .flat_map(|component| component.changes.iter().map(move |change| (component, change)))
    }
}

impl Gate {
    /// Returns the number of the page that tells what the gate means and the way out; none where it is what the site asked for.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Approval { .. } => Some(code::NEEDS_APPROVAL),
            Self::Tombstone { .. } => Some(code::NEEDS_TOMBSTONE),
            Self::BlastRadius { .. } => Some(code::BLAST_RADIUS),
            Self::EmptyRendering { .. } => Some(code::EMPTY_RENDERING),
            Self::Conflict { .. } => Some(code::FIELD_CONFLICT),
            Self::Adoption => Some(code::NOT_ADOPTED),
            Self::OtherSite { .. } => Some(code::OTHER_SITE),
            Self::Refused { .. } => Some(code::WOULD_BE_REFUSED),
            Self::MissingEvidence { .. } => Some(code::MISSING_EVIDENCE),
            Self::Terminating { .. } => Some(code::TERMINATING),
            Self::UnprovenReplacement { .. } => Some(code::REPLACEMENT_REFUSED),
            Self::Window { .. } => Some(code::WINDOW_CLOSED),
            Self::Drain { .. } => Some(code::DRAINING),
            Self::ReportOnly => None,
        }
    }

    /// Returns whether the consent of a person who names the plan's digest now opens this gate.
    ///
    /// A closed window is opened too: whoever names the plan says that it may be done, and when.
    pub fn opens_by_consent(&self) -> bool {
        matches!(
            self,
            Self::Approval { .. }
                | Self::BlastRadius { .. }
                | Self::Window { .. }
                | Self::Drain { .. }
        )
    }
}

impl Change {
    /// Returns the gates that hold the change under `consent`; none: it goes ahead.
    pub fn held_by(&self, consent: Consent) -> impl Iterator<Item = &Gate> {
        self.gates.iter().filter(move |gate| consent == Consent::None || !gate.opens_by_consent())
    }
}

#[cfg(test)]
pub(crate) mod tests;
