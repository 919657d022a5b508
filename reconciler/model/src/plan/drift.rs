//! Drift: live fields that differ from the desired ones, who wrote them and when, and whether they are mended.
//!
//! Comes in: a [`Plan`]. Goes out: a [`DriftReport`]. A change that only a new revision causes is no drift.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Action, Attribution, Change, ChangeCause, FieldChange, Gate, Plan, PlanDigest, PlannedCluster,
};
use crate::{
    name::{ComponentName, SiteName},
    object::{ObjectId, Shown},
    revision::Revision,
};

/// The name and version of the JSON form of a drift report.
pub const DRIFT_FORMAT: &str = "sitewright.dev/drift/v1";

/// All drift of one site at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftReport {
    /// Always [`DRIFT_FORMAT`].
    pub format: String,
    /// The site.
    pub site: SiteName,
    /// What the live objects were compared with.
    pub revision: Revision,
    /// Which cluster.
    pub cluster: PlannedCluster,
    /// The digest of the plan that would mend it.
    pub plan: PlanDigest,
    /// The objects that drifted, in the order of the plan.
    pub objects: Vec<DriftedObject>,
}

/// One object that drifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftedObject {
    /// Its component.
    pub component: ComponentName,
    /// The object.
    pub id: ObjectId,
    /// What happened to it.
    pub drift: Drift,
    /// Whether an apply mends it.
    pub mended: Mended,
}

/// What happened to an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Drift {
    /// Fields were changed.
    Changed {
        /// Field by field; empty where only an immutable field is known to differ.
        fields: Vec<DriftedField>,
    },
    /// It was deleted.
    Deleted,
    /// It was changed in a way that nothing can be said of yet.
    Unknown,
}

/// One field that drifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftedField {
    /// The field, for example `spec.replicas`.
    pub field: String,
    /// The value that it should have.
    pub desired: Shown,
    /// The value that it has.
    pub live: Shown,
    /// Who wrote it, and when; none where nobody owns it, for example since it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Attribution>,
}

/// Whether an apply mends drift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Mended {
    /// The next apply mends it.
    ByApply,
    /// The policy is to report drift only.
    ReportOnly,
    /// Something holds it.
    Held {
        /// What.
        gates: Vec<Gate>,
    },
}

/// Returns the drift that `plan` found.
pub fn drift(plan: &Plan) -> DriftReport {
    let objects = plan
        .components
        .iter()
        .flat_map(|component| {
            component.changes.iter().filter_map(move |change| drifted(&component.name, change))
        })
        .collect();
    DriftReport {
        format: DRIFT_FORMAT.to_owned(),
        site: plan.site.clone(),
        revision: plan.revision.clone(),
        cluster: plan.cluster.clone(),
        plan: plan.digest,
        objects,
    }
}

/// Returns what of a change is drift, if anything.
fn drifted(component: &ComponentName, change: &Change) -> Option<DriftedObject> {
    let object = |drift: Drift, mended: Mended| DriftedObject {
        component: component.clone(),
        id: change.id.clone(),
        drift,
        mended,
    };
    what_drifted(change).map(|drift| object(drift, mended(change)))
}

fn what_drifted(change: &Change) -> Option<Drift> {
    let is_drift = matches!(change.cause, ChangeCause::Drift | ChangeCause::Both);
    if !is_drift {
        return None;
    }
    match &change.action {
        Action::Create => Some(Drift::Deleted),
        Action::Update { fields } | Action::Adopt { fields } => {
            // With a new revision as well, what others wrote is told from what the revision changes.
            let counts =
                |field: &&FieldChange| change.cause == ChangeCause::Drift || field.by.is_some();
            Some(Drift::Changed { fields: fields.iter().filter(counts).map(self::field).collect() })
        }
        Action::Replace { .. } => Some(Drift::Changed { fields: Vec::new() }),
        Action::Unknown => Some(Drift::Unknown),
        Action::None
        | Action::Record
        | Action::Delete { .. }
        | Action::Release { .. }
        | Action::Forget => None,
    }
}

fn mended(change: &Change) -> Mended {
    let gates: Vec<Gate> =
        change.gates.iter().filter(|gate| **gate != Gate::ReportOnly).cloned().collect();
    if change.gates.contains(&Gate::ReportOnly) {
        Mended::ReportOnly
    } else if gates.is_empty() {
        Mended::ByApply
    } else {
        Mended::Held { gates }
    }
}

fn field(change: &FieldChange) -> DriftedField {
    DriftedField {
        field: change.field.clone(),
        desired: change.after.clone(),
        live: change.before.clone(),
        by: change.by.clone(),
    }
}
