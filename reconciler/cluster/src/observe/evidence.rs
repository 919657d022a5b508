//! What the guards of law 1 look at, for what might be deleted or replaced, and for nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sitewright_model::{
    crd,
    desired::Desired,
    inventory::Inventory,
    live::{Evidence, Judgement, LiveObject, Observation, Refusal},
    object::{GroupKind, ObjectId},
    plan::guard::{self, Question},
};

use super::{
    absence::{self, Absence},
    listing::{self, Content, Query},
};
use crate::{Error, client::http::Http, discovery::Kinds};

/// So many names of each kind are enough to hold a deletion, and to show why.
const NAMES: usize = 5;

/// An object that might be deleted or replaced, and its live state.
pub(crate) struct AtStake<'a> {
    pub(crate) id: &'a ObjectId,
    pub(crate) live: &'a LiveObject,
}

/// Returns it where an observed object might be deleted or replaced.
pub(super) fn at_stake<'a>(
    id: &'a ObjectId,
    is_desired: bool,
    observation: &'a Observation,
) -> Option<AtStake<'a>> {
    let Observation::Present(live) = observation else { return None };
    let is_replaced = matches!(live.judgement, Judgement::Refused(Refusal::Immutable { .. }));
    (!is_desired || is_replaced).then_some(AtStake { id, live })
}

/// What the guards' questions are asked with.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) http: &'a Http,
    pub(crate) kinds: &'a Kinds,
    pub(crate) inventory: &'a Inventory,
    pub(crate) desired: &'a Desired,
}

/// Gathers the evidence on one object into `evidence`.
///
/// # Errors
/// Only a signal to stop or a server that is gone; what cannot be looked at is noted as missing.
pub(crate) async fn gather(
    asker: Asker<'_>,
    at_stake: AtStake<'_>,
    evidence: &mut Evidence,
) -> Result<(), Error> {
    let Asker { http, kinds, .. } = asker;
    let id = at_stake.id;
    let body = at_stake.live.object.expose();
    let Some(question) = guard::question(&id.kind) else { return Ok(()) };
    let found = match question {
        Question::Instances => instances(http, kinds, body).await.map(|count| {
            evidence.instances.insert(id.clone(), count);
        }),
        Question::Contents => contents(asker, &id.name).await.map(|contents| {
            evidence.namespace_contents.insert(id.clone(), contents);
        }),
        Question::ClassUsers => class_users(http, kinds, &id.name).await.map(|users| {
            evidence.class_users.insert(id.clone(), users);
        }),
        Question::BoundVolume => {
            if let Some(volume) = bound_volume(body) {
                evidence.bound_claims.insert(id.clone(), volume);
            }
            Ok(())
        }
    };
    match found {
        Ok(()) => Ok(()),
        Err(error) if error.loses_ground() => Err(error),
        Err(error) => {
            evidence.missing.insert(id.clone(), error.to_string());
            Ok(())
        }
    }
}

async fn instances(http: &Http, kinds: &Kinds, crd: &Value) -> Result<u64, Error> {
    // not served: the definition was never established, or is being deleted; instances may be there still
    let resource =
        crd::brings(crd).and_then(|(kind, _)| kinds.preferred(&kind)).ok_or_else(|| {
            Error::BadAnswer {
                verb: "list".into(),
                resource: "its instances".into(),
                why: "the server does not serve the kind".into(),
            }
        })?;
    let asked = Query { content: Content::Metadata, page: 1, ..Query::ALL };
    let (_, count) = listing::sample(http, resource, asked, 1, &|_| true, &|_| false).await?;
    Ok(count)
}

/// What the site owns there is named in full, from the inventory: the guards know what of it goes first.
/// Of what belongs to others a few names of each kind do.
async fn contents(asker: Asker<'_>, namespace: &str) -> Result<Vec<String>, Error> {
    let mut looked_at = BTreeMap::new();
    for kind in guard::telling() {
        asker.kinds.expect_fresh(&kind)?;
        let resource = asker.kinds.preferred(&kind).filter(|resource| resource.namespaced);
        looked_at.extend(resource.map(|resource| (kind, resource)));
    }
    let leaving = asker.leaving();
    let mut contents = Vec::new();
    for (kind, resource) in &looked_at {
        let is_owned = |name: &str| {
            let namespace = Some(namespace.to_owned());
            let id = ObjectId { kind: kind.clone(), namespace, name: name.to_owned() };
            asker.inventory.entries.contains_key(&id)
        };
        let is_told = |owner: &GroupKind, name: &str| {
            looked_at.contains_key(owner) || leaving.contains(&(owner, name))
        };
        let fits = |value: &Value| {
            let name = value.pointer("/metadata/name").and_then(Value::as_str);
            name.is_some_and(is_owned) || !goes_with_its_owner(kind, value, &is_told)
        };
        let asked = Query { namespace: Some(namespace), content: Content::Metadata, ..Query::ALL };
        let listed = listing::sample(asker.http, resource, asked, NAMES, &fits, &is_owned).await;
        let names = match listed {
            Ok((names, _)) => names,
            Err(error) => asker.none_if_undefined(kind, error).await?,
        };
        contents.extend(names.iter().map(|name| format!("{kind} {name}")));
    }
    Ok(contents)
}

impl Asker<'_> {
    /// Returns what the site owns and no longer wants, by kind and name: what is owned by such an object
    /// goes as the plan says of that one.
    fn leaving(&self) -> BTreeSet<(&GroupKind, &str)> {
        let wanted: BTreeSet<&ObjectId> =
            self.desired.objects().map(|(_, desired)| desired.object.id()).collect();
        let owned = self.inventory.entries.keys().filter(|id| !wanted.contains(id));
        owned.map(|id| (&id.kind, id.name.as_str())).collect()
    }

    /// A list that fails since its definition is gone, deleted by this very apply perhaps, is empty.
    async fn none_if_undefined(
        &self,
        kind: &GroupKind,
        error: Error,
    ) -> Result<Vec<String>, Error> {
        let Error::Refused { .. } = error else { return Err(error) };
        match absence::look(self.http, self.kinds, kind).await? {
            Absence::Proven => Ok(Vec::new()),
            Absence::Unproven(_) => Err(error),
        }
    }
}

/// Work that something else controls (pods of a Deployment, jobs of a CronJob) is told by its owner, where
/// that is told itself; data is data whoever owns it.
fn goes_with_its_owner(
    kind: &GroupKind,
    value: &Value,
    is_told: &dyn Fn(&GroupKind, &str) -> bool,
) -> bool {
    let owners = value.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let told = |owner: &Value| {
        let text = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
        let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
        is_told(&GroupKind::new(group, text("kind")), text("name"))
    };
    !guard::is_data(kind) && owners.into_iter().flatten().any(told)
}

async fn class_users(http: &Http, kinds: &Kinds, class: &str) -> Result<Vec<String>, Error> {
    let mut users = Vec::new();
    for kind in ["PersistentVolumeClaim", "PersistentVolume"] {
        let Some(resource) = kinds.preferred(&GroupKind::new("", kind)) else { continue };
        let uses = |value: &Value| {
            value.pointer("/spec/storageClassName").and_then(Value::as_str) == Some(class)
        };
        let (names, _) =
            listing::sample(http, resource, Query::ALL, NAMES, &uses, &|_| false).await?;
        users.extend(names.iter().map(|name| format!("{kind} {name}")));
    }
    Ok(users)
}

fn bound_volume(claim: &Value) -> Option<String> {
    let volume = claim.pointer("/spec/volumeName").and_then(Value::as_str)?;
    (!volume.is_empty()).then(|| volume.to_owned())
}
