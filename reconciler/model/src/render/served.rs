//! The scopes of kinds that only a cluster knows.
//!
//! Rendering asks no cluster (law 9), so it takes a kind that nothing in the site defines to live in
//! namespaces. Where the server says that it does not, its objects lose the namespace that their source
//! gave them: with it they would be other objects than those that the server then holds, so that two
//! components could declare one, and none could ever be deleted.

use std::collections::{BTreeSet, HashSet};

use super::{
    Scope,
    assemble::{digest, duplicates, move_object, sort},
    declare,
    scope::{self, is_crd},
};
use crate::{
    desired::{Desired, DesiredObject},
    diagnostic::Diagnostics,
    object::{GroupKind, ObjectId},
};

/// Returns the kinds of objects with a namespace of which nothing in the site says that they live in one.
pub fn open_kinds(desired: &Desired) -> BTreeSet<GroupKind> {
    let ids = || desired.objects().map(|(_, object)| object.object.id());
    let crds = desired.objects().filter(|(_, object)| is_crd(&object.object.id().kind));
    let bodies = crds.map(|(_, object)| object.object.expose());
    let defined: HashSet<GroupKind> =
        declare::scopes(bodies).into_iter().map(|(kind, _)| kind).collect();
    let is_open = |id: &&ObjectId| {
        id.namespace.is_some() && scope::built_in(&id.kind).is_none() && !defined.contains(&id.kind)
    };
    ids().filter(is_open).map(|id| id.kind.clone()).collect()
}

/// Returns `desired` with no object of the kinds `outside` in a namespace: those of the [`open_kinds`]
/// that the server serves outside namespaces.
///
/// # Errors
/// Every object that is then declared twice, with both places.
pub fn in_served_scopes(
    mut desired: Desired,
    outside: &BTreeSet<GroupKind>,
) -> Result<Desired, Diagnostics> {
    let is_misplaced = |object: &DesiredObject| {
        let id = object.object.id();
        id.namespace.is_some() && outside.contains(&id.kind)
    };
    let mut moved = false;
    for component in &mut desired.components {
        for object in component.objects.iter_mut().filter(|object| is_misplaced(object)) {
            *object = move_object(object, None, Scope::Cluster);
            moved = true;
        }
        sort(&mut component.objects);
    }
    if !moved {
        return Ok(desired);
    }
    let mistakes = duplicates(&desired.components);
    if mistakes.has_errors() {
        return Err(mistakes);
    }
    desired.digest = digest(&desired);
    Ok(desired)
}
