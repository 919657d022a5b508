//! The edges of what goes: last, after health, in reverse order (law 3).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Node, Requirement, Role,
    build::{Draft, Site, Subject},
    kinds, references, webhooks,
};
use crate::{
    name::ComponentName,
    object::{GroupKind, ObjectId},
};

pub(super) fn add(site: &Site<'_>, draft: &mut Draft) {
    let removals: Vec<(usize, &Subject<'_>)> =
        site.subjects.iter().enumerate().filter(|(_, s)| s.role == Role::Remove).collect();
    if removals.is_empty() {
        return;
    }
    let going: BTreeMap<&ObjectId, usize> =
        removals.iter().map(|(index, subject)| (subject.id, *index)).collect();
    after_changes(site, &removals, draft);
    after_moves(site, &removals, draft);
    contents(&removals, &going, draft);
    references_first(&removals, &going, draft);
    farewells(&removals, draft);
    dependents_first(site, &removals, draft);
}

/// What of a wanted object a prune waits for, where it is new: changed by this plan, or by an earlier one
/// and not seen healthy since. An object whose change cannot even be told is not there for sure.
fn newness(subject: &Subject<'_>) -> Option<Requirement> {
    match subject.role {
        Role::Apply | Role::Lost => Some(Requirement::Converged),
        Role::Idle | Role::Renew => subject.unproven.then_some(Requirement::Healthy),
        Role::Remove | Role::Book | Role::Group => None,
    }
}

/// After what is new is healthy: the changes of its component, of those that depend on it, and of all
/// where the component left the site, since nobody can say any more who depended on it.
fn after_changes(site: &Site<'_>, removals: &[(usize, &Subject<'_>)], draft: &mut Draft) {
    let mut changed: BTreeMap<&ComponentName, Vec<(usize, Requirement)>> = BTreeMap::new();
    for (index, subject) in site.subjects.iter().enumerate() {
        if let Some(requirement) = newness(subject) {
            changed.entry(subject.component).or_default().push((index, requirement));
        }
    }
    for (name, indices) in &changed {
        let group = draft.group(Node::Changes((*name).clone()));
        for (index, requirement) in indices {
            draft.hard(group, *index, *requirement);
        }
    }
    let losing: BTreeSet<&ComponentName> = removals.iter().map(|(_, s)| s.component).collect();
    for name in losing {
        let prune = draft.group(Node::Prune(name.clone()));
        let related = related(site, name);
        for other in changed.keys().filter(|other| related.has(other)) {
            let changes = draft.group(Node::Changes((*other).clone()));
            draft.hard(prune, changes, Requirement::Applied);
        }
    }
    for (index, subject) in removals {
        let prune = draft.group(Node::Prune(subject.component.clone()));
        draft.hard(*index, prune, Requirement::Applied);
    }
}

/// A component with all that depend on it.
enum Related<'a> {
    All,
    These(BTreeSet<&'a ComponentName>),
}

impl Related<'_> {
    fn has(&self, name: &ComponentName) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(name),
        }
    }
}

fn related<'a>(site: &Site<'a>, name: &'a ComponentName) -> Related<'a> {
    if !site.depends_on.contains_key(name) {
        return Related::All;
    }
    let mut found = BTreeSet::from([name]);
    loop {
        let more: Vec<&ComponentName> = site
            .depends_on
            .iter()
            .filter(|(_, on)| on.iter().any(|on| found.contains(on)))
            .map(|(name, _)| *name)
            .filter(|name| !found.contains(name))
            .collect();
        if more.is_empty() {
            return Related::These(found);
        }
        found.extend(more);
    }
}

/// What moved to another namespace or component is there before the old one goes.
fn after_moves(site: &Site<'_>, removals: &[(usize, &Subject<'_>)], draft: &mut Draft) {
    let mut new: BTreeMap<(&GroupKind, &str), Vec<(usize, Requirement)>> = BTreeMap::new();
    for (index, subject) in site.subjects.iter().enumerate() {
        if let Some(requirement) = newness(subject) {
            let name = (&subject.id.kind, subject.id.name.as_str());
            new.entry(name).or_default().push((index, requirement));
        }
    }
    for (index, subject) in removals {
        let name = (&subject.id.kind, subject.id.name.as_str());
        for (on, requirement) in new.get(&name).into_iter().flatten() {
            draft.hard(*index, *on, *requirement);
        }
    }
}

/// Contents before their namespace, instances before their definition: controllers can still take leave.
fn contents(
    removals: &[(usize, &Subject<'_>)],
    going: &BTreeMap<&ObjectId, usize>,
    draft: &mut Draft,
) {
    let definitions: BTreeMap<GroupKind, usize> = definitions(removals)
        .into_iter()
        .map(|(index, _, defined)| (defined.kind, index))
        .collect();
    for (index, subject) in removals {
        if let Some(namespace) = &subject.id.namespace
            && let Some(from) = going.get(&kinds::id("", "Namespace", None, namespace))
        {
            draft.hard(*from, *index, Requirement::Gone);
        }
        if let Some(from) = definitions.get(&subject.id.kind) {
            draft.hard(*from, *index, Requirement::Gone);
        }
    }
}

fn definitions<'s, 'a>(
    removals: &'s [(usize, &'s Subject<'a>)],
) -> Vec<(usize, &'s Subject<'a>, kinds::Defined)> {
    removals
        .iter()
        .filter(|(_, subject)| kinds::is_crd(subject.id))
        .filter_map(|(index, subject)| Some((*index, *subject, kinds::defined(subject.body?)?)))
        .collect()
}

/// What refers to another object goes before it; so does what makes the server call a Service.
fn references_first(
    removals: &[(usize, &Subject<'_>)],
    going: &BTreeMap<&ObjectId, usize>,
    draft: &mut Draft,
) {
    for (index, subject) in removals {
        let Some(body) = subject.body else { continue };
        let called = webhooks::endpoints(subject.id, body);
        for id in references::of(subject.id, body).into_iter().chain(called) {
            if let Some(from) = going.get(&id) {
                draft.soft(*from, *index, Requirement::Gone);
            }
        }
    }
}

/// A component's controllers, and all that they need, stay until the custom objects that they serve are
/// gone: a finalizer that nobody serves any more hangs for ever.
fn farewells(removals: &[(usize, &Subject<'_>)], draft: &mut Draft) {
    let served: BTreeMap<GroupKind, &ComponentName> = definitions(removals)
        .into_iter()
        .map(|(_, subject, defined)| (defined.kind, subject.component))
        .collect();
    let mut leaving: BTreeMap<&ComponentName, Vec<usize>> = BTreeMap::new();
    for (index, subject) in removals.iter().filter(|(_, s)| s.id.kind.is_custom()) {
        leaving.entry(subject.component).or_default().push(*index);
        if let Some(server) = served.get(&subject.id.kind) {
            leaving.entry(server).or_default().push(*index);
        }
    }
    for (name, indices) in &leaving {
        let group = draft.group(Node::Farewell((*name).clone()));
        for index in indices {
            draft.soft(group, *index, Requirement::Gone);
        }
    }
    for (index, subject) in removals.iter().filter(|(_, subject)| is_plain(subject)) {
        if leaving.contains_key(subject.component) {
            let group = draft.group(Node::Farewell(subject.component.clone()));
            draft.soft(*index, group, Requirement::Applied);
        }
    }
}

/// Returns whether the object is of a built-in kind and nothing goes with it.
fn is_plain(subject: &Subject<'_>) -> bool {
    !subject.id.kind.is_custom() && !kinds::is_crd(subject.id) && !kinds::is_namespace(subject.id)
}

/// What a component that depends on another one loses goes before what the other one loses.
fn dependents_first(site: &Site<'_>, removals: &[(usize, &Subject<'_>)], draft: &mut Draft) {
    let mut by_component: BTreeMap<&ComponentName, Vec<usize>> = BTreeMap::new();
    for (index, subject) in removals {
        if !kinds::is_crd(subject.id) && !kinds::is_namespace(subject.id) {
            by_component.entry(subject.component).or_default().push(*index);
        }
    }
    for component in &site.desired.components {
        let Some(first) = by_component.get(&component.name) else { continue };
        let group = draft.group(Node::Removals(component.name.clone()));
        for index in first {
            draft.soft(group, *index, Requirement::Gone);
        }
        for on in &component.depends_on {
            for index in by_component.get(on).into_iter().flatten() {
                draft.soft(*index, group, Requirement::Applied);
            }
        }
    }
}
