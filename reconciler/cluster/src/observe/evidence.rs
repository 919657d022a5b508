//! What the guards of law 1 look at, for what might be deleted or replaced, and for nothing else.

use serde_json::Value;
use sitewright_model::{
    crd,
    inventory::Inventory,
    live::{Evidence, Judgement, LiveObject, Observation, Refusal},
    object::{GroupKind, ObjectId},
    plan::guard::{self, Question},
};

use super::listing::{self, Content, Query};
use crate::{Error, client::http::Http, discovery::Kinds};

/// So many names of each kind are enough to hold a deletion, and to show why.
const NAMES: usize = 5;

/// Kinds in a namespace that are data, or work.
const TELLING: [(&str, &str); 25] = [
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("batch.volcano.sh", "Job"),
    ("ceph.rook.io", "CephBlockPool"),
    ("ceph.rook.io", "CephCluster"),
    ("ceph.rook.io", "CephFilesystem"),
    ("ceph.rook.io", "CephNFS"),
    ("ceph.rook.io", "CephObjectStore"),
    ("cluster.x-k8s.io", "Cluster"),
    ("cluster.x-k8s.io", "Machine"),
    ("kubeflow.org", "MPIJob"),
    ("kubeflow.org", "Notebook"),
    ("kubeflow.org", "PyTorchJob"),
    ("kueue.x-k8s.io", "Workload"),
    ("metal3.io", "BareMetalHost"),
    ("objectbucket.io", "ObjectBucketClaim"),
    ("postgresql.cnpg.io", "Cluster"),
    ("ray.io", "RayCluster"),
    ("ray.io", "RayJob"),
    ("trainer.kubeflow.org", "TrainJob"),
];

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

/// Gathers the evidence on one object into `evidence`.
///
/// # Errors
/// Only a signal to stop or a server that is gone; what cannot be looked at is noted as missing.
pub(crate) async fn gather(
    http: &Http,
    kinds: &Kinds,
    inventory: &Inventory,
    at_stake: AtStake<'_>,
    evidence: &mut Evidence,
) -> Result<(), Error> {
    let id = at_stake.id;
    let body = at_stake.live.object.expose();
    let Some(question) = guard::question(&id.kind) else { return Ok(()) };
    let found = match question {
        Question::Instances => instances(http, kinds, body).await.map(|count| {
            evidence.instances.insert(id.clone(), count);
        }),
        Question::Contents => contents(http, kinds, inventory, &id.name).await.map(|contents| {
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
        Err(error @ (Error::Stopped | Error::Unreachable { .. })) => Err(error),
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
async fn contents(
    http: &Http,
    kinds: &Kinds,
    inventory: &Inventory,
    namespace: &str,
) -> Result<Vec<String>, Error> {
    let mut contents = Vec::new();
    for (group, kind) in TELLING {
        let kind = GroupKind::new(group, kind);
        let Some(resource) = kinds.preferred(&kind) else { continue };
        let is_owned = |name: &str| {
            let namespace = Some(namespace.to_owned());
            let id = ObjectId { kind: kind.clone(), namespace, name: name.to_owned() };
            inventory.entries.contains_key(&id)
        };
        let fits = |value: &Value| {
            let name = value.pointer("/metadata/name").and_then(Value::as_str);
            name.is_some_and(is_owned) || !goes_with_its_owner(&kind, value)
        };
        let asked = Query { namespace: Some(namespace), content: Content::Metadata, ..Query::ALL };
        let (names, _) = listing::sample(http, resource, asked, NAMES, &fits, &is_owned).await?;
        contents.extend(names.iter().map(|name| format!("{kind} {name}")));
    }
    Ok(contents)
}

/// Pods of a Deployment and jobs of a CronJob are told by their owner; a claim is data whoever owns it.
fn goes_with_its_owner(kind: &GroupKind, value: &Value) -> bool {
    let owners = value.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    kind.kind != "PersistentVolumeClaim" && owners.is_some_and(|owners| !owners.is_empty())
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
