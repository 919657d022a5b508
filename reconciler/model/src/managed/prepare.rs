//! What an apply sends, decided before the dry run.

use serde_json::Value;

use super::{
    DRAIN_MANAGER, LeftOut, LiveFields, ManagerEntry, Prepared, Resolution, Rules, Transfer,
    adoption::is_adopted,
    dispute::{self, Certainty, Findings, Intruder},
    field_manager,
    fields::{FieldSet, Owners},
    stand_in,
};
use crate::{
    desired::DesiredObject,
    field::FieldPath,
    format::site::{DriftPolicy, IgnoreRule, TakeOver},
    inventory::Entry,
    live::FieldConflict,
    object::{ADOPTED_LABEL, ObjectId, SITE_LABEL},
};

/// Decides, before the dry run, what an apply of `desired` sends.
///
/// `entry` is the object's inventory entry; `live` what was read of it, none where it is not there.
/// The answer holds as far as the plan's gates let the object go ahead: they are not looked at here.
///
/// What other managers own and we set is settled field by field, first fit wins:
/// 1. an ignore rule of blueprint or component names the field: it is left to its owner;
/// 2. the value is the same: both own it;
/// 3. its owner is a person at a keyboard (kubectl, k9s, …): it is drift, and forced back;
/// 4. a `takeOver` of the component names field and owner: it is forced;
/// 5. else it is a conflict, and the whole object is held: force is for a whole request (law 4).
pub fn prepare(
    desired: &DesiredObject,
    rules: &Rules<'_>,
    entry: Option<&Entry>,
    live: Option<LiveFields<'_>>,
) -> Prepared {
    let mut prepared = Prepared {
        body: desired.object.expose().clone(),
        force: false,
        transfers: Vec::new(),
        conflicts: Vec::new(),
        left_out: Vec::new(),
        stand_in: None,
    };
    let Some(live) = live else {
        prepared.pin_to_nothing();
        return prepared;
    };
    let site = site_of(live.body);
    if site.is_none_or(|site| site == rules.site.as_str()) {
        let owners = Owners::read(live.managers);
        Preparation { desired, rules, live, owners: &owners }.settle(&mut prepared);
    }
    // What is not ours, and not to become ours, is never forced, not even by mistake.
    prepared.force &= entry.is_some() || site.is_some() || rules.component.policy.adopt;
    bind_to_uid(&mut prepared, live.body);
    if is_adopted(rules.site, entry, live) {
        std::iter::once(&mut prepared.body).chain(&mut prepared.stand_in).for_each(mark);
    }
    prepared
}

/// Decides about the conflicts that a dry run, or an apply, without force met: where all of them are
/// with people, or named by a `takeOver`, force may be used.
pub fn resolve(
    conflicts: &[FieldConflict],
    desired: &DesiredObject,
    rules: &Rules<'_>,
) -> Resolution {
    let body = desired.object.expose();
    let ours = field_manager(rules.site);
    let may_be_taken = |conflict: &&FieldConflict| {
        let path = FieldPath::of_server_text(&conflict.field, body).unwrap_or_default();
        conflict.manager == ours
            || is_person(&conflict.manager, rules)
            || take_overs(rules, desired.object.id(), &conflict.manager).any(|taken| {
                taken.contains(&path) || path.pointers(body).iter().any(|p| taken.covers(p, body))
            })
    };
    let held: Vec<FieldConflict> =
        conflicts.iter().filter(|conflict| !may_be_taken(conflict)).cloned().collect();
    if held.is_empty() { Resolution::Force } else { Resolution::Held(held) }
}

/// Returns whether `manager` is a person at a keyboard: what it wrote is drift, not another controller's will.
pub fn is_person(manager: &str, rules: &Rules<'_>) -> bool {
    /// How the field managers of people's tools begin; the user agent's first word where a tool sets none.
    const PEOPLE: [&str; 9] = [
        "kubectl",
        "k9s",
        "lens",
        "openlens",
        "headlamp",
        "rancher",
        "mozilla",
        "dashboard",
        "node-fetch",
    ];
    let lower = manager.to_ascii_lowercase();
    PEOPLE.iter().any(|prefix| lower.starts_with(prefix))
        || rules.policy.people.iter().any(|person| person == manager)
}

/// Returns what the policies of site and component say about drift.
pub fn drift_policy(rules: &Rules<'_>) -> DriftPolicy {
    rules.component.policy.drift.unwrap_or(rules.policy.drift)
}

fn site_of(live: &Value) -> Option<&str> {
    live.pointer("/metadata/labels")?.get(SITE_LABEL)?.as_str()
}

fn bind_to_uid(prepared: &mut Prepared, live: &Value) {
    let uid = live.pointer("/metadata/uid").cloned();
    let metadata = prepared.body.get_mut("metadata").and_then(Value::as_object_mut);
    if let (Some(uid), Some(metadata)) = (uid, metadata) {
        metadata.insert("uid".into(), uid);
    }
}

/// Says on the object itself that it was there before us.
fn mark(body: &mut Value) {
    let labels = body.pointer_mut("/metadata/labels").and_then(Value::as_object_mut);
    if let Some(labels) = labels {
        labels.insert(ADOPTED_LABEL.into(), "true".into());
    }
}

fn take_overs<'r>(
    rules: &Rules<'r>,
    id: &'r ObjectId,
    manager: &str,
) -> impl Iterator<Item = FieldPath> + use<'r> {
    let manager = manager.to_owned();
    let fits = move |rule: &&TakeOver| {
        rule.manager == manager
            && id.fits(&rule.kind, rule.name.as_deref())
            && (rule.namespace.is_none() || rule.namespace == id.namespace)
    };
    let rules: &'r [TakeOver] = &rules.component.policy.take_over;
    // A path that cannot be read takes nothing over.
    rules.iter().filter(fits).filter_map(|rule| {
        rule.field.as_deref().map_or(Some(FieldPath::root()), |f| f.parse().ok())
    })
}

/// One object's case.
struct Preparation<'a> {
    desired: &'a DesiredObject,
    rules: &'a Rules<'a>,
    live: LiveFields<'a>,
    owners: &'a Owners<'a>,
}

/// What may be done about another manager's claim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It is mended or taken over.
    Taken,
    /// Nothing allows to touch it.
    Held,
}

impl Preparation<'_> {
    fn settle(&self, prepared: &mut Prepared) {
        self.leave_out_ignored(prepared);
        let ours = field_manager(self.rules.site);
        let mut possible = 0;
        let mut taken = 0;
        let mut intruders = Vec::new();
        for (entry, theirs) in self.owners.others(&ours) {
            let Findings { disputes, intruders: found } =
                dispute::find(theirs, &prepared.body, self.live.body);
            for dispute in disputes {
                match self.claim(&entry.manager, &dispute.pointer, &prepared.body) {
                    Claim::Taken => taken += 1,
                    Claim::Held if dispute.certainty == Certainty::Possible => possible += 1,
                    Claim::Held => prepared.conflicts.push(conflict_at(
                        &entry.manager,
                        &FieldPath::of_pointer(&dispute.pointer, &prepared.body),
                    )),
                }
            }
            for intruder in found {
                match self.claim(&entry.manager, &intruder.list, &prepared.body) {
                    Claim::Taken => intruders.push((entry, intruder)),
                    Claim::Held => prepared
                        .conflicts
                        .push(conflict_at(&entry.manager, &dispute::path_of(&intruder.steps))),
                }
            }
        }
        // Force covers the whole request. Where the server may see a conflict that nothing allows to
        // take, it is asked without force first; it names every conflict, and `resolve` decides.
        prepared.force = taken > 0 && possible == 0 && prepared.conflicts.is_empty();
        if prepared.conflicts.is_empty() && !intruders.is_empty() {
            let pointers: Vec<&str> =
                intruders.iter().map(|(_, found)| found.live.as_str()).collect();
            prepared.stand_in = Some(stand_in::judge_body(
                self.live.body,
                &prepared.body,
                &pointers,
                (self.owners, &ours),
            ));
            prepared.transfers = transfers(intruders);
        }
    }

    fn leave_out_ignored(&self, prepared: &mut Prepared) {
        let ours = field_manager(self.rules.site);
        let id = self.desired.object.id();
        let rules = self.rules.component.ignore.iter().chain(&self.rules.component.policy.ignore);
        for rule in rules.filter(|rule| id.fits(&rule.kind, rule.name.as_deref())) {
            // A path that cannot be read lets nobody keep anything.
            let Ok(path) = rule.field.parse::<FieldPath>() else { continue };
            self.leave_out(rule, &path, &ours, prepared);
        }
        self.leave_out_held(&ours, prepared);
    }

    /// What is held back while a change is drained is given back by the drain, and is no drift until then.
    fn leave_out_held(&self, ours: &str, prepared: &mut Prepared) {
        let field = match (
            self.desired.object.id().kind.group.as_str(),
            self.desired.object.id().kind.kind.as_str(),
        ) {
            ("kueue.x-k8s.io", "ClusterQueue") => "/spec/stopPolicy",
            ("", "Node") => "/spec/unschedulable",
            _ => return,
        };
        for (entry, theirs) in self.owners.others(ours) {
            let is_drain = entry.manager.starts_with(DRAIN_MANAGER);
            if is_drain && dispute::leave_out(theirs, field, &mut prepared.body) {
                let (pointer, manager) = (field.to_owned(), entry.manager.clone());
                prepared.left_out.push(LeftOut { pointer, manager });
            }
        }
    }

    fn leave_out(&self, rule: &IgnoreRule, path: &FieldPath, ours: &str, prepared: &mut Prepared) {
        for (entry, theirs) in self.owners.others(ours) {
            if rule.manager.as_ref().is_some_and(|manager| *manager != entry.manager) {
                continue;
            }
            // Backwards: an entry that goes moves those behind it.
            for pointer in path.pointers(&prepared.body).into_iter().rev() {
                if dispute::leave_out(theirs, &pointer, &mut prepared.body) {
                    prepared.left_out.push(LeftOut { pointer, manager: entry.manager.clone() });
                }
            }
        }
    }

    fn claim(&self, manager: &str, pointer: &str, body: &Value) -> Claim {
        let named = take_overs(self.rules, self.desired.object.id(), manager)
            .any(|path| path == FieldPath::root() || path.covers(pointer, body));
        if named || is_person(manager, self.rules) { Claim::Taken } else { Claim::Held }
    }
}

fn conflict_at(manager: &str, path: &FieldPath) -> FieldConflict {
    FieldConflict { manager: manager.to_owned(), field: format!(".{path}") }
}

/// Groups intruders by the manager that loses them.
fn transfers(intruders: Vec<(&ManagerEntry, Intruder)>) -> Vec<Transfer> {
    let mut transfers: Vec<(&ManagerEntry, Vec<String>, FieldSet)> = Vec::new();
    for (entry, intruder) in intruders {
        let path = dispute::path_of(&intruder.steps).to_string();
        let index = transfers.iter().position(|(known, ..)| std::ptr::eq(*known, entry));
        let slot = match index {
            Some(index) => transfers.get_mut(index),
            None => {
                transfers.push((entry, Vec::new(), FieldSet::default()));
                transfers.last_mut()
            }
        };
        if let Some((_, entries, fields)) = slot {
            entries.push(path);
            fields.insert(&intruder.steps, &intruder.fields);
        }
    }
    transfers
        .into_iter()
        .map(|(entry, entries, fields)| Transfer {
            manager: entry.manager.clone(),
            operation: entry.operation.clone(),
            subresource: entry.subresource.clone(),
            entries,
            fields: fields.to_value(),
        })
        .collect()
}
