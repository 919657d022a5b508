//! The digest of a plan: what a person agrees to.
//!
//! It binds what would be done and to what: the format, site, cluster, rendering (with policies, rules
//! and tombstones), and of each change the object, the action with its UIDs, the fields with their
//! values, the hazard and what holds it. Two plans with one digest do the same.
//!
//! It does not bind what changes by itself and changes nothing of that: resource versions and times,
//! who wrote a live value, the words of reasons and refusals, how sure the judge was, and the commit,
//! where another commit renders to the same bytes. Objects to which nothing is done, or whose record
//! alone is renewed, are not in it either: the rendering's digest has them.
//!
//! Nor does it bind whether a maintenance window is open: an approval that was given on Friday binds the plan that is
//! done on Saturday, when the window opens. The windows themselves are in the rendering's digest, with all policies.
//! What approvals in git open is not in it either: they are made for a digest that is there before them.
//!
//! Nor is what runs, and what is left of it to wait for: it comes and goes.
//!
//! Values of secret fields come in through the rendering's digest; their live values do not.

use serde_json::{Value, json};

use super::{Action, Change, FORMAT, FieldChange, Gate, Plan, PlanDigest};
use crate::digest::Digest;

/// Returns the digest of `plan`, which was made for the rendering with the digest `desired`.
pub(super) fn of(plan: &Plan, desired: Digest) -> PlanDigest {
    let mut changes: Vec<&Change> =
        plan.changes().map(|(_, change)| change).filter(|change| binds(change)).collect();
    changes.sort_by(|one, other| one.id.cmp(&other.id));
    let head = [
        FORMAT.to_owned(),
        plan.site.to_string(),
        plan.cluster.uid.to_string(),
        desired.to_string(),
    ];
    let parts = head.into_iter().chain(changes.into_iter().map(|change| part(change).to_string()));
    PlanDigest(Digest::of_parts(parts))
}

/// An object of which nothing can be said yet is bound too: once something can be, it is another plan.
///
/// What only renews our record is not: an operator that adds a note to some object must not make an
/// approval void, and what is recorded is the rendering, whose digest is bound.
fn binds(change: &Change) -> bool {
    match change.action {
        Action::None | Action::Record => gates(change).next().is_some(),
        _ => true,
    }
}

pub(super) fn part(change: &Change) -> Value {
    json!({
        "id": change.id,
        "apiVersion": change.api_version,
        "action": action(&change.action),
        "hazard": change.hazard,
        "gates": gates(change).collect::<Vec<Value>>(),
    })
}

fn action(action: &Action) -> Value {
    match action {
        Action::None => json!("none"),
        Action::Record => json!("record"),
        Action::Create => json!("create"),
        Action::Update { fields: changed } => json!({ "update": fields(changed) }),
        Action::Adopt { fields: changed } => json!({ "adopt": fields(changed) }),
        Action::Replace { uid, immutable } => json!({ "replace": uid, "immutable": immutable }),
        Action::Delete { uid } => json!({ "delete": uid }),
        Action::Release { uid } => json!({ "release": uid }),
        Action::Forget => json!("forget"),
        Action::Unknown => json!("unknown"),
    }
}

fn fields(fields: &[FieldChange]) -> Vec<Value> {
    let field = |field: &FieldChange| json!([field.field, field.before, field.after]);
    fields.iter().map(field).collect()
}

fn gates(change: &Change) -> impl Iterator<Item = Value> {
    change.gates.iter().filter_map(gate)
}

/// A gate without the words that a server or a guard chose; none where it comes and goes with the time.
fn gate(gate: &Gate) -> Option<Value> {
    Some(match gate {
        Gate::Window { .. } | Gate::Drain { .. } => return None,
        Gate::Approval { hazard } => json!({ "approval": hazard }),
        Gate::Tombstone { uid, .. } => json!({ "tombstone": uid }),
        Gate::BlastRadius { wanted, allowed } => json!({ "blastRadius": [wanted, allowed] }),
        Gate::EmptyRendering { owned } => json!({ "emptyRendering": owned }),
        Gate::Conflict { fields } => json!({ "conflict": fields }),
        Gate::Adoption => json!("adoption"),
        Gate::OtherSite { site } => json!({ "otherSite": site }),
        Gate::Refused { .. } => json!("refused"),
        Gate::MissingEvidence { .. } => json!("missingEvidence"),
        Gate::ReportOnly => json!("reportOnly"),
        Gate::Terminating { .. } => json!("terminating"),
        Gate::UnprovenReplacement { .. } => json!("unprovenReplacement"),
    })
}
