//! The last look: controllers write to what was just applied (an annotation, a certificate bundle), and
//! the inventory's digest must be that of the object as they leave it, or every later plan would ask
//! the server about it again.
//!
//! A digest is renewed only where the server's dry run says that our apply would change nothing:
//! else it would hide a drift.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use sitewright_model::{
    inventory::{Entry, EntryState},
    live::{Judgement, LiveObject, settled_digest},
    object::ObjectId,
};

use super::{
    book::Book,
    change::Note,
    scene::{Part, Scene},
};
use crate::{
    Error,
    client::path::Resource,
    kinds,
    observe::{self, listing},
};

/// So many objects of a kind are read one by one; more are listed.
const ONE_BY_ONE: usize = 4;

/// Looks once more at what was applied, and notes in the book what has settled.
///
/// # Errors
/// Only where the ground is lost: what cannot be looked at keeps its record, and costs the next plan a question.
pub(super) async fn settle(
    scene: &Scene<'_>,
    applied: impl Iterator<Item = &ObjectId>,
    book: &mut Book,
) -> Result<(), Error> {
    let mut by_resource: BTreeMap<Resource, Vec<Part<'_>>> = BTreeMap::new();
    for part in applied.filter_map(|id| scene.part(id)) {
        let is_quiet = kinds::is_inert(&part.change.id.kind);
        if let Some(resource) = scene.resource(part.change).filter(|_| !is_quiet) {
            by_resource.entry(resource).or_default().push(part);
        }
    }
    for (resource, parts) in by_resource {
        match settled(scene, &resource, &parts, book).await {
            Ok(settled) => settled.iter().for_each(|(id, entry)| {
                book.note(id, Note::Entry(entry.clone()));
            }),
            Err(error) if error.loses_ground() => return Err(error),
            Err(error) => tracing::debug!(%error, "not settled"),
        }
    }
    Ok(())
}

async fn settled(
    scene: &Scene<'_>,
    resource: &Resource,
    parts: &[Part<'_>],
    book: &Book,
) -> Result<Vec<(ObjectId, Entry)>, Error> {
    let by_key: BTreeMap<listing::Key, (&Part<'_>, &Entry)> = parts
        .iter()
        .filter_map(|part| {
            let entry = book.entry(&part.change.id)?;
            Some((listing::key(&part.change.id, resource), (part, entry)))
        })
        .collect();
    let sensitive = BTreeMap::new();
    let keep = |key: &listing::Key, live: LiveObject| {
        let (_, entry) = by_key.get(key)?;
        has_moved(entry, &live).then_some(live)
    };
    let moved = if parts.len() <= ONE_BY_ONE {
        one_by_one(scene, resource, parts, keep).await?
    } else {
        listing::owned(scene.http, resource, &scene.desired.site, &sensitive, keep).await?
    };
    let judged = stream::iter(moved)
        .map(|(key, live)| {
            let found = by_key.get(&key).copied();
            async move {
                match found {
                    Some((part, entry)) => renewed(scene, resource, part, entry, live).await,
                    None => Ok(None),
                }
            }
        })
        .buffer_unordered(scene.http.concurrency());
    let renewed: Vec<Option<(ObjectId, Entry)>> = judged.try_collect().await?;
    Ok(renewed.into_iter().flatten().collect())
}

async fn one_by_one(
    scene: &Scene<'_>,
    resource: &Resource,
    parts: &[Part<'_>],
    keep: impl Fn(&listing::Key, LiveObject) -> Option<LiveObject>,
) -> Result<BTreeMap<listing::Key, LiveObject>, Error> {
    let mut kept = BTreeMap::new();
    for id in parts.iter().map(|part| &part.change.id) {
        let key = listing::key(id, resource);
        let live = observe::get(scene.http, resource, id, &BTreeSet::new()).await?;
        if let Some(live) = live.and_then(|live| keep(&key, live)) {
            kept.insert(key, live);
        }
    }
    Ok(kept)
}

fn has_moved(entry: &Entry, live: &LiveObject) -> bool {
    match &entry.state {
        EntryState::Planned => false,
        EntryState::Applied { uid, settled, .. } => *uid == live.uid && *settled != live.settled,
    }
}

async fn renewed(
    scene: &Scene<'_>,
    resource: &Resource,
    part: &Part<'_>,
    entry: &Entry,
    live: LiveObject,
) -> Result<Option<(ObjectId, Entry)>, Error> {
    let (Some(subject), EntryState::Applied { uid, rendered, .. }) = (part.subject(), &entry.state)
    else {
        return Ok(None);
    };
    let judgement = scene.judge.update(subject, resource, &live).await?;
    let is_unchanged = match &judgement {
        Judgement::Accepted(judged) => settled_digest(judged.expose()) == live.settled,
        _ => false,
    };
    let state =
        EntryState::Applied { uid: uid.clone(), rendered: *rendered, settled: live.settled };
    let id = part.change.id.clone();
    Ok(is_unchanged.then(|| (id, Entry { state, ..entry.clone() })))
}

/// Returns the objects whose outcome says that the inventory has a fresh record of them.
pub(super) fn applied(outcomes: &BTreeMap<ObjectId, super::ObjectOutcome>) -> BTreeSet<ObjectId> {
    use super::ObjectOutcome::{Adopted, Created, Recorded, Replaced, Updated};
    let is_applied = |outcome: &super::ObjectOutcome| {
        matches!(outcome, Created | Updated | Adopted | Replaced | Recorded)
    };
    let applied = outcomes.iter().filter(|(_, outcome)| is_applied(outcome));
    applied.map(|(id, _)| id.clone()).collect()
}
